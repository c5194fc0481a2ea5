"""What ``eval/personagym.py`` was given, read and checked before anybody is asked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.options import DEFAULT_TEMPLATE_KWARGS, Options, check_numbers
from permix_verl.evaluation.run import find_arms, identity_of
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.fidelity.personagym import official
from permix_verl.fidelity.personagym.questions import DEFAULT, QuestionSet, described_personas, load_questions
from permix_verl.inference.engines import Sampling
from permix_verl.inference.judges.config import Judge
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import Message, with_persona

SCORINGS = ("fixed", "official")
PERSONAGYM = "personagym"
"""As personas: the descriptions that PersonaGym's own questions are for."""


@dataclass(frozen=True)
class Settings:
    """What is asked and how it is judged.

    Attributes:
        options: the model under test, its engine and sampling. Its ``personas`` may be :data:`PERSONAGYM`.
        judges: who judges; none: answers only.
        scorings: of :data:`SCORINGS`.
        questions: ``"default"``, a file or a folder; see :mod:`permix_verl.fidelity.personagym.questions`.
        checkout: of PersonaGym, for its own scoring, its personas and its wording.
        official_wording: tell the model who it is as PersonaGym does, not as the pool does.
        example_judge: who writes the score examples of the official scoring, which have no effect; see
            :mod:`permix_verl.fidelity.personagym.official`. ``None``: nobody is asked.
        attempts: replies of a judge for one answer, until one is of the form.
    """

    options: Options
    judges: Sequence[Judge] = ()
    scorings: Sequence[str] = ("fixed",)
    questions: str = DEFAULT
    checkout: Path | None = None
    official_wording: bool = False
    example_judge: Judge | None = None
    attempts: int = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that the model under test is asked."""

    persona: Persona
    task: str
    number: int
    text: str

    @property
    def place(self) -> tuple[str, str, int]:
        return self.persona.key, self.task, self.number


@dataclass
class Session:
    """Everything that a call needs, checked before anybody is asked."""

    settings: Settings
    questions: QuestionSet
    checkout: official.Checkout | None
    personas: list[Persona]
    asked: list[Asked]
    identity: Mapping[str, Any]
    sampling: Sampling
    spoken: Mapping[str, Persona] = field(default_factory=dict)
    """The personas as the model is told, by key."""


def prepare(settings: Settings) -> Session:
    """Read and check what was given.

    Raises:
        UserError: anything that cannot be used.
    """
    _check(settings)
    check_numbers(settings.options)
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
        spoken = {one.key: replace(one, system_prompt=wording.format(persona=one.key)) for one in personas}
    else:
        spoken = {persona.key: persona for persona in personas}
    asked = [
        Asked(spoken[persona.key], task, number, text)
        for persona in personas
        for task, texts in questions.of(persona).items()
        for number, text in enumerate(texts)
    ]
    sampling = Sampling(options.temperature, options.top_p, options.top_k, options.max_tokens or 1024)
    return Session(settings, questions, checkout, personas, asked, identity_of(options), sampling, spoken)


def chat_of(asked: Asked) -> list[Message]:
    """What the model under test is asked."""
    return with_persona([{"role": "user", "content": asked.text}], asked.persona)


def _check(settings: Settings) -> None:
    options = settings.options
    unknown = [name for name in settings.scorings if name not in SCORINGS]
    if unknown or not settings.scorings:
        raise UserError(f"unknown scoring {', '.join(unknown) or '(none)'}; known: {', '.join(SCORINGS)}")
    own = options.personas.partition(":")[0] == PERSONAGYM
    needs = {
        "--scoring official": "official" in settings.scorings,
        "--personas personagym": own and settings.questions == DEFAULT,
        "--official-wording": settings.official_wording,
    }
    for name, needed in needs.items():
        if needed and settings.checkout is None:
            raise UserError(f"{name} reads PersonaGym's own files; name a checkout of it with --personagym")
    if settings.official_wording and not own:
        raise UserError(
            "--official-wording is for descriptions such as PersonaGym's; the prompts of a pool are whole as they are; "
            "leave it out, or take --personas personagym"
        )
    if settings.attempts < 1:
        raise UserError(f"--attempts is {settings.attempts}; it must be 1 or more")


def _of_pool(options: Options) -> list[Persona]:
    return [arm for arm in find_arms(replace(options, control=False)) if arm is not None]


def _described(questions: QuestionSet, asked: str) -> list[Persona]:
    pool = described_personas(questions)
    keys = asked.partition(":")[2]
    return [pool.get(key.strip()) for key in keys.split(";")] if keys else list(pool)


def check_folder(session: Session) -> None:
    """The accuracies beside it must be of the same model."""
    store = SampleStore(session.settings.options.out)
    if not store.has_samples():
        return
    there = store.settings()
    for name in ("model", "adapter"):
        if there.get(name) != json.loads(json.dumps(session.identity[name])):
            raise UserError(
                f"{store.folder} holds results with {name} {there.get(name)!r}, not {session.identity[name]!r}; give "
                "another --out"
            )


def described_settings(session: Session) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """What stays, what grows, and of what the last value counts; as ``store.begin`` takes them."""
    settings, options = session.settings, session.settings.options
    template_kwargs = options.template_kwargs
    if template_kwargs is None and not options.base_url:
        template_kwargs = DEFAULT_TEMPLATE_KWARGS
    fixed = {
        **session.identity,
        "sampling": asdict(session.sampling) | {"seed": options.seed},
        "chat_template_kwargs": template_kwargs,
        "questions": {"sha256": session.questions.sha256(), "made_by": session.questions.made_by},
    }
    growing = {
        "personas": {
            persona.key: {
                "system_prompt": session.spoken[persona.key].system_prompt,
                "questions": {task: len(texts) for task, texts in session.questions.of(persona).items()},
            }
            for persona in session.personas
        },
    }
    judged = {
        f"{scoring}: {judge.label}": {"scoring": scoring, "judge": judge.label, **judge.described()}
        for scoring in settings.scorings
        for judge in settings.judges
    }
    return fixed, growing, {"judged": judged}
