"""Persona sampling and epoch order: pure functions of (seed, epoch, row id).

The paper samples a persona uniformly for every training instance (arXiv 2604.08986, section 4.1, Algorithm 1). We draw
by hash instead of from a generator's state: the draw does not depend on row order, on dataloader workers or on where a
run was resumed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.personas.pool import LARGE_POOL, Persona, PersonaPool, slug_of, split_keys
from permix_verl.personas.pool_arrow import POOL_FILE, StoredPersonas, build_table
from permix_verl.seeding import HASH_RANGE, derive_seed


def draw_persona(pool: PersonaPool, seed: int, epoch: int, row_id: str) -> Persona:
    """Draw a row's persona, uniformly over the pool or by its weights, and one of the persona's wordings, uniformly.

    Args:
        pool: the training pool; its order matters.
        seed: the run's persona seed.
        epoch: 0 for the first pass over the data.
        row_id: stable identifier of the row, such as ``"gsm8k/train/17"``.

    Returns:
        The persona, with the drawn wording as its system prompt.
    """
    return draw_wording(pool.sample(derive_seed("permix.persona", seed, epoch, row_id)), seed, epoch, row_id)


def draw_wording(persona: Persona, seed: int, epoch: int, row_id: str) -> Persona:
    """Return the persona with one of its wordings as its system prompt, drawn uniformly by a hash."""
    if not persona.paraphrases:
        return persona
    return persona.worded(derive_seed("permix.wording", seed, epoch, row_id) % len(persona.wordings))


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
        keys = {slug_of(key): key for key in pool.keys}
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


def validation_personas(
    pool: PersonaPool, count: int, seed: int, dev_personas: Sequence[str] = ()
) -> tuple[Persona, ...]:
    """Select the personas under which the validation problems are asked: the same ones in every epoch.

    Args:
        pool: the training pool.
        count: number of personas. The development personas are taken first, and all of them even if they are more; a
            hash of (seed, key) selects the others, so that a persona's selection depends on no other's place.
        seed: the run's persona seed.
        dev_personas: keys of :func:`development_personas`.

    Returns:
        All personas of a pool of up to ``count``, else a subset, in the pool's order.

    Raises:
        UserError: a count below 1.
    """
    if count < 1:
        raise UserError(f"validation under {count} personas", "ask for at least 1")
    if count >= len(pool):
        return tuple(pool)
    first = set(dev_personas)
    ranked = sorted(pool.keys, key=lambda key: (key not in first, derive_seed("permix.valset", seed, 0, key)))
    chosen = set(ranked[: max(count, len(first))])
    return tuple(persona for persona in pool if persona.key in chosen)


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

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the training pool, which any process can select."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def train_pool(self) -> PersonaPool:
        """The pool without the development personas; a row's persona is drawn from it."""
        return self.pool.without(self.dev_personas)

    def persona(self, epoch: int, row_id: str) -> Persona | None:
        """Draw the persona of a row in an epoch, or ``None``; which one does not depend on the probability of none."""
        if derive_seed("permix.none", self.seed, epoch, row_id) < self.no_persona_probability * HASH_RANGE:
            return None
        return draw_persona(self.train_pool, self.seed, epoch, row_id)

    def stored(self, folder: Path, large: int = LARGE_POOL) -> "PersonaDraw":
        """Write a large pool's personas to the folder of the data, and return the draw from that file.

        Args:
            large: number of personas up to which the draw is returned as it is: its JSON has them all.
        """
        personas = self.pool.personas
        if len(personas) <= large:
            return replace(self, pool=PersonaPool(self.pool.name, tuple(personas)))
        if not isinstance(personas, StoredPersonas):
            personas = StoredPersonas(build_table(personas))
        return replace(self, pool=PersonaPool(self.pool.name, personas.write(folder / POOL_FILE)))

    def to_json(self) -> str:
        """Return the draw as JSON: with its personas, or with the name and the hash of the file that has them.

        Raises:
            ValueError: a large pool that is not stored (:meth:`stored`).
        """
        personas, content = self.pool.personas, dict[str, Any]()
        if not isinstance(personas, StoredPersonas):
            content = {"personas": [persona.record() for persona in personas]}
        elif personas.path is None:
            raise ValueError(f"the {len(personas)} personas of pool {self.pool.name} are not stored in a file yet")
        else:
            content = {"pool_file": personas.path.name, "pool_sha256": personas.sha256}
        return json.dumps(
            {
                "seed": self.seed,
                "epoch": self.epoch,
                "no_persona_probability": self.no_persona_probability,
                "pool": self.pool.name,
                **content,
            }
            # Omitted when empty: a run identifies its data by these bytes, and older files have no such key.
            | ({"held_out": list(self.dev_personas)} if self.dev_personas else {}),
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str, folder: Path | None = None) -> "PersonaDraw":
        """Read a draw.

        Args:
            folder: the folder of the data, which has a large pool's file.

        Raises:
            UserError: that file is missing, or is another one.
        """
        record: Mapping[str, Any] = json.loads(text)
        personas: Sequence[Persona]
        if "pool_file" in record:
            personas = StoredPersonas.open((folder or Path()) / record["pool_file"], record["pool_sha256"])
        else:
            personas = tuple(map(Persona.from_record, record["personas"]))
        return cls(
            pool=PersonaPool(record["pool"], personas),
            seed=record["seed"],
            no_persona_probability=record["no_persona_probability"],
            epoch=record["epoch"],
            dev_personas=tuple(record.get("held_out", ())),
        )
