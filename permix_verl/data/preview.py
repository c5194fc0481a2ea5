"""The first rows of a data set as the model will see them, shortened to fit a screen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from permix_verl.personas.prompts import render

HEAD, TAIL = 420, 240
"""Most characters shown of a prompt's beginning and of its end."""


def print_rows(file: Path, tokenizer: Any, template_kwargs: Mapping[str, Any], count: int) -> None:
    """Print the first rows of a training file: id, persona, final answer, and the prompt as rendered.

    Args:
        file: parquet file with the chat in ``prompt``, or in ``messages`` with a target behind it.
        count: number of rows; 0 prints nothing.
    """
    for row in _first_rows(file, count):
        info, messages = row["extra_info"], row.get("prompt") or row["messages"]
        target = messages[-1]["content"] if messages[-1]["role"] == "assistant" else None
        prompt = render(tokenizer, messages[:-1] if target is not None else messages, template_kwargs)
        print(f"--- {info['row_id']}, {info['persona']}, final answer {row['reward_model']['ground_truth'][:80]!r}")
        print(shortened(prompt).rstrip("\n"))
        if target is not None:
            print(f"... and its target: {shortened(target)}")
        print("---")


def shortened(text: str) -> str:
    """Return a text without its middle if it is long."""
    if len(text) <= HEAD + TAIL:
        return text
    return f"{text[:HEAD]} [... {len(text) - HEAD - TAIL:,} characters ...] {text[-TAIL:]}"


def _first_rows(file: Path, count: int) -> list[dict[str, Any]]:
    if count < 1:
        return []
    import pyarrow.parquet as pq

    batch = next(pq.ParquetFile(file).iter_batches(batch_size=count), None)
    return [] if batch is None else list(batch.to_pylist())
