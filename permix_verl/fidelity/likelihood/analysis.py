"""Persona fidelity by likelihood: estimates of each model, and differences of two models on the same problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from permix_verl.fidelity.likelihood.store import LikelihoodStore
from permix_verl.statistics.accuracy import Floats
from permix_verl.statistics.clustered import Interval
from permix_verl.statistics.identification import (
    Identification,
    IdentificationDifference,
    identification,
    identification_difference,
)


@dataclass(frozen=True, slots=True)
class LikelihoodModel:
    """A model's fidelity by likelihood.

    Attributes:
        label: name of the results folder.
        base: name of the frozen base.
        check: share of hand-written answers whose persona the base identifies: "estimate", "low", "high".
        tasks: estimates by task.
        empty: answers without a token by task, which are left out.
    """

    label: str
    base: str
    check: Mapping[str, float]
    tasks: Mapping[str, Identification]
    empty: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LikelihoodPair:
    """Difference of two models on a task, first less second, on the personas and problems that both have answers to."""

    task: str
    first: str
    second: str
    difference: IdentificationDifference


@dataclass(frozen=True, slots=True)
class LikelihoodAnalysis:
    """All models by label, and pairs of models that were scored by the same base."""

    models: Mapping[str, LikelihoodModel] = field(default_factory=dict)
    pairs: Sequence[LikelihoodPair] = ()


@dataclass(frozen=True, slots=True)
class _TaskScores:
    """Scores of a model's answers on a task, by persona and problem."""

    personas: tuple[str, ...]
    by_place: Mapping[tuple[str, str], list[float]]
    empty: int

    def arrays(self, places: Sequence[tuple[str, str]]) -> tuple[Floats, list[int], list[int]]:
        """Return the scores of these answers, the columns of their personas, and the numbers of their problems."""
        problems = {problem: number for number, problem in enumerate(dict.fromkeys(place[1] for place in places))}
        own = [self.personas.index(persona) for persona, _ in places]
        return np.array([self.by_place[place] for place in places]), own, [problems[problem] for _, problem in places]


def analyse_likelihood(folders: Sequence[Path]) -> LikelihoodAnalysis:
    """Analyse the stored log-likelihoods of results folders; those without any are passed over.

    Raises:
        UserError: a file does not parse.
    """
    stores = {folder.resolve().name: LikelihoodStore(folder) for folder in folders}
    stores = {label: store for label, store in stores.items() if store.exists()}
    bases = {label: store.settings()["base"] for label, store in stores.items()}
    scores = {label: _read(store) for label, store in stores.items()}
    models = {
        label: LikelihoodModel(
            label,
            bases[label]["name"],
            bases[label]["check"],
            {name: identification(*task.arrays(list(task.by_place))) for name, task in tasks.items()},
            {name: task.empty for name, task in tasks.items()},
        )
        for label, tasks in scores.items()
    }
    pairs = [
        LikelihoodPair(task, first, second, _difference(scores[first][task], scores[second][task]))
        for second, first in combinations(scores, 2)
        if bases[first] == bases[second]
        for task in scores[first]
        if task in scores[second] and scores[first][task].personas == scores[second][task].personas
    ]
    return LikelihoodAnalysis(models, pairs)


def _read(store: LikelihoodStore) -> dict[str, _TaskScores]:
    """Return the scores by task; those of problems that the settings do not name are left out."""
    rows = list(store.rows.read().by_key.values())
    found = {}
    for name, wanted in store.settings()["tasks"].items():
        problems = set(wanted["problems"])
        of_task = [row for row in rows if row.task == name and row.problem in problems]
        by_place = {(row.persona, row.problem): row.nats for row in of_task if row.nats is not None}
        if by_place:
            found[name] = _TaskScores(tuple(wanted["personas"]), by_place, sum(row.nats is None for row in of_task))
    return found


def _difference(first: _TaskScores, second: _TaskScores) -> IdentificationDifference:
    places = [place for place in first.by_place if place in second.by_place]
    first_AK, own, problem = first.arrays(places)
    second_AK, _, _ = second.arrays(places)
    return identification_difference(first_AK, second_AK, own, problem)


def interval_of_check(check: Mapping[str, float]) -> Interval:
    """Return the share of hand-written answers that a base identifies, as an interval."""
    return Interval("hand-written answers identified", check["estimate"], check["low"], check["high"], 0.95)
