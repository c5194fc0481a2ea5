"""Which positions of a micro-batch predict a response token."""

from typing import Any

import torch


def response_lengths(micro_batch: Any) -> torch.Tensor | None:
    """Return the tokens of each sequence's response, shape (B,); ``None`` where verl passes no responses (SFT)."""
    responses = micro_batch.get("responses", None)
    return responses.offsets().diff() if responses is not None and responses.is_nested else None


def predicted_positions(micro_batch: Any) -> torch.Tensor | None:
    """Return the positions whose log-prob is read, in the concatenated sequences; ``None`` where this is not known.

    The position in front of each response token (GRPO), or of each token with a loss (SFT), in verl's keys.
    """
    ids = micro_batch["input_ids"]
    lengths = response_lengths(micro_batch)
    if lengths is not None:
        firsts = ids.offsets()[1:] - 1 - lengths
        within = torch.arange(int(lengths.sum())) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        return firsts.repeat_interleave(lengths) + within
    mask = micro_batch.get("loss_mask", None)
    if mask is None or not mask.is_nested or mask.values().shape != ids.values().shape:
        return None
    return torch.roll(mask.values(), shifts=-1, dims=0).nonzero()[:, 0]
