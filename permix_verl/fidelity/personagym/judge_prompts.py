"""What judges are asked about the answers, in our scoring and in PersonaGym's."""

from collections.abc import Mapping
from typing import Any

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym import official
from permix_verl.fidelity.personagym.rubric import SCHEMA, rubric_messages
from permix_verl.fidelity.personagym.session import Asked, Session
from permix_verl.fidelity.personagym.tasks import HIGHEST, LOWEST, TASKS
from permix_verl.inference.engines import Sampling
from permix_verl.inference.judges.ask import Question
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.replies import Status, read_score
from permix_verl.inference.judges.store import Answer
from permix_verl.personas.pool import Persona

Place = tuple[str, str, int]
"""Persona, task, and number of the question or of the block."""
Answers = Mapping[Place, Answer]

OFFICIAL_SAMPLING = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=3000)
"""PersonaGym's judges: greedy (it sends a top_p of 0, which some servers refuse and which changes nothing then)."""


def judge_questions(
    session: Session,
    judge: Judge,
    scoring: str,
    answers: Answers,
    examples: Mapping[Place, str | None],
) -> list[Question]:
    """What a judge is asked in a scoring. Ours does not ask about an answer that is missing; PersonaGym grades "Error".

    Args:
        examples: of the official scoring, by block, ``None`` where PersonaGym would crash on them; see
            :func:`example_questions`.
    """
    if scoring == "fixed":
        return [_fixed(session, answers[asked.place], asked) for asked in session.asked if asked.place in answers]
    assert session.checkout is not None
    found = []
    for place, persona, block, about in _blocks(session, answers):
        if place in examples and examples[place] is None:
            continue  # PersonaGym crashes there
        messages = official.grading_messages(session.checkout, judge.model, _description(persona), place[1], block)
        found.append(Question("official", place, about, messages, _read_official, sampling=OFFICIAL_SAMPLING))
    return found


def example_questions(session: Session, answers: Answers) -> list[Question]:
    """What the writer of score examples is asked, a question a block."""
    assert session.checkout is not None
    return [
        Question(
            "examples",
            place,
            about,
            official.example_messages(session.checkout, _description(persona), place[1], block),
            _read_examples,
            sampling=OFFICIAL_SAMPLING,
        )
        for place, persona, block, about in _blocks(session, answers)
    ]


def _fixed(session: Session, answer: Answer, asked: Asked) -> Question:
    messages = rubric_messages(TASKS[asked.task], asked.persona.system_prompt, asked.text, answer.output)
    return Question("fixed", asked.place, [answer.key], messages, _read_fixed, SCHEMA)


def _read_fixed(reply: str, finish_reason: str) -> tuple[Status, Any]:
    return read_score(reply, finish_reason, LOWEST, HIGHEST)


def _read_official(reply: str, finish_reason: str) -> tuple[Status, Any]:
    return "scored", official.evaluation_scores(reply)


def _blocks(session: Session, answers: Answers) -> list[tuple[Place, Persona, list[tuple[str, str]], list[str]]]:
    """(place, persona, (question, answer) pairs, keys of the answers) of every block of PersonaGym's scoring."""
    found = []
    for persona in session.personas:
        for task, texts in session.questions.of(persona).items():
            places = [(persona.key, task, number) for number in range(len(texts))]
            pairs = [
                (text, answers[place].output if place in answers else official.FAILED)
                for place, text in zip(places, texts, strict=True)
            ]
            for number, block in enumerate(official.blocks(pairs)):
                start = number * official.BLOCK
                about = [answers[place].key for place in places[start : start + len(block)] if place in answers]
                found.append(((persona.key, task, number), persona, list(block), about))
    return found


def _description(persona: Persona) -> str:
    """What PersonaGym's prompts call the persona: its description, and for a pool's its system prompt."""
    return persona.key if persona.category == "PersonaGym" else persona.system_prompt


def _read_examples(reply: str, finish_reason: str) -> tuple[Status, Any]:
    try:
        return "scored", official.score_examples(reply)
    except UserError:
        return "malformed", None


def calls_wanted(session: Session, scoring: str) -> int:
    """How many questions a judge is asked in a scoring, with all answers there."""
    if scoring == "fixed":
        return len(session.asked)
    sizes = [len(texts) for persona in session.personas for texts in session.questions.of(persona).values()]
    return sum(-(-size // official.BLOCK) for size in sizes)
