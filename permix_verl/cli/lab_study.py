"""Run the lab study: the paper's Tables 2 and 3 in miniature, on the lab's base model and the methods that train it.

permix lab-study                        # RLVR and PerMix-RLVR, one seed
permix lab-study SEEDS=3                # seeds 0, 1 and 2: intervals over seeds, too
permix lab-study METHODS=all            # with SFT, PerMix-SFT and SeqKD
permix lab-study KL=0.5 OUT=results/kl RUNS_DIR=runs/kl    # knobs of the recipes, with separate folders
permix lab-study MODEL=smollm2          # the same on a real language model (docs/real_model.md)

Trains every method by its recipe, evaluates base and methods under the 16 held-out personas and none, on problems like
the training problems and on harder ones, and writes OUT/report. For a packaged model the problems are in plain words,
and fidelity is measured by likelihood. The same command resumes.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from permix_verl.checkpoints.fetched import is_short_name
from permix_verl.cli.script_knobs import TRAINING_KNOBS, is_dry_run, split_knobs, whole_number
from permix_verl.config.resolvers import project_folder
from permix_verl.errors import UserError
from permix_verl.lab.base_model import MODEL
from permix_verl.lab.study_run import LAB, PLAIN, STUDY_METHODS, StudySettings, run_study

KNOBS: Mapping[str, str] = {
    "METHODS": f"of {' '.join(STUDY_METHODS)}; or all (default: rlvr permix)",
    "SEEDS": "training runs per method: seeds 0, 1, ... (default: 1)",
    "LIMIT": "test problems per task, 20 to 400 (default: 200)",
    "RUNS": "completions per problem and persona; the theory needs two of the base (default: 2, packaged model: 1)",
    "OUT": "one results folder per model, and report/ (default: results/lab, or results/MODEL)",
    "RUNS_DIR": "folder of the training runs (default: runs)",
    "MODEL": "base model (default: the lab's); the short name of a packaged one takes its preset",
}
"""Knobs of the study and their meaning; MODEL is a knob of the trainings, too."""
_FORMER = {"ARMS": "METHODS", "PROBLEMS": "LIMIT", "SAMPLES": "RUNS"}
"""Former name -> knob."""


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    known = {*KNOBS, *_FORMER, "DRY_RUN", *TRAINING_KNOBS}
    variables, overrides = split_knobs(args.settings, known, os.environ)
    settings = read_settings(_renamed(variables), overrides)
    settings.check()
    refuse_foreign(variables)
    own = {*KNOBS, *_FORMER} - {"MODEL"}
    return run_study(settings, {name: value for name, value in variables.items() if name not in own})


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permix lab-study",
        description=__doc__,
        epilog="knobs, in the environment or as KNOB=VALUE:\n"
        + "\n".join(f"  {name:<10}{meaning}" for name, meaning in KNOBS.items())
        + "\nand those of permix train, for all trainings",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", help="KNOB=VALUE, or key=value of verl for the RL methods")
    return parser.parse_intermixed_args(argv)


def read_settings(variables: Mapping[str, str], overrides: Sequence[str]) -> StudySettings:
    """Read the study's settings.

    Raises:
        UserError: a number that is none.
    """
    folder, methods = project_folder(), variables.get("METHODS") or "rlvr permix"
    model = variables.get("MODEL") or str(MODEL)
    world = PLAIN if is_short_name(model) else LAB
    return StudySettings(
        methods=list(world.methods) if methods == "all" else methods.split(),
        seeds=whole_number(variables, "SEEDS", 1),
        limit=whole_number(variables, "LIMIT", 200),
        runs=whole_number(variables, "RUNS", world.runs),
        out=Path(variables.get("OUT") or folder / "results" / (model if world is PLAIN else "lab")),
        runs_dir=Path(variables.get("RUNS_DIR") or folder / "runs"),
        model=model,
        overrides=overrides,
        world=world,
    )


def _renamed(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with former names as their knobs, and print one note about PROBLEMS and SAMPLES."""
    former = {name: variables[name] for name in _FORMER if variables.get(name)}
    if noted := [name for name in former if name != "ARMS"]:
        print(f"note: {', '.join(f'{name} is now {_FORMER[name]}' for name in noted)}", file=sys.stderr)
    renamed = {_FORMER[name]: value for name, value in former.items() if not variables.get(_FORMER[name])}
    return {**variables, **renamed}


def refuse_foreign(variables: Mapping[str, str]) -> None:
    """Refuse knobs of a single training.

    Raises:
        UserError: the first that is set.
    """
    if is_dry_run(variables):
        dry = f"DRY_RUN={variables['DRY_RUN']}"
        raise UserError(f"{dry} is for one recipe: LAB=1 {dry} bash recipes/run_permix_grpo.sh")
    for knob in ("SEED", "RUN_DIR"):
        if variables.get(knob):
            raise UserError(f"{knob} is set here: seeds are 0 to SEEDS-1, and runs are in RUNS_DIR", "unset it")
    if variables.get("INIT_ADAPTER"):
        raise UserError("INIT_ADAPTER is for one recipe; here every method starts from the base", "unset it")
