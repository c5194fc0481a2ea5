"""Log-likelihoods of a results folder's answers under each persona's prompt, by a frozen base.

The first run's answers to the first problems of each task are scored. The prompts are those that the folder stores: of
the same problem, under each persona. So they are rendered as they were for the model that answered.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.results import Results, load_results
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.fidelity.likelihood.checked_base import CheckedBase
from permix_verl.fidelity.likelihood.scores import prompt_log_likelihoods
from permix_verl.fidelity.likelihood.store import AnswerScores, LikelihoodStore
from permix_verl.personas.prompts import render
from permix_verl.statistics.identification import MIN_CLUSTERS


@dataclass(frozen=True, slots=True)
class ScoredTask:
    """The part of a task that is scored.

    Attributes:
        personas, problems: their keys and ids, in the order of the results.
        samples: by problem, each persona's sample in the order of ``personas``.
    """

    name: str
    personas: tuple[str, ...]
    problems: tuple[str, ...]
    samples: Mapping[str, Sequence[Sample]]


def scored_tasks(results: Path, problems: int, tasks: Sequence[str] = ()) -> Iterator[ScoredTask]:
    """Yield the tasks of a results folder with the samples to be scored.

    Args:
        problems: of each task, from the first.
        tasks: their names; empty for all.

    Raises:
        UserError: not a results folder, samples missing, an unknown task, or too few personas or problems.
    """
    found = {result.task: result for result in load_results(results)}
    if unknown := [task for task in tasks if task not in found]:
        raise UserError(f"{results} has no task {unknown[0]}", f"it has {', '.join(found)}")
    for name in tasks or found:
        yield _scored_task(SampleStore(results), found[name], problems)


def _scored_task(store: SampleStore, result: Results, number: int) -> ScoredTask:
    problems = result.problems[:number]
    if min(len(result.personas), len(problems)) < MIN_CLUSTERS:
        raise UserError(
            f"task {result.task}: {len(result.personas)} personas and {len(problems)} problems",
            f"an interval needs {MIN_CLUSTERS} of each; evaluate more, or give a larger --problems",
        )
    wanted = {(persona, problem) for persona in result.personas for problem in problems}
    first_run = {
        (sample.persona, sample.problem): sample
        for sample in store.samples(result.task)
        if sample.run == 0 and (sample.persona, sample.problem) in wanted
    }
    samples = {problem: [first_run[persona, problem] for persona in result.personas] for problem in problems}
    return ScoredTask(result.task, result.personas, problems, samples)


def score_folder(results: Path, base: CheckedBase, model: Any, tokenizer: Any, tasks: Sequence[ScoredTask]) -> int:
    """Score the answers that have no scores yet.

    Args:
        results: results folder, which keeps the scores.
        model, tokenizer: the base.
        tasks: of :func:`scored_tasks`.

    Returns:
        Number of answers scored by this call.

    Raises:
        UserError: the folder has scores of another base or of other personas, or another process is scoring it.
    """
    wanted = {task.name: {"personas": task.personas, "problems": task.problems} for task in tasks}
    scored = 0
    with LikelihoodStore(results).writing({"base": base.as_settings(), "tasks": wanted}) as rows:
        for task in tasks:
            for number, problem in enumerate(task.problems, start=1):
                missing = [sample for sample in task.samples[problem] if sample.key not in rows.by_key]
                if missing:
                    prompts = [_prompt(sample, tokenizer, base.template_kwargs) for sample in task.samples[problem]]
                    rows.append(*_score(missing, prompts, model, tokenizer))
                    scored += len(missing)
                    place = f"{results.resolve().name}, {task.name}"
                    print(f"{place}: {number} of {len(task.problems)} problems", file=sys.stderr, flush=True)
    return scored


def _prompt(sample: Sample, tokenizer: Any, template_kwargs: Mapping[str, Any]) -> str:
    """Return a sample's prompt; messages, which an endpoint rendered, are rendered by the base's template."""
    if not sample.prompt.startswith('[{"role"'):
        return sample.prompt
    return render(tokenizer, json.loads(sample.prompt), template_kwargs)


def _score(samples: Sequence[Sample], prompts: Sequence[str], model: Any, tokenizer: Any) -> Iterator[AnswerScores]:
    """Yield the scores of answers to one problem."""
    texts = [sample.output for sample in samples if sample.output.strip()]
    scores = iter(prompt_log_likelihoods(model, tokenizer, prompts, texts).tolist())
    for sample in samples:
        nats = next(scores) if sample.output.strip() else None
        yield AnswerScores(sample.key, sample.task, sample.persona, sample.problem, nats)
