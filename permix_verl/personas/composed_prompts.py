"""Prompts of a large pool without rendering every persona: what a template puts around a persona's text.

A chat template that copies the persona's text treats all texts alike, unless it looks for something in them. This
stands in the template as a string. So a few personas are rendered, with all that have one of these strings in their
text; the prompts of the others are what stands before a persona's text, the text, and what stands behind it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from permix_verl.personas.persona import Persona
from permix_verl.personas.pool import LARGE_POOL, PersonaPool
from permix_verl.personas.prompts import build_messages, render

PROBLEM = "1 + 1 = ?"
PROBES = 64
"""Personas of a pool that are rendered in any case, evenly spaced in its order; and unusual ones, at most."""

_MARK = "permix 7319 persona"
_TRIMS: tuple[Callable[[str], str], ...] = (str, str.strip, str.lstrip, str.rstrip)
_UNUSUAL = r"^\s|\s$|[{}<>&\\|\[\]]|\n"
_STRING = re.compile(r"'((?:[^'\\\n]|\\.){4,})'|\"((?:[^\"\\\n]|\\.){4,})\"")


@dataclass(frozen=True)
class Frame:
    """Text that a template puts around a persona's text in a prompt of :data:`PROBLEM`.

    Attributes:
        trim: what is done to the text: nothing, or blanks removed at its ends.
    """

    before: str
    after: str
    trim: Callable[[str], str] = str

    def compose(self, system_prompt: str) -> str:
        """Return the prompt with a persona's text."""
        return f"{self.before}{self.trim(system_prompt)}{self.after}"


def find_frame(tokenizer: Any, template_kwargs: Mapping[str, Any] | None = None) -> Frame | None:
    """Return the frame of a chat template; ``None`` if it does not copy the persona's text to one place.

    Raises:
        UserError: see :func:`~permix_verl.personas.prompts.render`.
    """
    rendered = render_alone(tokenizer, _MARK, template_kwargs)
    if rendered.count(_MARK) != 1:
        return None
    before, after = rendered.split(_MARK)
    padded = f" \n{_MARK} {{ x }} {{{{ y }}}} <b>'\"&\\</b>\n\n- z \n "
    found = render_alone(tokenizer, padded, template_kwargs)
    frames = (Frame(before, after, trim) for trim in _TRIMS)
    return next((frame for frame in frames if frame.compose(padded) == found), None)


def render_alone(tokenizer: Any, system_prompt: str, template_kwargs: Mapping[str, Any] | None = None) -> str:
    """Render the prompt of :data:`PROBLEM` under a persona of this text."""
    return render(tokenizer, build_messages(PROBLEM, Persona("", "", system_prompt)), template_kwargs)


def probe_personas(tokenizer: Any, pool: PersonaPool) -> Iterator[Persona]:
    """Yield the personas to render, each under all its wordings.

    They are :data:`PROBES` evenly spaced ones; the first :data:`PROBES` with blanks at an end, several lines, or
    characters of markup; and all whose text has one of the strings in the chat template.
    """
    step = max(1, len(pool) // PROBES)
    spaced = (pool.personas[position] for position in range(0, len(pool), step))
    for persona in spaced:
        yield from persona.worded_all()
    yield from islice(matching(pool, _UNUSUAL), PROBES)
    strings = {text for found in _STRING.findall(str(tokenizer.chat_template)) for text in found if text}
    if strings := {text for text in strings if re.search(r"\w", text)}:
        yield from matching(pool, "|".join(map(_quoted, sorted(strings))))


def personas_to_render(
    tokenizer: Any, pool: PersonaPool, template_kwargs: Mapping[str, Any] | None = None, large: int = LARGE_POOL
) -> Iterator[Persona]:
    """Yield the personas whose rendered prompts show that a chat template keeps every text.

    They are all personas, in all wordings, of a pool of up to ``large`` and for a template without a frame; else those
    of :func:`probe_personas`.
    """
    if len(pool) <= large or find_frame(tokenizer, template_kwargs) is None:
        return pool.wordings()
    return probe_personas(tokenizer, pool)


def matching(pool: PersonaPool, pattern: str) -> Iterator[Persona]:
    """Yield the personas, in each of their wordings, whose text matches a pattern of the RE2 library."""
    import pyarrow.compute as pc

    found = (
        start + position
        for start, texts in pool.text_chunks()
        for position in pc.indices_nonzero(pc.match_substring_regex(texts, pattern)).to_pylist()
    )
    yield from pool.wordings_at(found)


def irregular_personas(
    tokenizer: Any, pool: PersonaPool, frame: Frame, template_kwargs: Mapping[str, Any] | None = None
) -> Iterator[Persona]:
    """Yield the personas whose prompt is not what the frame composes, among those of :func:`probe_personas`."""
    for persona in probe_personas(tokenizer, pool):
        rendered = render_alone(tokenizer, persona.system_prompt, template_kwargs)
        if rendered != frame.compose(persona.system_prompt):
            yield persona


def _quoted(text: str) -> str:
    """Return a pattern that matches a text; RE2 knows fewer escapes than Python."""
    return "".join(letter if letter.isalnum() else f"\\x{{{ord(letter):x}}}" for letter in text)
