"""PersonaGym's own scoring, quirks included, so that its scores can be had again.

Prompts and rubrics are read from a checkout of PersonaGym that the user names; nothing of it is packaged here. What its
pipeline does, read from its code at commit 536f705:

- Up to five questions of a task are graded in one call. The filled rubrics are put into the prompt as a Python list is
  printed, so line ends stand there as ``\\n``.
- "Score examples" are written by another model, then indexed like a list although they are one text: the rubrics of a
  block see "S", "c", "o", "r" and "e". What the examples say has no effect, unless there is none: then it crashes.
- A reply is cut at ``(n) Evaluation:``; an evaluation's score is the number behind its first "Therefore, the final
  score is". "score is: 4" and "**4**" have none and count as a miss, "4.5" is 4, "45" is 45. The numbers in front are
  not looked at, nor how many evaluations there are.
- Misses are left out of a block's mean, but a block of misses is a score of 0, and goes into the mean of its task.
- A call that failed is the text "Error": graded as an answer, and as a judge's reply a block of misses.
- Only judges with "gpt" in their name are sent the system prompt.
- Judges are averaged within a block, then blocks, then the five tasks: "PersonaScore".
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.tasks import TASKS
from permix_verl.personas.prompts import Message

BLOCK = 5
"""Questions graded in one call."""
FAILED = "Error"
"""The text of a call that failed."""
_EVALUATION = re.compile(r"\(\d+\) Evaluation:")
_SCORE = re.compile(r"Therefore, the final score is\s*(\d+)")
_EXAMPLE = re.compile(r"Score \d+: *Response -")


@dataclass(frozen=True)
class Checkout:
    """What is taken from a checkout of PersonaGym.

    Attributes:
        rubrics: by task.
        system, outline: of the grading prompt.
        example, examples: of the prompt for score examples, one rubric and all of them.
    """

    folder: Path
    rubrics: Mapping[str, str]
    system: str
    outline: str
    example: str
    examples: str

    @property
    def questions(self) -> Path:
        """Folder of its fixed questions."""
        return self.folder / "questions" / "benchmark-v1"

    def wording(self) -> str:
        """How it tells a model to be somebody, with ``{persona}`` in it: read from ``code/utils.py``.

        Raises:
            UserError: no such file, or none such in it.
        """
        file = self.folder / "code" / "utils.py"
        try:
            tree = ast.parse(_text(file))
        except SyntaxError as error:
            raise UserError(f"{file} does not parse ({error}); name an unchanged checkout") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.JoinedStr):
                text = _template(node.value)
                if "{persona}" in text:
                    return text
        raise UserError(f"{file} has no text with {{persona}} in it; name a checkout of PersonaGym as it was published")


def read_checkout(folder: Path) -> Checkout:
    """Read the files.

    Raises:
        UserError: a file is missing.
    """
    prompts = folder / "prompts"
    return Checkout(
        folder=folder,
        rubrics={name: _text(folder / "rubrics" / f"{name}.txt") for name in TASKS},
        system=_text(prompts / "rubric_grading" / "sys_prompt.txt"),
        outline=_text(prompts / "rubric_grading" / "prompt.txt"),
        example=_text(prompts / "score_examples" / "prompt.txt"),
        examples=_text(prompts / "score_examples" / "parallel_examples.txt"),
    )


def blocks(answers: Sequence[tuple[str, str]]) -> list[Sequence[tuple[str, str]]]:
    """(question, answer) pairs as they are graded together."""
    return [answers[start : start + BLOCK] for start in range(0, len(answers), BLOCK)]


def example_messages(checkout: Checkout, persona: str, task: str, block: Sequence[tuple[str, str]]) -> list[Message]:
    """What the example model is asked. The rubric stands in there with its own gaps unfilled."""
    rubric = checkout.rubrics[task]
    filled = [checkout.example.format(persona=persona, question=question, rubric=rubric) for question, _ in block]
    return [{"role": "user", "content": checkout.examples.format(rubrics=filled)}]


def score_examples(reply: str | None) -> str:
    """What of the example model's reply is ever looked at: its first letters, once it has been put in order.

    Args:
        reply: ``None`` where nobody was asked: then one with an example in it is assumed.

    Raises:
        UserError: there is no example in it; PersonaGym ends with an IndexError then.
    """
    if reply is not None and not _EXAMPLE.search(reply):
        raise UserError("the example model's reply has no 'Score N: Response -' in it; PersonaGym crashes on it")
    return "Score"


def grading_messages(
    checkout: Checkout, judge: str, persona: str, task: str, block: Sequence[tuple[str, str]], examples: str = "Score"
) -> list[Message]:
    """What a judge is asked about a block.

    Args:
        examples: as :func:`score_examples` gives them.
    """
    rubric = checkout.rubrics[task]
    filled = [
        rubric.format(persona=persona, question=question, response=answer, score_example=examples[place])
        for place, (question, answer) in enumerate(block)
    ]
    user = {"role": "user", "content": checkout.outline.format(rubrics=filled)}
    return [{"role": "system", "content": checkout.system}, user] if "gpt" in judge else [user]


def evaluation_scores(reply: str) -> list[int]:
    """A reply's scores, 0 for a miss."""
    found = [_SCORE.search(evaluation) for evaluation in _EVALUATION.split(reply)[1:]]
    return [int(match[1]) if match else 0 for match in found]


def block_score(reply: str) -> float:
    """One judge's score of a block: the mean of what it gave, 0 if it gave nothing."""
    return mean_given(evaluation_scores(reply))


def mean_given(scores: Sequence[int]) -> float:
    """The mean of a block's scores without its misses, 0 if there are only these."""
    given = [score for score in scores if score]
    return sum(given) / len(given) if given else 0.0


def task_score(replies: Sequence[Sequence[str]]) -> float:
    """A persona's score on a task.

    Args:
        replies: by block, the replies of its judges.
    """
    of_blocks = [sum(map(block_score, of_judges)) / len(of_judges) for of_judges in replies]
    return sum(of_blocks) / len(of_blocks)


def _template(text: ast.JoinedStr) -> str:
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else "{" + ast.unparse(part.value) + "}"
        for part in text.values
        if isinstance(part, ast.Constant | ast.FormattedValue)
    )


def _text(file: Path) -> str:
    if not file.is_file():
        raise UserError(f"{file} is missing; --personagym wants a checkout of github.com/vsamuel2003/PersonaGym")
    return file.read_text(encoding="utf-8")
