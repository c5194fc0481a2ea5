"""Analysis of fidelity scores: by task, judge and persona with intervals, judge agreement, and pairs of models.

Axes of arrays: J judges, P personas, T tasks, Q questions of a task (blocks, in the ``official`` scoring).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.analysis_types import nan_to_none
from permix_verl.fidelity.personagym.analysis_types import (
    FidelityAnalysis,
    FidelityModel,
    FidelityPair,
    PairedScores,
    ScoringAnalysis,
    TaskScores,
)
from permix_verl.fidelity.personagym.scores import LOWEST_OF, TOTAL, ModelFidelity, ScoringResult, mean_of_present
from permix_verl.fidelity.personagym.tasks import HIGHEST, LOWEST


def analyse_fidelity(folders: Sequence[ModelFidelity], *, seed: int = 0) -> FidelityAnalysis:
    """Analyse the fidelity of one or more models, and compare all pairs of them.

    Args:
        seed: seed of the resampling.

    Raises:
        UserError: two folders have the same name.
    """
    labels = [one.label for one in folders]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"two results folders are named {label}", "rename one of them")
    models = {one.label: _analyse_model(one, seed) for one in folders}
    pairs = [compare(first, second, seed=seed) for i, first in enumerate(folders) for second in folders[i + 1 :]]
    return FidelityAnalysis(models, tuple(pair for pair in pairs if pair.scorings))


def _analyse_model(one: ModelFidelity, seed: int) -> FidelityModel:
    return FidelityModel(
        model=one.model,
        adapter=one.adapter,
        questions=one.questions,
        made_by=one.made_by,
        answers=dict(one.answers),
        scorings={name: _analyse_scoring(name, scored, seed) for name, scored in one.scorings.items()},
    )


def _analyse_scoring(name: str, scored: ScoringResult, seed: int) -> ScoringAnalysis:
    lowest, highest = LOWEST_OF[name], max(float(np.nanmax(scored.ratings_JPTQ, initial=HIGHEST)), HIGHEST)
    together_PT = scored.by_persona()
    by_judge_JPT = [scored.by_persona(judge) for judge in range(len(scored.judges))]
    tasks: dict[str, TaskScores] = {}
    for column, task in enumerate([*scored.tasks, TOTAL]):
        estimand = f"mean score of roles like these: {task}"
        chosen = scored.ratings_JPTQ if task == TOTAL else scored.ratings_JPTQ[:, :, column : column + 1]
        items = chosen.reshape(*chosen.shape[:2], -1)
        tasks[task] = TaskScores(
            together=statistics.persona_interval(together_PT[:, column], estimand, lowest, highest),
            judges={
                judge: statistics.persona_interval(values[:, column], estimand, lowest, highest)
                for judge, values in zip(scored.judges, by_judge_JPT, strict=True)
            },
            personas=dict(zip(scored.personas, map(nan_to_none, together_PT[:, column]), strict=True)),
            without=int(np.isnan(together_PT[:, column]).sum()),
            # The official rating of a block is a mean, so it is not on the ordinal scale that alpha needs.
            alpha=statistics.krippendorff_alpha(items, range(LOWEST, HIGHEST + 1), seed=seed)
            if name == "fixed"
            else None,
        )
    return ScoringAnalysis(
        tuple(scored.judges), tasks, {judge: dict(counts) for judge, counts in scored.counts.items()}
    )


def compare(first: ModelFidelity, second: ModelFidelity, *, seed: int) -> FidelityPair:
    """Compare two models on the judgements that both have."""
    scorings = {
        name: _compare_scores(first, second, name, seed)
        for name in LOWEST_OF
        if name in first.scorings and name in second.scorings
    }
    return FidelityPair(first.label, second.label, scorings)


def _compare_scores(first: ModelFidelity, second: ModelFidelity, name: str, seed: int) -> PairedScores:
    mine, other = first.scorings[name], second.scorings[name]
    judges = [judge for judge in mine.judges if mine.judge_identities[judge] == other.judge_identities.get(judge)]
    if first.questions != second.questions:
        return PairedScores(refused="other questions")
    if not judges:
        return PairedScores(refused="no judge in common")
    if first.sampling != second.sampling:
        return PairedScores(refused="answers drawn with other sampling settings")
    personas = [key for key in mine.personas if key in other.personas and first.roles[key] == second.roles[key]]
    tasks = [task for task in mine.tasks if task in other.tasks]
    if not personas or not tasks:
        return PairedScores(refused="no persona and task in common, told in the same words")

    def chosen(scored: ScoringResult) -> NDArray[np.float64]:
        indices = [scored.judges.index(one) for one in judges], [scored.personas.index(one) for one in personas]
        return scored.ratings_JPTQ[np.ix_(*indices, [scored.tasks.index(one) for one in tasks])]

    mine_JPTQ, other_JPTQ = chosen(mine), chosen(other)
    number = min(mine_JPTQ.shape[3], other_JPTQ.shape[3])  # a persona of one model only may have more questions
    mine_JPTQ, other_JPTQ = mine_JPTQ[..., :number], other_JPTQ[..., :number]
    both = ~np.isnan(mine_JPTQ) & ~np.isnan(other_JPTQ)
    common_PT = [
        mean_of_present(np.where(both, ratings, np.nan), axis=3).mean(axis=0) for ratings in (mine_JPTQ, other_JPTQ)
    ]
    mine_PT, other_PT = (np.concatenate([one, one.mean(axis=1, keepdims=True)], axis=1) for one in common_PT)
    largest = max(float(np.nanmax(ratings, initial=HIGHEST)) for ratings in (mine_JPTQ, other_JPTQ))
    width = largest - LOWEST_OF[name]
    differences = {
        task: statistics.paired_ratings(
            mine_PT[:, column],
            other_PT[:, column],
            f"difference in mean score of roles like these: {task}",
            width,
            seed=seed,
        )
        for column, task in enumerate([*tasks, TOTAL])
    }
    return PairedScores(refused=None, judges=tuple(judges), tasks=differences)
