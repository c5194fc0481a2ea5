"""Which samples a results folder should hold, and which of them are still to be drawn."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import SampleStore, sample_key
from permix_verl.evaluation.tasks import EvalProblem, Task
from permix_verl.inference.engines import Request, Sampling
from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.personas.prompts import Message, with_persona
from permix_verl.seeding import derive_seed

Render = Callable[[Sequence[Message]], str]
"""Chat -> prompt text; see :func:`permix_verl.personas.prompts.render`."""


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task, its problems, and how its answers are drawn."""

    task: Task
    problems: Sequence[EvalProblem]
    sampling: Sampling

    def fingerprint(self) -> str:
        """Hash over what is asked: ids, texts, golds, answer instruction."""
        content = [[p.id, self.task.prompt(p), p.gold] for p in self.problems]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """All samples that are wanted: tasks x arms x problems x runs.

    Attributes:
        identity: of the model and the adapter, part of every sample's key.
        arms: personas; ``None`` is the control arm without one.
        runs: answers to each prompt.
        seed: of the whole evaluation; a sample's own seed follows from it and from its place.
        render: how chats become prompts; ``None`` where the server does it.
    """

    identity: Mapping[str, Any]
    tasks: Sequence[TaskPlan]
    arms: Sequence[Persona | None]
    runs: int
    seed: int
    render: Render | None

    def longest_prompts(self, entry: TaskPlan) -> list[str]:
        """A task's prompts under the longest persona, as far as they are rendered here."""
        if self.render is None:
            return []
        arm = max(self.arms, key=lambda arm: len(arm.system_prompt) if arm else 0)
        users = ([{"role": "user", "content": entry.task.prompt(problem)}] for problem in entry.problems)
        return [self.render(with_persona(user, arm)) for user in users]

    @property
    def size(self) -> int:
        """Number of samples wanted."""
        return sum(len(entry.problems) for entry in self.tasks) * len(self.arms) * self.runs


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request, and what its row needs besides the answer."""

    request: Request
    task: Task
    problem: EvalProblem
    persona: str
    run: int
    prompt: str
    prompt_sha256: str


@dataclass
class Remaining:
    """The samples of a plan that a store does not hold yet, in an order that suits prefix caching.

    Attributes:
        stored: how many of the plan's samples are there already.
    """

    plan: Plan
    store: SampleStore
    stored: int = 0
    _places: dict[str, dict[tuple[str, str, int], str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        personas = {arm_name(arm) for arm in self.plan.arms}
        for entry in self.plan.tasks:
            ids = {problem.id for problem in entry.problems}
            places = {sample.place: sample.key for sample in self.store.samples(entry.task.name)}
            self._places[entry.task.name] = places
            self.stored += sum(
                persona in personas and problem in ids and run < self.plan.runs for persona, problem, run in places
            )

    def __iter__(self) -> Iterator[Wanted]:
        for entry in self.plan.tasks:
            places = self._places[entry.task.name]
            for arm in self.plan.arms:
                for problem in entry.problems:
                    yield from self._of_problem(entry, arm, problem, places)

    def _of_problem(
        self, entry: TaskPlan, arm: Persona | None, problem: EvalProblem, places: Mapping[tuple[str, str, int], str]
    ) -> Iterator[Wanted]:
        persona = arm_name(arm)
        missing = [run for run in range(self.plan.runs) if (persona, problem.id, run) not in places]
        # One stored run is looked at too: its prompt must be the one that would be asked today.
        if not missing and problem is not entry.problems[0]:
            return
        messages = with_persona([{"role": "user", "content": entry.task.prompt(problem)}], arm)
        prompt = self.plan.render(messages) if self.plan.render else json.dumps(messages, ensure_ascii=False)
        prompt_sha256 = hashlib.sha256(prompt.encode()).hexdigest()
        for run in range(self.plan.runs):
            place = (entry.task.name, persona, problem.id, run)
            key = sample_key(
                self.plan.identity, place, prompt_sha256, asdict(entry.sampling) | {"seed": self.plan.seed}
            )
            stored = places.get(place[1:])
            if stored is None:
                seed = derive_seed("permix.eval", self.plan.seed, run, "\x1f".join(place[:3])) % 2**31
                yield Wanted(
                    request=Request(key, messages, prompt if self.plan.render else None, entry.sampling, seed),
                    task=entry.task,
                    problem=problem,
                    persona=persona,
                    run=run,
                    prompt=prompt,
                    prompt_sha256=prompt_sha256,
                )
            elif stored != key:
                raise UserError(
                    f"{self.store.folder} holds task {entry.task.name}, persona {persona}, problem {problem.id} under "
                    "another prompt (another persona text, chat template or template setting); give another --out"
                )


def arm_name(arm: Persona | None) -> str:
    """The arm's name in results."""
    return arm.key if arm else NO_PERSONA
