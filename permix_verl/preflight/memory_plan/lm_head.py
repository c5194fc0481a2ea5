"""What verl 0.9.1 does between a model's logits and the loss, for its memory: without flash-attn, padding not removed.

``verl/workers/engine/fsdp/transformer_impl.py`` and ``verl/utils/torch_functional.py`` under CUDA's autocast, whose
softmax, log_softmax and logsumexp are in float32; written out, because autocast on a CPU leaves them in bfloat16.
"""

import torch


def valid_rows(logits: torch.Tensor) -> torch.Tensor:
    """(batch, tokens, vocabulary) as (batch x tokens, vocabulary), copied: verl joins a nested tensor's rows."""
    return torch.cat(list(logits.unbind()))


BLOCK = 64
"""Rows that are taken at once where verl takes one after another: a trace of each of thousands would take minutes."""


def log_probs(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-probs of the labels, (tokens,).

    In float32 a row's logsumexp; in bfloat16 a row's log_softmax, every one of which is kept for the backward pass.

    Args:
        logits: (tokens, vocabulary).
        labels: (tokens,).
    """
    if logits.dtype == torch.float32:
        chosen = torch.gather(logits, -1, labels[:, None])[:, 0]
        return chosen - torch.cat([torch.logsumexp(rows, -1) for rows in logits.split(BLOCK)])
    blocks = zip(logits.split(BLOCK), labels.split(BLOCK), strict=True)
    return torch.cat([torch.log_softmax(rows.float(), -1).gather(-1, those[:, None])[:, 0] for rows, those in blocks])


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of every position, (batch, tokens); logits (batch, tokens, vocabulary)."""
    probabilities = torch.softmax(logits.float(), -1)
    shifted = logits.float()
    shifted = shifted.sub(shifted.amax(-1, keepdim=True)).exp_()  # inside logsumexp: input, and its shifted copy
    normaliser = shifted.sum(-1).log()
    del shifted
    return normaliser - (probabilities * logits).sum(-1)
