"""Rows of the paper's tables: sizes read from names, and seeds that cannot be pooled."""

import pytest

from permix_verl import UserError
from permix_verl.paper.estimates import parameters
from permix_verl.paper.rows import Cell, MethodRow, Score, pool
from permix_verl.paper.tables import PAPER_MODEL


@pytest.mark.parametrize(
    ("model", "size"),
    [(PAPER_MODEL, 8e9), ("Qwen/Qwen3-0.6B", 0.6e9), ("a/b-70B_x", 70e9), ("permix_verl/lab/model", None)],
)
def test_a_models_size_is_read_from_its_name(model: str, size: float | None) -> None:
    assert parameters(model) == size


def test_seeds_that_do_not_match_are_not_pooled() -> None:
    cell = Cell(1, 2, 1.5, 0.5, None, None)
    with pytest.raises(UserError, match="SFT: seeds differ in math500; run the same command again"):
        pool([MethodRow("SFT", None, {"gsm8k": cell}), MethodRow("SFT", None, {"gsm8k": cell, "math500": cell})])
    whole, none = Score(3.0, None, 4.0), Score(None, None, 4.0)
    pooled = pool([MethodRow("SFT", None, {}, {"total": whole}), MethodRow("SFT", None, {}, {"total": none})])
    assert pooled.fidelity["total"] == none, "not the other seed's score alone"
