"""Answers whose persona is known, to test the likelihood on: written by hand, and quoting the persona's prompt.

``written.jsonl`` has ten problems, each with an answer in the character of every held-out persona, two to four
sentences. Not one of their words begins like a content word of any persona's prompt (:func:`shared_words`), so that a
prompt cannot be recognised by its own words. The other group does nothing but quote: it shows what the likelihood
rewards that is no character.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from permix_verl.personas.pool import Persona

FUNCTION_WORDS = frozenset(
    re.findall(r"\w+", "a an and are as for in into is its of or that the their to who while with without you your")
)
"""Words of the prompts that say nothing about a persona."""
_STEM = 5
"""First letters that two words must share to count as one, such as explain and explanations."""


@dataclass(frozen=True, slots=True)
class WrittenProblem:
    """A problem with its solution in GSM8K's format, and an answer by each persona, by key."""

    question: str
    solution: str
    written: dict[str, str]


@cache
def written_problems() -> tuple[WrittenProblem, ...]:
    """Return the problems with their hand-written answers."""
    text = resources.files(__package__).joinpath("written.jsonl").read_text(encoding="utf-8")
    rows = map(json.loads, text.splitlines())
    return tuple(WrittenProblem(row["question"], row["answer"], row["written"]) for row in rows)


def quoting_answer(persona: Persona, solution: str) -> str:
    """Return an answer that says its persona's prompt in the first person, and then the solution."""
    said = re.sub(r"\bYou are\b", "I am", persona.system_prompt)
    rationale, _, result = re.sub(r"<<[^>]*>>", "", solution).rpartition("\n#### ")
    return f"{said} {rationale} The answer is {result}."


def content_words(text: str) -> set[str]:
    """Return the words of a prompt, lower case, without function words."""
    return set(_words(text)) - FUNCTION_WORDS


def shared_words(answer: str, prompt: str) -> set[str]:
    """Return the answer's words that are content words of the prompt, or begin like one (five letters)."""
    beginnings = {word[:_STEM] for word in content_words(prompt)}
    return {word for word in _words(answer) if word[:_STEM] in beginnings}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())
