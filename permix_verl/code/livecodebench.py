"""LiveCodeBench's files: which rows are asked for, and their tests, which stay where they are until they are needed."""

import datetime
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from permix_verl.code.tests import Cases
from permix_verl.errors import UserError, first_line

HUB_NAME = "livecodebench/code_generation_lite"
RELEASES: Mapping[str, tuple[str, int]] = {
    "v1": ("test.jsonl", 400),
    "v2": ("test2.jsonl", 511),
    "v3": ("test3.jsonl", 612),
    "v4": ("test4.jsonl", 713),
    "v5": ("test5.jsonl", 880),
    "v6": ("test6.jsonl", 1055),
}
"""Release -> the file that it adds to the one before, and its problems, those of earlier releases included."""
FIRST = "v1"
"""The release that the paper's figures fit, by their denominators; it names v6 (docs/code.md)."""
DIFFICULTIES = ("easy", "medium", "hard")
_FIELDS = ("question_content", "question_id", "contest_date", "difficulty", "public_test_cases", "private_test_cases")


@dataclass(frozen=True)
class Selection:
    """Which problems, and how their programs are run; as ``-T NAME=VALUE`` gives it.

    Attributes:
        release: v1 to v6, each with all before it; of a single file it is not asked.
        difficulty: one or more of easy, medium and hard.
        start_date, end_date: YYYY-MM-DD, both included; of the contest.
        sandbox: "on", or the value of :data:`permix_verl.sandbox.OFF`.
    """

    release: str = "v6"
    difficulty: tuple[str, ...] = DIFFICULTIES
    start_date: str = ""
    end_date: str = ""
    sandbox: str = "on"

    @classmethod
    def of(cls, args: Mapping[str, str]) -> "Selection":
        """Checked.

        Raises:
            UserError: an unknown name or value.
        """
        known = tuple(cls.__dataclass_fields__)
        unknown = sorted(set(args) - set(known))
        if unknown:
            raise UserError(f"livecodebench takes no {unknown[0]!r}; known: {', '.join(known)}")
        given: dict[str, Any] = dict(args)
        if "release" in given:
            given["release"] = given["release"].removeprefix("release_")
            if given["release"] not in RELEASES:
                raise UserError(f"unknown release {args['release']!r}; known: {', '.join(RELEASES)}")
        if "difficulty" in given:
            chosen = [part.strip() for part in given["difficulty"].split(",")]
            wrong = [part for part in chosen if part not in DIFFICULTIES]
            if wrong:
                raise UserError(f"unknown difficulty {wrong[0]!r}; known: {', '.join(DIFFICULTIES)}")
            given["difficulty"] = tuple(part for part in DIFFICULTIES if part in chosen)
        for name in ("start_date", "end_date"):
            if name in given:
                _date(given[name], f"{name}={given[name]}")
        return cls(**given)

    def takes(self, row: Mapping[str, Any], where: str) -> bool:
        day = _date(row["contest_date"], f"{where}: contest_date {row['contest_date']!r}")
        return (
            row["difficulty"] in self.difficulty
            and (not self.start_date or day >= _date(self.start_date, ""))
            and (not self.end_date or day <= _date(self.end_date, ""))
        )

    def window(self) -> str:
        """Part of the names in reports: figures of another window are of other problems."""
        return f"_{self.start_date or 'begin'}_to_{self.end_date or 'end'}" if self.start_date or self.end_date else ""


def _date(text: str, what: str) -> datetime.date:
    try:
        return datetime.datetime.fromisoformat(text).date()
    except ValueError:
        raise UserError(f"{what} is no date; write YYYY-MM-DD") from None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row stands, so that its tests, up to hundreds of megabytes, need not be kept."""

    file: Path
    offset: int
    length: int


_places: dict[str, _Place] = {}
"""Hash of a problem's tests -> its row, of every source that this process has loaded."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is asked for.

    Attributes:
        release: the first that holds it; "" of a single file.
        tests: hash of its tests, by which :func:`find_cases` finds them.
    """

    release: str
    difficulty: str
    name: str
    statement: str
    starter_code: str
    tests: str


def read_rows(source: str, selection: Selection) -> Iterator[Row]:
    """The rows of a source that are asked for, in order.

    Args:
        source: the hub name, a folder with its files, or one ``.jsonl`` file.

    Raises:
        UserError: nothing there, rows that do not read, a problem without tests.
    """
    for release, file in _files(source, selection.release):
        for place, row in _rows(file):
            where = f"{file}, problem {row.get('question_id')!r}"
            if not selection.takes(row, where):
                continue
            digest = _digest(row)
            if digest not in _places:
                try:
                    Cases.of_record(row)
                except UserError as error:
                    raise UserError(f"{where}: {error}") from None
            _places[digest] = place
            starter = row.get("starter_code") or ""
            yield Row(release, row["difficulty"], row["question_id"], row["question_content"], starter, digest)


def find_cases(tests: str, problem: str) -> Cases:
    """A problem's tests, from the file that it was read from.

    Args:
        tests: their hash.
        problem: its name, for the error.

    Raises:
        UserError: it was not loaded here, or the file has changed since.
    """
    if tests not in _places:
        raise UserError(
            f"the tests of {problem} are not loaded; name their source: --tasks livecodebench=FOLDER_OR_HUB_NAME"
        )
    return _read_cases(tests, _places[tests])


@functools.lru_cache(maxsize=8)
def _read_cases(digest: str, place: _Place) -> Cases:
    with place.file.open("rb") as stream:
        stream.seek(place.offset)
        line = stream.read(place.length)
    try:
        row = json.loads(line)
    except ValueError:
        row = {}
    if not isinstance(row, dict) or _digest(row) != digest:
        raise UserError(f"{place.file} has changed since it was read; give the same command again")
    return Cases.of_record(row)


def _digest(row: Mapping[str, Any]) -> str:
    parts = [row.get(name) or "" for name in ("public_test_cases", "private_test_cases", "metadata")]
    text = "\x1f".join(part if isinstance(part, str) else json.dumps(part) for part in parts)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _files(source: str, release: str) -> list[tuple[str, Path]]:
    """Release and file, in order; a single file is of no release."""
    path = Path(source).expanduser()
    if path.is_file():
        return [("", path)]
    wanted = list(RELEASES)[: list(RELEASES).index(release) + 1]
    if path.is_dir():
        missing = [RELEASES[one][0] for one in wanted if not (path / RELEASES[one][0]).is_file()]
        if missing:
            raise UserError(
                f"folder {path} has no {missing[0]}, which release {release} needs; download it from {HUB_NAME}, or "
                "take an earlier one (-T release=v1)"
            )
        return [(one, path / RELEASES[one][0]) for one in wanted]
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        raise UserError(f"no such file or folder: {source!r}; give a path, or a hub name such as {HUB_NAME}")
    return [(one, _download(source, RELEASES[one][0])) for one in wanted]


def _download(source: str, name: str) -> Path:
    import huggingface_hub

    # Not with datasets: this one came as a loading script, which datasets 4 no longer runs.
    try:
        return Path(huggingface_hub.hf_hub_download(source, name, repo_type="dataset"))
    except Exception as error:  # the hub client raises a dozen kinds; each means: not to be had from there
        raise UserError(
            f"cannot load {name} of {source!r} from the hub ({first_line(error)}); check the name and the network, or "
            "give a folder with its files: --tasks livecodebench=FOLDER"
        ) from error


def _rows(file: Path) -> Iterator[tuple[_Place, dict[str, Any]]]:
    size = file.stat().st_size
    bar = tqdm(
        total=size, unit="B", unit_scale=True, desc=f"reading {file.name}", leave=False, disable=size < 100 << 20
    )
    offset = 0
    with file.open("rb") as lines, bar:
        for number, line in enumerate(lines, start=1):
            place = _Place(file, offset, len(line))
            offset += len(line)
            bar.update(len(line))
            if line.strip():
                yield place, _checked(line, f"{file}, line {number}")


def _checked(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({first_line(error)}); repair or remove the line") from None
    missing = [name for name in _FIELDS if not isinstance(row, dict) or not row.get(name)]
    if missing:
        raise UserError(f"{where}: no {missing[0]}; every row needs {', '.join(_FIELDS)}")
    if row["difficulty"] not in DIFFICULTIES:
        raise UserError(
            f"{where}: difficulty {row['difficulty']!r} is none of {', '.join(DIFFICULTIES)}; repair the row"
        )
    checked: dict[str, Any] = row
    return checked
