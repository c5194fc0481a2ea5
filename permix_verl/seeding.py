"""Seeds derived by hashing, so that a choice depends neither on row order nor on where a run was resumed."""

import hashlib

HASH_RANGE = 2**128
"""Exclusive upper bound of :func:`derive_seed`."""


def derive_seed(purpose: str, *parts: object) -> int:
    """Return a 128-bit integer that depends on the purpose and on the text of every part, and on nothing else.

    Args:
        purpose: separates independent choices about the same parts. Up to 16 bytes of it count. In use:
            ``permix.persona``, ``permix.none``, ``permix.order``, ``permix.dev``, ``permix.val``, ``permix.rollout``,
            ``permix.worker``, ``permix.lora``, ``permix.eval``, ``permix.answer``, ``permix.judgement``,
            ``permix.target``, ``permix.lab.split``, ``permix.pooled``, ``permix.valset``, ``permix.wording``,
            ``permix.weight``, ``permix.plain``, ``permix.weighted``, ``permix.refill``, ``permix.retire``,
            ``permix.style``.
        parts: such as seed, epoch and row id; their number and order count.
    """
    message = "\x1f".join(map(str, parts)).encode()
    digest = hashlib.blake2b(message, digest_size=16, person=purpose.encode()[:16])
    return int.from_bytes(digest.digest(), "big")


def salted(row_id: str, salt: int) -> str:
    """Return a row's id for another choice about the same row in the same epoch; salt 0 is the id itself."""
    return f"{row_id}\x1f{salt}" if salt else row_id
