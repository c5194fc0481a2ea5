"""Question sets written by a model, once: afterwards the file is fixed (section C.2 of arXiv 2604.08986)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.questions import as_text
from permix_verl.fidelity.personagym.tasks import TASKS, FidelityTask
from permix_verl.inference.judges.ask import JudgeClient
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.questions import JudgeQuestion
from permix_verl.inference.judges.replies import Status, read_json
from permix_verl.inference.judges.store import JudgementStore
from permix_verl.inference.judges.untrusted_text import FENCES, fenced
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import Message
from permix_verl.utils.files import write_atomic

SYSTEM = f"You write questions that show how well a language model plays a role. {FENCES}"


def write_questions(
    writer: Judge, personas: Sequence[Persona], number: int, out: Path, *, attempts: int = 5
) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Have a model write a question set, and write its file once the set is complete.

    Args:
        number: questions per persona and task (PersonaGym has 10).
        out: file to write. Replies are stored in a folder beside it, so the same command continues a killed one.
        attempts: most replies per persona and task, until one parses.

    Returns:
        The questions by persona and task.

    Raises:
        UserError: the file exists, or a persona and task got no usable reply.
    """
    if out.exists():
        raise UserError(f"{out} exists, and a question set must not change", "give another --out")
    if number < 1:
        raise UserError(f"--number is {number}", "it must be 1 or more")
    requests = [_request(persona, task, number) for persona in personas for task in TASKS.values()]
    out.parent.mkdir(parents=True, exist_ok=True)
    store = JudgementStore(out.with_name(f"{out.name}.replies"))
    with store.writing():
        client = JudgeClient(writer, store, attempts)
        print(client.expected(requests))
        tally = client.ask(requests, f"questions by {writer.label}")
    missing = [
        request.place[:2]
        for request, row in zip(requests, tally.judgements, strict=True)
        if row is None or row.status != "scored"
    ]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(requests)} lists of questions are missing, such as {missing[0][0]!r}, "
            f"{missing[0][1]} (the others are stored in {store.folder})",
            f"rerun the command, with --attempts {attempts + 5} for more tries",
        )
    questions: dict[str, dict[str, tuple[str, ...]]] = {persona.key: {} for persona in personas}
    for request, row in zip(requests, tally.judgements, strict=True):
        assert row is not None
        questions[str(request.place[0])][str(request.place[1])] = tuple(row.verdict)
    write_atomic(out, as_text(questions, writer.label))
    return questions


def _request(persona: Persona, task: FidelityTask, number: int) -> JudgeQuestion:
    return JudgeQuestion(
        "questions",
        (persona.key, task.name, number),
        (),
        writing_messages(persona, task, number),
        lambda reply, finish_reason: read_questions(reply, finish_reason, number),
        _schema(),
    )


def writing_messages(persona: Persona, task: FidelityTask, number: int) -> list[Message]:
    """Build the chat that asks for one persona's questions of one task."""
    user = (
        f"The role:\n{fenced('role', persona.system_prompt)}\n\n"
        f'Write {number} questions to this role. Each {task.questions}. Each is spoken to the role directly, as "you", '
        "stands for itself, and is one to three sentences long. They differ in situation and subject, and do not say "
        "what they are meant to show.\n\n"
        f'Reply with one JSON object and nothing else: {{"questions": [...]}}, a list of {number} texts.'
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]


def read_questions(reply: str, finish_reason: str, number: int) -> tuple[Status, list[str] | None]:
    """Parse status and questions of a reply.

    A reply of another form is ``malformed``. A list of another length, or with duplicates, is ``out_of_range``.
    """
    if finish_reason == "length":
        return "cut", None
    content = read_json(reply)
    texts = content.get("questions") if content and set(content) == {"questions"} else None
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
