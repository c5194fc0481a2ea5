r"""Compare Base, RLVR and PerMix-RLVR in the lab: figures, the paper's claims, theory against measurement.

    python eval/lab.py --base results/lab/base --arm RLVR=results/lab/rlvr-seed0,results/lab/rlvr-seed1 \
        --arm PerMix-RLVR=results/lab/permix-seed0,results/lab/permix-seed1 --out results/lab/report

Reads results folders of eval/run.py, one per seed. Methods of any name can be compared; the paper's claims are
tested on RLVR and PerMix-RLVR. Writes the evaluation's report with the lab's sections in front, and lab.json
with all figures of those sections.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.lab.report import sections
from permix_verl.lab.study import analyse_study, read_study
from permix_verl.report import analyse_inputs, write_report
from permix_verl.utils.files import write_atomic


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--base", type=Path, required=True, help="results folder of the base model")
    parser.add_argument(
        "--arm",
        type=_method,
        action="append",
        required=True,
        metavar="NAME=FOLDER,...",
        help="results folders of one method, one per seed; repeatable",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of splits, permutations and bootstraps")
    parser.add_argument("--draws", type=int, default=2000, help="permutations of each invariance test")
    args = parser.parse_args(argv)
    methods = dict(args.arm)
    if len(methods) < len(args.arm):
        names = ", ".join(name for name, _ in args.arm)
        raise UserError(f"--arm {names}: a name is given twice", "list all its folders in one --arm")
    study = analyse_study(read_study(args.base, methods), seed=args.seed)
    folders = [args.base, *(folder for paths in methods.values() for folder in paths)]
    analysis = analyse_inputs(folders, seed=args.seed, resamples=args.draws)
    write_report(analysis, args.out, sections(study))
    write_atomic(args.out / "lab.json", json.dumps(study, indent=1, default=asdict) + "\n")
    for claim in study["claims"]:
        print(f"{claim['task']}: {claim['quantity']} of {claim['more']} above {claim['other']}: {claim['seen']}")
    print(f"report: {args.out / 'report.html'} and {args.out / 'report.md'}")


def _method(text: str) -> tuple[str, list[Path]]:
    name, _, folders = text.partition("=")
    paths = [Path(folder) for folder in folders.split(",") if folder]
    if not name or not paths:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER,FOLDER; such as RLVR=results/rlvr-seed0")
    return name, paths


if __name__ == "__main__":
    exit_with_message(main)
