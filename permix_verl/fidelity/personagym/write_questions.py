"""A question set, written once by a model and a fixed file from then on (the paper's section C.2)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.questions import as_text
from permix_verl.fidelity.personagym.tasks import TASKS, FidelityTask
from permix_verl.inference.judges.ask import Asking, Question
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.replies import Status, read_json
from permix_verl.inference.judges.store import JudgementStore
from permix_verl.inference.judges.untrusted_text import FENCES, fenced
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import Message
from permix_verl.utils.files import write_whole

SYSTEM = f"You write questions that show how well a language model plays a role. {FENCES}"


def write_questions(
    writer: Judge, personas: Sequence[Persona], number: int, out: Path, *, attempts: int = 5
) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Have a set written, and write its file when it is whole.

    Args:
        number: questions for each persona and task (PersonaGym has 10).
        out: the file; every reply is kept in a folder beside it, so that the same command goes on.

    Returns:
        The questions by persona and task.

    Raises:
        UserError: the file is there already; a persona and task got no usable reply.
    """
    if out.exists():
        raise UserError(f"{out} is there already, and a question set is not to change; give another --out")
    if number < 1:
        raise UserError(f"--number is {number}; it must be 1 or more")
    wanted = [
        Question(
            "questions",
            (persona.key, task.name, number),
            (),
            writing_messages(persona, task, number),
            lambda reply, finish_reason: read_questions(reply, finish_reason, number),
            _schema(),
        )
        for persona in personas
        for task in TASKS.values()
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    store = JudgementStore(out.with_name(f"{out.name}.replies"))
    with store.writing():
        asking = Asking(writer, store, attempts)
        print(asking.expected(wanted))
        tally = asking.ask(wanted, f"questions by {writer.label}")
    without = [
        question.place[:2]
        for question, row in zip(wanted, tally.verdicts, strict=True)
        if row is None or row.status != "scored"
    ]
    if without:
        raise UserError(
            f"{len(without)} of {len(wanted)} lists of questions are missing, such as {without[0][0]!r}, "
            f"{without[0][1]}; the others are kept in {store.folder}; the same command asks for the rest, with "
            f"--attempts {attempts + 5} more often"
        )
    questions: dict[str, dict[str, tuple[str, ...]]] = {persona.key: {} for persona in personas}
    for question, row in zip(wanted, tally.verdicts, strict=True):
        assert row is not None
        questions[str(question.place[0])][str(question.place[1])] = tuple(row.verdict)
    write_whole(out, as_text(questions, writer.label))
    return questions


def writing_messages(persona: Persona, task: FidelityTask, number: int) -> list[Message]:
    """What the writer is asked for one persona and task."""
    user = (
        f"The role:\n{fenced('role', persona.system_prompt)}\n\n"
        f'Write {number} questions to this role. Each {task.questions}. Each is spoken to the role directly, as "you", '
        "stands for itself, and is one to three sentences long. They differ in situation and subject, and do not say "
        "what they are meant to show.\n\n"
        f'Reply with one JSON object and nothing else: {{"questions": [...]}}, a list of {number} texts.'
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]


def read_questions(reply: str, finish_reason: str, number: int) -> tuple[Status, list[str] | None]:
    """Status and questions of a reply: so many texts, none empty, all different; else ``malformed``."""
    if finish_reason == "length":
        return "cut", None
    found = read_json(reply)
    texts = found.get("questions") if found and set(found) == {"questions"} else None
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        return "malformed", None
    stripped = [text.strip() for text in texts]
    return ("scored", stripped) if len(stripped) == number == len(set(stripped)) else ("out_of_range", None)


def _schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
        "required": ["questions"],
        "additionalProperties": False,
    }
