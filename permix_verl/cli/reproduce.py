"""Reproduce a table of the paper: train and evaluate every method in turn, resumable. Called by recipes/reproduce.sh.

    python eval/reproduce.py 2 --dry-run          # commands, tokens, GPU hours, judge calls; runs nothing
    python eval/reproduce.py 11

Each method is trained by its recipe and evaluated by eval/run.py. Both resume, so the same command continues a stopped
reproduction. A failing step ends the command with that step's exit status.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.inference.judges.config import read_judges
from permix_verl.paper.commands import PaperSettings, plan_lines, results_folder, steps
from permix_verl.paper.report import read_rows, write_table
from permix_verl.paper.tables import PAPER_MODEL, TEACHERS, PaperTable, find_table

REPO = Path(__file__).resolve().parents[2]


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    table = find_table(args.table)
    settings = _settings(args, table)
    read_judges(args.judge)
    if args.dry_run:
        print("\n".join(plan_lines(table, settings, sys.executable, REPO)))
        return 0
    if not settings.tasks and not args.judge:
        raise UserError(
            f"table {table.number} is about PersonaGym, and no judge is set",
            "set JUDGE (--judge), in the paper gpt-5-mini and DeepSeek-v3.2",
        )
    for step in steps(table, settings, sys.executable, REPO):
        print(f"\n== {step.title}", flush=True)
        environment = os.environ | {"PERMIX_SKIP_SETUP": "1", "PYTHON": sys.executable, **step.knobs}
        status = subprocess.run(step.command, env=environment).returncode
        if status:
            print(f"error: {step.title} exited with {status}; the same command resumes there", file=sys.stderr)
            return status if status > 0 else 128 - status
    rows = read_rows(table, settings, REPO / "docs" / "paper_tables" / table.paper)
    files = write_table(rows, table, settings)
    folders = [str(results_folder(method, settings)) for method in table.methods]
    print("\n== report", flush=True)
    print(f"table {table.number}: {', '.join(map(str, files))}", flush=True)
    report = [sys.executable, str(REPO / "eval" / "report.py"), *folders, "--out", str(settings.out / "report")]
    return subprocess.run(report).returncode


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("table", help="2, 3, 4, 10, 11 or 12")
    add("--model", default=PAPER_MODEL, help="hub name or folder of the base model")
    add("--seed", type=int, default=0, help="seed of data, training and evaluation")
    add("--runs-dir", type=Path, default=REPO / "runs", help="folder of the trainings")
    add("--out", type=Path, default=REPO / "results" / "paper", help="folder of the results and the table")
    add("--runs", type=int, default=5, help="samples per prompt (the paper's five)")
    add("--limit", type=int, help="number of problems per task, from the start")
    add("--tasks", help="comma-separated, instead of the table's tasks")
    add("--rewriter", default="", help="model that writes styled targets; in the paper gpt-5-mini, with BASE_URL set")
    for key, (name, hub) in TEACHERS.items():
        add(f"--teacher-{key}", default=hub, help=f"the paper's {name}")
    add("--rewriter-url", default="", help="OpenAI-compatible endpoint of the rewriter; without one vLLM loads it")
    add("--teacher-url", default="", help="OpenAI-compatible endpoint of the teachers")
    add("--judge", action="append", default=[], help="judge of persona fidelity, as for eval/personagym.py; repeatable")
    add("--questions", default="default", help="questions of persona fidelity, as for eval/personagym.py")
    add("--eval-flags", default="", help="more flags of eval/run.py, separated by spaces")
    add("--personagym-flags", default="", help="more flags of eval/personagym.py, separated by spaces")
    add("--tflops", type=float, default=PaperSettings.tflops, help="dense bf16 TFLOP/s of one GPU, for the estimate")
    add("--dry-run", action="store_true", help="print the plan, run nothing")
    return parser.parse_args(argv)


def _settings(args: argparse.Namespace, table: PaperTable) -> PaperSettings:
    tasks = [task for task in args.tasks.split(",") if task] if args.tasks else [*table.tasks]
    writers = {key: getattr(args, f"teacher_{key}") for key in TEACHERS}
    return PaperSettings(
        model=args.model,
        seed=args.seed,
        runs_dir=args.runs_dir.resolve(),
        out=args.out.resolve(),
        runs=args.runs,
        limit=args.limit,
        tasks=tasks,
        writers={**writers, "rewriter": args.rewriter or ("gpt-5-mini" if args.dry_run else "")},
        eval_flags=args.eval_flags.split(),
        tflops=args.tflops,
        rewriter_url=args.rewriter_url,
        teacher_url=args.teacher_url,
        judges=args.judge,
        questions=args.questions,
        personagym_flags=args.personagym_flags.split(),
    )


if __name__ == "__main__":
    exit_with_message(main)
