"""Score stored answers again, after a change of the verifier or of a task file; needs no model.

python eval/rescore.py results/llama results/permix
python eval/rescore.py results/mine --tasks ./my_task.py
"""

import argparse
from pathlib import Path

from permix_verl.errors import exit_with_message
from permix_verl.evaluation.rescore import rescore


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("results", nargs="+", type=Path, help="results folders")
    parser.add_argument("--tasks", default="", help="comma-separated task files of yours, for tasks that are not ours")
    args = parser.parse_args(argv)
    for folder in args.results:
        for task, changes in rescore(folder, [name for name in args.tasks.split(",") if name]).items():
            print(f"{folder}, {task}: {changes.samples} samples, {changes.changed} verdicts changed")


if __name__ == "__main__":
    exit_with_message(main)
