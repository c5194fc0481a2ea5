"""A problem's tests, read from a LiveCodeBench row or from the ``ground_truth`` of verl's code rows."""

import base64
import io
import json
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from permix_verl.errors import UserError

MAX_UNPACKED_BYTES = 1 << 30
"""Maximum size of one problem's unpacked tests; the largest published ones have some hundred MB."""


@dataclass(frozen=True, slots=True)
class ProgramCase:
    """One test: input and expected output. For a function: one JSON value per line, and one JSON value."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Cases:
    """All tests of a problem.

    Attributes:
        cases: one or more tests.
        call: the function or method to call; ``None`` if the program reads standard input.
    """

    cases: tuple[ProgramCase, ...]
    call: str | None = None

    def __post_init__(self) -> None:
        if not self.cases:
            raise UserError("a problem without tests: every program would pass", "give it some")
        if self.call is not None and not self.call.isidentifier():
            raise UserError(f"the function to call is {self.call!r}", "give a Python name")

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Cases":
        """Read a row of ``livecodebench/code_generation_lite``: public and private tests, the latter often packed.

        Raises:
            UserError: malformed tests, or no tests.
        """
        tests = [*_listed(record.get("public_test_cases")), *_private(record.get("private_test_cases"))]
        metadata = record.get("metadata") or "{}"
        try:
            call = (json.loads(metadata) if isinstance(metadata, str) else metadata).get("func_name")
        except (ValueError, AttributeError, RecursionError):
            raise UserError(f"metadata is {str(metadata)[:80]!r}", "it must be a JSON object") from None
        functional = [test.get("testtype") == "functional" for test in tests]
        if any(functional) != (call is not None):
            raise UserError(
                f"tests for {'a function' if any(functional) else 'standard input'} contradict metadata.func_name "
                f"{call!r}",
                "repair the row",
            )
        return cls(tuple(_case(test) for test in tests), call)

    @classmethod
    def from_ground_truth(cls, text: str) -> "Cases":
        """Read the JSON of code rows: ``{"inputs": [...], "outputs": [...], "fn_name": null}``.

        Inputs and outputs of a function may be values or their JSON text.

        Raises:
            UserError: another format, or no tests.
        """
        try:
            record = json.loads(text)
            inputs, outputs, call = record["inputs"], record["outputs"], record.get("fn_name")
            if not isinstance(inputs, list) or not isinstance(outputs, list):
                raise TypeError("inputs and outputs must be lists")
            pairs = list(zip(inputs, outputs, strict=True))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(
                f"ground truth {str(text)[:80]!r} cannot be parsed ({type(error).__name__}: {str(error)[:80]})",
                'it must be JSON: {"inputs": [...], "outputs": [...], "fn_name": NAME or null}',
            ) from None
        if call is None:
            return cls(tuple(ProgramCase(_text(given), _text(expected)) for given, expected in pairs))
        return cls(
            tuple(
                ProgramCase(
                    given if isinstance(given, str) else _arguments(given),
                    expected if isinstance(expected, str) else json.dumps(expected),
                )
                for given, expected in pairs
            ),
            str(call),
        )

    def to_ground_truth(self) -> str:
        """Return the JSON that :meth:`from_ground_truth` reads."""
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
            f"a function's input is {str(values)[:80]!r}", "it must be a list of arguments, or their JSON texts"
        )
    return "\n".join(json.dumps(value) for value in values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"a test's input or output is {str(value)[:80]!r}", "for standard input it must be text")
    return value


def _case(test: Any) -> ProgramCase:
    if not isinstance(test, dict) or not all(isinstance(test.get(name), str) for name in ("input", "output")):
        raise UserError(f"a test is {str(test)[:80]!r}", "it must have texts input and output")
    return ProgramCase(test["input"], test["output"])


def _listed(value: Any) -> list[Any]:
    try:
        tests = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise UserError(f"tests {value[:80]!r} are not JSON", "repair the row") from None
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise UserError(f"tests are {str(value)[:80]!r}", "they must be a list of objects")
    return tests


def _private(value: Any) -> list[Any]:
    """Read private tests: JSON, or base64 of zlib of a pickled JSON text."""
    if not isinstance(value, str) or value.lstrip()[:1] in ("[", ""):
        return _listed(value)
    try:
        unpack = zlib.decompressobj()
        data = unpack.decompress(base64.b64decode(value, validate=True), MAX_UNPACKED_BYTES)
        if not unpack.eof:
            raise UserError(
                f"private tests are truncated, or larger than {MAX_UNPACKED_BYTES >> 20} MiB", "repair the row"
            )
        text = _TextOnly(io.BytesIO(data)).load()
    except UserError:
        raise
    except Exception as error:  # malformed pickles raise arbitrary exceptions
        raise UserError(
            f"private tests {value[:40]!r} cannot be unpacked ({str(error)[:80]})", "repair the row"
        ) from None
    if not isinstance(text, str):
        raise UserError(f"private tests unpack to a {type(text).__name__}", "they must be JSON text")
    return _listed(text)


class _TextOnly(pickle.Unpickler):
    """Unpickler that loads text only: a pickle could call any function that it names."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which a text does not need")
