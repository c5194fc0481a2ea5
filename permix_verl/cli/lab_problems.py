"""Generate problems of the lab in GSM8K's format: any number, any level, disjoint training and test questions.

python data_prep/lab_problems.py --count 2000 --out runs/lab/train.jsonl
python data_prep/lab_problems.py --count 500 --level hard --split test --out hard.jsonl
permix lab-problems --level plain_one --split validation --out held-out.jsonl   # for a language model
"""

import argparse
import json
from pathlib import Path

from permix_verl.errors import exit_with_message
from permix_verl.lab.plain_problems import PLAIN_LEVELS, PLAIN_SPLITS, generate_plain
from permix_verl.lab.problems import LEVELS, SPLITS, generate
from permix_verl.utils.files import write_atomic


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help=".jsonl file to write")
    parser.add_argument("--count", type=int, default=2000, help="number of problems")
    parser.add_argument("--level", choices=(*LEVELS, *PLAIN_LEVELS), default="easy", help="difficulty")
    parser.add_argument(
        "--split",
        choices=tuple(dict.fromkeys([*SPLITS, *PLAIN_SPLITS])),
        default="train",
        help="disjoint sets of questions",
    )
    parser.add_argument("--seed", type=int, default=0, help="sampling seed")
    args = parser.parse_args(argv)
    source = generate_plain if args.level in PLAIN_LEVELS else generate
    rows = source(args.count, args.level, args.split, args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(args.out, "".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} {args.level} problems ({args.split}) in {args.out}")


if __name__ == "__main__":
    exit_with_message(main)
