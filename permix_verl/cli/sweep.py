"""Evaluate released models under personas: the paper's Figure 2, its Tables 8 and 9.

permix sweep                                       # the paper's 12 models; the same command resumes
permix sweep --dry-run GPUS=8 GPU_GIB=24           # print commands, samples and tokens, run nothing
permix sweep MODELS="Qwen/Qwen3-4B runs/mine/merged" LIMIT=50
permix sweep MODELS=Qwen/Qwen3-4B --adapter PATH   # more arguments go to every permix eval

One folder per model under OUT, and the report on all of them in OUT/report. A model that fails does not stop the
others: it is named at the end, and the exit status is 1.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from permix_verl.cli.script_knobs import is_dry_run, optional_number, split_knobs, whole_number
from permix_verl.config.resolvers import project_folder
from permix_verl.errors import UserError
from permix_verl.evaluation.sweep import (
    GPU_MIB,
    PAPER_MODELS,
    SIZES,
    SweepSettings,
    plan_lines,
    run_sweep,
    visible_memory,
)

KNOBS: Mapping[str, str] = {
    "MODELS": "hub names or folders, separated by spaces (default: the paper's 12)",
    "TASKS": f"of {' '.join(SIZES)}, separated by commas (default: math500,aime24)",
    "RUNS": "samples per problem and persona (default: 5, appendix C.1)",
    "PERSONAS": "packaged pool or a .jsonl of your own (default: eval)",
    "OUT": "folder with one folder per model (default: results/sweep)",
    "LIMIT": "problems per task (default: all)",
    "MAX_TOKENS": "per completion (default: the task's own)",
    "GPUS": "number of visible GPUs to use (default: all)",
    "GPU_GIB": "memory of one GPU (default: the smallest one's, 80 without a GPU)",
    "TENSOR_PARALLEL": "GPUs of every model's copy (default: the fewest that fit)",
}


def main(argv: Sequence[str] | None = None) -> int:
    dry_run, arguments = parse_args(argv)
    variables, more = split_knobs(arguments, {*KNOBS, "DRY_RUN"}, os.environ)
    settings = read_settings(variables, more)
    settings.check()
    if dry_run or is_dry_run(variables):
        print("\n".join(plan_lines(settings)))
        return 0
    return run_sweep(settings)


def parse_args(argv: Sequence[str] | None) -> tuple[bool, list[str]]:
    """Return whether it is a dry run, and the arguments that are knobs or of ``permix eval``."""
    parser = argparse.ArgumentParser(
        prog="permix sweep",
        usage="%(prog)s [--dry-run] [KNOB=VALUE ...] [arguments of permix eval]",
        description=__doc__,
        epilog="knobs, in the environment or as KNOB=VALUE:\n"
        + "\n".join(f"  {name:<17}{meaning}" for name, meaning in KNOBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan, run nothing; also DRY_RUN=1")
    args, rest = parser.parse_known_args(argv)
    return args.dry_run, rest


def read_settings(variables: Mapping[str, str], more: Sequence[str]) -> SweepSettings:
    """Read the sweep's settings.

    Raises:
        UserError: a number that is none.
    """
    memory = visible_memory()
    models = variables.get("MODELS")
    return SweepSettings(
        models=models.split() if models else PAPER_MODELS,
        tasks=[task for task in (variables.get("TASKS") or "math500,aime24").split(",") if task],
        runs=whole_number(variables, "RUNS", 5),
        personas=variables.get("PERSONAS") or "eval",
        out=Path(variables.get("OUT") or project_folder() / "results" / "sweep"),
        gpus=whole_number(variables, "GPUS", max(1, len(memory))),
        gpu_gib=_gib(variables.get("GPU_GIB"), min(memory, default=GPU_MIB)),
        limit=optional_number(variables, "LIMIT"),
        max_tokens=optional_number(variables, "MAX_TOKENS"),
        tensor_parallel=optional_number(variables, "TENSOR_PARALLEL"),
        more=more,
    )


def _gib(text: str | None, least_mib: int) -> float:
    if not text:
        return least_mib / 1024
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UserError(f"GPU_GIB={text} is not a number of GiB", "give one, such as 24")
    return value
