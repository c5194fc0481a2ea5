"""Scoring of programs that a model wrote: extract the program, run it on the tests, compare its output.

The rules are those of LiveCodeBench's runner; docs/code.md lists the differences and the reasons.
"""

from permix_verl.code.extract import extract_program
from permix_verl.code.judge import ProgramResult, judge
from permix_verl.code.tests import Cases, ProgramCase

__all__ = ["Cases", "ProgramCase", "ProgramResult", "extract_program", "judge"]
