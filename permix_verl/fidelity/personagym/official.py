"""The ``official`` scoring: PersonaGym's own pipeline, quirks included, so that its scores can be reproduced.

Prompts and rubrics are read from the user's checkout of PersonaGym (arXiv 2407.18416); none of them is packaged here.
The pipeline, from its code at commit 536f705:

- Up to five questions of a task are graded in one call. The filled rubrics enter the prompt as a printed Python list,
  so line ends appear as ``\\n``.
- "Score examples" are written by another model, then indexed as a list although they are one text: the rubrics of a
  block see "S", "c", "o", "r" and "e". Their content has no effect. A reply without examples crashes PersonaGym.
- A reply is split at ``(n) Evaluation:``. The score of an evaluation is the number after its first "Therefore, the
  final score is". "score is: 4" and "**4**" are misses, "4.5" is 4, "45" is 45. The numbers (n) and the count of
  evaluations are ignored.
- Misses are left out of a block's mean. A block of misses scores 0 and enters the mean of its task.
- A failed call is the text "Error": as an answer it is graded, as a judge's reply it is a block of misses.
- Only judges with "gpt" in their name get the system prompt.
- Scores are averaged over judges within a block, then over blocks, then over the five tasks: "PersonaScore".
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
"""Number of questions graded in one call."""
FAILED = "Error"
"""Text that stands for a failed call."""
_EVALUATION = re.compile(r"\(\d+\) Evaluation:")
_SCORE = re.compile(r"Therefore, the final score is\s*(\d+)")
_EXAMPLE = re.compile(r"Score \d+: *Response -")


@dataclass(frozen=True)
class Checkout:
    """Prompts and rubrics of a PersonaGym checkout.

    Attributes:
        rubrics: rubric of each task.
        system, outline: system message and user message of the grading prompt.
        example, examples: prompt for score examples: part for one rubric, and the whole.
    """

    folder: Path
    rubrics: Mapping[str, str]
    system: str
    outline: str
    example: str
    examples: str

    @property
    def questions(self) -> Path:
        """Folder of PersonaGym's fixed questions."""
        return self.folder / "questions" / "benchmark-v1"

    def wording(self) -> str:
        """Return the persona instruction in ``code/utils.py``, a template with ``{persona}``.

        Raises:
            UserError: the file is missing, does not parse, or has no such template.
        """
        file = self.folder / "code" / "utils.py"
        try:
            tree = ast.parse(_text(file))
        except SyntaxError as error:
            raise UserError(f"{file} does not parse ({error})", "name an unchanged checkout") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.JoinedStr):
                text = _template(node.value)
                if "{persona}" in text:
                    return text
        raise UserError(f"{file} has no text with {{persona}}", "name an unchanged checkout of PersonaGym")


def read_checkout(folder: Path) -> Checkout:
    """Read PersonaGym's prompts and rubrics.

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
    """Split (question, answer) pairs into the groups that are graded together."""
    return [answers[start : start + BLOCK] for start in range(0, len(answers), BLOCK)]


def example_messages(checkout: Checkout, persona: str, task: str, block: Sequence[tuple[str, str]]) -> list[Message]:
    """Build the chat that asks for score examples. The rubric's own placeholders stay unfilled, as in PersonaGym."""
    rubric = checkout.rubrics[task]
    filled = [checkout.example.format(persona=persona, question=question, rubric=rubric) for question, _ in block]
    return [{"role": "user", "content": checkout.examples.format(rubrics=filled)}]


def score_examples(reply: str | None) -> str:
    """Return the only part of the score examples that PersonaGym uses: their first five letters.

    Args:
        reply: the example model's reply; ``None`` assumes a reply that has an example.

    Raises:
        UserError: the reply has no example; PersonaGym raises an IndexError there.
    """
    if reply is not None and not _EXAMPLE.search(reply):
        raise UserError(
            "the example model's reply has no 'Score N: Response -', and PersonaGym raises an IndexError there",
            "give another --example-judge, or leave it out",
        )
    return "Score"


def grading_messages(
    checkout: Checkout, judge: str, persona: str, task: str, block: Sequence[tuple[str, str]], examples: str = "Score"
) -> list[Message]:
    """Build the judge's chat about a block.

    Args:
        examples: result of :func:`score_examples`; question i of the block sees its letter i.
    """
    rubric = checkout.rubrics[task]
    filled = [
        rubric.format(persona=persona, question=question, response=answer, score_example=examples[i])
        for i, (question, answer) in enumerate(block)
    ]
    user = {"role": "user", "content": checkout.outline.format(rubrics=filled)}
    return [{"role": "system", "content": checkout.system}, user] if "gpt" in judge else [user]


def evaluation_scores(reply: str) -> list[int]:
    """Return the scores of a reply's evaluations, 0 for a miss."""
    matches = [_SCORE.search(evaluation) for evaluation in _EVALUATION.split(reply)[1:]]
    return [int(match[1]) if match else 0 for match in matches]


def block_score(reply: str) -> float:
    """Return one judge's score of a block: the mean of the scores in its reply, 0 if there are none."""
    return mean_without_misses(evaluation_scores(reply))


def mean_without_misses(scores: Sequence[int]) -> float:
    """Return the mean of a block's scores without its misses, 0 if all are misses."""
    hits = [score for score in scores if score]
    return sum(hits) / len(hits) if hits else 0.0


def task_score(replies: Sequence[Sequence[str]]) -> float:
    """Return a persona's score on a task: the mean over blocks of the mean over judges.

    Args:
        replies: for each block, the replies of all judges.
    """
    block_scores = [sum(map(block_score, by_judge)) / len(by_judge) for by_judge in replies]
    return sum(block_scores) / len(block_scores)


def _template(text: ast.JoinedStr) -> str:
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else "{" + ast.unparse(part.value) + "}"
        for part in text.values
        if isinstance(part, ast.Constant | ast.FormattedValue)
    )


def _text(file: Path) -> str:
    if not file.is_file():
        raise UserError(f"{file} is missing", "give --personagym a checkout of github.com/vsamuel2003/PersonaGym")
    return file.read_text(encoding="utf-8")
