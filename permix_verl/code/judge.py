"""A program's verdict: right if it passes every test."""

from dataclasses import dataclass, replace
from typing import Literal

from permix_verl.code.compare import same_output, same_value
from permix_verl.code.tests import Case, Cases
from permix_verl.sandbox import Finished, Limits, Sandbox, SandboxError

Status = Literal["correct", "wrong", "no_answer", "timeout", "error"]
"""As the math reward has them. ``timeout``: the program ran into its time limit. ``error``: the sandbox failed, and
there is no verdict."""
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a program.

    Attributes:
        passed: tests passed before the first that was not; the rest is not run.
        tests: how many there are.
        detail: what went wrong, in a line; empty if nothing did.
    """

    status: Status
    passed: int
    tests: int
    detail: str = ""

    @property
    def summary(self) -> str:
        """For people: "12 of 12 tests", "test 3 of 12: wrong output"."""
        if self.status == "correct":
            return f"{self.passed} of {self.tests} tests"
        if self.status == "no_answer":
            return self.detail
        return f"test {self.passed + 1} of {self.tests}: {self.detail}"


def judge(program: str | None, cases: Cases, sandbox: Sandbox, limits: Limits | None = None) -> Judgement:
    """Run a program on the tests, up to the first that it does not pass.

    Args:
        program: ``None`` where an answer has none.
        limits: of each test; LiveCodeBench's 6 seconds, and what its runner does not limit, if not given.
    """
    total = len(cases.cases)
    if program is None:
        return Judgement("no_answer", 0, total, "no program in the answer")
    for number, case in enumerate(cases.cases):
        try:
            finished = _run(program, case, cases.call, sandbox, limits or Limits())
        except SandboxError as error:
            return Judgement("error", number, total, str(error))
        status, detail = _verdict(finished, case, cases.call)
        if status != "correct":
            return Judgement(status, number, total, detail)
    return Judgement("correct", total, total)


def _run(program: str, case: Case, call: str | None, sandbox: Sandbox, limits: Limits) -> Finished:
    """A sandbox that fails for want of memory or processes may work in a moment."""
    # Nothing longer than this would be compared anyway.
    limits = replace(limits, output_bytes=max(limits.output_bytes, 16 * len(case.output)))
    for attempt in range(_ATTEMPTS):
        try:
            return sandbox.run(program, case.input, limits, call)
        except SandboxError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _verdict(finished: Finished, case: Case, call: str | None) -> tuple[Status, str]:
    if finished.ended in ("cpu_time", "wall_time"):
        return "timeout", "time limit"
    if finished.ended == "output":
        return "wrong", "too much output"
    if finished.ended == "failed":
        last = "".join(filter(str.isprintable, finished.stderr.strip().rsplit("\n", 1)[-1][:200]))
        return "wrong", last or f"ended with status {finished.exit_status}"
    if call is None:
        return ("correct", "") if same_output(case.output, finished.stdout) else ("wrong", "wrong output")
    try:
        right = same_value(case.output, finished.stdout)
    except ValueError:
        return "error", f"the wanted value {case.output[:80]!r} is no JSON"
    return ("correct", "") if right else ("wrong", "wrong value")
