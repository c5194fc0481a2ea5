"""Settings of a PersonaGym evaluation, read and checked before the first request."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.options import EvalOptions
from permix_verl.evaluation.run import select_conditions
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.fidelity.personagym import official
from permix_verl.fidelity.personagym.questions import DEFAULT, QuestionSet, described_personas, load_questions
from permix_verl.inference.engines import Sampling
from permix_verl.inference.judges.config import Judge
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import Message, with_persona

SCORINGS = ("fixed", "official")
PERSONAGYM = "personagym"
"""Value of ``personas`` that selects PersonaGym's own persona descriptions."""


@dataclass(frozen=True)
class PersonagymSettings:
    """Settings of a PersonaGym evaluation.

    Attributes:
        options: the model under test, its engine and sampling. Its ``personas`` may be :data:`PERSONAGYM`.
        judges: judges of the answers; empty to generate answers only.
        scorings: names from :data:`SCORINGS`.
        questions: ``"default"``, a file or a folder; see :mod:`permix_verl.fidelity.personagym.questions`.
        checkout: PersonaGym checkout, for its scoring, personas and wording.
        official_wording: state the persona in PersonaGym's words, not in the pool's.
        example_judge: model that writes the score examples of the official scoring. They have no effect; see
            :mod:`permix_verl.fidelity.personagym.official`. ``None``: no examples are requested.
        attempts: most replies of a judge about one answer, until one parses.
    """

    options: EvalOptions
    judges: Sequence[Judge] = ()
    scorings: Sequence[str] = ("fixed",)
    questions: str = DEFAULT
    checkout: Path | None = None
    official_wording: bool = False
    example_judge: Judge | None = None
    attempts: int = 2


@dataclass(frozen=True, slots=True)
class PersonaQuestion:
    """One question to the model under test."""

    persona: Persona
    task: str
    number: int
    text: str

    @property
    def item_id(self) -> tuple[str, str, int]:
        """Persona key, task name and question number."""
        return self.persona.key, self.task, self.number


@dataclass
class Session:
    """Checked inputs of one PersonaGym evaluation.

    Attributes:
        personas: personas of the pool or of PersonaGym.
        persona_questions: all questions to the model under test.
        identity: model and adapter under test.
        prompted: by key, the personas with the system prompt that the model under test gets.
    """

    settings: PersonagymSettings
    question_set: QuestionSet
    checkout: official.Checkout | None
    personas: list[Persona]
    persona_questions: list[PersonaQuestion]
    identity: Mapping[str, Any]
    sampling: Sampling
    prompted: Mapping[str, Persona] = field(default_factory=dict)


def prepare(settings: PersonagymSettings) -> Session:
    """Read and check the inputs.

    Raises:
        UserError: an unusable setting, pool, question set or checkout.
    """
    _check(settings)
    settings.options.check()
    options = settings.options
    checkout = official.read_checkout(settings.checkout) if settings.checkout else None
    source = settings.questions
    own = options.personas.partition(":")[0] == PERSONAGYM
    if own and source == DEFAULT:
        assert checkout is not None
        source = str(checkout.questions)
    questions = load_questions(source)
    personas = _described(questions, options.personas) if own else _of_pool(options)
    if settings.official_wording:
        assert checkout is not None
        wording = checkout.wording()
        prompted = {one.key: replace(one, system_prompt=wording.format(persona=one.key)) for one in personas}
    else:
        prompted = {persona.key: persona for persona in personas}
    persona_questions = [
        PersonaQuestion(prompted[persona.key], task, number, text)
        for persona in personas
        for task, texts in questions.of(persona).items()
        for number, text in enumerate(texts)
    ]
    sampling = options.sampling(max_tokens=1024)
    identity = options.engine.identity()
    return Session(settings, questions, checkout, personas, persona_questions, identity, sampling, prompted)


def chat_messages(item: PersonaQuestion) -> list[Message]:
    """Build the chat for the model under test."""
    return with_persona([{"role": "user", "content": item.text}], item.persona)


def _check(settings: PersonagymSettings) -> None:
    options = settings.options
    unknown = [name for name in settings.scorings if name not in SCORINGS]
    if unknown or not settings.scorings:
        raise UserError(f"unknown scoring {', '.join(unknown) or '(none)'}", f"known: {', '.join(SCORINGS)}")
    own = options.personas.partition(":")[0] == PERSONAGYM
    needs = {
        "--scoring official": "official" in settings.scorings,
        "--personas personagym": own and settings.questions == DEFAULT,
        "--official-wording": settings.official_wording,
    }
    for name, needed in needs.items():
        if needed and settings.checkout is None:
            raise UserError(f"{name} reads PersonaGym's own files", "give a checkout of it as --personagym")
    if settings.official_wording and not own:
        raise UserError(
            "--official-wording needs PersonaGym's persona descriptions, not a pool's system prompts",
            "leave it out, or set --personas personagym",
        )
    if settings.attempts < 1:
        raise UserError(f"--attempts is {settings.attempts}", "it must be 1 or more")


def _of_pool(options: EvalOptions) -> list[Persona]:
    return [persona for persona in select_conditions(replace(options, control=False)) if persona is not None]


def _described(questions: QuestionSet, selection: str) -> list[Persona]:
    pool = described_personas(questions)
    keys = selection.partition(":")[2]
    return [pool.get(key.strip()) for key in keys.split(";")] if keys else list(pool)


def check_results_folder(session: Session) -> None:
    """Refuse a results folder that holds accuracies of another model.

    Raises:
        UserError: the folder's model or adapter differs.
    """
    store = SampleStore(session.settings.options.out)
    if not store.has_samples():
        return
    stored = store.settings()
    for name in ("model", "adapter"):
        if stored.get(name) != json.loads(json.dumps(session.identity[name])):
            raise UserError(
                f"{store.folder} holds results with {name} {stored.get(name)!r}, not {session.identity[name]!r}",
                "give another --out",
            )


def describe_settings(session: Session) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the fixed, growing and latest settings for ``JudgementStore.begin``."""
    settings, options = session.settings, session.settings.options
    fixed = {
        **session.identity,
        "sampling": asdict(session.sampling) | {"seed": options.seed},
        "chat_template_kwargs": options.engine.stored_template_kwargs,
        "questions": {"sha256": session.question_set.sha256(), "made_by": session.question_set.made_by},
    }
    growing = {
        "personas": {
            persona.key: {
                "system_prompt": session.prompted[persona.key].system_prompt,
                "questions": {task: len(texts) for task, texts in session.question_set.of(persona).items()},
            }
            for persona in session.personas
        },
    }
    judged = {
        f"{scoring}: {judge.label}": {"scoring": scoring, "judge": judge.label, **judge.describe()}
        for scoring in settings.scorings
        for judge in settings.judges
    }
    return fixed, growing, {"judged": judged}
