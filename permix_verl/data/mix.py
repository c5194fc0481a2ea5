"""Personas for a data set outside verl: one per row, as PerMix-RLVR draws them (arXiv 2604.08986, section 3.2)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from permix_verl.data.row_ids import ID_FIELDS, POSITION_IDS, content_id, id_text, row_id_of
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.pool import load_pool
from permix_verl.personas.prompts import build_messages

Mappable = TypeVar("Mappable", bound=Any)


def mix_personas(
    dataset: Mappable,
    pool: str | Path = "train",
    *,
    seed: int = 0,
    epoch: int = 0,
    no_persona_probability: float = 0.0,
    problem_column: str = "question",
    id_column: str | None = None,
) -> Mappable:
    """Add a chat ``prompt`` with a sampled persona as its system message, and the persona's key, to every row.

    The persona is a function of (seed, epoch, row id) alone. Rows keep their other columns. In a data set that comes in
    another order a problem gets the same persona.

    Args:
        dataset: a ``datasets.Dataset``, or anything with its ``map`` and ``column_names``.
        pool: packaged pool (``train`` or ``eval``) or a JSON Lines file of personas.
        no_persona_probability: fraction of (epoch, row) pairs that get no persona; their ``persona`` is ``None``.
        problem_column: column with the problem's text.
        id_column: column with row ids; ``position``: the row's position, unless a column has that name. Default: the
            first that a row has of ``extra_info.row_id`` or ``extra_info.index``, an id column (``unique_id``,
            ``uuid``, ``id`` or ``problem_id``), and a hash of the problem. Rows of a ``datasets.Dataset`` that repeat
            an id are numbered (``ID#2``), so that they draw independently.

    Raises:
        UserError: no such column, one id for two problems, or a pool that cannot be read.
    """
    names = list(dataset.column_names)
    by_position = id_column == POSITION_IDS and POSITION_IDS not in names
    for column in filter(None, (problem_column, None if by_position else id_column)):
        if column not in names:
            raise UserError(f"the data set has no column {column!r}", f"its columns: {', '.join(names)}")
    draw = PersonaDraw(load_pool(pool), seed, no_persona_probability)
    numbers = None if by_position else _repeats(dataset, problem_column, id_column)

    def add_prompt(row: Mapping[str, Any], index: int) -> dict[str, Any]:
        row_id = str(index) if by_position else _row_id(row, problem_column, id_column)
        number = numbers.get(index) if numbers else None
        persona = draw.persona(epoch, f"{row_id}#{number}" if number else row_id)
        return {
            "prompt": build_messages(row[problem_column], persona),
            "persona": persona.key if persona else None,
        }

    return dataset.map(add_prompt, with_indices=True)  # type: ignore[no-any-return]


def _row_id(row: Mapping[str, Any], problem_column: str, id_column: str | None) -> str:
    if id_column:
        return str(row[id_column])
    info = row.get("extra_info")
    if isinstance(info, Mapping) and any(info.get(field) not in (None, "") for field in ("row_id", "index")):
        return row_id_of(row)
    for field in ID_FIELDS:
        if row.get(field) not in (None, ""):
            return id_text(row[field], field)
    return content_id(str(row[problem_column]))


def _repeats(dataset: Any, problem_column: str, id_column: str | None) -> dict[int, int]:
    """Return position -> number among the rows with its id, from the second on; empty for a data set that streams."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "select_columns"):
        return {}
    read = [problem_column, id_column, "extra_info", "data_source", *ID_FIELDS]
    rows = dataset.select_columns([name for name in dict.fromkeys(read) if name in dataset.column_names])
    seen: dict[str, tuple[int, str]] = {}  # id -> rows so far, hash of the problem
    repeats = {}
    for position, row in enumerate(rows):
        row_id, problem = _row_id(row, problem_column, id_column), content_id(str(row[problem_column]))
        count, first = seen.get(row_id, (0, problem))
        if problem != first:
            raise UserError(
                f"row {position}: one row id, {row_id!r}, for two problems, here {row[problem_column][:60]!r}",
                f"name a column with an id of each as id_column, or {POSITION_IDS!r}",
            )
        seen[row_id] = (count + 1, problem)
        if count:
            repeats[position] = count + 1
    return repeats
