"""Which persona a training row gets: a pure function of (seed, epoch, row id).

The paper samples a persona uniformly for every training instance (section 4.1,
Algorithm 1). Drawing by hash instead of from a generator's state makes the draw
independent of row order, of dataloader workers and of where a run was resumed.
"""

import hashlib

from permix_verl.personas import Persona, PersonaPool


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
