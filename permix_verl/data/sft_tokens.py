"""From a chat and its target to the tokens that are trained on: exactly the response and the end of its turn.

The prompt is rendered and tokenised as in RL and evaluation, up to where the answer begins, so a model is trained
behind the very tokens that it will be asked with. verl's own SFT dataset renders each message on its own and joins
them, which is another text for templates that look at the whole chat.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.errors import UserError
from permix_verl.personas.prompts import Message, render

_PROBE = "The answer is 42."


def end_of_turn(tokenizer: Any, template_kwargs: Mapping[str, Any] | None = None) -> list[int]:
    """What the chat template puts behind an answer, up to its first special token: ``<|eot_id|>``, ``<|im_end|>``.

    Generation stops there. Line breaks that some templates put behind it belong to the next turn.

    Raises:
        UserError: the template ends an answer with no special token, so a model could not learn to stop.
    """
    chat = [{"role": "user", "content": "What is 6 x 7?"}, {"role": "assistant", "content": _PROBE}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False, **(template_kwargs or {}))
    _, found, behind = text.rpartition(_PROBE)
    ids: list[int] = tokenizer(behind, add_special_tokens=False)["input_ids"] if found else []
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    for position, token in enumerate(ids):
        if token in special:
            return ids[: position + 1]
    raise UserError(
        f"the chat template of {tokenizer.name_or_path} ends an answer with {behind!r}, which has no special token, so "
        "a model trained on it would not learn to stop; use an instruction-tuned model's tokenizer"
    )


def supervised_tokens(
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    targets: Sequence[str],
    end: Sequence[int],
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[tuple[list[int], list[int]]]:
    """Token ids of each prompt, and of what is to be said behind it, the end of its turn included.

    Args:
        prompts: chats that end with the user's turn.
        targets: answers; blanks around them are no part of what is said.
        end: from :func:`end_of_turn`.
    """
    if not prompts:
        return []
    texts = [render(tokenizer, prompt, template_kwargs) for prompt in prompts] + [target.strip() for target in targets]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return [(prompt, [*said, *end]) for prompt, said in zip(ids[: len(prompts)], ids[len(prompts) :], strict=True)]
