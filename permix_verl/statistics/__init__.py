"""Persona robustness statistics on plain arrays of correctness (numpy, scipy, krippendorff).

    import numpy as np
    from permix_verl import statistics

    correct_PRN = ...                                  # 0/1: P personas, R runs, N problems
    statistics.pss(statistics.persona_accuracy(correct_PRN))
    statistics.pss_interval(correct_PRN, seed=0)       # an interval, or the reason for refusal
    statistics.invariance_test(correct_PRN, seed=0)    # would a persona-invariant model score this?
    statistics.pool_seeds(statistics.resample_seeds(correct_SPRN, seed=0)["pss"])    # models of several seeds

Letters in names: P personas, R runs, N problems, B resamples, S splits or training seeds, J judges, Q questions.
Personas are a fixed set. Problems are a sample of possible problems: intervals are clustered
by problem, as in arXiv 2411.00640. Runs are samples of the model's completions. Training seeds are a sample
of possible trainings: ``training_seeds`` pools the models of one method.
"""

from permix_verl.statistics.accuracy import (
    best_of_k,
    leave_one_out_pss,
    mean_of_run_pss,
    persona_accuracy,
    pss,
    run_std,
)
from permix_verl.statistics.clustered import (
    Interval,
    bootstrap_accuracy,
    cluster_covariance,
    cluster_interval,
    mean_interval,
)
from permix_verl.statistics.cross_fit import (
    cross_fitted_best_of_k,
    cross_fitted_choices,
    cross_fitted_scores,
    cross_fitted_worst,
)
from permix_verl.statistics.invariance import NULLS, InvarianceTest, invariance_test
from permix_verl.statistics.near_zero import FlipRates, flip_rates, persona_sd, worst_minus_control
from permix_verl.statistics.paired import SwapTest, paired_interval, swap_test
from permix_verl.statistics.persona_ratings import (
    PairedRatings,
    krippendorff_alpha,
    paired_ratings,
    persona_interval,
    sign_flip_test,
)
from permix_verl.statistics.pss_interval import pss_interval
from permix_verl.statistics.ratios import ratio_interval
from permix_verl.statistics.seed_resamples import SeedResamples, resample_seeds
from permix_verl.statistics.training_seeds import PooledEstimate, pool_seeds, pooled_difference

__all__ = [
    "NULLS",
    "FlipRates",
    "Interval",
    "InvarianceTest",
    "PairedRatings",
    "PooledEstimate",
    "SeedResamples",
    "SwapTest",
    "best_of_k",
    "bootstrap_accuracy",
    "cluster_covariance",
    "cluster_interval",
    "cross_fitted_best_of_k",
    "cross_fitted_choices",
    "cross_fitted_scores",
    "cross_fitted_worst",
    "flip_rates",
    "invariance_test",
    "krippendorff_alpha",
    "leave_one_out_pss",
    "mean_interval",
    "mean_of_run_pss",
    "paired_interval",
    "paired_ratings",
    "persona_accuracy",
    "persona_interval",
    "persona_sd",
    "pool_seeds",
    "pooled_difference",
    "pss",
    "pss_interval",
    "ratio_interval",
    "resample_seeds",
    "run_std",
    "sign_flip_test",
    "swap_test",
    "worst_minus_control",
]
