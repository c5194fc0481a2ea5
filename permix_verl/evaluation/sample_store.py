"""Every sample, kept: one line of JSON each, appended and never changed.

    results/NAME/settings.json        model, sampling settings, the tasks' problems; they bind from the first sample on
    results/NAME/samples/gsm8k.jsonl  a row for each (persona, problem, run)
    results/NAME/failures.jsonl       requests that gave no answer; the same command asks again

A row is written whole or cut off by whatever killed the process; a last line without its end
is cut away when the folder is opened. Anything else that does not read is an error, never a
loss. A row's ``key`` says what it is a sample of: model, adapter, task, prompt, persona,
problem, run, sampling settings.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from permix_verl.errors import UserError
from permix_verl.utils.files import atomic_file, drop_partial_last_line, file_lock, write_atomic

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One stored answer and its verdict.

    Attributes:
        key: identity, see :func:`sample_key`.
        persona: its key, or "no_persona".
        run: 0, 1, ...; answers to the same prompt under another seed.
        prompt: as rendered; for an endpoint that renders itself, the messages as JSON.
        pred, status: the answer that was read, and the reward file's verdict.
        finish_reason: "stop" or "length".
        mark: what marked the answer that was read, in the reward file's words; empty if nothing did, for tasks that
            know no marks, and in rows from before it was kept.
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
    def place(self) -> tuple[str, str, int]:
        """Where it belongs in its task."""
        return self.persona, self.problem, self.run


def sample_key(
    identity: Mapping[str, Any], place: Sequence[Any], prompt_sha256: str, sampling: Mapping[str, Any]
) -> str:
    """Hash of everything that makes a sample what it is, 32 hex digits.

    Args:
        identity: of model and adapter.
        place: task, persona, problem, run.
        sampling: the decoding settings, seed included.
    """
    text = json.dumps([identity, list(place), prompt_sha256, sampling], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class SampleStore:
    """A results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, IO[str]] = {}
        self._replaced = ""

    @property
    def settings_file(self) -> Path:
        return self.folder / "settings.json"

    @contextlib.contextmanager
    def writing(self) -> Iterator["SampleStore"]:
        """Hold the folder for appending; half-written last lines are cut away.

        A call that is refused before its first sample leaves no wish of its own behind.

        Raises:
            UserError: another process is writing there.
        """
        (self.folder / "samples").mkdir(parents=True, exist_ok=True)
        with file_lock(self.folder / ".lock", f"another evaluation is writing to {self.folder}; wait for it"):
            for file in (self.folder / "samples").glob("*.jsonl"):
                drop_partial_last_line(file)
            try:
                yield self
            except UserError:
                if self._replaced and not self._files:
                    write_atomic(self.settings_file, self._replaced)
                raise
            finally:
                for stream in self._files.values():
                    stream.close()
                self._files.clear()

    def settings(self) -> dict[str, Any]:
        """What the folder was begun with.

        Raises:
            UserError: not a results folder.
        """
        if not self.settings_file.is_file():
            raise UserError(
                f"{self.folder} is not a results folder (no settings.json); write one with eval/run.py --out"
            )
        try:
            found = json.loads(self.settings_file.read_text())
        except json.JSONDecodeError as error:
            raise UserError(f"{self.settings_file} does not read ({error}); restore it from a copy") from None
        if found.get("format") != FORMAT:
            raise UserError(f"{self.settings_file} has format {found.get('format')!r}; this version reads {FORMAT}")
        return dict(found)

    def begin(self, settings: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Remember the settings, or refuse others than the folder was begun with; more may be wanted.

        Settings bind where there is a sample: a folder without any is begun anew, and so is a task.

        Args:
            settings: model, adapter, sampling; under "tasks" what each task asks.
            wanted: for each task its "arms" (names) and "runs". The folder remembers all that was
                ever wanted, so that an unfinished one is not taken for a smaller finished one.

        Raises:
            UserError: another model, adapter, sampling setting, or other problems of a task.
        """
        now = {"format": FORMAT, **settings, "wanted": {task: dict(asked) for task, asked in wanted.items()}}
        before = self.settings() if self.settings_file.is_file() else None
        if before and not self.has_samples():
            if before != json.loads(json.dumps(now)):
                print(f"{self.folder} held the settings of a run that made no sample; this run's replace them")
                (self.folder / "failures.jsonl").unlink(missing_ok=True)
        elif before:
            self._replaced = self.settings_file.read_text()
            for name in sorted((set(before) | set(now)) - {"tasks", "wanted"}):
                self._same(name, before.get(name), now.get(name))
            made = {task for task in before["tasks"] if self.has_samples(task) or task not in now["tasks"]}
            for task in sorted(made & set(now["tasks"])):
                self._same(f"task {task}", before["tasks"][task], now["tasks"][task])
            now["tasks"] = before["tasks"] | now["tasks"]
            for task, asked in before["wanted"].items():
                if task in now["tasks"] and task not in made:
                    continue
                more = now["wanted"].get(task, asked)
                arms = list(dict.fromkeys([*asked["arms"], *more["arms"]]))
                now["wanted"][task] = {"arms": arms, "runs": max(asked["runs"], more["runs"])}
        write_atomic(self.settings_file, json.dumps(now, indent=2, ensure_ascii=False) + "\n")

    def _same(self, name: str, before: Any, now: Any) -> None:
        if before != now:
            raise UserError(
                f"{self.folder} holds results with {name} {before!r}, not {now!r}; give another --out, or the same "
                "settings"
            )

    def has_samples(self, task: str | None = None) -> bool:
        """Whether anything was stored, of this task or of any."""
        tasks = self.tasks() if task is None else [task]
        files = [self.folder / "samples" / f"{name}.jsonl" for name in tasks]
        return any(file.is_file() and file.stat().st_size > 0 for file in files)

    def tasks(self) -> list[str]:
        """Tasks of which there are samples."""
        return sorted(file.stem for file in (self.folder / "samples").glob("*.jsonl"))

    def samples(self, task: str) -> Iterator[Sample]:
        """The samples of a task, in the order they were stored.

        Raises:
            UserError: a line that does not read, or a sample that stands twice.
        """
        file = self.folder / "samples" / f"{task}.jsonl"
        if not file.is_file():
            return
        seen: dict[str, int] = {}
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return  # being written, or cut off when its writer was killed
                sample = _read(line, f"{file}, line {number}")
                if sample.key in seen:
                    raise UserError(
                        f"{file}, line {number}: the same sample as on line {seen[sample.key]}; remove one of them"
                    )
                seen[sample.key] = number
                yield sample

    def append(self, samples: Sequence[Sample]) -> None:
        """Add samples; once this returns, killing the process loses none of them."""
        for sample in samples:
            self._stream(f"samples/{sample.task}.jsonl").write(json.dumps(asdict(sample), ensure_ascii=False) + "\n")
        for stream in self._files.values():
            stream.flush()

    def append_failure(self, record: Mapping[str, Any]) -> None:
        """Note a request that gave no answer."""
        stream = self._stream("failures.jsonl")
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        stream.flush()

    def replace(self, task: str, samples: Iterator[Sample]) -> None:
        """Write a task's samples anew, in one move: for verdicts that changed."""
        file = self.folder / "samples" / f"{task}.jsonl"
        with atomic_file(file) as partial, partial.open("w", encoding="utf-8") as stream:
            for sample in samples:
                stream.write(json.dumps(asdict(sample), ensure_ascii=False) + "\n")

    def _stream(self, name: str) -> IO[str]:
        if name not in self._files:
            self._files[name] = (self.folder / name).open("a", encoding="utf-8")
        return self._files[name]


def _read(line: bytes, where: str) -> Sample:
    try:
        record = json.loads(line)
        return Sample(**record)
    except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
        raise UserError(
            f"{where}: not a sample ({str(error)[:120]}); restore the file from a copy, or delete this line: the same "
            "eval/run.py command then generates that sample again"
        ) from None
