"""The tests of a problem, read from what LiveCodeBench publishes or from verl's ``ground_truth`` of a code row."""

import base64
import io
import json
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from permix_verl.errors import UserError

MOST_BYTES = 1 << 30
"""Of one problem's tests when they are unpacked; the largest published ones have some hundred MB."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test: what goes in, and what must come out; for a function a JSON value a line, and a JSON value."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Cases:
    """All tests of a problem.

    Attributes:
        cases: at least one.
        call: the function or method that is called; ``None`` where the program reads standard input.
    """

    cases: tuple[Case, ...]
    call: str | None = None

    def __post_init__(self) -> None:
        if not self.cases:
            raise UserError("a problem without tests: every program would pass; give it some")
        if self.call is not None and not self.call.isidentifier():
            raise UserError(f"the function to call is {self.call!r}; give a Python name")

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Cases":
        """From a row of ``livecodebench/code_generation_lite``: public and private tests, the latter often packed.

        Raises:
            UserError: tests that do not read, or none.
        """
        tests = [*_listed(record.get("public_test_cases")), *_private(record.get("private_test_cases"))]
        metadata = record.get("metadata") or "{}"
        try:
            call = (json.loads(metadata) if isinstance(metadata, str) else metadata).get("func_name")
        except (ValueError, AttributeError, RecursionError):
            raise UserError(f"metadata is {str(metadata)[:80]!r}; it must be a JSON object") from None
        functional = [test.get("testtype") == "functional" for test in tests]
        if any(functional) != (call is not None):
            raise UserError(
                f"tests for {'a function' if any(functional) else 'standard input'} and metadata.func_name {call!r} "
                "do not go together; repair the row"
            )
        return cls(tuple(_case(test) for test in tests), call)

    @classmethod
    def of_ground_truth(cls, text: str) -> "Cases":
        """From the JSON that code rows carry: ``{"inputs": [...], "outputs": [...], "fn_name": null}``.

        Inputs and outputs of a function may also be values in place of their JSON text.

        Raises:
            UserError: another form, or no tests.
        """
        try:
            record = json.loads(text)
            inputs, outputs, call = record["inputs"], record["outputs"], record.get("fn_name")
            if not isinstance(inputs, list) or not isinstance(outputs, list):
                raise TypeError("inputs and outputs must be lists")
            pairs = list(zip(inputs, outputs, strict=True))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(
                f"ground truth {str(text)[:80]!r} does not read ({type(error).__name__}: {str(error)[:80]}); it must "
                'be JSON: {"inputs": [...], "outputs": [...], "fn_name": NAME or null}'
            ) from None
        if call is None:
            return cls(tuple(Case(_text(one), _text(other)) for one, other in pairs))
        return cls(
            tuple(
                Case(
                    one if isinstance(one, str) else _arguments(one),
                    other if isinstance(other, str) else json.dumps(other),
                )
                for one, other in pairs
            ),
            str(call),
        )

    def as_ground_truth(self) -> str:
        """The JSON that :meth:`of_ground_truth` reads."""
        return json.dumps(
            {
                "inputs": [case.input for case in self.cases],
                "outputs": [case.output for case in self.cases],
                "fn_name": self.call,
            }
        )


def _arguments(values: Any) -> str:
    if not isinstance(values, list):
        raise UserError(
            f"a function's input is {str(values)[:80]!r}; it must be a list of arguments, or their JSON texts"
        )
    return "\n".join(json.dumps(value) for value in values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"a test's input or output is {str(value)[:80]!r}; for standard input it must be text")
    return value


def _case(test: Any) -> Case:
    if not isinstance(test, dict) or not all(isinstance(test.get(name), str) for name in ("input", "output")):
        raise UserError(f"a test is {str(test)[:80]!r}; it must have texts input and output")
    return Case(test["input"], test["output"])


def _listed(value: Any) -> list[Any]:
    try:
        tests = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise UserError(f"tests {value[:80]!r} are not JSON; repair the row") from None
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise UserError(f"tests are {str(value)[:80]!r}; they must be a list of objects")
    return tests


def _private(value: Any) -> list[Any]:
    """As JSON, or as base64 of zlib of a pickled JSON text."""
    if not isinstance(value, str) or value.lstrip()[:1] in ("[", ""):
        return _listed(value)
    try:
        unpack = zlib.decompressobj()
        data = unpack.decompress(base64.b64decode(value, validate=True), MOST_BYTES)
        if not unpack.eof:
            raise UserError(f"private tests are cut off, or larger than {MOST_BYTES >> 20} MiB; repair the row")
        text = _TextOnly(io.BytesIO(data)).load()
    except UserError:
        raise
    except Exception as error:  # a pickle that is none raises whatever its bytes happen to do
        raise UserError(f"private tests {value[:40]!r} do not unpack ({str(error)[:80]}); repair the row") from None
    if not isinstance(text, str):
        raise UserError(f"private tests unpack to a {type(text).__name__}; they must be JSON text")
    return _listed(text)


class _TextOnly(pickle.Unpickler):
    """A pickle may name any function to call; a text needs none."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, and a text needs no such thing")
