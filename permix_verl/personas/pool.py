"""Persona pools.

The two packaged pools are the paper's (arXiv 2604.08986, Appendix D, Tables 13 to 15): ``train`` with 25 personas for
training and ``eval`` with 16 held-out ones. They share no key and no text. A custom pool is a JSON Lines file with one
persona per line (``permix_verl.personas.pool_file``):

    {"key": "chef", "category": "Professional Roles", "system_prompt": "You are ..."}
"""

import hashlib
import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permix_verl.errors import UserError
from permix_verl.personas.draw_table import DrawTable
from permix_verl.personas.persona import NO_PERSONA, Persona, folded, slug_of
from permix_verl.personas.pool_arrow import BATCH, StoredPersonas, build_table
from permix_verl.personas.pool_file import parse_personas

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "LARGE_POOL",
    "NO_PERSONA",
    "PACKAGED_POOLS",
    "Persona",
    "PersonaPool",
    "check_disjoint",
    "load_pool",
    "slug_of",
    "split_keys",
]

PACKAGED_POOLS = ("train", "eval")
LARGE_POOL = 2000
"""Personas above which a pool is kept in an Arrow table, and in a file beside the data instead of their metadata."""
_NAMED = 50
"""Keys that a message gives at most."""


def split_keys(text: str) -> list[str]:
    r"""Split a comma-separated list of keys; ``\,`` is a comma inside a key."""
    return [name.replace(r"\,", ",").strip() for name in re.split(r"(?<!\\),", text)]


@dataclass(frozen=True)
class PersonaPool:
    """An ordered, validated set of personas. The order is part of the identity of a draw.

    Attributes:
        personas: a tuple, or :class:`~permix_verl.personas.pool_arrow.StoredPersonas` in a large pool.
    """

    name: str
    personas: Sequence[Persona]

    def __len__(self) -> int:
        return len(self.personas)

    def __iter__(self) -> Iterator[Persona]:
        return iter(self.personas)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the table of the draw, which any process can build."""
        return {"name": self.name, "personas": self.personas}

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._column("key"))

    def _column(self, name: str) -> list[Any]:
        if isinstance(self.personas, StoredPersonas):
            return self.personas.column(name)
        return [getattr(persona, name) for persona in self.personas]

    @cached_property
    def _table(self) -> DrawTable:
        if isinstance(self.personas, StoredPersonas):
            return DrawTable(len(self), self.personas.weights())
        return DrawTable(len(self), self._column("weight"))

    def sample(self, number: int) -> Persona:
        """Return the persona, with all its wordings, that a 128-bit hash stands for: uniformly, or by weight."""
        return self.personas[self._table.position(number)]

    def wordings(self) -> Iterator[Persona]:
        """Yield every persona under each of its wordings."""
        for persona in self.personas:
            yield from persona.worded_all()

    def wordings_at(self, positions: Iterable[int]) -> Iterator[Persona]:
        """Yield those of :meth:`wordings` at these positions, which rise."""
        if isinstance(self.personas, StoredPersonas) and not self.personas.has_paraphrases():
            yield from map(self.personas.__getitem__, positions)
            return
        wordings, passed = self.wordings(), 0
        for position in positions:
            yield next(islice(wordings, position - passed, None))
            passed = position + 1

    def text_chunks(self) -> Iterator[tuple[int, "pa.Array"]]:
        """Yield all system prompts in arrays, with the position of each array's first one in :meth:`wordings`."""
        import pyarrow as pa

        if isinstance(self.personas, StoredPersonas) and not self.personas.has_paraphrases():
            arrays: Iterator[pa.Array] = self.personas.text_arrays()
        else:
            texts = (persona.system_prompt for persona in self.wordings())
            arrays = (pa.array(batch, pa.string()) for batch in iter(lambda: list(islice(texts, BATCH)), []))
        start = 0
        for array in arrays:
            yield start, array
            start += len(array)

    def categories(self) -> dict[str, str]:
        """Return key -> category."""
        return dict(zip(self._column("key"), map(sys.intern, self._column("category")), strict=True))

    def without(self, keys: Collection[str]) -> "PersonaPool":
        """Return the pool without these keys, which it has, in the same order."""
        if not keys:
            return self
        if isinstance(self.personas, StoredPersonas):
            return PersonaPool(self.name, self.personas.without(keys))
        left_out = set(keys)
        return PersonaPool(self.name, tuple(persona for persona in self.personas if persona.key not in left_out))

    def get(self, key: str) -> Persona:
        """Return the persona with this key.

        Raises:
            UserError: no such key in the pool.
        """
        if isinstance(self.personas, StoredPersonas):
            position = self.personas.find(key)
        else:
            position = next((number for number, persona in enumerate(self.personas) if persona.key == key), None)
        if position is None:
            known = ", ".join(persona.key for persona in islice(self.personas, _NAMED))
            more = f" and {len(self) - _NAMED} more" if len(self) > _NAMED else ""
            raise UserError(f"unknown persona {key!r} in pool {self.name}", f"known: {known}{more}")
        return self.personas[position]

    def sha256(self) -> str:
        """Hash the personas in order; pools with the same hash give the same draws."""
        digest = hashlib.sha256(b"[")  # the text of one JSON list, a persona at a time
        for number, persona in enumerate(self.personas):
            text = json.dumps(persona.record(), ensure_ascii=False)
            digest.update(f"{', ' if number else ''}{text}".encode())
        digest.update(b"]")
        return digest.hexdigest()


def load_pool(name_or_path: str | Path, large: int = LARGE_POOL) -> PersonaPool:
    """Load a packaged pool (``"train"``, ``"eval"``) or a JSON Lines file.

    Args:
        large: number of personas above which they are kept in an Arrow table.

    Raises:
        UserError: missing file, malformed line (with its number), unknown or missing
            field, duplicate key or text, invalid weight, empty pool.
    """
    if str(name_or_path) in PACKAGED_POOLS:
        text = resources.files(__package__).joinpath(f"pools/{name_or_path}.jsonl").read_text(encoding="utf-8")
        return _collect(parse_personas(text.split("\n"), f"packaged pool {name_or_path}"), str(name_or_path), large)
    path = Path(name_or_path)
    if not path.is_file():
        raise UserError(
            f"no persona pool {str(name_or_path)!r}",
            f"give one of {', '.join(PACKAGED_POOLS)}, or the path of a JSON Lines file",
        )
    try:
        with path.open(encoding="utf-8") as lines:
            return _collect(parse_personas(lines, str(path)), path.stem, large)
    except UnicodeDecodeError as error:
        raise UserError(f"persona pool {path} is not UTF-8 text ({error})", "save it as UTF-8") from None


def _collect(personas: Iterator[Persona], name: str, large: int) -> PersonaPool:
    first = tuple(islice(personas, large + 1))
    if len(first) <= large:
        return PersonaPool(name, first)
    return PersonaPool(name, StoredPersonas(build_table(chain(first, personas))))


def check_disjoint(train: PersonaPool, held_out: PersonaPool) -> None:
    """Refuse pools that share a key or a text (ignoring case and spacing).

    A shared persona would leak training prompts into the evaluation (arXiv 2604.08986, section 4.2.1).

    Raises:
        UserError: with the shared keys.
    """
    held_out_keys = set(held_out.keys)
    shared_keys = sorted(key for key in train.keys if key in held_out_keys)
    if shared_keys:
        more = f" and {len(shared_keys) - _NAMED} more" if len(shared_keys) > _NAMED else ""
        raise UserError(
            f"pools {train.name} and {held_out.name} share the keys {shared_keys[:_NAMED]}{more}",
            "rename or remove them in one of the two",
        )
    held_out_texts = {folded(persona.system_prompt): persona.key for persona in held_out.wordings()}
    for persona in train.wordings():
        twin = held_out_texts.get(folded(persona.system_prompt))
        if twin is not None:
            raise UserError(
                f"persona {persona.key!r} of pool {train.name} has the same text as {twin!r} of pool {held_out.name}",
                "remove one of them",
            )
