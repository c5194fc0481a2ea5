r"""The report on persona robustness and fidelity, from results folders and from CSV files of accuracies.

    python eval/report.py results/base results/rlvr results/permix --out report/
    python eval/report.py docs/paper_tables/table8_math500.csv --out report/

Results folders are eval/run.py's and eval/personagym.py's. Writes report.md, report.html (one page, figures inside),
report.json, summary.csv, personas.csv and table2.tex, and fidelity.csv where fidelity was judged. A CSV file has
accuracies only, no answers to single problems: its intervals and tests are refused, its file name is the task, its
columns are the models.
"""

import argparse
from pathlib import Path
from typing import Any

from permix_verl.errors import exit_with_message
from permix_verl.report import make_report


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    print(make_report(**args))
    print(f"\nreport: {args['out'] / 'report.html'} and {args['out'] / 'report.md'}")


def parse_args(argv: list[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="RESULTS", help="results folder, or CSV file of accuracies per persona")
    add("--out", type=Path, required=True, help="folder to write")
    add("--seed", type=int, default=0, help="of splits, permutations and bootstraps")
    add("--draws", type=int, default=2000, help="permutations of each invariance test")
    add("--judge", dest="judges", action="append", help="of persona fidelity, by name; default: all that a folder has")
    add(
        "--allow-incomplete",
        action="store_true",
        help="leave out problems of which a sample is missing, instead of refusing",
    )
    return vars(parser.parse_args(argv))


if __name__ == "__main__":
    exit_with_message(main)
