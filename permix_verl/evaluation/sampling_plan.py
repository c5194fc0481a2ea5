"""Sampling plan: the samples that a results folder should hold, and those that are still missing."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import SampleStore, sample_key
from permix_verl.evaluation.tasks import EvalProblem, Task
from permix_verl.inference.engine_config import Render
from permix_verl.inference.engines import Request, Sampling
from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.personas.prompts import with_persona
from permix_verl.seeding import derive_seed


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task, its problems, and its sampling parameters."""

    task: Task
    problems: Sequence[EvalProblem]
    sampling: Sampling

    def fingerprint(self) -> str:
        """Return a hash of problem ids, prompts and golds, 16 hex digits."""
        content = [[p.id, self.task.prompt(p), p.gold] for p in self.problems]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """All samples wanted: tasks x conditions x problems x runs.

    Attributes:
        identity: model and adapter; part of every sample's key.
        conditions: personas; ``None`` is the control condition without persona.
        runs: completions of each prompt.
        seed: seed of the evaluation, from which every sample's own seed is derived.
        render: prompt renderer; ``None`` if an endpoint renders.
    """

    identity: Mapping[str, Any]
    tasks: Sequence[TaskPlan]
    conditions: Sequence[Persona | None]
    runs: int
    seed: int
    render: Render | None

    def longest_prompts(self, entry: TaskPlan) -> list[str]:
        """Return a task's prompts under the longest persona; none if an endpoint renders."""
        if self.render is None:
            return []
        longest = max(self.conditions, key=lambda persona: len(persona.system_prompt) if persona else 0)
        users = ([{"role": "user", "content": entry.task.prompt(problem)}] for problem in entry.problems)
        return [self.render(with_persona(user, longest)) for user in users]

    @property
    def size(self) -> int:
        """Number of samples wanted."""
        return sum(len(entry.problems) for entry in self.tasks) * len(self.conditions) * self.runs


@dataclass(frozen=True, slots=True)
class PendingSample:
    """A request, and the fields of its row besides the completion."""

    request: Request
    task: Task
    problem: EvalProblem
    persona: str
    run: int
    prompt: str
    prompt_sha256: str


@dataclass
class MissingSamples:
    """The samples of a plan that a store lacks, ordered for prefix caching.

    Attributes:
        stored: number of the plan's samples in the store.
    """

    plan: Plan
    store: SampleStore
    stored: int = 0
    _keys: dict[str, dict[tuple[str, str, int], str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        personas = {condition_key(persona) for persona in self.plan.conditions}
        for entry in self.plan.tasks:
            problems = {problem.id for problem in entry.problems}
            keys = {sample.sample_id: sample.key for sample in self.store.samples(entry.task.name)}
            self._keys[entry.task.name] = keys
            self.stored += sum(
                persona in personas and problem in problems and run < self.plan.runs for persona, problem, run in keys
            )

    def __iter__(self) -> Iterator[PendingSample]:
        for entry in self.plan.tasks:
            for persona in self.plan.conditions:
                for problem in entry.problems:
                    yield from self._missing_runs(entry, persona, problem)

    def _missing_runs(self, entry: TaskPlan, persona: Persona | None, problem: EvalProblem) -> Iterator[PendingSample]:
        keys, condition = self._keys[entry.task.name], condition_key(persona)
        missing = [run for run in range(self.plan.runs) if (condition, problem.id, run) not in keys]
        # The first problem is rendered even if it is complete: its stored prompt must equal today's.
        if not missing and problem is not entry.problems[0]:
            return
        messages = with_persona([{"role": "user", "content": entry.task.prompt(problem)}], persona)
        prompt = self.plan.render(messages) if self.plan.render else json.dumps(messages, ensure_ascii=False)
        prompt_sha256 = hashlib.sha256(prompt.encode()).hexdigest()
        sampling = asdict(entry.sampling) | {"seed": self.plan.seed}
        for run in range(self.plan.runs):
            key = sample_key(self.plan.identity, (entry.task.name, condition, problem.id, run), prompt_sha256, sampling)
            stored = keys.get((condition, problem.id, run))
            if stored is None:
                place = "\x1f".join((entry.task.name, condition, problem.id))
                seed = derive_seed("permix.eval", self.plan.seed, run, place) % 2**31
                yield PendingSample(
                    request=Request(key, messages, prompt if self.plan.render else None, entry.sampling, seed),
                    task=entry.task,
                    problem=problem,
                    persona=condition,
                    run=run,
                    prompt=prompt,
                    prompt_sha256=prompt_sha256,
                )
            elif stored != key:
                raise UserError(
                    f"{self.store.folder} holds task {entry.task.name}, persona {condition}, problem {problem.id} "
                    "under another prompt (another persona text, chat template or template setting)",
                    "give another --out",
                )


def condition_key(persona: Persona | None) -> str:
    """Return the key of a condition in results: the persona's, or "no_persona"."""
    return persona.key if persona else NO_PERSONA
