"""Append-only store of answers and judgements, in the results folder of the model.

results/NAME/personagym/settings.json      model, sampling, question set (with its hash), personas, judges
results/NAME/personagym/answers.jsonl      one row per (persona, task, question)
results/NAME/personagym/judgements.jsonl   one row per reply of a judge, usable or not
results/NAME/personagym/failures.jsonl     requests without a reply; the same command retries them
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.inference.engines import Completion
from permix_verl.inference.jsonl_store import KeyedRows, SettingsFile, append_record, check_unchanged, plain
from permix_verl.utils.files import file_lock

FORMAT = 1
FOLDER = "personagym"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the model under test.

    Attributes:
        key: hash of model, prompt and sampling.
        question: number of the question within its task, from 0.
        asked: text of the question.
        output: text of the answer.
    """

    key: str
    persona: str
    task: str
    question: int
    asked: str
    output: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    seed: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """One reply of a judge.

    Attributes:
        key: hash of judge, prompt and attempt.
        judge, version: name of the judge, and a hash of its settings.
        scoring: "fixed", "official", "examples" (score examples of "official"), "pairwise", or "questions" (a written
            question set).
        place: id of the judged item. "fixed": persona, task, question. "official" and "examples": persona, task,
            block. "pairwise": problem, run, order. "questions": persona, task, number of questions.
        about: keys of the judged answers.
        attempt: 0, 1, ...; counts replies that did not parse.
        status: see :data:`permix_verl.inference.judges.replies.Status`.
        verdict: parsed value of the reply, ``None`` if there is none. "fixed": score. "official": scores of the
            evaluations. "examples": text. "pairwise": "first", "second" or "tie". "questions": list of texts.
    """

    key: str
    scoring: str
    judge: str
    version: str
    place: Sequence[Any]
    about: Sequence[str]
    attempt: int
    reply: str
    finish_reason: str
    status: str
    verdict: Any
    prompt_tokens: int | None
    completion_tokens: int | None


class JudgementStore:
    """A folder of judgements and failed requests. Open it with :meth:`writing`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._settings = SettingsFile(
            folder / "settings.json", FORMAT, (f"{folder} has no settings.json", "rerun the command that writes it")
        )
        self.judgements = KeyedRows(
            folder / "judgements.jsonl", Judgement, "a judgement", "the same command asks for it again"
        )

    @property
    def failures_file(self) -> Path:
        """JSON Lines file of failed requests."""
        return self.folder / "failures.jsonl"

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the folder and read its rows.

        Raises:
            UserError: another process is writing there, or a line does not parse.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            file_lock(self.folder / ".lock", f"another process is writing to {self.folder}", "wait for it"),
            self.judgements.appending(),
        ):
            yield

    def has_settings(self) -> bool:
        """Return whether the folder was begun."""
        return self._settings.exists()

    def settings(self) -> dict[str, Any]:
        """Read the settings that the folder was begun with.

        Raises:
            UserError: the file is missing, or does not parse.
        """
        return self._settings.read()

    def begin(
        self,
        fixed: Mapping[str, Any],
        growing: Mapping[str, Mapping[str, Any]],
        latest: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Store the settings, or refuse settings that differ from those of the folder.

        Settings bind once a row is stored; a folder without rows is begun anew.

        Args:
            fixed: settings that must not change.
            growing: mappings whose entries may be added, not changed.
            latest: mappings whose entries may be added or replaced.

        Raises:
            UserError: a setting differs.
        """
        now: dict[str, Any] = {"format": FORMAT, **fixed}
        before = self.settings() if self._settings.exists() else now
        if self.is_empty():
            if any(before.get(name) != plain(value) for name, value in now.items()):
                print(f"{self.folder} held the settings of a run without any reply; they are replaced")
                self.failures_file.unlink(missing_ok=True)
            before = now
        for name, value in now.items():
            check_unchanged(self.folder, name, before.get(name), value)
        for name, entries in growing.items():
            stored = before.get(name) or {}
            for key in set(stored) & set(entries):
                check_unchanged(self.folder, f"{name} {key!r}", stored[key], entries[key])
            now[name] = {**stored, **entries}
        for name, entries in latest.items():
            now[name] = {**(before.get(name) or {}), **entries}
        self._settings.write(now)

    def is_empty(self) -> bool:
        """Return True if no reply is stored."""
        return self.judgements.is_empty()

    def failed(self) -> set[tuple[Any, ...]]:
        """Return (model or judge, scoring, *place) of every request that has ever failed."""
        if not self.failures_file.is_file():
            return set()
        notes = (json.loads(line) for line in self.failures_file.read_text(encoding="utf-8").splitlines() if line)
        return {(note["who"], *note["place"]) for note in notes}

    def note_failure(self, place: Sequence[Any], who: str, completion: Completion) -> None:
        """Store a request that failed.

        Args:
            place: scoring (or "answer"), and id of the item.
            who: model or judge.
        """
        record = {"key": completion.key, "who": who, "place": list(place), "error": completion.error}
        append_record(self.failures_file, record)


class FidelityStore(JudgementStore):
    """The PersonaGym folder inside a results folder."""

    def __init__(self, results: Path) -> None:
        super().__init__(results / FOLDER)
        self.answers = KeyedRows(
            self.folder / "answers.jsonl", Answer, "an answer", "the same command asks for it again"
        )

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        with super().writing(), self.answers.appending():
            yield

    def is_empty(self) -> bool:
        return super().is_empty() and self.answers.is_empty()

    def read(self) -> "FidelityStore":
        """Read all rows, without the lock."""
        self.answers.read()
        self.judgements.read()
        return self
