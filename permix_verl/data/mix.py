"""Personas for a data set outside verl: one per row, as PerMix-RLVR draws them (arXiv 2604.08986, section 3.2)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

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

    The persona is a function of (seed, epoch, row id) alone, uniform over the pool. Rows keep their other columns.

    Args:
        dataset: a ``datasets.Dataset``, or anything with its ``map`` and ``column_names``.
        pool: packaged pool (``train`` or ``eval``) or a JSON Lines file of personas.
        no_persona_probability: fraction of (epoch, row) pairs that get no persona; their ``persona`` is ``None``.
        problem_column: column with the problem's text.
        id_column: column with unique row ids; default: the row's position, as a string.

    Raises:
        UserError: no such column, or a pool that cannot be read.
    """
    for column in filter(None, (problem_column, id_column)):
        if column not in dataset.column_names:
            raise UserError(f"the data set has no column {column!r}", f"its columns: {', '.join(dataset.column_names)}")
    draw = PersonaDraw(load_pool(pool), seed, no_persona_probability)

    def add_prompt(row: Mapping[str, Any], index: int) -> dict[str, Any]:
        persona = draw.persona(epoch, str(row[id_column] if id_column else index))
        return {
            "prompt": build_messages(row[problem_column], persona),
            "persona": persona.key if persona else None,
        }

    return dataset.map(add_prompt, with_indices=True)  # type: ignore[no-any-return]
