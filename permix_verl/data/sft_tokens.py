"""Tokens of a supervised example: the prompt, and the response with its end-of-turn tokens, which alone is trained on.

The prompt is rendered and tokenized as in RL and evaluation, up to where the completion begins, so a model is trained
after exactly the tokens that it will be prompted with. verl's own SFT dataset renders each message separately and joins
them, which gives a different text for templates that depend on the whole chat.

Some templates put more in front of a response than a prompt ends with, or end a prompt with an open thought. That text
(``permix_verl.chat_templates.turns.Bridge``) stands between prompt and response, and no loss is on it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from permix_verl.chat_templates.adapt import template_of
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.chat_templates.turns import Bridge, NoTurnError, bridge
from permix_verl.chat_templates.turns import end_of_turn as template_end_of_turn
from permix_verl.errors import UserError
from permix_verl.personas.prompts import Message, render

_REMEDY = "use an instruction-tuned model's tokenizer"


def end_of_turn(tokenizer: Any, template_kwargs: Mapping[str, Any] | None = None) -> list[int]:
    """Return the tokens that end a response, up to the special token at which generation stops: ``<|im_end|>``.

    Line breaks that some templates add after it belong to the next turn. A template that ends responses without a
    special token belongs to a model that stops at its end-of-sequence token.

    Raises:
        UserError: the template takes no response, or nothing ends one, so a model could not learn to stop.
    """
    template = _template(tokenizer)
    try:
        end = template_end_of_turn(template, template_kwargs or {}, _split(tokenizer))
    except NoTurnError as reason:
        raise _untrainable(template, reason) from None
    if end or tokenizer.eos_token_id is not None:
        return end or [int(tokenizer.eos_token_id)]
    raise UserError(
        f"the chat template of {template.name} ends a response with no special token, and its tokenizer has no "
        "eos_token, so a model trained on it would not learn to stop",
        _REMEDY,
    )


def response_bridge(tokenizer: Any, template_kwargs: Mapping[str, Any] | None = None) -> Bridge:
    """Return the text between a prompt and its response.

    Raises:
        UserError: the template takes no response.
    """
    template = _template(tokenizer)
    try:
        return bridge(template, template_kwargs or {})
    except NoTurnError as reason:
        raise _untrainable(template, reason) from None


def _template(tokenizer: Any) -> ChatTemplate:
    template = template_of(tokenizer)
    if template is None:
        raise UserError(f"tokenizer {tokenizer.name_or_path} has no chat template", _REMEDY)
    return template


def _untrainable(template: ChatTemplate, reason: NoTurnError) -> UserError:
    return UserError(f"the chat template of {template.name} cannot be trained on with supervision: {reason}", _REMEDY)


def _split(tokenizer: Any) -> Callable[[str], list[tuple[int, bool]]]:
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}

    def split(text: str) -> list[tuple[int, bool]]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return [(token, token in special) for token in ids]

    return split


def supervised_tokens(
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    targets: Sequence[str],
    end: Sequence[int],
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[tuple[list[int], list[int]]]:
    """Return the token ids of each prompt, bridge included, and of its response, end-of-turn tokens included.

    Args:
        prompts: N chats that end with the user's turn.
        targets: N responses; surrounding white space is stripped.
        end: from :func:`end_of_turn`.

    Raises:
        UserError: as :func:`response_bridge`; the template refuses a prompt.
    """
    if not prompts:
        return []
    between = response_bridge(tokenizer, template_kwargs)
    joined = [between.join(target.strip()) for target in targets]
    texts = [
        render(tokenizer, prompt, template_kwargs) + text for prompt, (text, _) in zip(prompts, joined, strict=True)
    ]
    texts += [response for _, response in joined]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return [
        (prompt, [*response, *end]) for prompt, response in zip(ids[: len(prompts)], ids[len(prompts) :], strict=True)
    ]
