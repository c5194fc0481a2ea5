"""Emulation of the memory of verl 0.9.1's LM head, log-probs and entropy (no flash-attn, padding kept).

Sources: ``verl/workers/engine/fsdp/transformer_impl.py`` and ``verl/utils/torch_functional.py``. CUDA's autocast
computes softmax, log_softmax and logsumexp in float32; the casts are explicit here, because CPU autocast keeps
bfloat16.
"""

import torch


def valid_rows(logits: torch.Tensor) -> torch.Tensor:
    """Copy (batch, tokens, vocabulary) to (batch x tokens, vocabulary), as verl concatenates a nested tensor's rows."""
    return torch.cat(list(logits.unbind()))


BLOCK = 64
"""Rows traced at once; verl processes them one by one, which would take minutes to trace."""


def log_probs(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the log-probs of the labels, shape (tokens,).

    In float32 verl uses logsumexp; in bfloat16 log_softmax, whose results are all kept for the backward pass.

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
    """Compute the entropy of every position, (batch, tokens), from logits (batch, tokens, vocabulary)."""
    probabilities = torch.softmax(logits.float(), -1)
    shifted = logits.float()
    shifted = shifted.sub(shifted.amax(-1, keepdim=True)).exp_()  # as logsumexp: the input and a shifted copy
    normaliser = shifted.sum(-1).log()
    del shifted
    return normaliser - (probabilities * logits).sum(-1)
