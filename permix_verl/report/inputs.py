"""From paths to one analysis: results folders and CSV files of accuracies, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.accuracy_csv import read_accuracies
from permix_verl.evaluation.analysis import analyse
from permix_verl.evaluation.results import load_results
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.fidelity.personagym.analysis import analyse_fidelity
from permix_verl.fidelity.personagym.scores import check_same_model, has_fidelity, read_fidelity
from permix_verl.inference.judges.store import FOLDER
from permix_verl.inference.model_exchange import refuse_mixed
from permix_verl.report.from_csv import analyse_table

MIN_DRAWS = 20
"""With fewer, no p-value can be 0.05 or less."""


def analyse_inputs(
    paths: Sequence[Path],
    *,
    seed: int = 0,
    draws: int = 2000,
    allow_incomplete: bool = False,
    judges: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Everything that the report says, in the form of ``analysis.analyse``.

    Args:
        judges: of persona fidelity, by name; ``None``: all that a folder has.

    Raises:
        UserError: a path that is neither a results folder nor a CSV file, samples missing,
            two models of one name on one task, too few draws or a negative seed.
    """
    if draws < MIN_DRAWS:
        raise UserError(f"--draws is {draws}; give at least {MIN_DRAWS}, or no p-value can be below 0.05")
    if seed < 0:
        raise UserError(f"--seed is {seed}; give 0 or more")
    for path in paths:
        _check(path)
    # The files first: they are read in a moment, and a mistake in one should not wait for the folders.
    tables = [read_accuracies(path) for path in paths if not path.is_dir()]
    folders = [path for path in paths if path.is_dir()]
    faithful = [folder for folder in folders if has_fidelity(folder)]
    for folder in faithful:
        check_same_model(folder)
    fidelity = analyse_fidelity([read_fidelity(folder, judges) for folder in faithful], seed=seed)
    # A folder may hold judgements of fidelity only.
    answered = [folder for folder in folders if folder not in faithful or SampleStore(folder).has_samples()]
    results = [result for folder in answered for result in load_results(folder, allow_incomplete=allow_incomplete)]
    taken = [(result.task, result.label) for result in results]
    taken += [(table.task, model) for table in tables for model in table.models]
    for task, model in taken:
        if taken.count((task, model)) > 1:
            raise UserError(f"two inputs for task {task} are named {model}; rename one of them, or give it once")
    analysis = analyse(results, seed=seed, draws=draws)
    for table in tables:
        entry = analysis["tasks"].setdefault(table.task, {"models": {}, "pairs": []})
        entry["models"].update(analyse_table(table))
    return analysis | {"fidelity": fidelity}


def _check(path: Path) -> None:
    if not path.exists():
        raise UserError(f"no such file or folder: {path}; give results folders of eval/run.py, or CSV files")
    if not path.is_dir() and path.suffix.lower() != ".csv":
        raise UserError(
            f"{path} is neither a results folder nor a .csv file; give a folder that eval/run.py wrote, or accuracies "
            "per persona as CSV"
        )
    for folder in (path, path / FOLDER) if path.is_dir() else ():
        refuse_mixed(folder, "report another folder")
