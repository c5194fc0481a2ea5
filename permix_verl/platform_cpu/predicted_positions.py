"""Which positions of a micro-batch predict a response token, and which prompts its sequences share."""

from dataclasses import dataclass
from typing import Any

import torch


def predicted_positions(micro_batch: Any) -> torch.Tensor | None:
    """Return the positions whose log-prob is read, in the concatenated sequences; ``None`` where this is not known.

    The position in front of each response token (GRPO), or of each token with a loss (SFT), in verl's keys.
    """
    ids = micro_batch["input_ids"]
    if "responses" in micro_batch.keys() and micro_batch["responses"].is_nested:  # noqa: SIM118, a TensorDict
        ends = ids.offsets()[1:]
        lengths = micro_batch["responses"].offsets().diff()
        within = torch.arange(int(lengths.sum()), device=ends.device) - (lengths.cumsum(0) - lengths).repeat_interleave(
            lengths
        )
        return (ends - 1 - lengths).repeat_interleave(lengths) + within
    mask = micro_batch.get("loss_mask", None)
    if mask is None or not mask.is_nested or mask.values().shape != ids.values().shape:
        return None
    return torch.roll(mask.values(), shifts=-1, dims=0).nonzero()[:, 0]


@dataclass(frozen=True)
class Shared:
    """A micro-batch of B sequences as its P distinct prompts, right-padded, and its responses.

    A response's inputs begin with the prompt's last token, which predicts its first one.

    Attributes:
        prompts, prompt_mask: distinct prompts without their last token, shape (P, prompt length).
        prompt_of: index of each sequence's prompt, shape (B,).
        responses, response_mask: inputs that predict the response tokens, shape (B, response length).
    """

    prompts: torch.Tensor
    prompt_mask: torch.Tensor
    prompt_of: torch.Tensor
    responses: torch.Tensor
    response_mask: torch.Tensor

    def prompt_inputs(self, cache: Any) -> dict[str, Any]:
        """Return the model's arguments that fill a KV cache with the prompts."""
        positions = torch.arange(self.prompts.shape[1]).expand_as(self.prompts)
        return {
            "input_ids": self.prompts,
            "attention_mask": self.prompt_mask.long(),
            "position_ids": positions,
            "past_key_values": cache,
        }

    def response_inputs(self, cache: Any) -> dict[str, Any]:
        """Return the model's arguments for the responses, behind a cache with an entry for each sequence."""
        before = self.prompt_mask[self.prompt_of]
        steps = torch.arange(self.responses.shape[1]).expand_as(self.responses)
        return {
            "input_ids": self.responses,
            "attention_mask": torch.cat([before, self.response_mask], dim=1).long(),
            "position_ids": before.sum(1, keepdim=True) + steps,
            "past_key_values": cache,
        }


def shared_prompts(micro_batch: Any) -> Shared | None:
    """Return the micro-batch by its distinct prompts; ``None`` where none is shared, or a prompt has one token only."""
    if "responses" not in micro_batch.keys() or not micro_batch["responses"].is_nested:  # noqa: SIM118, a TensorDict
        return None
    sequences = micro_batch["input_ids"].unbind()
    lengths = micro_batch["responses"].offsets().diff().tolist()
    index: dict[tuple[int, ...], int] = {}
    prompt_of, responses = [], []
    for sequence, length in zip(sequences, lengths, strict=True):
        last = sequence.shape[0] - length - 1
        prompt_of.append(index.setdefault(tuple(sequence[:last].tolist()), len(index)))
        responses.append(sequence[last:-1])
    if len(index) == len(sequences) or min(map(len, index)) == 0:
        return None
    prompts, prompt_mask = _right_padded([torch.tensor(prompt) for prompt in index])
    return Shared(prompts, prompt_mask, torch.tensor(prompt_of), *_right_padded(responses))


def _right_padded(rows: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([row.shape[0] for row in rows])
    return padded, torch.arange(padded.shape[1]) < lengths.unsqueeze(1)
