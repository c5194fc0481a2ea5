"""The closed form of persona-conditioned RLVR, evaluated on a model's results as if it were the base model."""

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.evaluation.analysis_types import PredictedAccuracy, TheoryPrediction, nan_to_none
from permix_verl.statistics import closed_form

BETAS = (10.0, 3.0, 1.0, 0.5, 0.3, 0.2, 0.1)
"""KL coefficients at which the closed form is evaluated (reward units)."""

Floats = NDArray[np.float64]


def predict(correct_PRN: Floats, beta: float) -> TheoryPrediction:
    """Evaluate the closed form at one KL coefficient, as if this were the base model."""
    smoothed, plug_in = (
        _summarise(closed_form.predicted_accuracy(correct_PRN, beta, smoothed=smoothed)) for smoothed in (True, False)
    )
    return TheoryPrediction(beta, smoothed, plug_in)


def _summarise(accuracy_P: Floats) -> PredictedAccuracy:
    return PredictedAccuracy(
        mean=float(accuracy_P.mean()),
        worst=float(accuracy_P.min()),
        best=float(accuracy_P.max()),
        pss=nan_to_none(statistics.pss(accuracy_P)),
    )
