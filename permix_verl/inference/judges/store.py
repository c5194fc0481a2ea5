"""Every question, answer and judgement, kept beside the accuracies of the same model.

results/NAME/personagym/settings.json      model, sampling, question set (with its hash), personas, who judged
results/NAME/personagym/answers.jsonl      a row for each (persona, task, question)
results/NAME/personagym/judgements.jsonl   a row for each reply of a judge, usable or not
results/NAME/personagym/failures.jsonl     requests that gave no reply; the same command asks them again
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.inference.engines import Completion
from permix_verl.inference.jsonl_store import KeyedRows, append_record
from permix_verl.utils.files import hold, write_whole

FORMAT = 1
FOLDER = "personagym"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model under test said.

    Attributes:
        key: hash of model, prompt and sampling.
        question: number of it within its task, from 0.
        asked: its text.
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
        judge, version: its name, and a hash of its settings.
        scoring: "fixed", "official", "examples" (official's) or "pairwise".
        place: persona, task and question of "fixed"; persona, task and block of "official" and "examples"; problem,
            run and order of "pairwise".
        about: keys of the answers that it is about.
        attempt: 0, 1, ...; further ones where a reply was not of the form.
        status: see :data:`permix_verl.inference.judges.replies.Status`.
        verdict: a score; "official": scores of the evaluations in the reply; "pairwise": "first", "second" or "tie";
            ``None`` where there is none.
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
    """A folder with judgements, and notes of what failed. Open it with :meth:`writing`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.judgements = KeyedRows(
            folder / "judgements.jsonl", Judgement, "a judgement", "the same command asks for it again"
        )

    @property
    def failures_file(self) -> Path:
        return self.folder / "failures.jsonl"

    @property
    def settings_file(self) -> Path:
        return self.folder / "settings.json"

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder and read what is in it.

        Raises:
            UserError: another process is writing there, or a line does not read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            hold(self.folder / ".lock", f"another process is writing to {self.folder}; wait for it"),
            self.judgements.appending(),
        ):
            yield

    def settings(self) -> dict[str, Any]:
        """What the folder was begun with.

        Raises:
            UserError: no such file, or it does not read.
        """
        if not self.settings_file.is_file():
            raise UserError(f"{self.folder} has no settings.json; give the command that writes it again")
        try:
            found = json.loads(self.settings_file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise UserError(f"{self.settings_file} does not read ({error}); restore it from a copy") from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise UserError(f"{self.settings_file} is not of format {FORMAT}, which this version reads")
        return found

    def begin(
        self,
        fixed: Mapping[str, Any],
        growing: Mapping[str, Mapping[str, Any]],
        latest: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Remember the settings, or refuse others than the folder was begun with.

        Settings bind where there is a row: a folder without any is begun anew.

        Args:
            fixed: must stay as they are.
            growing: mappings to which entries may be added, and none changed.
            latest: mappings to which entries may be added, and of which the last value counts.

        Raises:
            UserError: another value of a setting.
        """
        now: dict[str, Any] = {"format": FORMAT, **fixed}
        before = self.settings() if self.settings_file.is_file() else now
        if self.is_empty():
            if any(before.get(name) != json.loads(json.dumps(value)) for name, value in now.items()):
                print(f"{self.folder} held the settings of a run that got no reply; this run's replace them")
                self.failures_file.unlink(missing_ok=True)
            before = now
        for name, value in now.items():
            self._same(name, before.get(name), value)
        for name, entries in growing.items():
            there = before.get(name) or {}
            for key in set(there) & set(entries):
                self._same(f"{name} {key!r}", there[key], entries[key])
            now[name] = {**there, **entries}
        for name, entries in latest.items():
            now[name] = {**(before.get(name) or {}), **entries}
        write_whole(self.settings_file, json.dumps(now, indent=1, ensure_ascii=False) + "\n")

    def is_empty(self) -> bool:
        """Whether no reply was ever stored."""
        return self.judgements.is_empty()

    def _same(self, name: str, before: Any, now: Any) -> None:
        if before != json.loads(json.dumps(now)):
            shown = [text if len(text) < 200 else f"{text[:200]}..." for text in (repr(before), repr(now))]
            raise UserError(
                f"{self.folder} was begun with {name} {shown[0]}, not {shown[1]}; give another --out, or the same "
                "settings"
            )

    def failed(self) -> set[tuple[Any, ...]]:
        """(who, scoring, *place) of every request that gave no reply at some time."""
        if not self.failures_file.is_file():
            return set()
        notes = (json.loads(line) for line in self.failures_file.read_text(encoding="utf-8").splitlines() if line)
        return {(note["who"], *note["place"]) for note in notes}

    def note_failure(self, place: Sequence[Any], who: str, completion: Completion) -> None:
        """Note a request that gave no reply."""
        record = {"key": completion.key, "who": who, "place": list(place), "error": completion.error}
        append_record(self.failures_file, record)


class FidelityStore(JudgementStore):
    """A results folder's PersonaGym part."""

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
        """Read all rows."""
        self.answers.read()
        self.judgements.read()
        return self
