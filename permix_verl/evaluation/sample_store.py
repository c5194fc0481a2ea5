"""Sample store of the evaluation: one JSON line per sample, appended and never changed.

    results/NAME/settings.json        model, sampling settings, problems of each task; binding from the first sample on
    results/NAME/samples/gsm8k.jsonl  one row per (persona, problem, run)
    results/NAME/failures.jsonl       requests without a completion; the same command retries them

A row's ``key`` is a hash of model, adapter, task, prompt, persona, problem, run and sampling settings. A partial last
line, left by a kill, is dropped when the folder is opened for writing. Any other unreadable line is an error.
"""

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.inference.jsonl_store import RowFile, SettingsFile, append_record, check_unchanged, plain
from permix_verl.utils.files import atomic_file, drop_partial_last_line, file_lock

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One stored completion and its score.

    Attributes:
        key: see :func:`sample_key`.
        persona: persona key, or "no_persona".
        run: 0, 1, ...; completions of the same prompt under another seed.
        prompt: rendered prompt; if an endpoint renders, the messages as JSON.
        output: text of the completion.
        pred: final answer that the reward file extracted.
        status: status of the reward file.
        finish_reason: "stop" or "length".
        mark: marker of the final answer, in the reward file's words; empty if there was none, for tasks without marks,
            and in rows written before marks were stored.
    """

    key: str
    task: str
    persona: str
    problem: str
    run: int
    prompt: str
    prompt_sha256: str
    gold: str
    output: str
    pred: str
    status: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    seed: int
    mark: str = ""

    @property
    def sample_id(self) -> tuple[str, str, int]:
        """Persona, problem and run."""
        return self.persona, self.problem, self.run


def sample_key(
    identity: Mapping[str, Any], place: Sequence[Any], prompt_sha256: str, sampling: Mapping[str, Any]
) -> str:
    """Return the key of a sample: a hash of everything that it depends on, 32 hex digits.

    Args:
        identity: model and adapter.
        place: task, persona, problem, run.
        sampling: sampling settings, seed included.
    """
    text = json.dumps([identity, list(place), prompt_sha256, sampling], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class SampleStore:
    """A results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._settings = SettingsFile(
            folder / "settings.json",
            FORMAT,
            (f"{folder} is not a results folder (no settings.json)", "write one with eval/run.py --out"),
        )
        self._files: dict[str, RowFile[Sample]] = {}
        self._replaced: dict[str, Any] = {}

    @contextlib.contextmanager
    def writing(self) -> Iterator["SampleStore"]:
        """Lock the folder for appending, and drop partial last lines.

        A call that is refused before its first sample leaves the settings of the folder unchanged.

        Raises:
            UserError: another process is writing there.
        """
        (self.folder / "samples").mkdir(parents=True, exist_ok=True)
        with file_lock(self.folder / ".lock", f"another evaluation is writing to {self.folder}", "wait for it"):
            for file in (self.folder / "samples").glob("*.jsonl"):
                drop_partial_last_line(file)
            try:
                yield self
            except UserError:
                if self._replaced and not self._files:
                    self._settings.write(self._replaced)
                raise
            finally:
                for rows in self._files.values():
                    rows.close()
                self._files.clear()

    def settings(self) -> dict[str, Any]:
        """Read the settings that the folder was begun with.

        Raises:
            UserError: not a results folder.
        """
        return self._settings.read()

    def begin(self, settings: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Store the settings, or refuse settings that differ from those of the folder; more samples may be wanted.

        Settings bind once a sample is stored: a folder without samples is begun anew, and so is a task.

        Args:
            settings: model, adapter, sampling; under "tasks" the problems of each task.
            wanted: "arms" (condition keys) and "runs" of each task, and "categories", persona key -> category. The
                folder stores the union over all calls, so that an unfinished folder is not taken for a smaller finished
                one.

        Raises:
            UserError: another model, adapter or sampling setting, or other problems of a task.
        """
        now = {"format": FORMAT, **settings, "wanted": {task: dict(samples) for task, samples in wanted.items()}}
        before = self.settings() if self._settings.exists() else None
        if before and not self.has_samples():
            if before != plain(now):
                print(f"{self.folder} held the settings of a run that made no sample; this run's replace them")
                (self.folder / "failures.jsonl").unlink(missing_ok=True)
        elif before:
            self._replaced = before
            self._extend(now, before)
        self._settings.write(now)

    def _extend(self, now: dict[str, Any], before: Mapping[str, Any]) -> None:
        """Check ``now`` against the folder's settings, and add the folder's other tasks, conditions and runs."""
        for name in sorted((set(before) | set(now)) - {"tasks", "wanted"}):
            check_unchanged(self.folder, name, before.get(name), now.get(name))
        binding = {task for task in before["tasks"] if self.has_samples(task) or task not in now["tasks"]}
        for task in sorted(binding & set(now["tasks"])):
            check_unchanged(self.folder, f"task {task}", before["tasks"][task], now["tasks"][task])
        now["tasks"] = before["tasks"] | now["tasks"]
        for task, earlier in before["wanted"].items():
            if task in now["tasks"] and task not in binding:
                continue
            later = now["wanted"].get(task, earlier)
            conditions = list(dict.fromkeys([*earlier["arms"], *later["arms"]]))
            categories = earlier.get("categories", {}) | later.get("categories", {})
            now["wanted"][task] = {"arms": conditions, "runs": max(earlier["runs"], later["runs"])} | (
                {"categories": categories} if categories else {}
            )

    def has_samples(self, task: str | None = None) -> bool:
        """Return whether a sample is stored, of this task or of any."""
        return any(not self._rows(name).is_empty() for name in (self.tasks() if task is None else [task]))

    def tasks(self) -> list[str]:
        """Return the tasks that have samples."""
        return sorted(file.stem for file in (self.folder / "samples").glob("*.jsonl"))

    def samples(self, task: str) -> Iterator[Sample]:
        """Yield the samples of a task in stored order.

        Raises:
            UserError: a line does not parse, or a sample is stored twice.
        """
        rows = self._rows(task)
        line_of: dict[str, int] = {}
        for number, sample in rows.numbered_rows():
            if sample.key in line_of:
                raise UserError(
                    f"{rows.file}, line {number}: the same sample as on line {line_of[sample.key]}",
                    "remove one of them",
                )
            line_of[sample.key] = number
            yield sample

    def append(self, samples: Sequence[Sample]) -> None:
        """Append samples; once this returns, killing the process loses none of them."""
        by_task = defaultdict(list)
        for sample in samples:
            by_task[sample.task].append(sample)
        for task, rows in by_task.items():
            self._files.setdefault(task, self._rows(task)).append(*rows)

    def append_failure(self, record: Mapping[str, Any]) -> None:
        """Store a request without a completion."""
        append_record(self.folder / "failures.jsonl", record)

    def replace(self, task: str, samples: Iterator[Sample]) -> None:
        """Rewrite the samples of a task atomically, with changed scores."""
        with atomic_file(self._rows(task).file) as partial, partial.open("w", encoding="utf-8") as stream:
            for sample in samples:
                stream.write(json.dumps(asdict(sample), ensure_ascii=False) + "\n")

    def _rows(self, task: str) -> RowFile[Sample]:
        file = self.folder / "samples" / f"{task}.jsonl"
        return RowFile(file, Sample, "a sample", "the same eval/run.py command generates that sample again")
