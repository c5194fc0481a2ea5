"""LiveCodeBench's files: select rows, and read their tests from the file only when needed."""

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
"""Release -> (the file that it adds, number of problems including earlier releases)."""
FIRST = "v1"
"""The release that the denominators of the paper's figures fit; the paper names v6 (docs/code.md)."""
DIFFICULTIES = ("easy", "medium", "hard")
_FIELDS = ("question_content", "question_id", "contest_date", "difficulty", "public_test_cases", "private_test_cases")


@dataclass(frozen=True)
class Selection:
    """Selection of problems, and whether their programs run in a sandbox; the task's ``-T NAME=VALUE`` settings.

    Attributes:
        release: v1 to v6, each including all earlier ones; ignored for a single file.
        difficulty: one or more of easy, medium and hard.
        start_date, end_date: dates of the contest, YYYY-MM-DD, both inclusive.
        sandbox: "on", or the value of :data:`permix_verl.sandbox.OFF`.
    """

    release: str = "v6"
    difficulty: tuple[str, ...] = DIFFICULTIES
    start_date: str = ""
    end_date: str = ""
    sandbox: str = "on"

    @classmethod
    def from_args(cls, args: Mapping[str, str]) -> "Selection":
        """Validate and parse the settings.

        Raises:
            UserError: an unknown name or value.
        """
        known = tuple(cls.__dataclass_fields__)
        unknown = sorted(set(args) - set(known))
        if unknown:
            raise UserError(f"livecodebench has no setting {unknown[0]!r}", f"known: {', '.join(known)}")
        given: dict[str, Any] = dict(args)
        if "release" in given:
            given["release"] = given["release"].removeprefix("release_")
            if given["release"] not in RELEASES:
                raise UserError(f"unknown release {args['release']!r}", f"known: {', '.join(RELEASES)}")
        if "difficulty" in given:
            chosen = [part.strip() for part in given["difficulty"].split(",")]
            wrong = [part for part in chosen if part not in DIFFICULTIES]
            if wrong:
                raise UserError(f"unknown difficulty {wrong[0]!r}", f"known: {', '.join(DIFFICULTIES)}")
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
        """Return the date range as part of names in reports: another range means other problems."""
        return f"_{self.start_date or 'begin'}_to_{self.end_date or 'end'}" if self.start_date or self.end_date else ""


def _date(text: str, what: str) -> datetime.date:
    try:
        return datetime.datetime.fromisoformat(text).date()
    except ValueError:
        raise UserError(f"{what} is not a date", "write YYYY-MM-DD") from None


@dataclass(frozen=True, slots=True)
class _RowLocation:
    """Position of a row in its file, so that its tests, up to hundreds of megabytes, need not stay in memory."""

    file: Path
    offset: int
    length: int


_row_locations: dict[str, _RowLocation] = {}
"""Hash of a problem's tests -> its row, for every source that this process has loaded."""


@dataclass(frozen=True, slots=True)
class LiveCodeBenchRow:
    """A selected row.

    Attributes:
        release: the first release with this problem; "" for a single file.
        tests: hash of its tests, the key for :func:`find_cases`.
    """

    release: str
    difficulty: str
    name: str
    statement: str
    starter_code: str
    tests: str


def read_rows(source: str, selection: Selection) -> Iterator[LiveCodeBenchRow]:
    """Stream the selected rows of a source, in order.

    Args:
        source: the hub name, a folder with its files, or one ``.jsonl`` file.

    Raises:
        UserError: no such source, malformed rows, a problem without tests.
    """
    for release, file in _files(source, selection.release):
        for location, row in _rows(file):
            where = f"{file}, problem {row.get('question_id')!r}"
            if not selection.takes(row, where):
                continue
            digest = _digest(row)
            if digest not in _row_locations:
                try:
                    Cases.from_record(row)
                except UserError as error:
                    raise error.at(where) from None
            _row_locations[digest] = location
            starter = row.get("starter_code") or ""
            yield LiveCodeBenchRow(
                release, row["difficulty"], row["question_id"], row["question_content"], starter, digest
            )


def find_cases(tests: str, problem: str) -> Cases:
    """Read a problem's tests from its file.

    Args:
        tests: hash of the tests.
        problem: the problem's name, for errors.

    Raises:
        UserError: the problem was not loaded by this process, or the file has changed since.
    """
    if tests not in _row_locations:
        raise UserError(
            f"the tests of {problem} are not loaded", "name their source: --tasks livecodebench=FOLDER_OR_HUB_NAME"
        )
    return _read_cases(tests, _row_locations[tests])


@functools.lru_cache(maxsize=8)
def _read_cases(digest: str, location: _RowLocation) -> Cases:
    with location.file.open("rb") as stream:
        stream.seek(location.offset)
        line = stream.read(location.length)
    try:
        row = json.loads(line)
    except ValueError:
        row = {}
    if not isinstance(row, dict) or _digest(row) != digest:
        raise UserError(f"{location.file} has changed since it was read", "run the same command again")
    return Cases.from_record(row)


def _digest(row: Mapping[str, Any]) -> str:
    parts = [row.get(name) or "" for name in ("public_test_cases", "private_test_cases", "metadata")]
    text = "\x1f".join(part if isinstance(part, str) else json.dumps(part) for part in parts)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _files(source: str, release: str) -> list[tuple[str, Path]]:
    """Return (release, file) in order; a single file has release ""."""
    path = Path(source).expanduser()
    if path.is_file():
        return [("", path)]
    releases = list(RELEASES)[: list(RELEASES).index(release) + 1]
    if path.is_dir():
        missing = [RELEASES[one][0] for one in releases if not (path / RELEASES[one][0]).is_file()]
        if missing:
            raise UserError(
                f"folder {path} has no {missing[0]}, which release {release} needs",
                f"download it from {HUB_NAME}, or take an earlier one (-T release=v1)",
            )
        return [(one, path / RELEASES[one][0]) for one in releases]
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        raise UserError(f"no such file or folder: {source!r}", f"give a path, or a hub name such as {HUB_NAME}")
    return [(one, _download(source, RELEASES[one][0])) for one in releases]


def _download(source: str, name: str) -> Path:
    import huggingface_hub

    try:  # not with datasets: this data set is a loading script, which datasets 4 no longer runs
        return Path(huggingface_hub.hf_hub_download(source, name, repo_type="dataset"))
    except Exception as error:  # the hub client raises a dozen types, all meaning that the file cannot be loaded
        raise UserError(
            f"cannot load {name} of {source!r} from the hub ({first_line(error)})",
            "check the name and the network, or give a folder with its files: --tasks livecodebench=FOLDER",
        ) from error


def _rows(file: Path) -> Iterator[tuple[_RowLocation, dict[str, Any]]]:
    size = file.stat().st_size
    bar = tqdm(
        total=size, unit="B", unit_scale=True, desc=f"reading {file.name}", leave=False, disable=size < 100 << 20
    )
    offset = 0
    with file.open("rb") as lines, bar:
        for number, line in enumerate(lines, start=1):
            location = _RowLocation(file, offset, len(line))
            offset += len(line)
            bar.update(len(line))
            if line.strip():
                yield location, _checked(line, f"{file}, line {number}")


def _checked(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({first_line(error)})", "repair or remove the line") from None
    missing = [name for name in _FIELDS if not isinstance(row, dict) or not row.get(name)]
    if missing:
        raise UserError(f"{where}: no {missing[0]}", f"every row needs {', '.join(_FIELDS)}")
    if row["difficulty"] not in DIFFICULTIES:
        raise UserError(
            f"{where}: difficulty {row['difficulty']!r} is not one of {', '.join(DIFFICULTIES)}", "repair the row"
        )
    checked: dict[str, Any] = row
    return checked
