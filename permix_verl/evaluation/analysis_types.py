"""Types of the accuracy analysis: all tasks, the models on a task, their conditions, and pairs of models.

A condition is one persona, or no persona (the control). Accuracies, rates and shares are fractions in [0, 1]. Optional
figures are ``None`` where the input does not determine them, as with a CSV file; an :class:`Interval` or
:class:`FlipRates` then holds NaN. The fields are the keys of report.json; ``report.json_export`` has the exceptions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import SupportsFloat

from permix_verl.statistics import FlipRates, Interval, InvarianceTest, SwapTest


@dataclass(frozen=True, slots=True)
class PersonaAccuracy:
    """The worst or best persona and its accuracy."""

    persona: str
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionAnalysis:
    """Figures of one condition of a model.

    Attributes:
        persona: its key; "no_persona" for the control.
        std_over_runs: standard deviation of the accuracy over runs; ``None`` with one run.
        interval: accuracy, clustered by problem.
        no_answer, truncated, timeout, error: fractions of all samples with that status or, truncated, that ended at
            the token limit.
        accuracy_among_parsed: accuracy among the samples whose answer was read; ``None`` if none was.
        mean_tokens: mean number of tokens of a completion.
        strict_accuracy: fraction of all samples that are correct by a strict mark; ``None`` if marks are not recorded.
        parsers_share: accuracy less strict accuracy.
        marks: fraction of all samples by mark, sorted by mark.
        truncated_thoughts: fraction of all samples that ended inside a thought; ``None`` if no sample of the model did.
    """

    persona: str
    accuracy: float
    std_over_runs: float | None = None
    interval: Interval
    no_answer: float | None = None
    truncated: float | None = None
    timeout: float | None = None
    error: float | None = None
    accuracy_among_parsed: float | None = None
    mean_tokens: float | None = None
    strict_accuracy: float | None = None
    parsers_share: float | None = None
    marks: Mapping[str, float] | None = None
    truncated_thoughts: float | None = None


@dataclass(frozen=True, slots=True)
class StrictAnalysis:
    """Accuracy and PSS (ratio of means) of a model if only answers with a strict mark count.

    Attributes:
        parsers_share: mean accuracy less strict mean accuracy.
    """

    worst: PersonaAccuracy
    best: PersonaAccuracy
    mean: float
    pss_ratio_of_means: float | None
    parsers_share: float


@dataclass(frozen=True, slots=True)
class BestOfK:
    """Expected accuracy of the best of k personas, for k = 1, 2, ..., P; empty if it cannot be estimated.

    Attributes:
        apparent: persona chosen and scored on the same completions.
        cross_fitted: chosen on half of the problems, scored on the other half.
    """

    apparent: tuple[float, ...]
    cross_fitted: tuple[float, ...] = ()

    def curves(self) -> dict[str, tuple[float, ...]]:
        """Return both curves by name."""
        return {"apparent": self.apparent, "cross_fitted": self.cross_fitted}


@dataclass(frozen=True, slots=True)
class PredictedAccuracy:
    """Accuracies over personas, and PSS, that the closed form predicts at one KL coefficient."""

    mean: float
    worst: float
    best: float
    pss: float | None


@dataclass(frozen=True, slots=True)
class TheoryPrediction:
    """Predictions of the closed form at one KL coefficient.

    Attributes:
        beta: sequence-level KL coefficient, in units of the reward.
        smoothed: averaged over the posterior of each problem's solve probability.
        plug_in: with the measured fraction of correct completions as solve probability.
    """

    beta: float
    smoothed: PredictedAccuracy
    plug_in: PredictedAccuracy


@dataclass(frozen=True, slots=True)
class CategoryAnalysis:
    """Accuracy of a model under the personas of one category.

    Attributes:
        personas: their keys, in the pool's order.
        mean: accuracy averaged over these personas, with an interval over problems.
        worst: as measured.
        cross_fitted_worst: accuracy of the persona chosen as worst on the other half of the problems; ``None`` for a
            single persona.
    """

    category: str
    personas: Sequence[str]
    mean: Interval
    worst: PersonaAccuracy
    cross_fitted_worst: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnalysis:
    """Figures of one model on one task.

    Attributes:
        refused: the reason why everything that needs single completions is missing; ``None`` if nothing is.
        model, adapter: their names.
        personas_tried, runs, problems: P, R and N of the correctness array.
        dropped_problems: problems left out because a sample is missing.
        personas: in the order of the persona pool.
        no_persona: the control; ``None`` if it was not sampled.
        worst, best: as measured.
        mean: accuracy averaged over the personas.
        pss_ratio_of_means: worst over best accuracy, each averaged over the runs.
        pss_mean_of_run_ratios: mean over the runs of worst over best.
        pss_of_runs: PSS of each run, length R.
        pss_interval: interval of ``pss_ratio_of_means``.
        strict: ``None`` if marks are not recorded.
        cross_fitted_worst, cross_fitted_best: accuracy of the persona chosen on the other half of the problems.
        invariance: tests by null hypothesis; empty without a correct completion.
        leave_one_out_pss: PSS without each persona; empty below three personas.
        worst_minus_no_persona: cross-fitted worst accuracy less that of the control.
        tenth_percentile: of the accuracies over personas.
        persona_sd: standard deviation of the accuracies over personas, less the part that noise explains.
        theory: predictions of the closed form, by falling KL coefficient.
        categories: accuracy by category of persona; empty if no category is known.
    """

    refused: str | None = None
    model: str
    adapter: str | None
    personas_tried: int
    runs: int | None = None
    problems: int | None = None
    dropped_problems: int | None = None
    personas: Sequence[ConditionAnalysis]
    no_persona: ConditionAnalysis | None = None
    worst: PersonaAccuracy
    best: PersonaAccuracy
    mean: Interval
    pss_ratio_of_means: float | None
    pss_mean_of_run_ratios: float | None = None
    pss_of_runs: Sequence[float | None] = ()
    pss_interval: Interval
    strict: StrictAnalysis | None = None
    cross_fitted_worst: Interval
    cross_fitted_best: Interval
    invariance: Mapping[str, InvarianceTest] = field(default_factory=dict)
    leave_one_out_pss: Mapping[str, float | None]
    best_of_k: BestOfK
    worst_minus_no_persona: Interval | None = None
    tenth_percentile: float
    flip_rates: FlipRates
    persona_sd: float | None = None
    theory: Sequence[TheoryPrediction] = ()
    categories: Sequence[CategoryAnalysis] = ()

    def conditions(self) -> list[ConditionAnalysis]:
        """Return the personas, then the control if there is one."""
        return [*self.personas, *([] if self.no_persona is None else [self.no_persona])]


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Differences of two models on one task (first minus second), on their common personas and problems.

    Attributes:
        first, second: labels of the models.
        personas, problems: numbers of those in common.
        refused: the reason for refusing the comparison; ``None`` if there is one.
        mean_difference: difference in accuracy, averaged over the personas; ``None`` if refused.
        worst_difference: difference in cross-fitted worst accuracy; ``None`` if refused.
        swap_test: ``None`` if refused, or if a model has no correct completion.
    """

    first: str
    second: str
    personas: int
    problems: int
    refused: str | None = None
    mean_difference: Interval | None = None
    worst_difference: Interval | None = None
    swap_test: SwapTest | None = None


@dataclass(frozen=True, slots=True)
class TaskAnalysis:
    """One task: its models by label, and all pairs of those with completions."""

    models: Mapping[str, ModelAnalysis] = field(default_factory=dict)
    pairs: Sequence[PairComparison] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """All tasks by name.

    Attributes:
        seed: seed of the splits, permutations and bootstraps.
        resamples: permutations of each invariance test.
    """

    tasks: Mapping[str, TaskAnalysis]
    seed: int
    resamples: int


def nan_to_none(value: SupportsFloat) -> float | None:
    """Return a float, or ``None`` for NaN."""
    number = float(value)
    return None if math.isnan(number) else number
