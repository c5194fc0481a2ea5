"""Tokens of a supervised example: the prompt, and the response with its end-of-turn tokens, which alone is trained on.

The prompt is rendered and tokenized as in RL and evaluation, up to where the completion begins, so a model is trained
after exactly the tokens that it will be prompted with. verl's own SFT dataset renders each message separately and joins
them, which gives a different text for templates that depend on the whole chat.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.errors import UserError
from permix_verl.personas.prompts import Message, render

_PROBE = "The answer is 42."


def end_of_turn(tokenizer: Any, template_kwargs: Mapping[str, Any] | None = None) -> list[int]:
    """Return the tokens that end a response, up to the first special token: ``<|eot_id|>``, ``<|im_end|>``.

    Generation stops there. Line breaks that some templates add after it belong to the next turn.

    Raises:
        UserError: the template ends a response without a special token, so a model could not learn to stop.
    """
    chat = [{"role": "user", "content": "What is 6 x 7?"}, {"role": "assistant", "content": _PROBE}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False, **(template_kwargs or {}))
    _, probe, tail = text.rpartition(_PROBE)
    ids: list[int] = tokenizer(tail, add_special_tokens=False)["input_ids"] if probe else []
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    for position, token in enumerate(ids):
        if token in special:
            return ids[: position + 1]
    raise UserError(
        f"the chat template of {tokenizer.name_or_path} ends a response with {tail!r}, which has no special token, so "
        "a model trained on it would not learn to stop",
        "use an instruction-tuned model's tokenizer",
    )


def supervised_tokens(
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    targets: Sequence[str],
    end: Sequence[int],
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[tuple[list[int], list[int]]]:
    """Return the token ids of each prompt and of its response, end-of-turn tokens included.

    Args:
        prompts: N chats that end with the user's turn.
        targets: N responses; surrounding white space is stripped.
        end: from :func:`end_of_turn`.
    """
    if not prompts:
        return []
    texts = [render(tokenizer, prompt, template_kwargs) for prompt in prompts] + [target.strip() for target in targets]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return [
        (prompt, [*response, *end]) for prompt, response in zip(ids[: len(prompts)], ids[len(prompts) :], strict=True)
    ]
