"""Smoke test: five minutes on your machine, and one file that shows whether PerMix-RLVR runs there.

permix smoke                            # all visible GPUs, the recipe's own model
permix smoke MODEL=Qwen/Qwen3-4B        # another model, hub name or folder

Three GRPO steps of permix_grpo at the recipe's lengths and micro-batches, with fewer problems per step, then the
adapter check. Writes runs/smoke-*/evidence.json: versions, peak memory of each GPU, seconds of each phase,
rollout-actor correlation, the adapter's difference from the actor, and the settings read back from the live engines.
Downloading the model takes additional time. Arguments are those of permix train.
"""

import argparse
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from permix_verl.cli.script_knobs import is_dry_run
from permix_verl.config.resolvers import project_folder
from permix_verl.training.observability import smoke_report
from permix_verl.utils.commands import INTERRUPTED, PERMIX, run_command
from permix_verl.utils.nvidia_smi import nvidia_smi

KNOBS: Mapping[str, str] = {"BATCH": "16", "VAL_PROBLEMS": "1", "SAVE_FREQ": "3", "LR": "1e-3"}
"""Defaults here. The rate is far too high for real training: three steps must change the policy, or the adapter check
proves nothing."""
OVERRIDES = ("trainer.total_training_steps=3", "trainer.val_before_train=False", "trainer.test_freq=-1")
_QUERY = ("nvidia-smi", "--query-gpu=index,memory.used", "--format=csv,noheader,nounits", "--loop-ms=500")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse_args(argv)
    variables, run = read_settings(arguments, os.environ)
    training = [*PERMIX, "train", "permix_grpo", *OVERRIDES, *arguments]
    environment = {**os.environ, **{name: variables[name] for name in KNOBS}, "RUN_DIR": str(run)}
    if is_dry_run(variables) or any(text.partition("=")[0] == "--dry-run" for text in arguments):
        return run_command(training, environment)
    memory, evidence = run / "nvidia_smi.csv", run / "evidence.json"
    with gpu_memory_log(memory):
        status = run_command(training, environment)
    if status == INTERRUPTED or not run.is_dir():
        return status
    status = smoke_report.main([str(run), "--memory", str(memory), "--out", str(evidence)]) or status
    print(f"send back {evidence}")
    return status


def parse_args(argv: Sequence[str] | None) -> list[str]:
    """Return the arguments, all of which are of ``permix train``."""
    parser = argparse.ArgumentParser(
        prog="permix smoke",
        usage="%(prog)s [KNOB=VALUE ...] [key=value ...] [arguments of permix train]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser.parse_known_args(argv)[1]


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[dict[str, str], Path]:
    """Read the variables, with knobs among the arguments and this test's defaults, and the run's folder."""
    from permix_verl.config.compose import parse_overrides
    from permix_verl.recipe.resolve import split_settings

    knobs, overrides = split_settings([text for text in arguments if not text.startswith("-")])
    given = {name: value for name, value in {**environment, **knobs}.items() if value}
    name = f"smoke-{time.strftime('%Y%m%dT%H%M%S')}"
    folder = parse_overrides([text for text in overrides if "=" in text]).get("permix.run_dir")
    run = folder or given.get("RUN_DIR") or project_folder() / "runs" / name
    return {**KNOBS, **given}, Path(run)


@contextlib.contextmanager
def gpu_memory_log(file: Path) -> Iterator[None]:
    """Write index and memory in use of each GPU to a file every half second, on a machine that has GPUs."""
    if not nvidia_smi():
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as sink, subprocess.Popen(_QUERY, stdout=sink) as monitor:
        try:
            yield
        finally:
            monitor.terminate()
