"""Accuracies per persona and model, read from a CSV file.

The file has a header, then one persona per line. Every column but ``persona`` and ``category`` is a model:

    persona,category,Qwen/Qwen3-4B,google/gemma-3-4b-it
    math expert,STEM Expert,79.28,70.40
    kindergarten,Education Level,78.16,49.56

    table = read_accuracies("docs/paper_tables/table8_math500.csv")
    table.accuracy_PM.min(axis=0) / table.accuracy_PM.max(axis=0)   # PSS of each model
"""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from permix_verl.errors import UserError
from permix_verl.personas.pool import NO_PERSONA

PERSONA_COLUMN = "persona"
IGNORED_COLUMNS = ("category",)
# Last rows of printed tables. Read as a persona, such a row would silently be the worst or best.
SUMMARY_ROWS = ("pss", "worst", "best", "mean", "average")

Record = tuple[int, list[str]]
"""A line number and the line's cells, stripped of whitespace."""


@dataclass(frozen=True, slots=True, eq=False)
class AccuracyTable:
    """Accuracies on one task, as fractions in [0, 1]: P personas, M models."""

    task: str
    models: tuple[str, ...]
    personas: tuple[str, ...]
    accuracy_PM: NDArray[np.float64]
    no_persona_M: NDArray[np.float64] | None = None
    """Accuracies without a persona, if the file has the row ``no_persona``; not part of PSS."""
    categories: Mapping[str, str] = field(default_factory=dict)
    """Persona -> category, if the file has the column."""


def read_accuracies(path: str | Path) -> AccuracyTable:
    """Read a CSV file of accuracies; the file name without its suffix is the task.

    All values are percent if any of them is above 1, else fractions. A file in percent that never
    exceeds 1 percent is therefore read as fractions; PSS is the same either way. The column
    ``category`` is optional.

    Raises:
        UserError: no such file, not UTF-8 or not CSV; no ``persona`` column, no model column or a
            duplicate one; a cell that is empty, not a number, NaN or outside 0 to 100; a duplicate
            persona or a summary row; fewer than two personas.
    """
    path = Path(path)
    records = _read_records(path)
    header = _check_header(path, records)
    models = [name for name in header if name not in (PERSONA_COLUMN, *IGNORED_COLUMNS)]

    line_of: dict[str, int] = {}
    values: dict[str, list[float]] = {}
    categories: dict[str, str] = {}
    for line, cells in records[1:]:
        row = _parse_row(path, line, header, cells)
        persona = row[PERSONA_COLUMN]
        _check_persona(path, line, persona, line_of)
        line_of[persona] = line
        if "category" in row:
            categories[persona] = row["category"]
        values[persona] = [_parse_accuracy(path, line, model, row[model]) for model in models]

    personas = [persona for persona in values if persona != NO_PERSONA]
    if len(personas) < 2:
        raise UserError(
            f"{path}: {len(personas)} persona(s), '{NO_PERSONA}' not counted", "give at least two, as PSS compares them"
        )
    unit = 100.0 if any(value > 1 for row_values in values.values() for value in row_values) else 1.0
    return AccuracyTable(
        task=path.stem,
        models=tuple(models),
        personas=tuple(personas),
        accuracy_PM=_to_fractions([values[persona] for persona in personas], unit),
        no_persona_M=_to_fractions(values[NO_PERSONA], unit) if NO_PERSONA in values else None,
        categories=categories,
    )


def _read_records(path: Path) -> list[Record]:
    """Return the lines that are not blank."""
    try:
        # utf-8-sig drops the byte order mark that spreadsheets write, which would be part of the first name.
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "give a CSV file of accuracies per persona") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start})", "save it as CSV in UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[Record] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                records.append((reader.line_num, stripped))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV ({error})", "check its quotation marks") from error
    return records


def _check_header(path: Path, records: list[Record]) -> list[str]:
    if not records:
        raise UserError(f"{path} is empty", "its first line must name the columns: persona, then one a model")
    line, header = records[0]
    if PERSONA_COLUMN not in header:
        raise UserError(
            f"{path}, line {line}: no column '{PERSONA_COLUMN}' among {', '.join(map(repr, header))}",
            "name it persona, and separate columns by commas",
        )
    for column, name in enumerate(header, start=1):
        if not name:
            raise UserError(f"{path}, line {line}: column {column} has no name", "name its model or remove it")
        if name in header[: column - 1]:
            raise UserError(f"{path}, line {line}: column '{name}' appears twice", "rename or remove one")
    if not set(header) - {PERSONA_COLUMN, *IGNORED_COLUMNS}:
        raise UserError(f"{path}, line {line}: no model column", "add one, named after its model, with accuracies")
    return header


def _parse_row(path: Path, line: int, header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) > len(header):
        raise UserError(
            f"{path}, line {line}: {len(cells)} cells for {len(header)} columns",
            "write decimals with a point, and put names with commas in quotation marks",
        )
    cells = cells + [""] * (len(header) - len(cells))
    row = dict(zip(header, cells, strict=True))
    for name, cell in row.items():
        if not cell and name not in IGNORED_COLUMNS:
            raise UserError(f"{path}, line {line}, column '{name}': empty", "fill it, or remove the row or the column")
    return row


def _check_persona(path: Path, line: int, persona: str, line_of: dict[str, int]) -> None:
    if persona in line_of:
        raise UserError(
            f"{path}, line {line}: persona '{persona}' already appears in line {line_of[persona]}", "remove one"
        )
    if persona.casefold() in SUMMARY_ROWS:
        raise UserError(f"{path}, line {line}: '{persona}' is a summary row, not a persona", "remove the row")


def _parse_accuracy(path: Path, line: int, model: str, cell: str) -> float:
    where = f"{path}, line {line}, column '{model}'"
    try:
        value = float(cell)
    except ValueError:
        raise UserError(f"{where}: '{cell}' is not a number", "give an accuracy such as 79.28 or 0.7928") from None
    if math.isnan(value):
        raise UserError(f"{where}: '{cell}' is not an accuracy", "give its value, or remove the row or the column")
    if not 0 <= value <= 100:
        raise UserError(f"{where}: {cell} is not between 0 and 100", "give percent or a fraction")
    return value


def _to_fractions(values: list[float] | list[list[float]], unit: float) -> NDArray[np.float64]:
    """Return the values as a read-only array of fractions."""
    array = np.asarray(values, dtype=np.float64) / unit
    array.setflags(write=False)
    return array
