"""Score persona fidelity of stored answers by likelihood: is an answer likeliest under its own persona's prompt?

permix likelihood results/base results/permix --base smollm2 --check results/likelihood

The frozen base computes each answer's log-likelihood under every persona's prompt. It must have passed
permix likelihood-check, whose folder --check is. The scores are kept in each results folder, under likelihood/, and the
same command goes on; permix report shows them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from permix_verl.checkpoints.fetched import resolve_model
from permix_verl.checkpoints.fetching import fetch_if_missing
from permix_verl.errors import UserError, exit_with_message
from permix_verl.fidelity.likelihood.analysis import analyse_likelihood
from permix_verl.fidelity.likelihood.checked_base import read_check
from permix_verl.fidelity.likelihood.run import score_folder, scored_tasks
from permix_verl.fidelity.likelihood.scores import load_base
from permix_verl.inference.model_identity import model_identity
from permix_verl.report import formatting as fmt
from permix_verl.report.likelihood_tables import nats

PROBLEMS = 20


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    if args.problems < 1:
        raise UserError(f"--problems is {args.problems}", "it must be 1 or more")
    folder = resolve_model(args.base)
    fetch_if_missing(folder)
    base = read_check(args.check, model_identity(folder))
    names = [name for name in args.tasks.split(",") if name]
    # Read all folders first: the base takes a while to load, and an error should not wait for it.
    wanted = {results: list(scored_tasks(results, args.problems, names)) for results in args.results}
    model, tokenizer = load_base(folder, args.device)
    for results, tasks in wanted.items():
        scored = score_folder(results, base, model, tokenizer, tasks)
        print(f"{results}: {scored} answers scored", file=sys.stderr)
    for label, found in analyse_likelihood(args.results).models.items():
        for task, result in found.tasks.items():
            rate, margin = fmt.with_limits(result.rate), fmt.with_limits(result.margin, nats)
            print(f"{label}, {task}: {rate} % identified (chance {fmt.percent(result.chance)}), {margin} nats a token")
    return 0


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permix likelihood", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, help="results folders of eval/run.py")
    parser.add_argument("--base", required=True, help="frozen base: hub name, folder or short name")
    parser.add_argument("--check", type=Path, required=True, help="folder of permix likelihood-check for this base")
    parser.add_argument("--tasks", default="", help="comma-separated; default: all tasks of a folder")
    parser.add_argument(
        "--problems", type=int, default=PROBLEMS, help=f"problems of each task, from the first (default: {PROBLEMS})"
    )
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    return parser.parse_args(argv)


if __name__ == "__main__":
    exit_with_message(main)
