"""Accuracy by category of persona, as in the paper's Figure 1 (arXiv 2604.08986): STEM, education, traits, jobs."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from permix_verl import statistics
from permix_verl.evaluation.analysis_types import CategoryAnalysis, PersonaAccuracy
from permix_verl.evaluation.results import Results
from permix_verl.personas.pool import PACKAGED_POOLS, load_pool

UNKNOWN = "unknown"
"""Category of a persona whose pool is not known, or gives it none."""


def persona_categories(personas: Sequence[str], stored: Mapping[str, str]) -> dict[str, str]:
    """Return persona key -> category.

    Args:
        stored: the categories in the results folder. A key that it lacks, as in folders of older versions, is looked up
            in the packaged pools, if at least half of the personas are there: a key or two may be there by chance.
    """
    packaged = _packaged_categories()
    if 2 * sum(key in packaged for key in personas) < len(personas):
        packaged = {}
    return {key: stored.get(key, packaged.get(key, "")) or UNKNOWN for key in personas}


@cache
def _packaged_categories() -> dict[str, str]:
    return {key: category for name in PACKAGED_POOLS for key, category in load_pool(name).categories().items()}


def group_by_category(categories: Mapping[str, str]) -> dict[str, list[int]]:
    """Return category -> positions of its personas, in their order; empty if no persona has a known one."""
    groups: dict[str, list[int]] = {}
    for position, category in enumerate(categories.values()):
        groups.setdefault(category, []).append(position)
    return {} if set(groups) <= {UNKNOWN} else groups


def analyse_categories(result: Results, *, seed: int) -> tuple[CategoryAnalysis, ...]:
    """Analyse the accuracy in each category of personas, in the personas' order; empty without known categories.

    The intervals are clustered by problem, as those of the mean over all personas: they are about other problems like
    these, under the same personas.

    Args:
        seed: seed of the splits.
    """
    return tuple(
        _analyse_category(result, category, positions, seed)
        for category, positions in group_by_category(persona_categories(result.personas, result.categories)).items()
    )


def _analyse_category(result: Results, category: str, positions: Sequence[int], seed: int) -> CategoryAnalysis:
    correct: Any = result.correct_PRN[positions]
    accuracy = correct.mean(axis=(1, 2))
    worst = int(accuracy.argmin())
    return CategoryAnalysis(
        category=category,
        personas=tuple(result.personas[position] for position in positions),
        mean=statistics.cluster_interval(
            correct.mean(axis=(0, 1)),
            f"accuracy on problems like these, averaged over the {len(positions)} personas of category {category}",
        ),
        worst=PersonaAccuracy(result.personas[positions[worst]], float(accuracy[worst])),
        cross_fitted_worst=statistics.cross_fitted_worst(correct, seed=seed) if len(positions) > 1 else None,
    )
