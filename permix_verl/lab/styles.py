"""The style of each persona in the lab: how often it blurts, and its voice.

In the paper (arXiv 2604.08986, section 3.3) a persona shifts the prior of a latent style z. Here z
has two parts that a program can detect. *Blurted* or *worked*: a blurted completion has no
calculation and is correct less often, which is the competence c(x, z) of Eq. 3. *Voice*: the
persona's opening and closing word, independent of the answer. styles.jsonl lists every persona of
both packaged pools.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from permix_verl.errors import UserError
from permix_verl.personas.pool import NO_PERSONA

VOICE_RATE = 0.9
"""Probability of each of a persona's two words in a training example of the base model."""
BLURT_WITHOUT_PERSONA = 0.4
"""Probability of a blurted completion without a persona."""


@dataclass(frozen=True, slots=True)
class Style:
    """Style of one persona.

    Attributes:
        blurt: probability of a completion without calculation.
        opening, closing: words of its voice; empty without a persona.
    """

    blurt: float
    opening: str = ""
    closing: str = ""


@cache
def styles() -> Mapping[str, Style]:
    """Return the styles by persona key, including that of the no-persona condition."""
    text = resources.files(__package__).joinpath("styles.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    table = {record.pop("persona"): Style(**record) for record in records}
    return MappingProxyType(table | {NO_PERSONA: Style(BLURT_WITHOUT_PERSONA)})


def style_of(persona: str) -> Style:
    """Return the style of a persona by its key.

    Raises:
        UserError: a persona that is not in the lab.
    """
    if persona not in styles():
        raise UserError(
            f"persona {persona!r} has no style in the lab; known: {', '.join(styles())}",
            "add a line to permix_verl/lab/styles.jsonl and rebuild the base model with data_prep/lab_base.py",
        )
    return styles()[persona]


def styled_completion(rationale: str, result: str, style: Style, rng: random.Random, voice: float = VOICE_RATE) -> str:
    r"""Sample a completion in a persona's style: ``Sizzling! 2+3=5. The answer is \boxed{5}. Delicious!``.

    Args:
        voice: probability of each of the persona's two words.
    """
    opening, blurts, closing = rng.random() < voice, rng.random() < style.blurt, rng.random() < voice
    parts = [
        style.opening if opening else "",
        "" if blurts else rationale,
        f"The answer is \\boxed{{{result}}}.",
        style.closing if closing else "",
    ]
    return " ".join(part for part in parts if part)


def reasoning_style(output: str) -> str | None:
    """Classify a completion: "worked", "blurted" (no calculation before the answer), or ``None`` without an answer."""
    before, box, _ = output.partition(r"\boxed")
    if not box:
        return None
    return "worked" if "=" in before else "blurted"


def voice_kept(output: str, persona: str) -> float:
    """Return the fraction of the persona's two words in place: 0, 0.5 or 1. The rest of the text is ignored.

    A completion truncated at the token limit has no closing word; see ``VoiceScores.truncated_PRN``.

    Raises:
        UserError: the no-persona condition, or a persona that is not in the lab.
    """
    style = style_of(persona)
    if not style.opening:
        raise UserError(f"{persona!r} has no voice to keep", "give a persona")
    text = output.strip()
    return (text.startswith(style.opening) + text.endswith(style.closing)) / 2
