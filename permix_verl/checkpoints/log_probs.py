"""Logits of given responses, in batches: one sequence at a time, small models spend their time between the threads."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

BATCH = 8
"""Sequences at a time: 8 of 768 tokens under 128,256 words are 1.6 GB of logits in 16 bits."""


def response_logits(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> Iterator[torch.Tensor]:
    """Of each (prompt, response) in token ids: logits of the response's tokens, (tokens, vocabulary), in 32 bits.

    Padding stands on the right, where a causal model does not look.
    """
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        sequences = [torch.tensor(prompt + response) for prompt, response in some]
        ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True).to(model.device)
        with torch.no_grad():
            logits = model(input_ids=ids).logits
        for (prompt, response), found in zip(some, logits, strict=True):
            yield found[len(prompt) - 1 : len(prompt) + len(response) - 1].float()
