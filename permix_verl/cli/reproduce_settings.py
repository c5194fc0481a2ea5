"""Settings of a reproduction from flags and knobs: the paper's, the lab's, and what fits this machine's GPUs."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from permix_verl.cli.script_knobs import is_dry_run, optional_number, whole_number
from permix_verl.config.resolvers import project_folder
from permix_verl.errors import UserError
from permix_verl.evaluation.sweep import visible_memory
from permix_verl.fidelity.personagym.questions import DEFAULT
from permix_verl.lab.base_model import MODEL as LAB_MODEL
from permix_verl.paper.settings import PaperSettings
from permix_verl.paper.tables import PAPER_MODEL, TEACHERS, PaperTable

KNOBS: Mapping[str, tuple[str, str]] = {
    "MODEL": ("--model", f"hub name or folder of the base model (default: {PAPER_MODEL}; in the lab, the lab's)"),
    "SEED": ("--seed", "seed of data, training and evaluation, the first of SEEDS (default: 0)"),
    "SEEDS": ("--seeds", "trainings and evaluations per method, with the seeds from SEED on (default: 1)"),
    "RUNS": ("--runs", "completions per prompt (default: the paper's 5, in the lab 2)"),
    "LIMIT": ("--limit", "problems per task, from the start (default: all, in the lab 200)"),
    "TASKS": ("--tasks", "comma-separated (default: the table's)"),
    "OUT": ("--out", "folder of the results and the table (default: results/paper, in the lab results/lab-tables)"),
    "RUNS_DIR": ("--runs-dir", "folder of the trainings (default: runs)"),
    "REWRITER": ("--rewriter", "model that writes styled targets; in the paper gpt-5-mini"),
    "BASE_URL": ("--rewriter-url", "OpenAI-compatible endpoint of the rewriter; without one vLLM loads it"),
    "TEACHER_BASE_URL": ("--teacher-url", "OpenAI-compatible endpoint of the teachers; without one vLLM loads them"),
    "QUESTIONS": ("--questions", "questions of persona fidelity, as for permix judge (default: the packaged set)"),
    "EVAL_FLAGS": (
        "--eval-flags",
        "more flags of permix eval, separated by spaces (default: settings that fit an 8B model on the visible GPUs)",
    ),
    "PERSONAGYM_FLAGS": ("--personagym-flags", "more flags of permix judge (default: the same)"),
    **{f"TEACHER_{key.upper()}": (f"--teacher-{key}", f"default: {hub}") for key, (_, hub) in TEACHERS.items()},
    "GPU_TFLOPS": ("--tflops", f"dense bf16 TFLOP/s of a GPU, for the estimate (default: {PaperSettings.tflops:g})"),
}
"""Knob -> flag, and its meaning."""
SWITCHES: Mapping[str, tuple[str, str]] = {
    "LAB": ("--lab", "in the lab (docs/lab.md): its model, problems, rewriter and teacher"),
    "DRY_RUN": ("--dry-run", "print the plan, run nothing"),
}
JUDGES = ("JUDGE", "JUDGE_2")
OWN = frozenset({*KNOBS, "DRY_RUN", *JUDGES})
"""Knobs that do not reach the commands: each gets its own."""
LAB_TABLES = ("2", "3", "11")
"""Tables whose tasks the lab's problems can stand for."""
_SPLIT_BELOW_MIB = 40_000
_FOREIGN = ("RUN_DIR", "TARGET", "PERSONA", "TEACHER", "INIT_ADAPTER")


def given_knobs(args: argparse.Namespace, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables, over which flags win."""
    flags = {name: getattr(args, flag[2:].replace("-", "_")) for name, (flag, _) in KNOBS.items()}
    switches = {name: "1" for name, (flag, _) in SWITCHES.items() if getattr(args, flag[2:].replace("-", "_"))}
    return {**variables, **{name: value for name, value in flags.items() if value is not None}, **switches}


def read_settings(variables: Mapping[str, str], table: PaperTable, judges: Sequence[str]) -> PaperSettings:
    """Read the settings.

    Args:
        judges: given by flags; they win over JUDGE and JUDGE_2.

    Raises:
        UserError: a value that its knob does not have, a knob of one method only, or a table that the lab lacks.
    """
    for knob in _FOREIGN:
        if variables.get(knob):
            raise UserError(f"{knob} is set here, for every method", "unset it")
    lab = variables.get("LAB") == "1"
    if lab and table.number not in LAB_TABLES:
        raise UserError(
            f"table {table.number} needs other problems than the lab's, whose answers are numbers",
            "choose 2, 3 or 11",
        )
    given = {**(_lab_defaults() if lab else {}), **{name: value for name, value in variables.items() if value}}
    tasks = given.get("TASKS")
    folder = project_folder()
    eval_flags, personagym_flags = _engine_flags(given, lab)
    writers = {key: given.get(f"TEACHER_{key.upper()}", hub) for key, (_, hub) in TEACHERS.items()}
    writers["rewriter"] = given.get("REWRITER") or ("gpt-5-mini" if is_dry_run(given) else "")
    return PaperSettings(
        model=given.get("MODEL", PAPER_MODEL),
        seed=_seed(given.get("SEED", "0")),
        runs_dir=Path(given.get("RUNS_DIR", folder / "runs")).resolve(),
        out=Path(given.get("OUT", folder / "results" / "paper")).resolve(),
        runs=whole_number(given, "RUNS", 5),
        limit=optional_number(given, "LIMIT"),
        tasks=[task for task in tasks.split(",") if task] if tasks else [*table.tasks],
        writers=writers,
        eval_flags=eval_flags.split(),
        tflops=_tflops(given.get("GPU_TFLOPS", "")),
        rewriter_url=given.get("BASE_URL", ""),
        teacher_url=given.get("TEACHER_BASE_URL", ""),
        judges=[*judges] or [given[name] for name in JUDGES if name in given],
        personagym_flags=personagym_flags.split(),
        questions=given.get("QUESTIONS", DEFAULT),
        seeds=whole_number(given, "SEEDS", 1),
        lab=lab,
    )


def _lab_defaults() -> dict[str, str]:
    teacher = str(LAB_MODEL.with_name("teacher"))
    return {
        "MODEL": str(LAB_MODEL),
        "REWRITER": "lab",
        "RUNS": "2",
        "LIMIT": "200",
        "TASKS": "lab_easy,lab_hard",
        "OUT": str(project_folder() / "results" / "lab-tables"),
        **{f"TEACHER_{key.upper()}": teacher for key in TEACHERS},
    }


def _engine_flags(given: Mapping[str, str], lab: bool) -> tuple[str, str]:
    """Return the flags of ``permix eval`` and of ``permix judge``."""
    evaluation, personagym = given.get("EVAL_FLAGS", ""), given.get("PERSONAGYM_FLAGS", "")
    if lab:
        return f"--temperature 1 --top-p 1 {evaluation}", personagym
    fitting = "" if evaluation and personagym else _fitting_flags()
    return evaluation or fitting, personagym or fitting


def _fitting_flags() -> str:
    """Return the flags with which an 8B model fits the visible GPUs; "" without any.

    Its weights take 16 GB in bf16: two GPUs if one has less than 40 GB.
    """
    memory = visible_memory()
    if not memory:
        return ""
    split = 2 if len(memory) > 1 and min(memory) < _SPLIT_BELOW_MIB else 1
    return (
        f"--tensor-parallel-size {split} --data-parallel-size {len(memory) // split} "
        '--engine-args {"max_model_len":8192}'
    )


def _seed(text: str) -> int:
    if not text.isdigit():
        raise UserError(f"SEED={text} is not a number of 0 or more")
    return int(text)


def _tflops(text: str) -> float:
    try:
        value = float(text or PaperSettings.tflops)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UserError(f"GPU_TFLOPS={text} is not a number above 0")
    return value
