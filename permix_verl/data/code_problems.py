"""Code problems as training data: rows in LiveCodeBench's format, or question and tests."""

from collections.abc import Iterator
from typing import Any

from permix_verl.code.tests import Cases
from permix_verl.data.problems import Problem, iter_records
from permix_verl.errors import UserError
from permix_verl.personas.prompts import code_question


def iter_code_problems(source: str, split: str = "train", dataset: str = "code") -> Iterator[Problem]:
    """Stream the problems of a source, in order; the final answer is the tests, as JSON.

    Args:
        source: as in :func:`permix_verl.data.problems.iter_problems`. A row has either ``question``, ``ground_truth``
            (JSON: inputs, outputs, fn_name) and optionally ``starter_code``, or LiveCodeBench's fields.
        dataset: first part of the row ids.

    Raises:
        UserError: no such source, a malformed row, a problem without tests.
    """
    for index, record in enumerate(iter_records(source, split, ())):
        where = f"{source}, problem {index + 1}"
        try:
            yield _to_problem(record, f"{dataset}/{split}/{index}")
        except UserError as error:
            raise error.at(where) from None


def _to_problem(record: dict[str, Any], row_id: str) -> Problem:
    statement = record.get("question") or record.get("question_content")
    if not isinstance(statement, str) or not statement.strip():
        raise UserError("no question", "give question and ground_truth, or LiveCodeBench's question_content and tests")
    truth = record.get("ground_truth")
    if "public_test_cases" in record:
        cases = Cases.from_record(record)
    elif isinstance(truth, str):
        cases = Cases.from_ground_truth(truth)
    else:
        raise UserError(
            "no tests", 'ground_truth must be JSON: {"inputs": [...], "outputs": [...], "fn_name": NAME or null}'
        )
    tests = cases.to_ground_truth()
    question = code_question(statement, record.get("starter_code") or "")
    return Problem(row_id=row_id, question=question, solution="", final_answer=tests, task="code")
