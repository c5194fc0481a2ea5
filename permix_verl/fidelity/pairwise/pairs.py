"""Pairs of two models' stored answers to the same problems under one persona, and the judge's prompt for a pair.

Source: Table 1 of the PerMix-RLVR paper (arXiv 2604.08986), which of two models' answers to MATH500 under the
kindergartener's prompt is more in character.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.chat_templates.reading import spoken
from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.tasks import find_task, load_problems
from permix_verl.inference.judges.questions import JudgeQuestion
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
        question: problem text that both models got.
        first, second: samples of the first and of the second results folder.
    """

    problem: str
    run: int
    question: str
    first: Sample
    second: Sample


@dataclass(frozen=True)
class Pairing:
    """All pairs of two results folders.

    Attributes:
        labels: names of the two results folders.
        identities: identities of the two models.
        left_out: number of answers without a counterpart of the other model.
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
        task: ``NAME`` or ``NAME=SOURCE``, as for eval/run.py; ``None`` for the only task that both folders have.
        runs: answers per problem.
        limit: number of problems from the start of the task; ``None`` for all.

    Raises:
        UserError: an unreadable folder, no task or answer in common, or answers to other prompts.
    """
    if runs < 1 or (limit is not None and limit < 1):
        raise UserError(f"--runs is {runs} and --limit {limit}", "they must be 1 or more")
    if first.resolve() == second.resolve():
        raise UserError(f"--a and --b are the same folder, {first}", "give two models' results")
    stores = [SampleStore(folder) for folder in (first, second)]
    settings = [store.settings() for store in stores]
    name, _, source = (task or _common_task(stores)).partition("=")
    problems = {problem.id: problem for problem in load_problems(find_task(name), source or None, limit)}
    samples = [_samples(store, name, persona.key, runs) for store in stores]
    # In the task's order, not in the order of generation: the permutation test depends on the order of the pairs.
    keys = [(problem, run) for problem in problems for run in range(runs)]
    common = [key for key in keys if all(key in by_key for by_key in samples)]
    if not common:
        raise UserError(
            f"{first} and {second} have no answer in common of task {name} under persona {persona.key!r}",
            "evaluate both with eval/run.py",
        )
    pairs = []
    for problem, run in common:
        mine, other = (by_key[problem, run] for by_key in samples)
        question = find_task(name).prompt(problems[problem])
        for sample, folder in ((mine, first), (other, second)):
            _check_prompt(sample, folder, question, persona)
        pairs.append(Pair(problem, run, question, mine, other))
    unpaired = sum(len([key for key in by_key if key[0] in problems]) for by_key in samples) - 2 * len(pairs)
    return Pairing(
        name,
        persona,
        (first.resolve().name, second.resolve().name),
        (_identity(settings[0]), _identity(settings[1])),
        pairs,
        unpaired,
    )


def pair_questions(pairing: Pairing) -> list[JudgeQuestion]:
    """Build the questions to a judge: both orders of each pair, one after the other."""
    return [_question(pairing, pair, order) for pair in pairing.pairs for order in ORDERS]


def _question(pairing: Pairing, pair: Pair, order: str) -> JudgeQuestion:
    shown = [pair.first, pair.second] if order == "ab" else [pair.second, pair.first]
    messages = pair_messages(pairing.persona.system_prompt, pair.question, *(spoken(one.output) for one in shown))
    place = (pair.problem, pair.run, order)
    return JudgeQuestion("pairwise", place, [sample.key for sample in shown], messages, read_choice, SCHEMA)


def pair_messages(role: str, question: str, first: str, second: str) -> list[Message]:
    """Build the judge's chat about two answers in this order."""
    parts = (
        f"What both authors were told:\n{fenced('role', role)}",
        f"What both were asked:\n{fenced('question', question)}",
        f"The first answer:\n{fenced('first', first)}",
        f"The second answer:\n{fenced('second', second)}",
        FORM,
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]


def _common_task(stores: Sequence[SampleStore]) -> str:
    both = [task for task in stores[0].tasks() if task in stores[1].tasks()]
    if len(both) != 1:
        shown = ", ".join(both) or "none"
        raise UserError(f"tasks in both folders: {shown}", "choose one with --task")
    return both[0]


def _samples(store: SampleStore, task: str, persona: str, runs: int) -> dict[tuple[str, int], Sample]:
    return {
        (sample.problem, sample.run): sample
        for sample in store.samples(task)
        if sample.persona == persona and sample.run < runs
    }


def _check_prompt(sample: Sample, folder: Path, question: str, persona: Persona) -> None:
    """Refuse a sample whose prompt lacks this problem's or this persona's text."""
    prompt = sample.prompt
    if prompt.startswith('[{"role"'):  # an endpoint renders the chat itself, so the chat is stored
        prompt = "\n".join(str(message["content"]) for message in json.loads(prompt))
    for what, text in (("problem", question), ("persona", persona.system_prompt)):
        if text.strip() not in prompt:
            raise UserError(
                f"{folder}: the prompt of problem {sample.problem} lacks the {what} text {text.strip()[:60]!r}...",
                "give the same --task source, limit and --personas as its eval/run.py command",
            )


def _identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in ("model", "adapter", "sampling")}
