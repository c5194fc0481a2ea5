"""Score a program: correct if it passes every test."""

from dataclasses import dataclass, replace
from typing import Literal

from permix_verl.code.compare import same_output, same_value
from permix_verl.code.tests import Cases, ProgramCase
from permix_verl.sandbox import Limits, RunResult, Sandbox, SandboxError

Status = Literal["correct", "wrong", "no_answer", "timeout", "error"]
"""Same values as the math reward's. ``timeout``: the program exceeded its time limit. ``error``: the sandbox failed."""
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """Result of a program's tests.

    Attributes:
        passed: number of tests passed before the first failure; the rest are not run.
        tests: number of tests.
        detail: one line on the failure; empty if correct.
    """

    status: Status
    passed: int
    tests: int
    detail: str = ""

    @property
    def summary(self) -> str:
        """One line for people: "12 of 12 tests", "test 3 of 12: wrong output"."""
        if self.status == "correct":
            return f"{self.passed} of {self.tests} tests"
        if self.status == "no_answer":
            return self.detail
        return f"test {self.passed + 1} of {self.tests}: {self.detail}"


def judge(program: str | None, cases: Cases, sandbox: Sandbox, limits: Limits | None = None) -> ProgramResult:
    """Run a program on the tests, up to the first that it fails.

    Args:
        program: Python source; ``None`` if the completion has no program.
        limits: limits of each test; default: LiveCodeBench's 6 seconds and the other defaults of ``Limits``.
    """
    total = len(cases.cases)
    if program is None:
        return ProgramResult("no_answer", 0, total, "no program in the answer")
    for number, case in enumerate(cases.cases):
        try:
            result = _run(program, case, cases.call, sandbox, limits or Limits())
        except SandboxError as error:
            return ProgramResult("error", number, total, str(error))
        status, detail = _score(result, case, cases.call)
        if status != "correct":
            return ProgramResult(status, number, total, detail)
    return ProgramResult("correct", total, total)


def _run(program: str, case: ProgramCase, call: str | None, sandbox: Sandbox, limits: Limits) -> RunResult:
    """Run one test, and retry a sandbox that fails: a lack of memory or processes may be temporary."""
    # Longer output is wrong without a comparison.
    limits = replace(limits, output_bytes=max(limits.output_bytes, 16 * len(case.output)))
    for attempt in range(_ATTEMPTS):
        try:
            return sandbox.run(program, case.input, limits, call)
        except SandboxError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _score(result: RunResult, case: ProgramCase, call: str | None) -> tuple[Status, str]:
    if result.ended in ("cpu_time", "wall_time"):
        return "timeout", "time limit"
    if result.ended == "output":
        return "wrong", "too much output"
    if result.ended == "failed":
        last = "".join(filter(str.isprintable, result.stderr.strip().rsplit("\n", 1)[-1][:200]))
        return "wrong", last or f"ended with status {result.exit_status}"
    if call is None:
        return ("correct", "") if same_output(case.output, result.stdout) else ("wrong", "wrong output")
    try:
        right = same_value(case.output, result.stdout)
    except ValueError:
        return "error", f"the wanted value {case.output[:80]!r} is no JSON"
    return ("correct", "") if right else ("wrong", "wrong value")
