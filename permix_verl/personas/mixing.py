"""Persona sampling and epoch order: pure functions of (seed, epoch, row id).

The paper samples a persona uniformly for every training instance (arXiv 2604.08986, section 4.1, Algorithm 1). We draw
by hash instead of from a generator's state: the draw does not depend on row order, on dataloader workers or on where a
run was resumed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from permix_verl.errors import UserError
from permix_verl.personas.pool import Persona, PersonaPool, split_keys
from permix_verl.seeding import HASH_RANGE, derive_seed


def draw_persona(pool: PersonaPool, seed: int, epoch: int, row_id: str) -> Persona:
    """Draw a row's persona, uniformly over the pool.

    The modulus of a 128-bit hash favours no persona by more than ``len(pool) / 2**128``.

    Args:
        pool: the training pool; its order matters.
        seed: the run's persona seed.
        epoch: 0 for the first pass over the data.
        row_id: stable identifier of the row, such as ``"gsm8k/train/17"``.
    """
    return pool.personas[derive_seed("permix.persona", seed, epoch, row_id) % len(pool)]


def epoch_order(row_ids: Sequence[str], seed: int, epoch: int) -> list[int]:
    """Return the order of the rows in one epoch: row positions sorted by a hash of (seed, epoch, row id).

    Args:
        row_ids: (N,) stable, unique identifiers; their order does not matter.
        seed: the run's seed.
        epoch: 0 for the first pass over the data.

    Returns:
        A permutation of ``range(N)``.
    """
    return sorted(range(len(row_ids)), key=lambda i: derive_seed("permix.order", seed, epoch, row_ids[i]))


def development_personas(pool: PersonaPool, selection: str, seed: int) -> tuple[str, ...]:
    """Select the personas of the training pool that are used for validation only.

    Args:
        pool: the training pool.
        selection: a number, sampled without replacement by a hash of (seed, key); or keys or slugs, separated as in
            :func:`~permix_verl.personas.pool.split_keys`. ``"0"`` and ``""`` select none.
        seed: the run's persona seed.

    Returns:
        Keys, in the pool's order.

    Raises:
        UserError: an unknown or repeated key, or no persona left to train with.
    """
    names = [name for name in split_keys(selection) if name]
    if len(names) == 1 and names[0].isdecimal():
        ranked = sorted(pool.keys, key=lambda key: derive_seed("permix.dev", seed, 0, key))
        chosen = set(ranked[: int(names[0])])
        count = int(names[0])
    else:
        keys = {persona.slug: persona.key for persona in pool}
        chosen = {pool.get(keys.get(name, name)).key for name in names}
        count = len(names)
        if len(chosen) < count:
            raise UserError(f"development personas {selection!r} name one twice", "name each once")
    if count >= len(pool):
        raise UserError(
            f"{count} of the {len(pool)} personas of pool {pool.name} held out leave none to train with",
            f"hold out at most {len(pool) - 1}",
        )
    return tuple(key for key in pool.keys if key in chosen)


@dataclass(frozen=True)
class PersonaDraw:
    """Settings of the persona draw, stored in the data file; with (epoch, row id) they determine each row's persona.

    Attributes:
        pool: the training pool, development personas included; see :attr:`train_pool`.
        seed: the run's persona seed.
        no_persona_probability: expected fraction of (epoch, row) pairs without a persona; 1 is plain RLVR.
        epoch: the epoch whose personas are in the file's prompts.
        dev_personas: keys of the pool's personas that no training row gets (:func:`development_personas`).
    """

    pool: PersonaPool
    seed: int
    no_persona_probability: float = 0.0
    epoch: int = 0
    dev_personas: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.no_persona_probability <= 1:
            raise UserError(
                f"the probability of no persona is {self.no_persona_probability}", "it must lie between 0 and 1"
            )

    @cached_property
    def train_pool(self) -> PersonaPool:
        """The pool without the development personas; a row's persona is uniform over it."""
        return PersonaPool(self.pool.name, tuple(p for p in self.pool if p.key not in self.dev_personas))

    def persona(self, epoch: int, row_id: str) -> Persona | None:
        """Draw the persona of a row in an epoch, or ``None``; which one does not depend on the probability of none."""
        if derive_seed("permix.none", self.seed, epoch, row_id) < self.no_persona_probability * HASH_RANGE:
            return None
        return draw_persona(self.train_pool, self.seed, epoch, row_id)

    def to_json(self) -> str:
        return json.dumps(
            {
                "seed": self.seed,
                "epoch": self.epoch,
                "no_persona_probability": self.no_persona_probability,
                "pool": self.pool.name,
                "personas": [[p.key, p.category, p.system_prompt] for p in self.pool],
            }
            # Omitted when empty: a run identifies its data by these bytes, and older files have no such key.
            | ({"held_out": list(self.dev_personas)} if self.dev_personas else {}),
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
            dev_personas=tuple(record.get("held_out", ())),
        )
