"""Append-only JSONL store of generated targets, keyed by content hash.

    STORE/targets.jsonl    one row per (model, chat, sampling, attempt): the text and its token counts
    STORE/failures.jsonl   requests without a text; the same command retries them

Data sets may share a store: a text generated for one is reused by all.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.inference.jsonl_store import KeyedRows, append_record, content_key
from permix_verl.personas.prompts import Message
from permix_verl.utils.files import file_lock


@dataclass(frozen=True, slots=True)
class TargetText:
    """One stored text.

    Attributes:
        key: see :func:`target_key`.
        model: name of the model, for readers.
        row_id, persona: row that it was first generated for.
        attempt: 0, 1, ...; counts texts that were not usable.
        finish_reason: "stop" or "length".
        prompt_tokens, completion_tokens: the engine's counts; ``None`` if it reports none.
    """

    key: str
    model: str
    row_id: str
    persona: str
    attempt: int
    output: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None


def target_key(model: Mapping[str, Any], messages: Sequence[Message], sampling: Mapping[str, Any], attempt: int) -> str:
    """Return the cache key of a text: a hash of everything that it depends on, 32 hex digits."""
    return content_key(model, list(messages), sampling, attempt)


class TargetStore:
    """A folder of texts. Open it with :meth:`writing`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = KeyedRows(folder / "targets.jsonl", TargetText, "a stored text", "that text is asked for again")

    @property
    def texts(self) -> Mapping[str, TargetText]:
        """Stored texts by key."""
        return self._rows.by_key

    @property
    def failures_file(self) -> Path:
        """JSON Lines file of failed requests."""
        return self.folder / "failures.jsonl"

    @contextlib.contextmanager
    def writing(self) -> Iterator["TargetStore"]:
        """Lock the folder and read its rows; a partial last line, left by a kill, is dropped.

        Raises:
            UserError: another process is writing there, or a line does not parse.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            file_lock(self.folder / ".lock", f"another process is writing to {self.folder}", "wait for it"),
            self._rows.appending(),
        ):
            yield self

    def append(self, text: TargetText) -> None:
        """Add a text; once this returns, killing the process does not lose it."""
        self._rows.append(text)

    def append_failure(self, record: Mapping[str, Any]) -> None:
        """Store a request that failed."""
        append_record(self.failures_file, record)
