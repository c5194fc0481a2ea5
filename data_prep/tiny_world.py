#!/usr/bin/env python
"""The embedded default: a tiny chat model and a problem set in GSM8K's format, made on the spot.

    python data_prep/tiny_world.py --out runs/tiny-world

Writes model/ (a Hugging Face folder with its own tokenizer) and train.jsonl. A
second call finds them and returns at once.
"""

import argparse
from pathlib import Path

from permix_verl.errors import exit_with_message
from permix_verl.tiny.model import ensure_world


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and problems")
    args = parser.parse_args(argv)
    paths = ensure_world(args.out, seed=args.seed)
    print(f"tiny model in {paths['model']}, problems in {paths['data']}")


if __name__ == "__main__":
    exit_with_message(main)
