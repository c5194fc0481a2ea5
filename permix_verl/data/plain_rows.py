"""Rows in verl's schema that have no personas yet: checks of a row, row ids, and rows that repeat.

    data_source, prompt (a chat), reward_model.ground_truth, and optionally ability, extra_info and columns of any kind

A file may hold one problem several times (DAPO-Math-17k holds each about a hundred times). Such rows have one id, and
draw independently all the same: by position the second is ``ID#2``, the third ``ID#3``. One id for two problems is an
error.
"""

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from permix_verl.data.row_ids import CONTENT, row_id_of
from permix_verl.data.system_message import OWN_SYSTEM, REMEDY, split_system
from permix_verl.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_EXCERPT = 60
Row = Mapping[str, Any]


def check_chat(prompt: Any, where: str, key: str = "prompt") -> None:
    """Check that a prompt is a chat: a list of messages, each with a role.

    Raises:
        UserError: it is not.
    """
    remedy = 'write [{"role": "user", "content": ...}], as verl does'
    if isinstance(prompt, str):
        raise UserError(f"{where}: {key!r} is the text {prompt[:_EXCERPT]!r}, not a list of chat messages", remedy)
    if not isinstance(prompt, list | tuple):
        raise UserError(f"{where}: {key!r} is {str(prompt)[:_EXCERPT]}, not a list of chat messages", remedy)
    if not prompt:
        raise UserError(f"{where}: {key!r} is an empty list", "remove the row, or give it a user message")
    for message in prompt:
        if not isinstance(message, Mapping) or not message.get("role"):
            raise UserError(f"{where}: {key!r} has the message {str(message)[:_EXCERPT]}, without a role", remedy)


def check_row(row: Any, where: str, key: str = "prompt") -> None:
    """Check a row that is to get a persona.

    Args:
        where: file and row, for messages.
        key: name of the chat column.

    Raises:
        UserError: a row without verl's fields, or one that has a persona already.
    """
    if not isinstance(row, Mapping):
        raise UserError(f"{where} is {type(row).__name__}, not an object", "give rows in verl's schema")
    if missing := [name for name in ("data_source", key, "reward_model") if name not in row]:
        raise UserError(
            f"{where} has no {missing[0]!r}, but {', '.join(map(repr, list(row)[:8]))}: these rows do not follow "
            "verl's schema",
            "give problems with question and answer to permix prep, or as DATA to a recipe",
        )
    check_chat(row[key], where, key)
    if ground_truth(row) in (None, ""):
        raise UserError(f"{where}: 'reward_model.ground_truth' is missing", "add the field")
    info = row.get("extra_info")
    if info is not None and not isinstance(info, Mapping):
        raise UserError(f"{where}: 'extra_info' is {str(info)[:_EXCERPT]!r}, not an object", "write it as a struct")
    for field in ("persona", "epoch", OWN_SYSTEM):
        if info and info.get(field) is not None:
            raise UserError(
                f"{where} has extra_info.{field}={info[field]!r} already, so personas were mixed into it",
                "give the file it was made of",
            )


def ground_truth(row: Row) -> Any:
    """Return the row's ground truth; ``None`` without one."""
    reward_model = row.get("reward_model")
    return reward_model.get("ground_truth") if isinstance(reward_model, Mapping) else None


def row_id(row: Row, id_field: str | None = None, key: str = "prompt") -> str:
    """Return a row's id by the rules of ``permix_verl.data.row_ids``, without the number of a repeated row.

    Raises:
        UserError: the row has no such field, or an id that is neither a text nor an integer.
    """
    return row_id_of({**row, "prompt": row[key]}, id_field=id_field)


def problem_digest(row: Row, key: str = "prompt") -> int:
    """Return a 64-bit hash of what a row asks: its messages, but for system messages, and its ground truth."""
    problem = {"prompt": row[key], "reward_model": row["reward_model"]}
    return int(row_id_of(problem, id_field=CONTENT).rpartition("/")[2], 16)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class RowScan:
    """One pass over plain rows: checks each, and collects their ids in 16 bytes a row.

    Attributes:
        rows: rows seen.
        own_system: number of rows with a system message of their own.
    """

    def __init__(self, id_field: str | None = None, refuse_system: bool = True, key: str = "prompt") -> None:
        self.id_field, self.refuse_system, self.key = id_field, refuse_system, key
        self.rows = self.own_system = 0
        self._first_own = ("", "")
        self._ids, self._problems = array("Q"), array("Q")
        self._sorted_ids: np.ndarray | None = None

    def add(self, row: Any, where: str) -> str:
        """Check a row and return its id, without the number of a repeated one.

        Raises:
            UserError: as in :func:`check_row` and :func:`row_id`.
        """
        check_row(row, where, self.key)
        try:
            name = self.name(row)
            own, _ = split_system(row[self.key])
        except UserError as error:
            raise error.at(where) from None
        if own is not None:
            self._first_own = self._first_own if self.own_system else (where, own)
            self.own_system += 1
        self.rows += 1
        self._ids.append(_digest(name))
        self._problems.append(problem_digest(row, self.key))
        return name

    def name(self, row: Row) -> str:
        """Return a row's id, without the number of a repeated one."""
        return row_id(row, self.id_field, self.key)

    def ranks(self, fetch: Callable[[int], tuple[str, Row]]) -> "np.ndarray":
        """Return each row's number among the rows with its id: (N,) integers from 1.

        Args:
            fetch: position of a row -> where it is, and the row; for messages.

        Raises:
            UserError: rows with system messages of their own, if they are refused; one id for two problems.
        """
        import numpy as np

        if self.own_system and self.refuse_system:
            where, text = self._first_own
            raise UserError(
                f"{self.own_system} of {self.rows} rows have a system message of their own, first {where}: "
                f"{text[:_EXCERPT]!r}",
                REMEDY,
            )
        ids_N, problems_N = (np.frombuffer(values, dtype=np.uint64) for values in (self._ids, self._problems))
        order_N = np.argsort(ids_N, kind="stable")
        starts_N = np.ones(len(order_N), dtype=bool)
        starts_N[1:] = ids_N[order_N][1:] != ids_N[order_N][:-1]
        first_N = np.maximum.accumulate(np.where(starts_N, np.arange(len(order_N)), 0))
        other_N = problems_N[order_N] != problems_N[order_N][first_N]
        if other_N.any():
            place = int(np.argmax(other_N))
            raise self._two_problems(*(fetch(int(order_N[at])) for at in (first_N[place], place)))
        ranks_N = np.empty(len(order_N), dtype=np.int64)
        ranks_N[order_N] = np.arange(len(order_N)) - first_N + 1
        return ranks_N

    def numbered(self, name: str, rank: int) -> str:
        """Return the id of a row: its own, or with ``#rank`` from the second of equal rows on.

        Raises:
            UserError: another row has that id already.
        """
        if rank == 1:
            return name
        import numpy as np

        if self._sorted_ids is None:
            self._sorted_ids = np.unique(np.frombuffer(self._ids, dtype=np.uint64))
        repeated = f"{name}#{rank}"
        digest = np.uint64(_digest(repeated))
        place = int(np.searchsorted(self._sorted_ids, digest))
        if place < len(self._sorted_ids) and self._sorted_ids[place] == digest:
            raise UserError(f"{repeated!r} is a row's id and the name of a repeated row", self._remedy())
        return repeated

    def _two_problems(self, one: tuple[str, Row], other: tuple[str, Row]) -> UserError:
        name = row_id(one[1], self.id_field, self.key)
        places = " and ".join(f"{where} ({_excerpt(row, self.key)})" for where, row in (one, other))
        return UserError(f"one row id, {name!r}, for two problems: {places}", self._remedy())

    def _remedy(self) -> str:
        return "name a field with an id of each problem (--id-field, data.permix.id_field), or content for a hash of it"


def numbered_ids(scan: RowScan, names: Sequence[str], ranks_N: "np.ndarray") -> list[str]:
    """Return the ids of all rows, repeated ones numbered."""
    return [scan.numbered(name, int(rank)) for name, rank in zip(names, ranks_N, strict=True)]


def repeats_note(ranks_N: "np.ndarray") -> str:
    """Return a sentence on the rows that repeat others; empty if none does."""
    repeated = int((ranks_N > 1).sum())
    if not repeated:
        return ""
    return (
        f"{repeated} of {len(ranks_N)} rows repeat one of {int((ranks_N == 2).sum())} problems under its id; each is "
        "numbered (ID#2, ...) and draws independently"
    )


def _excerpt(row: Row, key: str) -> str:
    content = next((message.get("content") for message in reversed(row[key])), "")
    return f"{str(content)[:_EXCERPT]!r}, ground truth {str(ground_truth(row))[:_EXCERPT]!r}"
