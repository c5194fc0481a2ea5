"""Types of the fidelity analysis: models and scorings, tasks of PersonaGym, and pairs of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from permix_verl.statistics import Interval, PairedRatings


@dataclass(frozen=True, slots=True)
class TaskScores:
    """Mean scores of a model on one task, or on all tasks ("total").

    Attributes:
        together: mean over all judges and personas.
        judges: mean over the personas by judge.
        personas: mean over all judges by persona; ``None`` without a score.
        without: number of personas without a score.
        alpha: agreement of the judges; ``None`` in the official scoring.
    """

    together: Interval
    judges: Mapping[str, Interval]
    personas: Mapping[str, float | None]
    without: int
    alpha: Interval | None


@dataclass(frozen=True, slots=True)
class ScoringAnalysis:
    """One scoring of a model.

    Attributes:
        judges: names.
        tasks: by task, the total last.
        counts: numbers of judgements by judge, then by kind; "wanted" is the number requested.
    """

    judges: Sequence[str]
    tasks: Mapping[str, TaskScores]
    counts: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class FidelityModel:
    """A model's fidelity.

    Attributes:
        model, adapter: their names.
        questions: hash of the questions.
        made_by: the questions' author.
        answers: numbers of completions: "wanted", "there" and "cut" (truncated).
        scorings: by scoring, "fixed" or "official".
    """

    model: str
    adapter: str | None
    questions: str
    made_by: str
    answers: Mapping[str, int]
    scorings: Mapping[str, ScoringAnalysis]


@dataclass(frozen=True, slots=True)
class PairedScores:
    """A comparison of two models by one scoring.

    Attributes:
        refused: the reason for refusing it; ``None`` if there is one.
        judges: common judges; ``None`` if refused.
        tasks: differences (first minus second) by task, the total last; empty if refused.
    """

    refused: str | None
    judges: Sequence[str] | None = None
    tasks: Mapping[str, PairedRatings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FidelityPair:
    """Two models, by label, and their comparison by each scoring that both have."""

    first: str
    second: str
    scorings: Mapping[str, PairedScores]


@dataclass(frozen=True, slots=True)
class FidelityAnalysis:
    """All models by label, and all pairs of models with a common scoring."""

    models: Mapping[str, FidelityModel] = field(default_factory=dict)
    pairs: Sequence[FidelityPair] = ()
