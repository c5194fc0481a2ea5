#!/usr/bin/env python
"""Problems of the lab, in GSM8K's format: any number, either level, training and test questions apart.

python data_prep/lab_problems.py --count 2000 --out runs/lab/train.jsonl
python data_prep/lab_problems.py --count 500 --level hard --split test --out hard.jsonl
"""

import argparse
import json
from pathlib import Path

from permix_verl.errors import exit_with_message
from permix_verl.lab.problems import LEVELS, SPLITS, generate
from permix_verl.utils.files import write_whole


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help=".jsonl file to write")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--level", choices=tuple(LEVELS), default="easy")
    parser.add_argument("--split", choices=tuple(SPLITS), default="train")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    rows = generate(args.count, args.level, args.split, args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(args.out, "".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} {args.level} problems ({args.split}) in {args.out}")


if __name__ == "__main__":
    exit_with_message(main)
