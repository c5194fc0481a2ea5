"""Supervised data prepared by ``data_prep/gsm8k_sft.py`` in a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Prepare = Callable[..., dict[str, Any]]
"""(flags, out) -> manifest."""
STYLED = ("--target", "styled", "--engine-model", "some/rewriter")
"""Flags of targets that a rewriter writes."""


def rows(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    """Return the rows of a split."""
    return pq.read_table(folder / f"{split}.parquet").to_pylist()  # type: ignore[no-any-return]
