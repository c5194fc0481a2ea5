#!/usr/bin/env python
r"""Base, RLVR and PerMix-RLVR side by side in the lab: figures, the paper's claims, theory against measurement.

    python eval/lab.py --base results/lab/base --arm RLVR=results/lab/rlvr-seed0,results/lab/rlvr-seed1 \
        --arm PerMix-RLVR=results/lab/permix-seed0,results/lab/permix-seed1 --out results/lab/report

Reads results folders of eval/run.py, one a seed; arms of any name can be set side by side, and the paper's
claims are tested on RLVR and PerMix-RLVR. Writes the evaluation's report with the lab's sections in front,
and lab.json with every figure of theirs.
"""

import argparse
import json
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.lab.report import sections
from permix_verl.lab.study import analyse_study, read_study
from permix_verl.report import analyse_inputs, write_report
from permix_verl.utils.files import write_whole


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--base", type=Path, required=True, help="results folder of the base model")
    parser.add_argument(
        "--arm",
        type=_arm,
        action="append",
        required=True,
        metavar="NAME=FOLDER,...",
        help="results folders, one a seed",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of splits, permutations and bootstraps")
    parser.add_argument("--draws", type=int, default=2000, help="permutations of each invariance test")
    args = parser.parse_args(argv)
    arms = dict(args.arm)
    if len(arms) < len(args.arm):
        raise UserError(f"arms {', '.join(name for name, _ in args.arm)}: one stands twice; give its folders together")
    study = analyse_study(read_study(args.base, arms), seed=args.seed)
    folders = [args.base, *(folder for group in arms.values() for folder in group)]
    analysis = analyse_inputs(folders, seed=args.seed, draws=args.draws)
    write_report(analysis, args.out, sections(study))
    write_whole(args.out / "lab.json", json.dumps(study, indent=1) + "\n")
    for claim in study["claims"]:
        print(f"{claim['task']}: {claim['quantity']} of {claim['more']} above {claim['other']}: {claim['seen']}")
    print(f"report: {args.out / 'report.html'} and {args.out / 'report.md'}")


def _arm(text: str) -> tuple[str, list[Path]]:
    name, _, folders = text.partition("=")
    paths = [Path(folder) for folder in folders.split(",") if folder]
    if not name or not paths:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER,FOLDER; such as RLVR=results/rlvr-seed0")
    return name, paths


if __name__ == "__main__":
    exit_with_message(main)
