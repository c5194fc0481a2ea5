r"""Compare two models' stored answers to the same problems: judges choose the one more in character (Table 1).

    python eval/run.py --model A --tasks math500 --personas eval:kindergarten --runs 1 --out results/A    # and B
    python eval/pairwise.py --a results/A --b results/B --persona kindergarten \
        --judge deepseek-chat@https://api.deepseek.com/v1 --out results/A-B

Judges see every pair in both orders; a choice that changes with the order is a tie. Writes pairwise.md, .html and
.json. Every reply is stored, so the same command continues an interrupted or killed one. Exit status: 0, or 1 if
requests failed.
"""

import argparse
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.fidelity.pairwise.analysis import compare_pairs
from permix_verl.fidelity.pairwise.pairs import read_pairing
from permix_verl.inference.judges.config import read_judges
from permix_verl.personas.pool import load_pool
from permix_verl.report.pairwise import write_pairwise


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--a", type=Path, required=True, metavar="RESULTS", help="first results folder of eval/run.py")
    add("--b", type=Path, required=True, metavar="RESULTS", help="second results folder")
    add("--persona", required=True, help="key of the persona whose answers are compared")
    add("--personas", default="eval", help="pool of the persona: eval, train or a JSON Lines file")
    add("--task", help="NAME or NAME=FILE_OR_HUB_NAME, as in eval/run.py; default: the only common task")
    add("--runs", type=int, default=1, help="answers per problem")
    add("--limit", type=int, help="number of problems, from the start; default: all")
    add(
        "--judge",
        action="append",
        default=[],
        help="MODEL (local vLLM), MODEL@URL or a JSON object; repeatable",
    )
    add("--attempts", type=int, default=2, help="most replies of a judge about a pair, until one parses")
    add("--seed", type=int, default=0, help="seed of the permutation test")
    add("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    judges = read_judges(args.judge)
    if not judges:
        raise UserError("no judge is given", "name a model with --judge")
    if args.attempts < 1:
        raise UserError(f"--attempts is {args.attempts}", "it must be 1 or more")
    persona = load_pool(args.personas).get(args.persona)
    pairing = read_pairing(args.a, args.b, persona, args.task, runs=args.runs, limit=args.limit)
    analysis, failed = compare_pairs(
        pairing,
        judges,
        args.out,
        attempts=args.attempts,
        seed=args.seed,
        finish=lambda analysis: write_pairwise(analysis, args.out),
    )
    for judge, result in analysis.judges.items():
        rates = result.rates
        if rates is None:
            print(f"{judge}: {result.refused}")
            continue
        print(
            f"{judge}: {analysis.first} wins {100 * rates.first_wins.estimate:.1f} %, "
            f"{analysis.second} {100 * rates.second_wins.estimate:.1f} %, ties {100 * rates.ties:.1f} %, "
            f"net margin {100 * rates.net_margin.estimate:+.1f} points"
        )
    print(f"report: {args.out / 'pairwise.html'} and {args.out / 'pairwise.md'}")
    if failed:
        print(f"{failed} requests failed, see {args.out / 'failures.jsonl'}; the same command retries them")
        return 1
    return 0


if __name__ == "__main__":
    exit_with_message(main)
