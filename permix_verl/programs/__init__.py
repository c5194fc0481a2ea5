"""Programs that a model wrote, judged by tests: which text is the program, what it is run on, what its output must be.

The rules are those of LiveCodeBench's runner; docs/code.md lists where they differ and why.
"""

from permix_verl.programs.cases import Case, Cases
from permix_verl.programs.extraction import extract_program
from permix_verl.programs.judging import Judgement, judge

__all__ = ["Case", "Cases", "Judgement", "extract_program", "judge"]
