"""Code problems as training data: rows in LiveCodeBench's format, or question and tests."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from permix_verl.code.tests import Cases
from permix_verl.data.layouts import has_field
from permix_verl.data.problem_sources import ProblemSource, SourceRow
from permix_verl.data.problems import Problem
from permix_verl.data.records import Located, count_records, file_records, hub_records
from permix_verl.data.row_ids import CONTENT, ID_FIELDS, POSITION_IDS, content_id, field_names, field_of, id_text
from permix_verl.errors import UserError
from permix_verl.personas.prompts import code_question

_ID_FIELDS = ("question_id", *ID_FIELDS)


@dataclass
class CodeSource(ProblemSource):
    """A source of code problems; the final answer is the tests, as JSON.

    A row has either ``question``, ``ground_truth`` (JSON: inputs, outputs, fn_name) and optionally ``starter_code``, or
    LiveCodeBench's fields.
    """

    default_name: str = "code"

    def rows(self) -> Iterator[SourceRow]:
        """Stream the problems, in order.

        Raises:
            UserError: no such source, a malformed row, a problem without tests.
        """
        options = self.spec.options
        if options.question_field or options.answer_field or options.gold:
            raise UserError(
                f"{self.spec.location}: code problems have fixed fields", "leave out question-field, answer-field, gold"
            )
        self.read = 0
        name = self.spec.name or self.default_name
        for _, record in self._all_records():
            where = f"{self.spec.location}, problem {self.read + 1}"
            try:
                question, tests = _read(record)
                row_id = self._code_id(record, question, tests, self.read)
            except UserError as error:
                raise error.at(where) from None
            problem = Problem(row_id, question, "", tests, "code", name)
            yield SourceRow(where, problem, "", tests, self.spec.weight, options)
            self.read += 1

    def count(self) -> int | None:
        """Return the number of problems in files; ``None`` for a data set on the hub."""
        files = self.files()
        return None if files is None else sum(map(count_records, files))

    def describe(self) -> str:
        """Return an empty text: the fields are fixed."""
        return ""

    def _all_records(self) -> Iterator[Located]:
        files = self.files()
        if files is None:
            for config in self.spec.configs or (None,):
                yield from hub_records(self.spec.location, config, self.spec.split)
            return
        for file in files:
            yield from file_records(file)

    def _code_id(self, record: Mapping[str, Any], question: str, tests: str, index: int) -> str:
        prefix = f"{self.spec.name or self.default_name}/{self.spec.split}"
        if self.row_ids == POSITION_IDS:
            return f"{prefix}/{index}"
        field = self.spec.options.id_field
        if field not in (None, CONTENT) and not has_field(record, str(field)):
            raise UserError(f"no field {field!r}", f"the fields are {', '.join(field_names(record))}")
        for name in () if field == CONTENT else ((field,) if field else _ID_FIELDS):
            if (found := field_of(record, name)) not in (None, ""):
                return f"{prefix}/{id_text(found, name)}"
        return f"{prefix}/{content_id(question.strip(), tests)}"


def _read(record: Any) -> tuple[str, str]:
    """Return a problem's question and its tests as JSON."""
    if not isinstance(record, Mapping):
        raise UserError(f"expected an object, got {type(record).__name__}", "write one object per row")
    statement = record.get("question") or record.get("question_content")
    if not isinstance(statement, str) or not statement.strip():
        raise UserError("no question", "give question and ground_truth, or LiveCodeBench's question_content and tests")
    truth = record.get("ground_truth")
    if "public_test_cases" in record:
        cases = Cases.from_record(dict(record))
    elif isinstance(truth, str):
        cases = Cases.from_ground_truth(truth)
    else:
        raise UserError(
            "no tests", 'ground_truth must be JSON: {"inputs": [...], "outputs": [...], "fn_name": NAME or null}'
        )
    return code_question(statement, record.get("starter_code") or ""), cases.to_ground_truth()
