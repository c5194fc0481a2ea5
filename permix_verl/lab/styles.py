"""The style of each persona in the lab: how often it blurts, and its voice.

In the paper's terms (section 3.3) a persona shifts the prior of a latent style z. Here z has two
parts that a program can see in an answer. *Blurted* or *worked*: a blurted answer has no
calculation in it, and is right less often: the competence c(x, z) of Eq. 3. The *voice*, an
opening and a closing word of the persona's own, says nothing about the answer. The table
styles.jsonl holds every persona of both packaged pools.
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

VOICE = 0.9
"""Chance of each of a persona's two words in an answer of the base model's."""
BLURT_WITHOUT_PERSONA = 0.4


@dataclass(frozen=True, slots=True)
class Style:
    """A persona's.

    Attributes:
        blurt: share of answers without any calculation.
        opening, closing: its words, empty without a persona.
    """

    blurt: float
    opening: str = ""
    closing: str = ""


@cache
def styles() -> Mapping[str, Style]:
    """Style by persona key, the control arm's included."""
    text = resources.files(__package__).joinpath("styles.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    table = {record.pop("persona"): Style(**record) for record in records}
    return MappingProxyType(table | {NO_PERSONA: Style(BLURT_WITHOUT_PERSONA)})


def style_of(persona: str) -> Style:
    """The style of a persona, by its key.

    Raises:
        UserError: a persona that is not in the lab.
    """
    if persona not in styles():
        raise UserError(
            f"persona {persona!r} has no style in the lab; known: {', '.join(styles())}. The lab's base model has met "
            "no others: add a line to permix_verl/lab/styles.jsonl and rebuild it with data_prep/lab_base.py"
        )
    return styles()[persona]


def answer(rationale: str, result: str, style: Style, rng: random.Random, voice: float = VOICE) -> str:
    r"""An answer in a persona's style, such as ``Sizzling! 2+3=5. The answer is \boxed{5}. Delicious!``.

    ``voice`` is the chance of each of its two words.
    """
    opening, blurts, closing = rng.random() < voice, rng.random() < style.blurt, rng.random() < voice
    parts = [
        style.opening if opening else "",
        "" if blurts else rationale,
        f"The answer is \\boxed{{{result}}}.",
        style.closing if closing else "",
    ]
    return " ".join(part for part in parts if part)


def way_of(output: str) -> str | None:
    """How an answer came about: "worked", "blurted" (no calculation before it), or ``None`` where there is none."""
    before, box, _ = output.partition(r"\boxed")
    if not box:
        return None
    return "worked" if "=" in before else "blurted"


def voice_kept(output: str, persona: str) -> float:
    """Share of the persona's two words that stand where they belong: 0, 0.5 or 1. Blind to the rest of the answer.

    An answer that was cut off at the token limit has no closing word: look at ``Fidelity.cut_PRN``.

    Raises:
        UserError: the control arm, or a persona that is not in the lab.
    """
    style = style_of(persona)
    if not style.opening:
        raise UserError(f"{persona!r} has no voice to keep; ask for a persona's")
    text = output.strip()
    return (text.startswith(style.opening) + text.endswith(style.closing)) / 2
