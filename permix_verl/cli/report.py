r"""Report persona robustness and fidelity, from results folders and from CSV files of accuracies.

    python eval/report.py results/base results/rlvr results/permix --out report/
    python eval/report.py results/base "PerMix-RLVR=results/permix-seed0,results/permix-seed1" --out report/
    python eval/report.py docs/paper_tables/table8_math500.csv --out report/

Results folders are those of eval/run.py and eval/personagym.py. NAME=FOLDER,FOLDER are those of one method trained with
several seeds; they are reported one by one and pooled, with intervals over problems and training seeds. Writes
report.md, report.html (one page with figures), report.json, summary.csv, personas.csv and table2.tex, fidelity.csv if
fidelity was judged, and pooled.csv if seeds are pooled. A CSV file holds accuracies per persona without per-problem
results, so it gets no intervals and tests; its file name is the task, its columns are the models.
"""

import argparse
from pathlib import Path
from typing import Any

from permix_verl.errors import exit_with_message
from permix_verl.report import SeedGroup, make_report


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    print(make_report(**args))
    print(f"\nreport: {args['out'] / 'report.html'} and {args['out'] / 'report.md'}")


def parse_args(argv: list[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        type=_input,
        metavar="RESULTS",
        help="results folder; NAME=FOLDER,FOLDER for the training seeds of one method; or CSV file of accuracies per "
        "persona",
    )
    add("--out", type=Path, required=True, help="folder to write")
    add("--seed", type=int, default=0, help="seed of splits, permutations and bootstraps")
    add(
        "--draws",
        dest="resamples",
        metavar="DRAWS",
        type=int,
        default=2000,
        help="permutations of each invariance test",
    )
    add(
        "--judge",
        dest="judges",
        action="append",
        help="name of a judge of persona fidelity; repeatable; default: all judges of a folder",
    )
    add(
        "--allow-incomplete",
        action="store_true",
        help="leave out problems with missing samples, instead of refusing",
    )
    return vars(parser.parse_args(argv))


def _input(text: str) -> Path | SeedGroup:
    """Parse a path, or NAME=FOLDER,FOLDER; a path that exists is a path even with "=" in its name."""
    name, mark, folders = text.partition("=")
    if not mark or Path(text).exists():
        return Path(text)
    paths = tuple(Path(folder) for folder in folders.split(",") if folder)
    if not name.strip() or not paths:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER,FOLDER; such as RLVR=results/rlvr-seed0")
    return SeedGroup(name.strip(), paths)


if __name__ == "__main__":
    exit_with_message(main)
