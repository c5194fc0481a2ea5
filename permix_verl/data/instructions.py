"""The problem in a prompt that was made for another training: without its own instruction how to answer.

A prompt of ours ends in our instruction (``permix_verl.personas.prompts``). A second one would contradict it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.errors import UserError

WRAPPERS: Sequence[tuple[str, str]] = (
    (  # DAPO-Math-17k
        "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
        "$Answer (without quotes) where $Answer is the answer to the problem.\n\n",
        '\n\nRemember to put your answer on its own line after "Answer:".',
    ),
    ("", ' Let\'s think step by step and output the final answer after "####".'),  # verl's GSM8K
    ("", " Let's think step by step and output the final answer within \\boxed{}."),  # verl's MATH
)
"""Texts before and behind the problem."""


def plain_question(value: Any, field: str) -> Any:
    """Return the problem in a question field: of a list of messages, the only user message's text, unwrapped.

    Another value is returned as it is.

    Raises:
        UserError: messages other than one of the user's.
    """
    if not isinstance(value, list | tuple):
        return value
    roles = [message.get("role") if isinstance(message, Mapping) else None for message in value]
    if roles != ["user"]:
        raise UserError(
            f"field {field!r} holds the messages {roles}, not one of the user's",
            "add personas to it as it stands with permix mix, or name another --question-field",
        )
    content = value[0].get("content")
    if isinstance(content, list | tuple):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        content = None if None in parts else "".join(map(str, parts))
    return unwrap(content) if isinstance(content, str) else content


def unwrap(prompt: str) -> str:
    """Return a prompt without a known instruction around it; one that is not wrapped so comes back whole."""
    for before, behind in WRAPPERS:
        inner = prompt[len(before) : len(prompt) - len(behind)]
        if prompt.startswith(before) and prompt.endswith(behind) and inner.strip():
            return inner
    return prompt
