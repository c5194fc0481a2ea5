#!/usr/bin/env python
"""The lab's base model, trained from scratch: about 14 minutes on 2 cores.

    python data_prep/lab_base.py --out runs/lab-base
    LAB=1 MODEL=runs/lab-base bash recipes/run_permix_grpo.sh

The folder is Hugging Face's, with manifest.json: how it was made, and how often each style and level is
right. The same arguments, machine, torch and number of threads (OMP_NUM_THREADS) give the same weights.
"""

import argparse
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.lab.base_model import Training


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write; it must not be there yet")
    parser.add_argument("--seed", type=int, default=Training.seed)
    parser.add_argument("--steps", type=int, default=Training.steps)
    parser.add_argument("--batch", type=int, default=Training.batch, help="examples a step")
    args = parser.parse_args(argv)
    if args.steps < 1 or args.batch < 1:
        raise UserError(f"--steps {args.steps} and --batch {args.batch} must be 1 or more")
    from permix_verl.lab.make_base import make_base

    manifest = make_base(args.out, Training(seed=args.seed, steps=args.steps, batch=args.batch))
    print(f"{manifest['parameters']:,} weights in {args.out}, made in {manifest['seconds'] / 60:.0f} min")
    for level, competence in manifest["competence"].items():
        print(
            f"{level}: right in {competence['worked']:.3f} of worked and {competence['blurted']:.3f} of blurted answers"
        )


if __name__ == "__main__":
    exit_with_message(main)
