r"""Targets from the data set's own solutions (Appendix B.2 of arXiv 2604.08986, "ground truth").

A GSM8K solution looks like ``Natalia sold 48/2 = <<48/2=24>>24 clips in May. ... #### 72``. The calculator annotations
and ``####`` are removed. A box is added because the prompt asks for one (``permix_verl.personas.prompts``). A solution
that ends in a box stays as it is; a data set of final answers alone gives the last sentence alone.
"""

import re
from collections.abc import Callable, Mapping

from permix_verl.data.problems import FINAL_ANSWER_MARK, Problem

_ANNOTATION = re.compile(r"<<[^<>]*>>")


def boxed_solution(problem: Problem) -> str:
    r"""Return the rationale without annotations, then ``The answer is \boxed{72}.``.

    The last sentence gets its own line if the rationale has several lines.
    """
    before, mark, _ = problem.solution.rpartition(FINAL_ANSWER_MARK)
    rationale = _ANNOTATION.sub("", before if mark else problem.solution).strip()
    if not mark and "\\boxed" in rationale:
        return rationale
    ending = _ending(problem)
    if not rationale:
        return ending
    return ("\n" if "\n" in rationale else " ").join([rationale, ending])


def original_solution(problem: Problem) -> str:
    """Return the data set's solution unchanged, with annotations and ``####``; without one, the boxed final answer."""
    return problem.solution.strip() or _ending(problem)


def _ending(problem: Problem) -> str:
    return f"The answer is \\boxed{{{problem.final_answer}}}."


FORMATS: Mapping[str, Callable[[Problem], str]] = {"boxed": boxed_solution, "original": original_solution}
