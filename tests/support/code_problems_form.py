"""What a problem of the code suite is made of: its tests, programs that solve it, and programs that nearly do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from permix_verl.code import Case, Cases
from permix_verl.sandbox import Limits

Difficulty = Literal["easy", "medium", "hard"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A program that does not solve its problem.

    Attributes:
        text: the program.
        at: number of the first test that it does not pass, counted from 1.
        status: what it is judged to be.
        detail: part of what the judgement says went wrong: an exception's name, where it ends with one.
        only: that test is the only one that it does not pass.
    """

    text: str
    at: int
    status: Literal["wrong", "timeout"] = "wrong"
    detail: str = ""
    only: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        call: the method that is called; ``None`` where a program reads standard input.
        tests: inputs and outputs as text; the first ``public`` of them are public.
        right, wrong: programs, by what is special about each.
        cpu_s: time limit of each test.
    """

    id: str
    title: str
    difficulty: Difficulty
    statement: str
    tests: tuple[tuple[str, str], ...]
    right: Mapping[str, str]
    wrong: Mapping[str, Wrong]
    call: str | None = None
    starter: str = ""
    cpu_s: int = 6
    public: int = 2

    def cases(self, *, without: int | None = None) -> Cases:
        """Its tests, or all of them but one, whose number is counted from 1."""
        kept = [test for number, test in enumerate(self.tests, start=1) if number != without]
        return Cases(tuple(Case(*test) for test in kept), self.call)

    @property
    def limits(self) -> Limits:
        """Of wall time, which a busy machine stretches, more than any program needs."""
        return Limits(cpu_s=self.cpu_s, wall_s=60)
