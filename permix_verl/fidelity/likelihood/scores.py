"""Log-likelihood of an answer under each persona's prompt, by a frozen base model.

The score of persona k is the mean over the answer's tokens of log P(token | prompt of persona k, tokens before it).
The answer is the same under every prompt, so mean and sum choose the same persona. The mean has a unit, nats per token,
that does not grow with the length of the answer, as a reward or a mean over answers needs. The token that ends a turn
is left out: a truncated answer has none.

An answer that repeats its prompt is likely under it, in character or not. So a rate of identification says something
about character only as far as the answers do not quote their prompts (``known_texts.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from permix_verl.errors import UserError, first_line
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import Message, render, with_persona
from permix_verl.statistics.accuracy import Floats

ROWS = 16
"""Prompts with an answer that are computed together: for 64 answer tokens and 49,152 words, 0.2 GB of logits."""

Ids = list[int]


def persona_log_likelihoods(
    model: Any,
    tokenizer: Any,
    messages: Sequence[Message],
    answers: Sequence[str],
    personas: Sequence[Persona | None],
    template_kwargs: Mapping[str, Any] | None = None,
    rows: int = ROWS,
) -> Floats:
    """Score answers to one problem under each persona's prompt.

    A prompt is computed once for up to ``rows`` answers.

    Args:
        model: the frozen base, a Hugging Face causal language model, on any device.
        messages: the problem's chat without the answer; each persona's text replaces the system message that it has.
        answers: completions, without the token that ends them.
        personas: K conditions; ``None`` is the one without a persona.
        template_kwargs: chat template variables, as in training.
        rows: pairs of prompt and answer computed together.

    Returns:
        Shape (answers, K), nats per token.

    Raises:
        UserError: an answer without a token, no persona, or a template that refuses the chat.
    """
    prompts = [render(tokenizer, with_persona(messages, persona), template_kwargs) for persona in personas]
    return prompt_log_likelihoods(model, tokenizer, prompts, answers, rows)


def prompt_log_likelihoods(
    model: Any, tokenizer: Any, prompts: Sequence[str], answers: Sequence[str], rows: int = ROWS
) -> Floats:
    """Score answers behind each of K rendered prompts.

    Args:
        model, tokenizer, answers, rows: as of :func:`persona_log_likelihoods`.
        prompts: as the answers' model got them, up to where an answer begins.

    Returns:
        Shape (answers, K), nats per token.

    Raises:
        UserError: an answer without a token, or no prompt.
    """
    if not prompts:
        raise UserError("no persona to score under", "give at least one")
    prompt_ids = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    answer_ids = tokenizer(list(answers), add_special_tokens=False)["input_ids"] if answers else []
    for answer, ids in zip(answers, answer_ids, strict=True):
        if not ids:
            raise UserError(f"answer {answer!r} has no token", "leave empty answers out")
    scores_AK = np.empty((len(answers), len(prompts)))
    for some_answers in _parts(len(answers), rows):
        for some_prompts in _parts(len(prompts), max(1, rows // len(answer_ids[some_answers]))):
            block_KA = _means(model, prompt_ids[some_prompts], answer_ids[some_answers])
            scores_AK[some_answers, some_prompts] = block_KA.T
    return scores_AK


def _parts(number: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, number, size))


def _means(model: Any, prompts: Sequence[Ids], answers: Sequence[Ids]) -> Floats:
    """Return the mean log-probability of each answer's tokens behind each prompt, (prompts, answers).

    Prompts are padded on the left and answers on the right, so all meet between the same two columns.
    """
    import torch

    prompt_ids, prompt_seen = (tensor.to(model.device) for tensor in _padded(prompts, left=True))
    answer_ids, answer_seen = (tensor.to(model.device) for tensor in _padded(answers, left=False))
    number, width = answer_ids.shape
    targets, seen = answer_ids.repeat(len(prompts), 1), answer_seen.repeat(len(prompts), 1)
    lengths = prompt_seen.sum(1).repeat_interleave(number)
    with torch.no_grad():
        start = model(
            input_ids=prompt_ids,
            attention_mask=prompt_seen,
            position_ids=(prompt_seen.cumsum(1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        cache = start.past_key_values
        cache.batch_repeat_interleave(number)
        rest = model(
            input_ids=targets,
            attention_mask=torch.cat([prompt_seen.repeat_interleave(number, 0), seen], 1),
            position_ids=lengths[:, None] + torch.arange(width, device=lengths.device),
            past_key_values=cache,
            use_cache=True,
        )
        logits = torch.cat([start.logits.repeat_interleave(number, 0), rest.logits[:, :-1]], 1).float()
        log_probs = logits.gather(2, targets[:, :, None])[:, :, 0] - logits.logsumexp(2)
    means = (log_probs * seen).sum(1) / seen.sum(1)
    result: Floats = means.double().cpu().numpy().reshape(len(prompts), number)
    return result


def _padded(sequences: Sequence[Ids], left: bool) -> tuple[Any, Any]:
    """Return the sequences as one tensor, and 1 where a token is none of the padding."""
    import torch

    width = max(map(len, sequences))
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    seen = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        place = slice(width - len(sequence), width) if left else slice(0, len(sequence))
        ids[row, place] = torch.tensor(sequence)
        seen[row, place] = 1
    return ids, seen


def load_base(model: str, device: str = "cpu") -> tuple[Any, Any]:
    """Return a frozen base in float32, and its tokenizer.

    Args:
        model: hub name or folder.

    Raises:
        UserError: it cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from permix_verl.data.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(model)
    try:
        base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot load the model {model} ({first_line(error)})", "give a hub name or a folder"
        ) from error
    return base.to(device).eval().requires_grad_(False), tokenizer
