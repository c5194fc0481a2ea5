"""Question sets: fixed files that all models share.

    {"permix_questions": 1, "made_by": "...", "questions": {"kindergarten": {"Expected Action": ["...", ...], ...}}}

``default`` is the packaged set for the 16 evaluation personas, written for this project;
``eval/personagym_questions.py`` has a model write others. A folder is read as PersonaGym keeps its own
(``questions/benchmark-v1``): a JSON file a persona, named by its description, {task: [question, ...]}.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.tasks import TASKS, find_task_by
from permix_verl.inference.jsonl_store import content_key
from permix_verl.personas.pool import Persona, PersonaPool

FORMAT_KEY, FORMAT = "permix_questions", 1
DEFAULT = "default"

Questions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By persona key and task."""


@dataclass(frozen=True)
class QuestionSet:
    """Questions of each persona and task.

    Attributes:
        made_by: who wrote them, for people.
        origin: file or folder, for messages.
    """

    questions: Questions
    made_by: str
    origin: str

    def of(self, persona: Persona) -> Mapping[str, tuple[str, ...]]:
        """A persona's questions by task.

        Raises:
            UserError: there are none.
        """
        if persona.key not in self.questions:
            known = ", ".join(list(self.questions)[:5])
            raise UserError(
                f"question set {self.origin} has no questions for persona {persona.key!r}; it has {known}, ...; let "
                "eval/personagym_questions.py write a set for your personas"
            )
        return self.questions[persona.key]

    def sha256(self) -> str:
        """Hash over personas, tasks and questions in order, 32 hex digits."""
        return content_key(
            {key: {task: list(texts) for task, texts in of.items()} for key, of in self.questions.items()}
        )


def load_questions(source: str) -> QuestionSet:
    """The packaged set, a file or a folder.

    Raises:
        UserError: nothing there, or not in the form above.
    """
    if source == DEFAULT:
        text = resources.files("permix_verl").joinpath("fidelity/questions.json").read_text(encoding="utf-8")
        return _parse(text, "the packaged question set")
    path = Path(source)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise UserError(f"no question set {source!r}; give {DEFAULT!r}, a file, or PersonaGym's questions/benchmark-v1")
    return _parse(_text(path), str(path))


def as_text(questions: Questions, made_by: str) -> str:
    """A question set as its file has it."""
    content = {FORMAT_KEY: FORMAT, "made_by": made_by, "questions": questions}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def described_personas(questions: QuestionSet) -> PersonaPool:
    """PersonaGym's personas, which are descriptions: "A 71-year-old nurse" is told "You are a 71-year-old nurse."."""
    personas = tuple(
        Persona(key=text, category="PersonaGym", system_prompt=_as_role(text)) for text in questions.questions
    )
    return PersonaPool("personagym", personas)


def _as_role(description: str) -> str:
    article = description.split(" ", 1)[0]
    spoken = description[0].lower() + description[1:] if article in ("A", "An", "The") else description
    return f"You are {spoken.rstrip('.')}."


def _read_folder(folder: Path) -> QuestionSet:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UserError(f"{folder} holds no .json file; give a folder such as PersonaGym's questions/benchmark-v1")
    questions = {file.stem: _of_persona(_object(_text(file), str(file)), str(file)) for file in files}
    return QuestionSet(questions, made_by=folder.name, origin=str(folder))


def _parse(text: str, origin: str) -> QuestionSet:
    content = _object(text, origin)
    if content.get(FORMAT_KEY) != FORMAT or not isinstance(content.get("questions"), dict):
        raise UserError(
            f"{origin} is no question set: it needs {FORMAT_KEY!r}: {FORMAT} and an object 'questions'; let "
            "eval/personagym_questions.py write one"
        )
    questions = {key: _of_persona(of, f"{origin}, persona {key!r}") for key, of in content["questions"].items()}
    return QuestionSet(questions, str(content.get("made_by", "")), origin)


def _of_persona(found: Any, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(found, dict) or not found:
        raise UserError(f"{where}: expected an object with tasks, such as {next(iter(TASKS))!r}: [questions]")
    by_task = {}
    for name, texts in found.items():
        task = find_task_by(name)
        if task is None:
            raise UserError(f"{where}: unknown task {name!r}; known: {', '.join(TASKS)}")
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(text, str) and text.strip() for text in texts)
        ):
            raise UserError(f"{where}, task {name!r}: expected a list of questions, each a text that is not empty")
        if len(set(texts)) < len(texts):
            raise UserError(f"{where}, task {name!r}: a question stands twice; remove it")
        by_task[task.name] = tuple(texts)
    return by_task


def _object(text: str, origin: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{origin} is not JSON ({error}); restore it from a copy") from None
    if not isinstance(content, dict):
        raise UserError(f"{origin}: expected a JSON object, got {type(content).__name__}")
    return content


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error}); save it as UTF-8") from None
