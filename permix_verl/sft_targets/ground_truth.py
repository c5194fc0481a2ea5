r"""The data set's own solution as a target (the paper's Appendix B.2, "ground truth").

GSM8K writes ``Natalia sold 48/2 = <<48/2=24>>24 clips in May. ... #### 72``. Two things in it are no part of a
solution: the annotations for a calculator, and ``####``. The prompt asks for a box (``permix_verl.personas.prompts``), and
so do the other arms' answers; a target without one would teach another format than the one that is asked for.
"""

import re
from collections.abc import Callable, Mapping

from permix_verl.data.problems import FINAL_ANSWER_MARK, Problem

_ANNOTATION = re.compile(r"<<[^<>]*>>")


def boxed_solution(problem: Problem) -> str:
    r"""The rationale without annotations, and ``The answer is \boxed{72}.``, on a line of its own if there are more."""
    rationale = _ANNOTATION.sub("", problem.answer.rpartition(FINAL_ANSWER_MARK)[0]).strip()
    ending = f"The answer is \\boxed{{{problem.final_answer}}}."
    if not rationale:
        return ending
    return ("\n" if "\n" in rationale else " ").join([rationale, ending])


def original_solution(problem: Problem) -> str:
    """As it stands in the data set, annotations and ``####`` included."""
    return problem.answer.strip()


FORMATS: Mapping[str, Callable[[Problem], str]] = {"boxed": boxed_solution, "original": original_solution}
