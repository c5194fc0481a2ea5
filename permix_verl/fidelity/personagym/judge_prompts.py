"""Judges' prompts about the answers, in the ``fixed`` and the ``official`` scoring."""

from collections.abc import Mapping
from typing import Any

from permix_verl.chat_templates.reading import spoken
from permix_verl.errors import UserError
from permix_verl.fidelity.personagym import official
from permix_verl.fidelity.personagym.rubric import SCHEMA, rubric_messages
from permix_verl.fidelity.personagym.session import PersonaQuestion, Session
from permix_verl.fidelity.personagym.tasks import HIGHEST, LOWEST, TASKS
from permix_verl.inference.engines import Sampling
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.questions import JudgeQuestion
from permix_verl.inference.judges.replies import Status, read_score
from permix_verl.inference.judges.store import Answer
from permix_verl.personas.pool import Persona

ItemId = tuple[str, str, int]
"""Persona key, task name, and number of the question or of the block, from 0."""
Answers = Mapping[ItemId, Answer]

OFFICIAL_SAMPLING = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=3000)
"""Greedy decoding, as in PersonaGym. Its top_p of 0 is not sent: some servers refuse it, and greedy ignores top_p."""


def judge_questions(
    session: Session,
    judge: Judge,
    scoring: str,
    answers: Answers,
    examples: Mapping[ItemId, str | None],
) -> list[JudgeQuestion]:
    """Build the questions to a judge in one scoring.

    A missing answer is skipped in the ``fixed`` scoring and graded as "Error" in the ``official`` one.

    Args:
        examples: score examples by block, for the ``official`` scoring only. A block whose entry is ``None`` is
            skipped, because PersonaGym would crash on it; see :func:`example_questions`.
    """
    if scoring == "fixed":
        return [_fixed(answers[item.item_id], item) for item in session.persona_questions if item.item_id in answers]
    assert session.checkout is not None
    questions = []
    for block_id, persona, block, about in _blocks(session, answers):
        if block_id in examples and examples[block_id] is None:
            continue
        messages = official.grading_messages(session.checkout, judge.model, _description(persona), block_id[1], block)
        questions.append(
            JudgeQuestion("official", block_id, about, messages, _read_official, sampling=OFFICIAL_SAMPLING)
        )
    return questions


def example_questions(session: Session, answers: Answers) -> list[JudgeQuestion]:
    """Build the requests for score examples, one per block."""
    assert session.checkout is not None
    return [
        JudgeQuestion(
            "examples",
            block_id,
            about,
            official.example_messages(session.checkout, _description(persona), block_id[1], block),
            _read_examples,
            sampling=OFFICIAL_SAMPLING,
        )
        for block_id, persona, block, about in _blocks(session, answers)
    ]


def _fixed(answer: Answer, item: PersonaQuestion) -> JudgeQuestion:
    messages = rubric_messages(TASKS[item.task], item.persona.system_prompt, item.text, spoken(answer.output))
    return JudgeQuestion("fixed", item.item_id, [answer.key], messages, _read_fixed, SCHEMA)


def _read_fixed(reply: str, finish_reason: str) -> tuple[Status, Any]:
    return read_score(reply, finish_reason, LOWEST, HIGHEST)


def _read_official(reply: str, finish_reason: str) -> tuple[Status, Any]:
    return "scored", official.evaluation_scores(reply)


def _blocks(session: Session, answers: Answers) -> list[tuple[ItemId, Persona, list[tuple[str, str]], list[str]]]:
    """Return (block id, persona, (question, answer) pairs, keys of the answers) of every ``official`` block."""
    blocks = []
    for persona in session.personas:
        for task, texts in session.question_set.of(persona).items():
            ids = [(persona.key, task, number) for number in range(len(texts))]
            pairs = [
                (text, spoken(answers[item_id].output) if item_id in answers else official.FAILED)
                for item_id, text in zip(ids, texts, strict=True)
            ]
            for number, block in enumerate(official.blocks(pairs)):
                start = number * official.BLOCK
                about = [answers[item_id].key for item_id in ids[start : start + len(block)] if item_id in answers]
                blocks.append(((persona.key, task, number), persona, list(block), about))
    return blocks


def _description(persona: Persona) -> str:
    """Return the persona's text for PersonaGym's prompts: its description, or the system prompt of a pool's persona."""
    return persona.key if persona.category == "PersonaGym" else persona.system_prompt


def _read_examples(reply: str, finish_reason: str) -> tuple[Status, Any]:
    try:
        return "scored", official.score_examples(reply)
    except UserError:
        return "malformed", None


def count_calls(session: Session, scoring: str) -> int:
    """Return the number of questions to a judge in one scoring if no answer is missing."""
    if scoring == "fixed":
        return len(session.persona_questions)
    sizes = [len(texts) for persona in session.personas for texts in session.question_set.of(persona).values()]
    return sum(-(-size // official.BLOCK) for size in sizes)
