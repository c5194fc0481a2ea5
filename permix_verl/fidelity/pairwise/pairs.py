"""Two models' stored answers to the same problems under one persona, and what a judge is asked about each pair.

The paper's Table 1: on MATH500 under the kindergartener's prompt, which of two models' answers is more in character.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.tasks import find_task, load_problems
from permix_verl.inference.judges.ask import Question
from permix_verl.inference.judges.replies import read_choice, reply_schema
from permix_verl.inference.judges.untrusted_text import FENCES, fenced
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import Message

ORDERS = ("ab", "ba")
SYSTEM = (
    "You compare two answers whose authors were told to play the same role, and say which one is more in character: "
    "which sounds more like somebody in this role, and keeps to what such a person knows and can do. Whether an answer "
    f"is correct, complete or long does not matter. {FENCES}"
)
FORM = (
    'Reply with one JSON object and nothing else: {"reason": "two sentences at most", "choice": C}, C being "first", '
    '"second", or "tie" if neither is more in character than the other. If they cannot be compared, C is null.'
)
SCHEMA = reply_schema("choice", ["first", "second", "tie"], "string")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one problem.

    Attributes:
        asked: what both models were asked.
        first, second: rows of the first and of the second results folder.
    """

    problem: str
    run: int
    asked: str
    first: Sample
    second: Sample


@dataclass(frozen=True)
class Pairing:
    """All pairs of two results folders.

    Attributes:
        identities: of the two models.
        left_out: answers of which the other model has no counterpart.
    """

    task: str
    persona: Persona
    labels: tuple[str, str]
    identities: tuple[Mapping[str, Any], Mapping[str, Any]]
    pairs: Sequence[Pair]
    left_out: int


def read_pairing(
    first: Path, second: Path, persona: Persona, task: str | None, *, runs: int = 1, limit: int | None = None
) -> Pairing:
    """Pair the answers that both folders hold.

    Args:
        task: ``NAME`` or ``NAME=SOURCE``, as eval/run.py takes it; ``None``: the only one that both have.
        runs: so many answers to each problem.
        limit: only the first so many problems.

    Raises:
        UserError: a folder that does not read, no task or no answer in common, answers to other prompts.
    """
    if runs < 1 or (limit is not None and limit < 1):
        raise UserError(f"--runs is {runs} and --limit {limit}; they must be 1 or more")
    if first.resolve() == second.resolve():
        raise UserError(f"--a and --b are the same folder, {first}; give two models' results")
    stores = [SampleStore(folder) for folder in (first, second)]
    settings = [store.settings() for store in stores]
    name, _, source = (task or _common_task(stores)).partition("=")
    problems = {problem.id: problem for problem in load_problems(find_task(name), source or None, limit)}
    answers = [_answers(store, name, persona.key, runs) for store in stores]
    # In the task's order: that of the folders is as answers came in, and a test's draws go by place.
    wanted = [(problem, run) for problem in problems for run in range(runs)]
    places = [place for place in wanted if all(place in found for found in answers)]
    if not places:
        raise UserError(
            f"{first} and {second} have no answer in common of task {name} under persona {persona.key!r}; evaluate "
            "both with eval/run.py"
        )
    pairs = []
    for problem, run in places:
        mine, other = (found[problem, run] for found in answers)
        asked = find_task(name).prompt(problems[problem])
        for sample, folder in ((mine, first), (other, second)):
            _check_prompt(sample, folder, asked, persona)
        pairs.append(Pair(problem, run, asked, mine, other))
    alone = sum(len([place for place in found if place[0] in problems]) for found in answers) - 2 * len(pairs)
    return Pairing(
        name,
        persona,
        (first.resolve().name, second.resolve().name),
        (_identity(settings[0]), _identity(settings[1])),
        pairs,
        alone,
    )


def pair_questions(pairing: Pairing) -> list[Question]:
    """Both orders of each pair, one after the other."""
    return [_question(pairing, pair, order) for pair in pairing.pairs for order in ORDERS]


def _question(pairing: Pairing, pair: Pair, order: str) -> Question:
    shown = [pair.first, pair.second] if order == "ab" else [pair.second, pair.first]
    messages = pair_messages(pairing.persona.system_prompt, pair.asked, shown[0].output, shown[1].output)
    place = (pair.problem, pair.run, order)
    return Question("pairwise", place, [sample.key for sample in shown], messages, read_choice, SCHEMA)


def pair_messages(role: str, asked: str, first: str, second: str) -> list[Message]:
    """What a judge is asked about two answers in this order."""
    parts = (
        f"What both authors were told:\n{fenced('role', role)}",
        f"What both were asked:\n{fenced('question', asked)}",
        f"The first answer:\n{fenced('first', first)}",
        f"The second answer:\n{fenced('second', second)}",
        FORM,
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]


def _common_task(stores: Sequence[SampleStore]) -> str:
    both = [task for task in stores[0].tasks() if task in stores[1].tasks()]
    if len(both) != 1:
        shown = ", ".join(both) or "none"
        raise UserError(f"tasks that both folders have: {shown}; name the one to compare with --task")
    return both[0]


def _answers(store: SampleStore, task: str, persona: str, runs: int) -> dict[tuple[str, int], Sample]:
    return {
        (sample.problem, sample.run): sample
        for sample in store.samples(task)
        if sample.persona == persona and sample.run < runs
    }


def _check_prompt(sample: Sample, folder: Path, asked: str, persona: Persona) -> None:
    """The answer must be one to this problem under this persona's text."""
    seen = sample.prompt
    if seen.startswith('[{"role"'):  # an endpoint's, which renders the chat itself
        seen = "\n".join(str(message["content"]) for message in json.loads(seen))
    for what, text in (("problem", asked), ("persona", persona.system_prompt)):
        if text.strip() not in seen:
            raise UserError(
                f"{folder}: problem {sample.problem} was answered under another {what} than {text.strip()[:60]!r}...; "
                "give the same --task source, limit and --personas as its eval/run.py command"
            )


def _identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in ("model", "adapter", "sampling")}
