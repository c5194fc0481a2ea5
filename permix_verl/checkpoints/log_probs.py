"""Logits of given responses, in batches: small models are dominated by per-call overhead."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

BATCH = 8
"""Sequences per batch: for 768 tokens and a vocabulary of 128,256, the logits take 1.6 GB in 16 bits."""


def response_logits(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> Iterator[torch.Tensor]:
    """Yield the logits of each response's tokens, (tokens, vocabulary), in float32.

    Rows are right-padded; causal attention never sees the padding.

    Args:
        rows: (prompt, response) as token ids.
    """
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        sequences = [torch.tensor(prompt + response) for prompt, response in batch]
        ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True).to(model.device)
        with torch.no_grad():
            logits = model(input_ids=ids).logits
        for (prompt, response), row in zip(batch, logits, strict=True):
            yield row[len(prompt) - 1 : len(prompt) + len(response) - 1].float()
