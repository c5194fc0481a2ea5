"""Mean reward of every persona over a run so far, and of every category in a step.

A pool of thousands of personas has too many for a curve each, and a step samples few of them. Their means over the run
have quantiles, which are curves, and a best and a worst ten, which are a table.
"""

import contextlib
import csv
import io
import json
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from permix_verl.personas.persona import NO_PERSONA, category_slug
from permix_verl.training.observability.persona_metrics import Rollout
from permix_verl.utils.files import write_atomic

PERSONAS_CSV = "personas.csv"
"""Table in the run folder, written anew at every step."""
MAX_SERIES = 50
"""Personas, and categories, up to which each has curves of its own."""
ENDS = 10
"""Personas at each end of the table of a larger pool."""
QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
COLUMNS = ("end", "rank", "persona", "category", "rollouts", "reward")


class PersonaMeans:
    """Number of rollouts and sum of rewards of every persona so far; the condition without one is left out."""

    def __init__(self) -> None:
        self._place: dict[str, int] = {}
        self._counts = array("q")
        self._sums = array("d")

    def __len__(self) -> int:
        return len(self._place)

    def add(self, rollouts: Iterable[tuple[str, float]]) -> None:
        """Add rollouts: (persona key, reward)."""
        for key, reward in rollouts:
            if key == NO_PERSONA:
                continue
            place = self._place.setdefault(key, len(self._place))
            if place == len(self._counts):
                self._counts.append(0)
                self._sums.append(0.0)
            self._counts[place] += 1
            self._sums[place] += reward

    def quantiles(self) -> dict[str, float]:
        """Return ``persona/{min,p10,median,p90,max}_reward`` over the personas' means, and ``persona/seen``."""
        if not self._place:
            return {}
        means = np.array(self._sums) / np.array(self._counts)
        values = np.quantile(means, list(QUANTILES.values()))
        named = {f"persona/{name}_reward": float(value) for name, value in zip(QUANTILES, values, strict=True)}
        return named | {"persona/seen": float(len(self))}

    def table(self, categories: Mapping[str, str]) -> list[dict[str, str | int | float]]:
        """Return the best and the worst personas by :data:`COLUMNS`: all up to :data:`MAX_SERIES`, else ten of each.

        Of personas with equal means, those with more rollouts come first at either end.
        """
        keys, counts = list(self._place), np.array(self._counts)
        means = np.array(self._sums) / counts
        best = np.lexsort((-counts, -means))
        worst = np.lexsort((-counts, means))
        ends = {"best": best} if len(keys) <= MAX_SERIES else {"best": best[:ENDS], "worst": worst[:ENDS]}
        return [
            {
                "end": end,
                "rank": rank,
                "persona": keys[place],
                "category": categories.get(keys[place], ""),
                "rollouts": int(counts[place]),
                "reward": float(means[place]),
            }
            for end, places in ends.items()
            for rank, place in enumerate(places, start=1)
        ]


def read_means(records: Path, before: int) -> PersonaMeans:
    """Return the means over the recorded rollouts of the steps before one; a resumed run goes on with them.

    Args:
        records: folder of a JSON Lines file a step; one that cannot be read is left out.
    """
    means = PersonaMeans()
    files = {int(file.stem): file for file in records.glob("*.jsonl") if file.stem.isdecimal()}
    for step in sorted(step for step in files if step < before):
        with contextlib.suppress(ValueError, KeyError):
            rows = [json.loads(line) for line in files[step].read_text(encoding="utf-8").splitlines()]
            means.add([(row["persona"], row["reward"]) for row in rows])
    return means


def write_means(file: Path, means: PersonaMeans, categories: Mapping[str, str]) -> None:
    """Write :meth:`PersonaMeans.table` as CSV, atomically."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(means.table(categories))
    write_atomic(file, text.getvalue())


def category_metrics(rollouts: Sequence[Rollout], categories: Mapping[str, str]) -> dict[str, float]:
    """Return ``category/SLUG/{rollouts,reward}`` of a step: rollouts for every category, reward for those with any.

    Args:
        categories: persona key -> category, of the training pool; there are no metrics if it names none, or more than
            :data:`MAX_SERIES`. Rollouts under other keys count for nothing.
    """
    slugs = {category: category_slug(category) for category in dict.fromkeys(categories.values())}
    if set(slugs) <= {""} or len(slugs) > MAX_SERIES:
        return {}
    rewards: dict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        if rollout.persona in categories:
            rewards[slugs[categories[rollout.persona]]].append(rollout.reward)
    metrics = {}
    for slug in dict.fromkeys(slugs.values()):
        mine = rewards[slug]
        metrics[f"category/{slug}/rollouts"] = float(len(mine))
        if mine:
            metrics[f"category/{slug}/reward"] = sum(mine) / len(mine)
    return metrics
