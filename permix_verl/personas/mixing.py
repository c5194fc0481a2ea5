"""Which persona a training row gets, and when it comes: pure functions of (seed, epoch, row id).

The paper samples a persona uniformly for every training instance (section 4.1,
Algorithm 1). Drawing by hash instead of from a generator's state makes the draw
independent of row order, of dataloader workers and of where a run was resumed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from permix_verl.errors import UserError
from permix_verl.personas.pool import Persona, PersonaPool, split_keys

_HASH_RANGE = 2**128


def hash_to_int(purpose: str, seed: int, epoch: int, row_id: str) -> int:
    """A 128-bit integer that depends on all four arguments and on nothing else.

    ``purpose`` separates independent choices about the same row (which persona,
    held out for validation or not).
    """
    message = f"{seed}\x1f{epoch}\x1f{row_id}".encode()
    digest = hashlib.blake2b(message, digest_size=16, person=purpose.encode()[:16])
    return int.from_bytes(digest.digest(), "big")


def draw_persona(pool: PersonaPool, seed: int, epoch: int, row_id: str) -> Persona:
    """Draw the persona of a row, uniformly over the pool.

    The modulus of a 128-bit hash favours no persona by more than ``len(pool) / 2**128``.

    Args:
        pool: the training pool; its order matters.
        seed: the run's persona seed.
        epoch: 0 for the first pass over the data.
        row_id: stable identifier of the row, such as ``"gsm8k/train/17"``.
    """
    return pool.personas[hash_to_int("permix.persona", seed, epoch, row_id) % len(pool)]


def epoch_order(row_ids: Sequence[str], seed: int, epoch: int) -> list[int]:
    """A permutation of the rows for one epoch: positions sorted by a hash of (seed, epoch, row id).

    Args:
        row_ids: stable identifiers, all different; their order does not matter.
        seed: the run's seed.
        epoch: 0 for the first pass over the data.

    Returns:
        Indices into ``row_ids``, each once.
    """
    return sorted(range(len(row_ids)), key=lambda i: hash_to_int("permix.order", seed, epoch, row_ids[i]))


def development_personas(pool: PersonaPool, asked: str, seed: int) -> tuple[str, ...]:
    """The personas of the training pool that are held out of training, for validation.

    Args:
        pool: the training pool.
        asked: how many, drawn without replacement as a function of the seed and of each key alone; or their
            keys, or slugs, as :func:`~permix_verl.personas.pool.split_keys` takes them. ``"0"`` and ``""`` hold out none.
        seed: the run's persona seed.

    Returns:
        Keys, in the pool's order.

    Raises:
        UserError: an unknown or repeated key, or none left to train with.
    """
    names = [name for name in split_keys(asked) if name]
    if len(names) == 1 and names[0].isdecimal():
        ranked = sorted(pool.keys, key=lambda key: hash_to_int("permix.dev", seed, 0, key))
        chosen = set(ranked[: int(names[0])])
        count = int(names[0])
    else:
        keys = {persona.slug: persona.key for persona in pool}
        chosen = {pool.get(keys.get(name, name)).key for name in names}
        count = len(names)
        if len(chosen) < count:
            raise UserError(f"development personas {asked!r} name one twice; name each once")
    if count >= len(pool):
        raise UserError(
            f"{count} of the {len(pool)} personas of pool {pool.name} held out leave none to train with; "
            f"hold out at most {len(pool) - 1}"
        )
    return tuple(key for key in pool.keys if key in chosen)


@dataclass(frozen=True)
class PersonaDraw:
    """All that a draw depends on besides epoch and row; it travels inside the data file.

    Attributes:
        pool: the training pool.
        seed: the run's persona seed.
        no_persona_probability: share of (epoch, row) pairs that get no persona; 1 is plain RLVR.
        epoch: the epoch whose draw the file's own prompts hold.
        held_out: keys of the pool's personas that no row gets (:func:`development_personas`).
    """

    pool: PersonaPool
    seed: int
    no_persona_probability: float = 0.0
    epoch: int = 0
    held_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.no_persona_probability <= 1:
            raise UserError(
                f"the probability of no persona is {self.no_persona_probability}; it must lie between 0 and 1"
            )

    @cached_property
    def drawn_from(self) -> PersonaPool:
        """The pool without those held out; a row's persona is uniform over it."""
        return PersonaPool(self.pool.name, tuple(p for p in self.pool if p.key not in self.held_out))

    def persona(self, epoch: int, row_id: str) -> Persona | None:
        """The persona of a row in an epoch, or ``None``; which persona does not depend on the probability of none."""
        if hash_to_int("permix.none", self.seed, epoch, row_id) < self.no_persona_probability * _HASH_RANGE:
            return None
        return draw_persona(self.drawn_from, self.seed, epoch, row_id)

    def to_json(self) -> str:
        return json.dumps(
            {
                "seed": self.seed,
                "epoch": self.epoch,
                "no_persona_probability": self.no_persona_probability,
                "pool": self.pool.name,
                "personas": [[p.key, p.category, p.system_prompt] for p in self.pool],
            }
            # Only where there are some: the bytes of files without, by which a run knows its data, stay as they were.
            | ({"held_out": list(self.held_out)} if self.held_out else {}),
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> "PersonaDraw":
        record: Mapping[str, Any] = json.loads(text)
        return cls(
            pool=PersonaPool(record["pool"], tuple(Persona(*fields) for fields in record["personas"])),
            seed=record["seed"],
            no_persona_probability=record["no_persona_probability"],
            epoch=record["epoch"],
            held_out=tuple(record.get("held_out", ())),
        )
