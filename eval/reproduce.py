#!/usr/bin/env python
"""A table of the paper, from trainings to rows: every arm in turn, resumable. recipes/reproduce.sh calls this.

    python eval/reproduce.py 2 --dry-run          # commands, tokens, GPU hours, judge calls; runs nothing
    python eval/reproduce.py 11

Each arm is trained by its recipe and evaluated by eval/run.py; both go on where they were stopped, so the same command
does. A step that fails ends it, with that step's exit status.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.inference.judges.config import read_judges
from permix_verl.paper.commands import Settings, plan_lines, results_folder, steps
from permix_verl.paper.report import read_rows, write_table
from permix_verl.paper.tables import PAPER_MODEL, TEACHERS, find_table

REPO = Path(__file__).resolve().parents[1]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("table", help="2, 3, 4, 10, 11 or 12")
    add("--model", default=PAPER_MODEL, help="hub name or folder: the base of every arm")
    add("--seed", type=int, default=0)
    add("--runs-dir", type=Path, default=REPO / "runs", help="of the trainings")
    add("--out", type=Path, default=REPO / "results" / "paper", help="of the results, and the table")
    add("--runs", type=int, default=5, help="answers to each prompt (the paper's five)")
    add("--limit", type=int, help="only the first so many problems of each task")
    add("--tasks", help="in place of the table's, comma-separated")
    add("--rewriter", default="", help="who writes styled targets; the paper: gpt-5-mini, with BASE_URL set")
    for key, (name, hub) in TEACHERS.items():
        add(f"--teacher-{key}", default=hub, help=f"the paper's {name}")
    add("--rewriter-url", default="", help="its OpenAI-compatible endpoint; without one vLLM loads it here")
    add("--teacher-url", default="", help="the teachers'")
    add(
        "--judge",
        action="append",
        default=[],
        help="of persona fidelity, as eval/personagym.py takes it",
    )
    add("--questions", default="default", help="of persona fidelity, as eval/personagym.py takes it")
    add("--eval-flags", default="", help="more flags of eval/run.py, separated by spaces")
    add("--personagym-flags", default="", help="more flags of eval/personagym.py, separated by spaces")
    add("--tflops", type=float, default=Settings.tflops, help="of one GPU, dense in bf16, for the estimate")
    add("--dry-run", action="store_true", help="print the plan, run nothing")
    args = parser.parse_args(argv)
    table = find_table(args.table)
    tasks = [task for task in args.tasks.split(",") if task] if args.tasks else [*table.tasks]
    writers = {key: getattr(args, f"teacher_{key}") for key in TEACHERS}
    settings = Settings(
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
    read_judges(args.judge)
    if args.dry_run:
        print("\n".join(plan_lines(table, settings, sys.executable, REPO)))
        return 0
    if not tasks and not args.judge:
        raise UserError(
            f"table {table.number} is about PersonaGym, and nobody is named who judges; set JUDGE (--judge); the "
            "paper's judges: gpt-5-mini and DeepSeek-v3.2"
        )
    for step in steps(table, settings, sys.executable, REPO):
        print(f"\n== {step.title}", flush=True)
        environment = os.environ | {"PERMIX_SKIP_SETUP": "1", "PYTHON": sys.executable, **step.knobs}
        status = subprocess.run(step.command, env=environment).returncode
        if status:
            print(f"error: {step.title} ended with status {status}; the same command goes on there", file=sys.stderr)
            return status if status > 0 else 128 - status
    rows = read_rows(table, settings, REPO / "docs" / "paper_tables" / table.paper)
    files = write_table(rows, table, settings)
    folders = [str(results_folder(arm, settings)) for arm in table.arms]
    print("\n== report", flush=True)
    print(f"table {table.number}: {', '.join(map(str, files))}", flush=True)
    report = [sys.executable, str(REPO / "eval" / "report.py"), *folders, "--out", str(settings.out / "report")]
    return subprocess.run(report).returncode


if __name__ == "__main__":
    exit_with_message(main)
