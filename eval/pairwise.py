r"""Which of two models is more in character: judges compare their stored answers to the same problems (Table 1).

    python eval/run.py --model A --tasks math500 --personas eval:kindergarten --runs 1 --out results/A    # and B
    python eval/pairwise.py --a results/A --b results/B --persona kindergarten \
        --judge deepseek-chat@https://api.deepseek.com/v1 --out results/A-B

Both orders of every pair are asked, and a verdict that changes with the order is a tie. Writes pairwise.md, .html and
.json, and keeps every reply: interrupted or killed, the same command asks what is missing. Exit status: 0, or 1 if
requests failed.
"""

import argparse
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.fidelity.pairwise.analysis import compare_pairs
from permix_verl.fidelity.pairwise.pairs import read_pairing
from permix_verl.inference.judges.config import read_judges
from permix_verl.personas.pool import load_pool


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--a", type=Path, required=True, metavar="RESULTS", help="results folder of eval/run.py")
    add("--b", type=Path, required=True, metavar="RESULTS", help="the other one")
    add("--persona", required=True, help="key of the persona whose answers are compared")
    add("--personas", default="eval", help="the pool that it is in: eval, train or a JSON Lines file")
    add("--task", help="NAME or NAME=FILE_OR_HUB_NAME, as in eval/run.py; default: the one that both have")
    add("--runs", type=int, default=1, help="so many answers to each problem")
    add("--limit", type=int, help="only the first so many problems")
    add(
        "--judge",
        action="append",
        default=[],
        help="MODEL (local vLLM), MODEL@URL or a JSON object; may be given again",
    )
    add("--attempts", type=int, default=2, help="replies of a judge until one is of the form")
    add("--seed", type=int, default=0, help="of permutations")
    add("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    judges = read_judges(args.judge)
    if not judges:
        raise UserError("nobody judges; name a model with --judge")
    if args.attempts < 1:
        raise UserError(f"--attempts is {args.attempts}; it must be 1 or more")
    persona = load_pool(args.personas).get(args.persona)
    pairing = read_pairing(args.a, args.b, persona, args.task, runs=args.runs, limit=args.limit)
    analysis, failed = compare_pairs(pairing, judges, args.out, attempts=args.attempts, seed=args.seed)
    for judge, found in analysis["judges"].items():
        if found["refused"]:
            print(f"{judge}: {found['refused']}")
            continue
        first, second = (100 * found[name]["estimate"] for name in ("first_wins", "second_wins"))
        margin = 100 * found["net_margin"]["estimate"]
        print(
            f"{judge}: {analysis['first']} wins {first:.1f} %, {analysis['second']} {second:.1f} %, ties "
            f"{100 * found['ties']:.1f} %, net margin {margin:+.1f} points"
        )
    print(f"report: {args.out / 'pairwise.html'} and {args.out / 'pairwise.md'}")
    if failed:
        print(f"{failed} requests failed, see {args.out / 'failures.jsonl'}; the same command asks them again")
        return 1
    return 0


if __name__ == "__main__":
    exit_with_message(main)
