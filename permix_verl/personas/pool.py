"""Personas and persona pools.

The two packaged pools are the paper's (arXiv 2604.08986, Appendix D, Tables 13 to 15): ``train`` with 25 personas for
training and ``eval`` with 16 held-out ones. They share no key and no text. A custom pool is a JSON Lines file with one
persona per line:

    {"key": "chef", "category": "Professional Roles", "system_prompt": "You are ..."}
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from permix_verl.errors import UserError

PACKAGED_POOLS = ("train", "eval")
NO_PERSONA = "no_persona"
"""Name of the control condition: the prompt without a system message."""

_FIELDS = ("key", "category", "system_prompt")


def slug_of(key: str) -> str:
    """Return a key as it appears in metric names: ``"zen master"`` becomes ``"zen_master"``."""
    return "_".join(key.replace("/", " ").split())


def split_keys(text: str) -> list[str]:
    r"""Split a comma-separated list of keys; ``\,`` is a comma inside a key."""
    return [name.replace(r"\,", ",").strip() for name in re.split(r"(?<!\\),", text)]


@dataclass(frozen=True, slots=True)
class Persona:
    """A persona: key, category and system prompt."""

    key: str
    category: str
    system_prompt: str

    @property
    def slug(self) -> str:
        """The key as it appears in metric names."""
        return slug_of(self.key)


@dataclass(frozen=True, slots=True)
class PersonaPool:
    """An ordered, validated set of personas. The order is part of the identity of a draw."""

    name: str
    personas: tuple[Persona, ...]

    def __len__(self) -> int:
        return len(self.personas)

    def __iter__(self) -> Iterator[Persona]:
        return iter(self.personas)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(persona.key for persona in self.personas)

    def get(self, key: str) -> Persona:
        """Return the persona with this key.

        Raises:
            UserError: no such key in the pool.
        """
        for persona in self.personas:
            if persona.key == key:
                return persona
        raise UserError(f"unknown persona {key!r} in pool {self.name}", f"known: {', '.join(self.keys)}")

    def sha256(self) -> str:
        """Hash the keys, categories and texts in order; pools with the same hash give the same draws."""
        text = json.dumps([[p.key, p.category, p.system_prompt] for p in self.personas], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def load_pool(name_or_path: str | Path) -> PersonaPool:
    """Load a packaged pool (``"train"``, ``"eval"``) or a JSON Lines file.

    Raises:
        UserError: missing file, malformed line (with its number), unknown or missing
            field, duplicate key or text, empty pool.
    """
    if str(name_or_path) in PACKAGED_POOLS:
        text = resources.files(__package__).joinpath(f"pools/{name_or_path}.jsonl").read_text(encoding="utf-8")
        return _parse_pool(text, name=str(name_or_path), origin=f"packaged pool {name_or_path}")
    path = Path(name_or_path)
    if not path.is_file():
        raise UserError(
            f"no persona pool {str(name_or_path)!r}",
            f"give one of {', '.join(PACKAGED_POOLS)}, or the path of a JSON Lines file",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"persona pool {path} is not UTF-8 text ({error})", "save it as UTF-8") from None
    return _parse_pool(text, name=path.stem, origin=str(path))


def check_disjoint(train: PersonaPool, held_out: PersonaPool) -> None:
    """Refuse pools that share a key or a text (ignoring case and spacing).

    A shared persona would leak training prompts into the evaluation (arXiv 2604.08986, section 4.2.1).

    Raises:
        UserError: with the shared keys.
    """
    shared_keys = sorted(set(train.keys) & set(held_out.keys))
    if shared_keys:
        raise UserError(
            f"pools {train.name} and {held_out.name} share the keys {shared_keys}",
            "rename or remove them in one of the two",
        )
    held_out_texts = {_folded(persona.system_prompt): persona.key for persona in held_out}
    for persona in train:
        twin = held_out_texts.get(_folded(persona.system_prompt))
        if twin is not None:
            raise UserError(
                f"persona {persona.key!r} of pool {train.name} has the same text as {twin!r} of pool {held_out.name}",
                "remove one of them",
            )


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _parse_pool(text: str, name: str, origin: str) -> PersonaPool:
    personas: list[Persona] = []
    line_of_key: dict[str, int] = {}
    line_of_text: dict[str, int] = {}
    line_of_slug: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        persona = _parse_line(line, where=f"{origin}, line {number}")
        if persona.slug == NO_PERSONA:
            raise UserError(
                f"{origin}, line {number}: key {persona.key!r} is the name of the condition without a persona",
                "choose another key",
            )
        for what, value, seen in (
            ("key", persona.key, line_of_key),
            ("key (ignoring spaces and slashes)", persona.slug, line_of_slug),
            ("system_prompt", _folded(persona.system_prompt), line_of_text),
        ):
            if value in seen:
                raise UserError(
                    f"{origin}, line {number}: duplicate {what} {value[:60]!r}, first on line {seen[value]}",
                    "remove one of them",
                )
            seen[value] = number
        personas.append(persona)
    if not personas:
        raise UserError(f"{origin} has no persona", f"write one JSON object per line with {', '.join(_FIELDS)}")
    return PersonaPool(name=name, personas=tuple(personas))


def _parse_line(line: str, where: str) -> Persona:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}: not JSON ({error.msg} at column {error.colno})", "write one object per line"
        ) from None
    if not isinstance(record, dict):
        raise UserError(f"{where}: expected an object, got {type(record).__name__}", f"fields: {', '.join(_FIELDS)}")
    unknown = sorted(set(record) - set(_FIELDS))
    if unknown:
        raise UserError(f"{where}: unknown field {unknown[0]!r}", f"known: {', '.join(_FIELDS)}")
    record.setdefault("category", "")
    for field in _FIELDS:
        value = record.get(field)
        if not isinstance(value, str) or (field != "category" and not value.strip()):
            raise UserError(f"{where}: field {field!r} is {value!r}", "it must be a non-empty string")
    return Persona(key=record["key"], category=record["category"], system_prompt=record["system_prompt"])
