"""A hash table from row ids to their problems, in 12 bytes a slot: a dict of Python objects takes ten times as much."""

import hashlib
from array import array

_FIRST_SLOTS = 1 << 12
_FULL = 0.65


class IdTable:
    """64 bits of a row id's hash -> 32 bits of its problem's hash; open addressing with linear probing.

    Two of a million ids share their 64 bits with a probability of 3e-8. A second problem under one id goes unnoticed
    with one of 2e-10.
    """

    def __init__(self) -> None:
        self._count = 0
        self._make(_FIRST_SLOTS)

    def __len__(self) -> int:
        return self._count

    def add(self, row_id: str, content: str) -> bool | None:
        """Add an id, unless it is there.

        Returns:
            ``None`` if it is new; else whether it was added with the same content.
        """
        key, value = digest(row_id), digest(content) >> 32
        slot = self._slot(key)
        if self._keys[slot]:
            return bool(self._values[slot] == value)
        self._keys[slot], self._values[slot] = key, value
        self._count += 1
        if self._count > _FULL * len(self._keys):
            self._grow()
        return None

    def _slot(self, key: int) -> int:
        """Return the key's slot, or the empty one where it belongs."""
        keys, mask = self._keys, len(self._keys) - 1
        slot = key & mask
        while keys[slot] and keys[slot] != key:
            slot = (slot + 1) & mask
        return slot

    def _make(self, slots: int) -> None:
        self._keys = array("Q", bytes(8 * slots))
        self._values = array("I", bytes(4 * slots))

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._make(2 * len(keys))
        for key, value in zip(keys, values, strict=True):
            if key:
                slot = self._slot(key)
                self._keys[slot], self._values[slot] = key, value


def digest(text: str) -> int:
    """Return 64 bits of a text's hash, never 0."""
    data = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(data, "little") or 1
