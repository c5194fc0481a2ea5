"""Claims about methods: supported if true, contradicted if reversed, and rarely supported if there is no effect."""

import numpy as np
import pytest
from numpy.typing import NDArray

from permix_verl.errors import UserError
from permix_verl.lab.claims import CLAIMS, SPLITS, ModelScores, Quantity, check_claims, influence
from permix_verl.statistics import cross_fitted_scores

P, R, N = 16, 2, 200
Floats = NDArray[np.float64]


def model(spread: float, voice: float, seed: int, mean: float = 0.8) -> ModelScores:
    """Accuracies of personas evenly spread below ``mean``, problems of uneven difficulty, the same for all seeds."""
    rng = np.random.default_rng([seed, 7])
    difficulty = np.random.default_rng(1).normal(0, 1.2, N)
    chance = np.linspace(mean - spread, mean, P)
    logit = np.log(chance / (1 - chance))[:, None] + difficulty
    correct = rng.random((P, R, N)) < 1 / (1 + np.exp(-logit))[:, None]
    kept = rng.binomial(2, voice, (P, R, N)) / 2
    return ModelScores(correct.astype(float), kept)


def methods(rlvr: tuple[float, float], permix: tuple[float, float], seeds: int = 3) -> dict[str, list[ModelScores]]:
    return {
        "base": [model(0.5, 0.9, 0)],
        "RLVR": [model(*rlvr, seed=10 + seed) for seed in range(seeds)],
        "PerMix-RLVR": [model(*permix, seed=20 + seed) for seed in range(seeds)],
    }


def test_true_claims_are_supported() -> None:
    results = check_claims({"easy": methods((0.3, 0.75), (0.05, 0.85))})
    assert [(claim.quantity, claim.more, claim.other) for claim in results] == list(CLAIMS)
    assert [claim.seen for claim in results] == ["seen"] * 6
    for claim in results:
        assert claim.holm >= claim.p_value
        assert len(claim.differences) == 3
        assert claim.over_seeds is not None
        assert claim.over_seeds[0] < np.mean(claim.differences) < claim.over_seeds[1]


def test_a_reversed_claim_is_contradicted() -> None:
    results = check_claims({"easy": methods((0.05, 0.85), (0.3, 0.6))})
    assert [claim.seen for claim in results] == ["seen", "contrary", "seen", "contrary", "seen", "contrary"]


def test_seeds_that_disagree_show_nothing() -> None:
    one, other = model(0.05, 0.9, 1), model(0.5, 0.7, 2)
    results = check_claims({"easy": {"base": [one], "RLVR": [one, other], "PerMix-RLVR": [other, one]}})
    assert {claim.seen for claim in results if claim.more == "PerMix-RLVR"} == {"not seen"}
    assert all(claim.over_seeds is None for claim in results), "two seeds give no interval over seeds"


PATTERNS = {
    "evenly spread": np.linspace(0.45, 0.9, P),
    "far apart": np.linspace(0.12, 0.83, P),
    "one bad": np.r_[0.3, np.full(P - 1, 0.8)],
    "alike": np.full(P, 0.87),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_equal_models_rarely_differ(pattern: str) -> None:
    """Problems and interactions are resampled, with one seed per method, before Holm's correction."""
    draws = 300
    values: dict[Quantity, list[float]] = {"worst": [], "pss": [], "voice": []}
    for draw in range(draws):
        rng = np.random.default_rng([draw, 9])
        chance = PATTERNS[pattern]
        logit = np.log(chance / (1 - chance))[:, None] + rng.normal(0, 1.3, N) + rng.normal(0, 0.6, (P, N))
        chance_PN = 1 / (1 + np.exp(-logit))
        voice_PN = rng.uniform(0.5, 1, (P, N))
        two = [
            ModelScores(
                (rng.random((P, R, N)) < chance_PN[:, None]).astype(float),
                (rng.random((P, R, N)) < voice_PN[:, None]).astype(float),
            )
            for _ in range(2)
        ]
        for quantity, results in values.items():
            (claim,) = check_claims({"easy": {"a": two[:1], "b": two[1:]}}, [(quantity, "a", "b")], seed=draw)
            results.append(claim.p_value)
    for quantity, results in values.items():
        # 300 draws measure 5 % with a standard error of 1.3 %, and 1 % with one of 0.6 %.
        assert np.mean(np.array(results) <= 0.05) <= 0.05 + 2.5 * 0.013, quantity
        assert np.mean(np.array(results) <= 0.01) <= 0.01 + 2.5 * 0.006, quantity
        assert np.mean(np.array(results) <= 0.5) >= 0.2, f"{quantity}: a test that never rejects"


def test_a_constant_difference_is_significant() -> None:
    one = model(0.3, 0.8, 1)
    silent, loud = (ModelScores(one.correct_PRN, np.full((P, R, N), value)) for value in (0.0, 1.0))
    claims: list[tuple[Quantity, str, str]] = [("voice", "a", "b"), ("voice", "b", "b")]
    results = check_claims({"easy": {"a": [loud] * 3, "b": [silent] * 3}}, claims)
    assert (results[0].seen, results[0].differences) == ("seen", (1, 1, 1))
    assert (results[1].seen, results[1].p_value) == ("not seen", 1)


def test_p_values_are_holm_corrected() -> None:
    results = check_claims({task: methods((0.45, 0.89), (0.4, 0.88), seeds=1) for task in ("easy", "hard")})
    order = sorted(results, key=lambda claim: claim.p_value)
    expected = np.minimum(1, np.maximum.accumulate([(12 - rank) * claim.p_value for rank, claim in enumerate(order)]))
    assert [claim.holm for claim in order] == pytest.approx(expected)


def test_the_influence_predicts_the_change_of_pss() -> None:
    """Compare with a direct computation: the ratio with one problem counted once more."""
    answers = model(0.4, 0.8, 3)
    value, effect_SN = influence(answers, "pss", seed=4)
    worst_SN = cross_fitted_scores(answers.correct_PRN, seed=4, splits=SPLITS)
    best_SN = cross_fitted_scores(answers.correct_PRN, seed=4, splits=SPLITS, best=True)
    assert value == pytest.approx(worst_SN.mean() / best_SN.mean())
    for problem in range(0, N, 20):
        weight = np.ones(N)
        weight[problem] += 0.01
        moved = (worst_SN @ weight).mean() / (best_SN @ weight).mean() - value
        assert moved == pytest.approx(0.01 * effect_SN[:, problem].mean() / N, rel=0.02, abs=1e-9)


def test_one_seed_of_a_method_has_no_spread_over_seeds() -> None:
    some = methods((0.3, 0.8), (0.1, 0.8))
    results = check_claims({"easy": some | {"RLVR": some["RLVR"][:1]}}, [("worst", "PerMix-RLVR", "RLVR")])
    assert results[0].over_seeds is None
    assert len(results[0].differences) == 3


def test_unpaired_results_are_refused() -> None:
    some = methods((0.3, 0.8), (0.1, 0.8))
    with pytest.raises(UserError, match="no model of method 'RLVR'"):
        check_claims({"easy": {"base": some["base"], "PerMix-RLVR": some["base"]}})
    with pytest.raises(UserError, match="3 models of PerMix-RLVR and 2 of RLVR do not pair"):
        check_claims({"easy": some | {"RLVR": some["RLVR"][:2]}})
    short = ModelScores(some["base"][0].correct_PRN[:, :, :50], some["base"][0].voice_PRN[:, :, :50])
    with pytest.raises(UserError, match=r"\(16, 50\)"):
        check_claims({"easy": some | {"base": [short]}})
