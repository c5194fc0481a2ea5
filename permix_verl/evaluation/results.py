"""From stored samples to the arrays that the statistics take."""

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.reward_fns.math_reward import STRICT_MARKS


@dataclass(frozen=True)
class Results:
    """One model on one task.

    Attributes:
        label: the results folder's name.
        model, adapter: their names.
        personas: P keys, in the order of the pool that was asked.
        problems: N ids, in an order of their own: whichever way the samples are stored.
        golds: their gold answers. Of GSM8K's form an id is a place in a file, so another file's may be other problems.
        correct_PRN: 0/1.
        control_RN: the same without a persona, or ``None``.
        audit: for each arm, counts: samples, each verdict status, "cut" at the token limit, "parsed" and
            "parsed_correct" among those with an answer, and "strict": correct by a mark of ``STRICT_MARKS``.
        marks: for each arm, counts of what marked the answers; ``None`` where that is not recorded with
            every correct answer, and "strict" means nothing then.
        tokens: mean answer length by arm; NaN where the engine did not say.
        dropped: problems left out because some sample of theirs is missing.
    """

    label: str
    task: str
    model: str
    adapter: str | None
    personas: tuple[str, ...]
    problems: tuple[str, ...]
    golds: tuple[str, ...]
    correct_PRN: NDArray[np.float64]
    control_RN: NDArray[np.float64] | None
    audit: dict[str, dict[str, int]]
    marks: dict[str, dict[str, int]] | None
    tokens: dict[str, float]
    dropped: int


def load_results(folder: Path, *, allow_incomplete: bool = False) -> list[Results]:
    """All tasks of a results folder.

    Args:
        allow_incomplete: leave out problems of which a sample is missing, instead of refusing.

    Raises:
        UserError: not a results folder, no samples, or samples missing.
    """
    store = SampleStore(folder)
    settings = store.settings()
    adapter = settings.get("adapter")
    found = []
    for task in settings["tasks"]:
        samples = list(store.samples(task))
        if not samples and not allow_incomplete:
            raise UserError(f"{folder} holds no samples of task {task} yet; give its eval/run.py command again")
        if not samples:
            continue
        for name, ids in parts_of(task, settings["tasks"][task]).items():
            if ids is not None and len(ids) < 2:
                print(f"{folder}: {name} has {len(ids)} problem, too few for statistics; left out", file=sys.stderr)
                continue
            mine = samples if ids is None else [sample for sample in samples if sample.problem in ids]
            problems = int(settings["tasks"][task]["problems"]) if ids is None else len(ids)
            cube = _Cube.of(mine, settings["wanted"][task], problems, f"{folder}: {name}")
            if cube.missing and not allow_incomplete:
                raise UserError(
                    f"{folder}: {cube.missing} of {cube.size} samples of task {name} are missing; give its eval/run.py "
                    "command again, or --allow-incomplete to leave out the problems concerned"
                )
            if not mine:
                continue
            found.append(
                cube.results(
                    label=folder.resolve().name,
                    task=name,
                    model=settings["model"]["name"],
                    adapter=adapter["name"] if adapter else None,
                )
            )
    if not found:
        raise UserError(f"{folder} holds no samples yet; give its eval/run.py command again")
    return found


def parts_of(task: str, settings: Mapping[str, Any]) -> dict[str, frozenset[str] | None]:
    """What of a task is reported by itself: names, and ids of problems, or ``None`` for all of them."""
    groups: Mapping[str, Sequence[str]] = settings.get("groups") or {}
    return {name: frozenset(ids) for name, ids in groups.items()} or {task: None}


@dataclass(frozen=True)
class _Cube:
    """Verdicts by arm, run and problem, NaN where a sample is missing, and the samples by arm."""

    where: str
    arms: list[str]
    problems: list[str]
    correct_ARN: NDArray[np.float64]
    samples: dict[str, list[Sample]]
    size: int
    missing: int

    @classmethod
    def of(cls, samples: Sequence[Sample], wanted: Mapping[str, Any], problems_wanted: int, where: str) -> "_Cube":
        arms = list(wanted["arms"])
        row = {arm: number for number, arm in enumerate(arms)}
        # Not as they are stored, which is as answers came in: the draws of intervals and tests go by place.
        problems = sorted({sample.problem for sample in samples}, key=_as_counted)
        column = {problem: number for number, problem in enumerate(problems)}
        correct = np.full((len(arms), int(wanted["runs"]), len(problems)), np.nan)
        by_arm: dict[str, list[Sample]] = {arm: [] for arm in arms}
        for sample in samples:
            index = row[sample.persona], sample.run, column[sample.problem]
            if not np.isnan(correct[index]):
                raise UserError(f"{where}: two samples of {sample.place} under different prompts; keep one of them")
            correct[index] = sample.status == "correct"
            by_arm[sample.persona].append(sample)
        size = len(arms) * correct.shape[1] * problems_wanted
        return cls(where, arms, problems, correct, by_arm, size, size - len(samples))

    def results(self, label: str, task: str, model: str, adapter: str | None) -> Results:
        """What is whole of it."""
        kept = np.flatnonzero(~np.isnan(self.correct_ARN).any(axis=(0, 1)))
        personas = [arm for arm in self.arms if arm != NO_PERSONA]
        if len(personas) < 2 or not len(kept):
            raise UserError(
                f"{self.where}: {len(personas)} personas and {len(kept)} whole problems; at least two and one are "
                "needed; give its eval/run.py command again, with more personas"
            )
        ids = {self.problems[number] for number in kept}
        chosen = {arm: [sample for sample in rows if sample.problem in ids] for arm, rows in self.samples.items()}
        golds = {sample.problem: sample.gold for rows in chosen.values() for sample in rows}
        whole = self.correct_ARN[:, :, kept]
        runs = self.correct_ARN.shape[1]
        return Results(
            label=label,
            task=task,
            model=model,
            adapter=adapter,
            personas=tuple(personas),
            problems=tuple(self.problems[number] for number in kept),
            golds=tuple(golds[self.problems[number]] for number in kept),
            correct_PRN=whole[[self.arms.index(persona) for persona in personas]],
            control_RN=whole[self.arms.index(NO_PERSONA)] if NO_PERSONA in self.arms else None,
            audit={arm: _audit(rows) for arm, rows in chosen.items()},
            marks=_marks(chosen),
            tokens={arm: _mean_tokens(rows) for arm, rows in chosen.items()},
            dropped=self.size // (len(self.arms) * runs) - len(kept),
        )


def _as_counted(name: str) -> list[str | int]:
    """A key that sorts gsm8k/test/9 before gsm8k/test/10."""
    return [int(part) if number % 2 else part for number, part in enumerate(re.split(r"(\d+)", name))]


def _audit(samples: Sequence[Sample]) -> dict[str, int]:
    counts = Counter(sample.status for sample in samples)
    return {
        "samples": len(samples),
        **{status: counts[status] for status in ("correct", "wrong", "no_answer", "timeout", "error")},
        "cut": sum(sample.finish_reason == "length" for sample in samples),
        "parsed": counts["correct"] + counts["wrong"],
        "parsed_correct": counts["correct"],
        "strict": sum(sample.status == "correct" and sample.mark in STRICT_MARKS for sample in samples),
    }


def _marks(by_arm: Mapping[str, Sequence[Sample]]) -> dict[str, dict[str, int]] | None:
    counts = {arm: Counter(sample.mark for sample in samples if sample.mark) for arm, samples in by_arm.items()}
    # In a folder that was begun before marks were kept, the old correct answers would count as read leniently.
    unknown = any(sample.status == "correct" and not sample.mark for rows in by_arm.values() for sample in rows)
    return None if unknown or not any(counts.values()) else {arm: dict(found) for arm, found in counts.items()}


def _mean_tokens(samples: Sequence[Sample]) -> float:
    known = [sample.completion_tokens for sample in samples if sample.completion_tokens is not None]
    return float(np.mean(known)) if known else float("nan")
