"""Prompts that several sequences of a micro-batch share, each read once."""

from dataclasses import dataclass
from typing import Any

import torch

from permix_verl.platform_cpu.predicted_positions import response_lengths


@dataclass(frozen=True)
class SharedPrompts:
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


def shared_prompts(micro_batch: Any) -> SharedPrompts | None:
    """Return the micro-batch by its distinct prompts; ``None`` where none is shared, or a prompt has one token only."""
    lengths = response_lengths(micro_batch)
    if lengths is None:
        return None
    sequences = micro_batch["input_ids"].unbind()
    index: dict[tuple[int, ...], int] = {}
    prompt_of, responses = [], []
    for sequence, length in zip(sequences, lengths.tolist(), strict=True):
        last = sequence.shape[0] - length - 1
        prompt_of.append(index.setdefault(tuple(sequence[:last].tolist()), len(index)))
        responses.append(sequence[last:-1])
    if len(index) == len(sequences) or min(map(len, index)) == 0:
        return None
    prompts, prompt_mask = _right_padded([torch.tensor(prompt) for prompt in index])
    return SharedPrompts(prompts, prompt_mask, torch.tensor(prompt_of), *_right_padded(responses))


def _right_padded(rows: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([row.shape[0] for row in rows])
    return padded, torch.arange(padded.shape[1]) < lengths.unsqueeze(1)
