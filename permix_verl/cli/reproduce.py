"""Reproduce a table of the paper (arXiv 2604.08986): train and evaluate every method, and print it beside the paper's.

permix reproduce 2 --dry-run          # commands, GPU hours, tokens and judge calls; runs nothing
permix reproduce 2 REWRITER=gpt-5-mini BASE_URL=https://api.openai.com/v1
permix reproduce 2 SEEDS=3            # means over seeds 0, 1 and 2, with their range
permix reproduce 11                   # AIME 2024
permix reproduce 2 --lab              # in the lab (docs/lab.md), on a laptop: about 35 minutes

Tables 2 (teacher-free), 3 (distillation), 4 and 12 (code), 10 (PersonaGym), 11 (AIME 2024). The same command resumes;
methods that tables share are trained once. A failing step ends the command with that step's exit status.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from permix_verl.cli.environment import ROOT
from permix_verl.cli.reproduce_settings import JUDGES, KNOBS, OWN, SWITCHES, given_knobs, read_settings
from permix_verl.cli.script_knobs import TRAINING_KNOBS, is_dry_run, split_knobs
from permix_verl.errors import UserError, exit_with_message
from permix_verl.inference.judges.config import read_judges
from permix_verl.paper.commands import plan_lines, steps
from permix_verl.paper.report import write_table
from permix_verl.paper.rows import read_rows
from permix_verl.paper.settings import PaperSettings, results_folder
from permix_verl.paper.tables import PaperTable, find_table
from permix_verl.utils.commands import INTERRUPTED, PERMIX, run_command


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    variables, tables = split_knobs(args.arguments, {*OWN, *SWITCHES, *TRAINING_KNOBS}, os.environ)
    if len(tables) != 1:
        raise UserError("give one table of the paper: 2, 3, 4, 10, 11 or 12")
    table = find_table(tables[0])
    variables = given_knobs(args, variables)
    settings = read_settings(variables, table, args.judge)
    read_judges(settings.judges)
    if is_dry_run(variables):
        print("\n".join(plan_lines(table, settings)))
        return 0
    if not settings.tasks and not settings.judges:
        raise UserError(
            f"table {table.number} is about PersonaGym, and no judge is set",
            "set JUDGE (--judge), in the paper gpt-5-mini and DeepSeek-v3.2",
        )
    environment = {name: value for name, value in variables.items() if name not in OWN}
    return run_steps(table, settings, environment) or make_report(table, settings)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permix reproduce",
        usage="%(prog)s TABLE [KNOB=VALUE ...] [options]",
        description=__doc__,
        epilog="every option but --judge is also a knob, in the environment or as KNOB=VALUE:\n  "
        + ", ".join([*KNOBS, *SWITCHES])
        + f"\n  {' and '.join(JUDGES)} are two judges. Knobs of permix train apply to all trainings.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("arguments", nargs="*", metavar="TABLE", help="2, 3, 4, 10, 11 or 12")
    for flag, meaning in KNOBS.values():
        parser.add_argument(flag, help=meaning)
    parser.add_argument(
        "--judge",
        action="append",
        default=[],
        help="judge of persona fidelity: MODEL, MODEL@URL or JSON, as for permix judge; repeatable",
    )
    for flag, meaning in SWITCHES.values():
        parser.add_argument(flag, action="store_true", help=meaning)
    return parser.parse_intermixed_args(argv)


def run_steps(table: PaperTable, settings: PaperSettings, environment: Mapping[str, str]) -> int:
    """Run every command of a table; return the exit status of the first that fails, or 0."""
    for step in steps(table, settings):
        print(f"\n== {step.title}", flush=True)
        if status := run_command(step.command, environment):
            if status != INTERRUPTED:
                print(f"error: {step.title} exited with {status}; the same command resumes there", file=sys.stderr)
            return status
    return 0


def make_report(table: PaperTable, settings: PaperSettings) -> int:
    """Write the table, and the report on all its results; return the report's exit status."""
    rows = read_rows(table, settings, ROOT / "docs" / "paper_tables" / table.paper)
    files = write_table(rows, table, settings)
    print("\n== report", flush=True)
    print(f"table {table.number}: {', '.join(map(str, files))}", flush=True)
    folders = [str(results_folder(method, one)) for one in settings.each_seed() for method in table.methods]
    return run_command([*PERMIX, "report", *folders, "--out", str(settings.out / "report")])


if __name__ == "__main__":
    exit_with_message(main)
