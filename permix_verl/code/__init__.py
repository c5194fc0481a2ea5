"""Programs that a model wrote, judged by tests: which text is the program, what it is run on, what its output must be.

The rules are those of LiveCodeBench's runner; docs/code.md lists where they differ and why.
"""

from permix_verl.code.extract import extract_program
from permix_verl.code.judge import Judgement, judge
from permix_verl.code.tests import Case, Cases

__all__ = ["Case", "Cases", "Judgement", "extract_program", "judge"]
