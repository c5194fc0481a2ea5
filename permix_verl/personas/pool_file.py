"""Personas from JSON Lines, one line at a time.

A line has ``key`` and ``system_prompt``, a text or a list of wordings; ``category`` and ``weight`` are optional. In the
form of PersonaHub (arXiv 2406.20094) a line has ``persona``, a description such as "A political analyst specialized in
El Salvador", instead of ``system_prompt``, and needs no key.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from permix_verl.errors import UserError
from permix_verl.personas.persona import NO_PERSONA, Persona, folded

FIELDS = ("key", "category", "system_prompt", "weight", "persona")
_REQUIRED = "key, system_prompt"
_SLUG_WORDS = 4


def parse_personas(lines: Iterable[str], origin: str) -> Iterator[Persona]:
    """Parse and validate the personas of a pool.

    Args:
        lines: JSON texts; blank ones are skipped.
        origin: the pool's file, for messages.

    Raises:
        UserError: a malformed line (with its number), unknown or missing field, blank text, invalid weight, duplicate
            key or text, no persona, only weights of 0.
    """
    seen = _Seen(origin)
    weighted = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        persona = _parse_line(line, where=f"{origin}, line {number}")
        seen.add(persona, number)
        weighted = weighted or persona.weight > 0
        yield persona
    if not seen.count:
        raise UserError(f"{origin} has no persona", f"write one JSON object per line with {_REQUIRED}")
    if not weighted:
        raise UserError(f"{origin}: all {seen.count} weights are 0", "give at least one persona a positive weight")


class _Seen:
    """The keys and texts of the lines so far: their hashes, so that a large pool's texts are not held twice."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.count = 0
        self._line_of: dict[str, dict[bytes, int]] = {}

    def add(self, persona: Persona, number: int) -> None:
        """Add the persona of a line.

        Raises:
            UserError: its key or one of its texts is that of an earlier line, or is reserved.
        """
        self.count += 1
        if persona.slug == NO_PERSONA:
            raise UserError(
                f"{self.origin}, line {number}: key {persona.key!r} is the name of the condition without a persona",
                "choose another key",
            )
        self._check("key", persona.key, number)
        self._check("key (ignoring spaces and slashes)", persona.slug, number)
        for wording in persona.wordings:
            self._check("system_prompt", folded(wording), number)

    def _check(self, what: str, value: str, number: int) -> None:
        digest = hashlib.blake2b(value.encode(), digest_size=12).digest()
        first = self._line_of.setdefault(what, {}).setdefault(digest, number)
        if first != number:
            raise UserError(
                f"{self.origin}, line {number}: duplicate {what} {value[:60]!r}, first on line {first}",
                "remove one of them",
            )


def _parse_line(line: str, where: str) -> Persona:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}: not JSON ({error.msg} at column {error.colno})", "write one object per line"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise UserError(f"{where}: not JSON ({error})", "write one object per line") from None
    known = ", ".join(FIELDS)
    if not isinstance(record, dict):
        raise UserError(f"{where}: expected an object, got {type(record).__name__}", f"fields: {known}")
    unknown = sorted(set(record) - set(FIELDS))
    if unknown:
        raise UserError(f"{where}: unknown field {unknown[0]!r}", f"known: {known}")
    if "persona" in record:
        record = _from_description(record, where)
    wordings = _wordings(record, where)
    return Persona(
        key=_text(record, "key", where),
        category=_text(record, "category", where),
        system_prompt=wordings[0],
        weight=_weight(record, where),
        paraphrases=wordings[1:],
    )


def _text(record: Mapping[str, Any], field: str, where: str) -> str:
    value = record.get(field, "" if field == "category" else None)
    return _checked_text(value, field, where, may_be_blank=field == "category")


def _checked_text(value: Any, field: str, where: str, *, may_be_blank: bool = False) -> str:
    if not isinstance(value, str) or not (may_be_blank or value.strip()):
        raise UserError(f"{where}: field {field!r} is {_excerpt(value)}", "it must be a non-empty string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where}: field {field!r} has {value[error.start]!r} at character {error.start + 1}, half of a surrogate "
            "pair, which is no text",
            "write the whole character, or remove it",
        ) from None
    return value


def _wordings(record: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = record.get("system_prompt")
    if not isinstance(value, list):
        return (_text(record, "system_prompt", where),)
    if not value:
        raise UserError(f"{where}: field 'system_prompt' is an empty list", "give at least one text")
    texts = [_checked_text(text, f"system_prompt[{number}]", where) for number, text in enumerate(value)]
    first_of: dict[str, int] = {}
    for number, text in enumerate(texts):
        first = first_of.setdefault(folded(text), number)
        if first != number:
            raise UserError(
                f"{where}: field 'system_prompt' has {text[:60]!r} twice, as wordings {first} and {number}",
                "remove one of them",
            )
    return tuple(texts)


def _weight(record: Mapping[str, Any], where: str) -> float:
    value = record.get("weight", 1.0)
    try:
        weight = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        weight = math.inf
    if not math.isfinite(weight) or weight < 0:
        raise UserError(f"{where}: weight is {_excerpt(value)}", "it must be a finite number of 0 or more")
    return weight


def _excerpt(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _from_description(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Convert a record in PersonaHub's form."""
    if "system_prompt" in record:
        raise UserError(f"{where}: both 'persona' and 'system_prompt' are given", "leave out one of them")
    description = _text(record, "persona", where)
    others = {name: value for name, value in record.items() if name != "persona"}
    return {"key": key_of(description), **others, "system_prompt": prompt_of(description)}


def key_of(description: str) -> str:
    """Return a key for a description: its first words without the article, and 12 digits of its hash."""
    words = re.findall(r"\w+", description.casefold())
    if words and words[0] in ("a", "an", "the") and len(words) > 1:
        del words[0]
    digest = hashlib.sha256(description.encode()).hexdigest()[:12]
    return "_".join([*(word[:20] for word in words[:_SLUG_WORDS]), digest])


def prompt_of(description: str) -> str:
    """Return the system prompt for a description: ``"A nurse in Oslo"`` becomes ``"You are a nurse in Oslo."``

    The first letter is lower-cased, unless the first word looks like an acronym (another capital or a digit in it) or
    like a name (a comma behind it, or a capital at the beginning of the next word). A text that begins with "You are"
    stays as it is. A period is added if the text does not end a sentence.
    """
    text = description.strip()
    first, *others = text.split(maxsplit=2)
    is_name = first.endswith(",") or (bool(others) and others[0][0].isupper() and first not in ("A", "An", "The"))
    is_acronym = any(letter.isupper() or letter.isdigit() for letter in first[1:]) or first == "I"
    if not re.match(r"you(\s+are|['\u2019]re)\b", text, re.IGNORECASE):
        text = f"You are {text if is_name or is_acronym else text[0].lower() + text[1:]}"
    return text if re.search(r"[.!?\u2026]['\"\u2019\u201d)\]]*$", text) else f"{text}."
