"""The ``fixed`` scoring: one answer per call, this project's rubric, delimited texts, a JSON reply."""

from permix_verl.fidelity.personagym.tasks import HIGHEST, LOWEST, FidelityTask
from permix_verl.inference.judges.replies import reply_schema
from permix_verl.inference.judges.untrusted_text import FENCES, fenced
from permix_verl.personas.prompts import Message

SYSTEM = (
    "You judge how well an answer fits the role that its author was told to play. You judge by the criterion and the "
    f"scale that you are given, not by whether the answer is useful or correct. {FENCES}"
)
FORM = (
    'Reply with one JSON object and nothing else: {"reason": "two sentences at most", "score": N}, N a whole number '
    f"from {LOWEST} to {HIGHEST}. If the answer cannot be judged at all, N is null."
)
SCHEMA = reply_schema("score", [*range(LOWEST, HIGHEST + 1)], "integer")


def rubric_messages(task: FidelityTask, role: str, question: str, answer: str) -> list[Message]:
    """Build the judge's chat about one answer.

    Args:
        role: system prompt that the model under test was given.
    """
    scale = "\n".join(
        f"{score}: {meaning}" for score, meaning in zip(range(LOWEST, HIGHEST + 1), task.scale, strict=True)
    )
    parts = (
        f"Criterion: {task.name}\n{task.criterion}",
        f"Scale:\n{scale}",
        f"What the author was told:\n{fenced('role', role)}",
        f"The question:\n{fenced('question', question)}",
        f"The answer to be judged:\n{fenced('answer', answer)}",
        FORM,
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]
