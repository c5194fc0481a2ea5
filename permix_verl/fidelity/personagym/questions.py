"""Question sets: fixed files that all models share.

    {"permix_questions": 1, "made_by": "...", "questions": {"kindergarten": {"Expected Action": ["...", ...], ...}}}

``default`` is the packaged set for the 16 evaluation personas, written for this project;
``eval/personagym_questions.py`` has a model write others. A folder is read in the layout of PersonaGym's
``questions/benchmark-v1``: one JSON file per persona, named by its description, with {task: [question, ...]}.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.tasks import TASKS, find_fidelity_task
from permix_verl.inference.jsonl_store import content_key
from permix_verl.personas.pool import Persona, PersonaPool

FORMAT_KEY, FORMAT = "permix_questions", 1
DEFAULT = "default"

Questions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Questions by persona key and task name."""


@dataclass(frozen=True)
class QuestionSet:
    """Questions of each persona and task.

    Attributes:
        made_by: free-text name of the author.
        origin: file or folder, for error messages.
    """

    questions: Questions
    made_by: str
    origin: str

    def of(self, persona: Persona) -> Mapping[str, tuple[str, ...]]:
        """Return a persona's questions by task.

        Raises:
            UserError: the set has no questions for the persona.
        """
        if persona.key not in self.questions:
            known = ", ".join(list(self.questions)[:5])
            raise UserError(
                f"question set {self.origin} has no questions for persona {persona.key!r} (it has {known}, ...)",
                "write a set for your personas with eval/personagym_questions.py",
            )
        return self.questions[persona.key]

    def sha256(self) -> str:
        """Return a hash of personas, tasks and questions in order, 32 hex digits."""
        return content_key(
            {key: {task: list(texts) for task, texts in by_task.items()} for key, by_task in self.questions.items()}
        )


def load_questions(source: str) -> QuestionSet:
    """Load the packaged set, a file or a folder.

    Raises:
        UserError: the source does not exist or has another format.
    """
    if source == DEFAULT:
        text = resources.files(__package__).joinpath("questions.json").read_text(encoding="utf-8")
        return _parse(text, "the packaged question set")
    path = Path(source)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise UserError(
            f"no question set {source!r}", f"give {DEFAULT!r}, a file, or PersonaGym's questions/benchmark-v1"
        )
    return _parse(_read_text(path), str(path))


def as_text(questions: Questions, made_by: str) -> str:
    """Format a question set as the text of its file."""
    content = {FORMAT_KEY: FORMAT, "made_by": made_by, "questions": questions}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def described_personas(questions: QuestionSet) -> PersonaPool:
    """Turn persona descriptions into a pool: "A 71-year-old nurse" becomes "You are a 71-year-old nurse."."""
    personas = tuple(
        Persona(key=text, category="PersonaGym", system_prompt=_as_role(text)) for text in questions.questions
    )
    return PersonaPool("personagym", personas)


def _as_role(description: str) -> str:
    article = description.split(" ", 1)[0]
    role = description[0].lower() + description[1:] if article in ("A", "An", "The") else description
    return f"You are {role.rstrip('.')}."


def _read_folder(folder: Path) -> QuestionSet:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UserError(f"{folder} has no .json file", "give a folder such as PersonaGym's questions/benchmark-v1")
    questions = {file.stem: _parse_tasks(_parse_object(_read_text(file), str(file)), str(file)) for file in files}
    return QuestionSet(questions, made_by=folder.name, origin=str(folder))


def _parse(text: str, origin: str) -> QuestionSet:
    content = _parse_object(text, origin)
    if content.get(FORMAT_KEY) != FORMAT or not isinstance(content.get("questions"), dict):
        raise UserError(
            f"{origin} is not a question set: it needs {FORMAT_KEY!r}: {FORMAT} and an object 'questions'",
            "write one with eval/personagym_questions.py",
        )
    questions = {
        key: _parse_tasks(by_task, f"{origin}, persona {key!r}") for key, by_task in content["questions"].items()
    }
    return QuestionSet(questions, str(content.get("made_by", "")), origin)


def _parse_tasks(content: Any, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(content, dict) or not content:
        raise UserError(f"{where}: no tasks", f"give an object such as {{{next(iter(TASKS))!r}: [questions]}}")
    by_task = {}
    for name, texts in content.items():
        task = find_fidelity_task(name)
        if task is None:
            raise UserError(f"{where}: unknown task {name!r}", f"known: {', '.join(TASKS)}")
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(text, str) and text.strip() for text in texts)
        ):
            raise UserError(f"{where}, task {name!r}: not a list of questions", "give a list of non-empty texts")
        if len(set(texts)) < len(texts):
            raise UserError(f"{where}, task {name!r}: duplicate question", "remove it")
        by_task[task.name] = tuple(texts)
    return by_task


def _parse_object(text: str, origin: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{origin} is not JSON ({error})", "restore it from a copy") from None
    if not isinstance(content, dict):
        raise UserError(f"{origin} holds a JSON {type(content).__name__}", "give a JSON object")
    return content


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error})", "save it as UTF-8") from None
