"""Problems of any data set: one stream of rows with ids, whatever file, fields and form of golds they come from."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from permix_verl.data.golds import GOLD_FORMS, gold_text
from permix_verl.data.instructions import plain_question
from permix_verl.data.layouts import Layout, find_layout
from permix_verl.data.problems import Problem, check_text
from permix_verl.data.records import (
    HUB_NAME,
    Located,
    count_different,
    count_records,
    file_records,
    first_record,
    hub_records,
    resolve_files,
)
from permix_verl.data.row_ids import CONTENT, POSITION_IDS, ROW_IDS, content_id, field_names, field_of, id_text
from permix_verl.data.source_spec import NO_OPTIONS, SourceOptions, SourceSpec
from permix_verl.errors import UserError

GSM8K, OTHER = "gsm8k", "math"
"""Names of files in GSM8K's format, and of others that nobody named: a draw must not depend on where a file lies."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a source.

    Attributes:
        where: its place, such as ``train.jsonl, line 3``.
        problem: the problem; its final answer is empty where ``fault`` is not.
        fault: why its final answer cannot be read; empty if it can.
        text: text of the answer field.
        weight: copies of the row in one pass over the training data.
        options: options of the row's source.
    """

    where: str
    problem: Problem
    fault: str = ""
    text: str = ""
    weight: float = 1.0
    options: SourceOptions = NO_OPTIONS


@dataclass
class ProblemSource:
    """A source that is opened when it is first read.

    Attributes:
        spec: the source as the user named it.
        row_ids: ``content-1`` or ``position`` (``permix_verl.data.row_ids``).
        default_name: name of a source of positional ids that nobody named.
        read: number of rows that the last stream has given so far.
    """

    spec: SourceSpec
    row_ids: str = ROW_IDS
    default_name: str = GSM8K
    read: int = 0
    _layouts: list[Layout] = field(default_factory=list)

    def rows(self) -> Iterator[SourceRow]:
        """Stream the rows, in order.

        Raises:
            UserError: no such source, a file of another format, a field that is not there, a row without a problem.
        """
        self.read = 0
        for where, record in self._records():
            yield self._row(record, where, self.read)
            self.read += 1

    @property
    def layout(self) -> Layout | None:
        """The layout, once a row has been read; ``None`` for a source without rows."""
        return self._layouts[0] if self._layouts else None

    def describe(self) -> str:
        """Return what was read how, in a line; empty before a row has been read."""
        layout = self.layout
        if layout is None:
            return ""
        name = self._name({}, layout) if self.spec.name or not layout.source_field else "the rows' data_source"
        return f"{self.spec.location}: {layout.describe()}, named {name}"

    def files(self) -> list[Path] | None:
        """Return the local files; ``None`` for a data set on the hub.

        Raises:
            UserError: no such source.
        """
        return resolve_files(self.spec.location, self.spec.split, self.spec.configs)

    def count(self) -> int | None:
        """Return the number of problems: counted in files, or published by the preset; ``None`` if unknown.

        Different ids are counted in parquet files with ids, and records in other files.

        Raises:
            UserError: a file that is missing or cannot be read.
        """
        files, preset = self.files(), self.spec.known
        if files is None:
            return (preset.problems or {}).get(self.spec.split) if preset else None
        first = first_record(files[0])
        layout = find_layout(first[1], self.spec, first[0]) if first else None
        if layout is None or layout.id_field in (None, CONTENT) or any(file.suffix != ".parquet" for file in files):
            return sum(map(count_records, files))
        return count_different(files, str(layout.id_field))

    def _records(self) -> Iterator[Located]:
        files = self.files()
        if files is None:
            yield from self._hub_records()
            return
        for file in files:
            layout = self.layout
            if layout is None:
                first = first_record(file)
                if first is None:
                    continue
                layout = find_layout(first[1], self.spec, first[0])
                self._layouts.append(layout)
            yield from file_records(file, layout.columns)

    def _hub_records(self) -> Iterator[Located]:
        location, split = self.spec.location, self.spec.split
        configs = self.spec.configs or (("main",) if location == HUB_NAME else (None,))
        for config in configs:
            if self.layout is None:
                first = next(hub_records(location, config, split), None)
                if first is None:
                    continue
                self._layouts.append(find_layout(first[1], self.spec, first[0]))
            assert self.layout is not None
            yield from hub_records(location, config, split, self.layout.columns)

    def _row(self, record: Any, where: str, index: int) -> SourceRow:
        layout = self.layout
        assert layout is not None
        if not isinstance(record, Mapping):
            raise UserError(f"{where}: expected an object, got {type(record).__name__}", "write one object per row")
        try:
            question = check_text(plain_question(field_of(record, layout.question), layout.question), layout.question)
            solution = field_of(record, layout.solution) if layout.solution else ""
            gold, text, fault = _gold(record, layout)
            row_id = self._row_id(record, layout, question, gold or text, index)
        except UserError as error:
            raise error.at(where) from None
        name = self._name(record, layout)
        solution = solution if isinstance(solution, str) else ""
        problem = Problem(row_id, question, solution, gold, source=name)
        return SourceRow(where, problem, fault, text, self.spec.weight, self.spec.options)

    def _row_id(self, record: Mapping[str, Any], layout: Layout, question: str, gold: str, index: int) -> str:
        prefix = f"{self._name(record, layout)}/{self.spec.split}"
        if self.row_ids == POSITION_IDS:
            return f"{prefix}/{index}"
        if layout.source_field and not layout.id_needed and layout.id_field != CONTENT:
            own = field_of(record, "extra_info.row_id")
            if own not in (None, ""):
                return id_text(own, "extra_info.row_id")
        found = field_of(record, layout.id_field) if layout.id_field not in (None, CONTENT) else None
        if found not in (None, ""):
            return f"{prefix}/{id_text(found, str(layout.id_field))}"
        if layout.id_needed:
            raise UserError(f"no id in field {layout.id_field!r}", f"the fields are {', '.join(field_names(record))}")
        return f"{prefix}/{content_id(question.strip(), gold)}"

    def _name(self, record: Mapping[str, Any], layout: Layout) -> str:
        spec = self.spec
        if spec.name:
            return spec.name
        if self.row_ids == POSITION_IDS:
            return self.default_name
        if layout.source_field:
            own = str(field_of(record, layout.source_field) or "").rstrip("/").rpartition("/")[2]
            return _slug(own) or OTHER
        if not Path(spec.location).expanduser().exists():
            return _slug(spec.location.rpartition("/")[2]) or OTHER
        return GSM8K if layout.is_gsm8k else OTHER


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")


def _gold(record: Mapping[str, Any], layout: Layout) -> tuple[str, str, str]:
    """Return final answer, text of its field, and why it cannot be read; one of the first and last is empty."""
    text = ""
    try:
        text = gold_text(field_of(record, layout.answer))
        return GOLD_FORMS[layout.gold](text), text, ""
    except ValueError as error:
        said = f" in {layout.answer} {text[-60:]!r}" if text else f" field {layout.answer!r}"
        return "", text, f"{error}{said}"


def read_rows(sources: Sequence[ProblemSource]) -> Iterator[SourceRow]:
    """Stream the rows of several sources, one source after another."""
    for source in sources:
        yield from source.rows()


Rows = Callable[[], Iterator[SourceRow]]
"""Function that starts a stream of rows anew."""
