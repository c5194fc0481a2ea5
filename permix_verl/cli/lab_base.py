"""Train the lab's base model from scratch: about 14 minutes on 2 cores.

    python data_prep/lab_base.py --out runs/lab-base
    LAB=1 MODEL=runs/lab-base bash recipes/run_permix_grpo.sh

Writes a Hugging Face model folder, and manifest.json with the settings and the accuracy of each style and level.
The same arguments, machine, torch and number of threads (OMP_NUM_THREADS) give the same weights.
"""

import argparse
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.lab.base_model import Training


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    parser.add_argument("--seed", type=int, default=Training.seed, help="training seed")
    parser.add_argument("--steps", type=int, default=Training.steps, help="training steps")
    parser.add_argument("--batch", type=int, default=Training.batch, help="examples per step")
    args = parser.parse_args(argv)
    if args.steps < 1 or args.batch < 1:
        raise UserError(f"--steps is {args.steps}, --batch {args.batch}", "both must be 1 or more")
    from permix_verl.lab.make_base import make_base

    manifest = make_base(args.out, Training(seed=args.seed, steps=args.steps, batch=args.batch))
    print(f"{manifest['parameters']:,} weights in {args.out}, made in {manifest['seconds'] / 60:.0f} min")
    for level, competence in manifest["competence"].items():
        print(
            f"{level}: right in {competence['worked']:.3f} of worked and {competence['blurted']:.3f} of blurted answers"
        )


if __name__ == "__main__":
    exit_with_message(main)
