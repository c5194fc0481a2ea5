"""Score stored samples again after a change of the reward or of a task file; needs no model.

python eval/rescore.py results/llama results/permix
python eval/rescore.py results/mine --tasks ./my_task.py
python eval/rescore.py results/code --tasks livecodebench=livecodebench/code_generation_lite
"""

import argparse
from pathlib import Path

from permix_verl.errors import exit_with_message
from permix_verl.evaluation.rescore import rescore
from permix_verl.utils.cli_types import KeyValueAction


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("results", nargs="+", type=Path, help="results folders")
    parser.add_argument(
        "--tasks", default="", help="comma-separated: your task files, or NAME=SOURCE to read the golds from a source"
    )
    parser.add_argument("-T", dest="task_args", action=KeyValueAction, metavar="NAME=VALUE", help="setting of a task")
    args = parser.parse_args(argv)
    tasks = [name for name in args.tasks.split(",") if name]
    for folder in args.results:
        for task, changes in rescore(folder, tasks, args.task_args).items():
            print(f"{folder}, {task}: {changes.samples} samples, {changes.changed} results changed")


if __name__ == "__main__":
    exit_with_message(main)
