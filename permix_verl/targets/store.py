"""Every text that was paid for, kept: one line of JSON each, appended and never changed.

    STORE/targets.jsonl    a row for each (model, chat, sampling, attempt): the text, and its tokens
    STORE/failures.jsonl   requests that gave no text; the same command asks them again

A store may serve many data sets: what one of them has asked, no other asks again.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from permix_verl.errors import UserError
from permix_verl.files import cut_torn_line, hold
from permix_verl.prompts import Message


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
    text = json.dumps([model, list(messages), sampling, attempt], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class TextStore:
    """A folder of texts. Open it with :meth:`writing`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.texts: dict[str, Text] = {}
        self._texts_file: IO[str] | None = None

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
        file = self.folder / "targets.jsonl"
        with hold(self.folder / ".lock", f"another process is writing to {self.folder}; wait for it"):
            if file.exists():
                cut_torn_line(file)
                self.texts = {text.key: text for text in _read(file)}
            with file.open("a", encoding="utf-8") as self._texts_file:
                yield self

    def append(self, text: Text) -> None:
        """Add a text; once this returns, killing the process does not lose it."""
        assert self._texts_file is not None, "open the store with writing()"
        self._texts_file.write(json.dumps(asdict(text), ensure_ascii=False) + "\n")
        self._texts_file.flush()
        self.texts[text.key] = text

    def append_failure(self, record: Mapping[str, Any]) -> None:
        """Note a request that gave no text."""
        with self.failures_file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def _read(file: Path) -> Iterator[Text]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield Text(**json.loads(line))
            except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
                raise UserError(
                    f"{file}, line {number}: not a stored text ({str(error)[:120]}); restore the file from a copy, or "
                    "delete this line, and that text is asked for again"
                ) from None
