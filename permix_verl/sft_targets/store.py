"""Every text that was paid for, kept: one line of JSON each, appended and never changed.

    STORE/targets.jsonl    a row for each (model, chat, sampling, attempt): the text, and its tokens
    STORE/failures.jsonl   requests that gave no text; the same command asks them again

A store may serve many data sets: what one of them has asked, no other asks again.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.inference.jsonl_store import KeyedRows, append_record, content_key
from permix_verl.personas.prompts import Message
from permix_verl.utils.files import hold


@dataclass(frozen=True, slots=True)
class Text:
    """One stored text.

    Attributes:
        key: see :func:`text_key`.
        model: its name, for people.
        row_id, persona: whom it was first asked for.
        attempt: 0, 1, ...; further ones where a text was not usable.
        finish_reason: "stop" or "length".
        prompt_tokens, completion_tokens: as the engine counts them; ``None`` where it does not say.
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


def text_key(model: Mapping[str, Any], messages: Sequence[Message], sampling: Mapping[str, Any], attempt: int) -> str:
    """Hash of all that a text depends on, 32 hex digits."""
    return content_key(model, list(messages), sampling, attempt)


class TextStore:
    """A folder of texts. Open it with :meth:`writing`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = KeyedRows(folder / "targets.jsonl", Text, "a stored text", "that text is asked for again")

    @property
    def texts(self) -> Mapping[str, Text]:
        """By key."""
        return self._rows.by_key

    @property
    def failures_file(self) -> Path:
        return self.folder / "failures.jsonl"

    @contextlib.contextmanager
    def writing(self) -> Iterator["TextStore"]:
        """Hold the folder and read what is in it; a last line that was cut off by a kill is cut away.

        Raises:
            UserError: another process is writing there, or a line does not read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            hold(self.folder / ".lock", f"another process is writing to {self.folder}; wait for it"),
            self._rows.appending(),
        ):
            yield self

    def append(self, text: Text) -> None:
        """Add a text; once this returns, killing the process does not lose it."""
        self._rows.append(text)

    def append_failure(self, record: Mapping[str, Any]) -> None:
        """Note a request that gave no text."""
        append_record(self.failures_file, record)
