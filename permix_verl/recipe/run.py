"""A run from its configuration: check it, prepare its rows, train."""

import os
import shlex
import subprocess
import sys

from permix_verl.checkpoints.fetching import fetch_if_missing
from permix_verl.config.compose import RunConfig
from permix_verl.errors import UserError
from permix_verl.preflight.doctor.checks import examine
from permix_verl.preflight.doctor.types import Setup
from permix_verl.recipe.chat_template import with_template
from permix_verl.recipe.conditions import refuse_without_cluster
from permix_verl.recipe.rows import needs_no_hub, prepare_rows
from permix_verl.training.launch import launch
from permix_verl.training.launch_settings import LaunchSettings

_SAME = "# with the same settings"
_EVALUATIONS = {
    "lab": "--tasks lab_easy,lab_hard --temperature 1 --top-p 1 --limit 100 --runs 2",
    "smollm2": "--tasks plain_one,plain_two --temperature 0.7 --top-p 1 --limit 300 --runs 1",
    "paper": "--tasks gsm8k,math500",
}


def run(config: RunConfig, *, ask_doctor: bool = True) -> int:
    """Train a method, or go on with a stopped run; return the exit status.

    Raises:
        UserError: settings under which the run would fail, or not do what they say.
    """
    refuse_without_cluster(config)
    fetch_if_missing(LaunchSettings(config).base)
    set_environment(config)
    if ask_doctor:
        refuse_unhealthy(config)
    config = with_template(config)
    try:
        if not prepare_rows(config):
            return 0
    except subprocess.CalledProcessError as error:
        return error.returncode
    return launch(LaunchSettings(config, next_command(config)))


def set_environment(config: RunConfig) -> None:
    """Set the profile's environment variables, for this process and those that it starts."""
    for name, value in config["permix.environment"].items():
        os.environ.setdefault(name, str(value))
    if needs_no_hub(config):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def refuse_unhealthy(config: RunConfig) -> None:
    """Check for later failures before anything is written; warnings are printed.

    Raises:
        UserError: a finding under which the run would fail, or train something else.
    """
    findings = [(name, finding) for name, finding in examine(Setup.of_run(config)) if finding.severity != "ok"]
    for name, finding in findings:
        print(finding.line(name), file=sys.stderr)
    if any(finding.severity == "error" for _, finding in findings):
        raise UserError(
            "this run would fail, or train something else than intended", "see above (DOCTOR=0 goes on all the same)"
        )


def next_command(config: RunConfig) -> str:
    """Return the command that a finished run proposes."""
    if config.trainer == "grpo":
        if config["permix.method"] == "permix":
            return f"bash recipes/run_rlvr_grpo.sh   {_SAME}: the baseline, the same rows without personas"
        return f"bash recipes/run_permix_grpo.sh   {_SAME}: the same rows with a persona each"
    folder = config["permix.run_dir"]
    command = ["python", "eval/run.py", "--model", config["model.path"], "--adapter", f"{folder}/adapter"]
    command += _EVALUATIONS[config["permix.preset"]].split()
    return shlex.join([*command, "--out", f"results/{os.path.basename(folder)}"])
