"""Persona sampling: closed-form weights, a floor, draws that are functions of (seed, epoch, row, weights)."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from permix_verl.errors import UserError
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.training.methods.cross_persona_groups import CrossPersonaGroups
from permix_verl.training.methods.persona_sampling import PersonaSampling
from permix_verl.training.methods.persona_scores import PersonaScores
from permix_verl.training.methods.persona_weights import group_dro_weights, variance_weights, with_floor

from ....support.extension_runs import POOL, prompts, rollouts_of, run_with, taught

UNIFORM = np.full(4, 0.25)


def test_group_dro_on_made_up_losses_has_its_closed_form() -> None:
    """The weights maximise sum q l - KL(q || base) / eta: no other distribution does better."""
    accuracy, eta = np.array([0.9, 0.2, 0.5, 0.5]), 3.0
    weights = group_dro_weights(accuracy, UNIFORM, eta)
    assert weights == pytest.approx(np.exp(-eta * accuracy) / np.exp(-eta * accuracy).sum())

    def objective(q: np.ndarray) -> float:
        return float((q * (1 - accuracy)).sum() - (q * np.log(q / UNIFORM)).sum() / eta)

    generator = np.random.default_rng(0)
    assert all(objective(weights) >= objective(generator.dirichlet(np.ones(4))) for _ in range(2000))
    assert group_dro_weights(accuracy, UNIFORM, 0.0) == pytest.approx(UNIFORM)
    base = np.array([0.4, 0.3, 0.2, 0.1])
    assert group_dro_weights(np.full(4, 0.3), base, 5.0) == pytest.approx(base)


def test_moving_averages_converge_to_the_losses_so_the_weights_converge() -> None:
    sampling = PersonaSampling(run_with(persona_sampling="group-dro", persona_sampling_floor=0.0))
    accuracy = {key: number / 25 for number, key in enumerate(POOL.keys)}
    generator = np.random.default_rng(1)
    for step in range(400):
        taught(sampling, step, {key: generator.binomial(40, share) / 40 for key, share in accuracy.items()}, 40)
    keys, weights = sampling.weights()
    wanted = np.exp(-3 * np.array([accuracy[key] for key in keys]))
    assert weights == pytest.approx(wanted / wanted.sum(), rel=0.35)
    assert np.corrcoef(weights, wanted)[0, 1] > 0.98


def test_a_persona_of_pure_noise_does_not_take_over() -> None:
    """Its loss never falls, so an adversary without an entropy term ends with all the weight on it."""
    keys = POOL.keys
    sampling = PersonaSampling(run_with(persona_sampling="group-dro", persona_sampling_floor=0.0))
    generator = np.random.default_rng(2)
    product = np.zeros(len(keys))
    for step in range(200):
        accuracy = dict.fromkeys(keys, 1.0) | {keys[0]: generator.binomial(8, 0.5) / 8}
        taught(sampling, step, accuracy, 8)
        product += 3 * np.array([1 - accuracy[key] for key in keys])
    _, weights = sampling.weights()
    assert weights[0] < np.exp(3) / len(keys)
    assert 1 < weights[0] / weights[1] < np.exp(3)
    multiplicative = np.exp(product - product.max())
    assert multiplicative[0] / multiplicative.sum() > 0.999, "negative control: weights that multiply up"


def test_variance_prefers_what_is_neither_solved_nor_hopeless() -> None:
    weights = variance_weights(np.array([0.0, 0.5, 0.9, 1.0]), UNIFORM)
    assert weights == pytest.approx(np.array([0, 0.25, 0.09, 0]) / 0.34)
    assert variance_weights(np.array([0.0, 1.0, 1.0, 0.0]), UNIFORM) is UNIFORM


def test_a_floor_keeps_a_share_of_every_personas_own_weight() -> None:
    mixed = with_floor(np.array([1.0, 0, 0, 0]), UNIFORM, 0.2)
    assert mixed == pytest.approx([0.85, 0.05, 0.05, 0.05])
    assert mixed.sum() == pytest.approx(1)


def test_averages_are_debiased_and_count_a_personas_own_steps() -> None:
    scores = PersonaScores(0.8)
    scores.add([("chef", 1.0), ("chef", 0.0)])
    assert scores.averages() == {"chef": pytest.approx(0.5)}, "after one step, the step itself"
    scores.add([("pirate", 1.0)])
    scores.add([("chef", 1.0)])
    assert scores.averages() == {"chef": pytest.approx((0.8 * 0.5 + 1.0) / 1.8), "pirate": pytest.approx(1.0)}
    again = PersonaScores.from_json(0.8, json.loads(json.dumps(scores.to_json())))
    assert again == scores


def test_the_first_step_has_the_draw_of_the_data_and_later_ones_follow_the_weights() -> None:
    sampling = PersonaSampling(run_with(persona_sampling="group-dro", persona_sampling_strength=20))
    given = prompts(4000)
    assert sampling.on_submit(1, given) == given
    bad = POOL.keys[7]
    taught(sampling, 1, {key: float(key != bad) for key in POOL.keys})
    drawn = sampling.on_submit(2, given)
    keys, weights = sampling.weights()
    shares = Counter(prompt.persona for prompt in drawn)
    assert shares[bad] / 4000 == pytest.approx(weights[keys.index(bad)], abs=0.03)
    assert shares[bad] > 3000
    assert min(shares[key] for key in keys) >= 5, "the floor"
    assert [(one.row_id, one.group, one.rollouts) for one in drawn] == [
        (one.row_id, one.group, one.rollouts) for one in given
    ]


def test_a_draw_is_a_function_of_seed_epoch_row_and_saved_weights() -> None:
    first = PersonaSampling(run_with(persona_sampling="variance"))
    accuracy = {key: (number % 7) / 7 for number, key in enumerate(POOL.keys)}
    taught(first, 1, accuracy)
    given = prompts(200)
    drawn = first.on_submit(2, given)
    resumed = PersonaSampling(run_with(persona_sampling="variance"))
    resumed.load_state(json.loads(json.dumps(first.state())))
    assert resumed.on_submit(2, given) == drawn
    assert list(reversed(resumed.on_submit(2, list(reversed(given))))) == drawn, "not of the order"
    assert resumed.on_submit(2, given[50:60]) == drawn[50:60]
    fresh = PersonaSampling(run_with(persona_sampling="variance"))
    assert fresh.on_submit(2, given) != drawn, "negative control: without the state"


def test_the_personas_of_a_group_stay_different() -> None:
    sampling = PersonaSampling(run_with(persona_sampling="group-dro"))
    taught(sampling, 1, {key: (number % 5) / 5 for number, key in enumerate(POOL.keys)})
    split = CrossPersonaGroups(run_with(no_persona_in_group=True)).on_submit(2, prompts(50))
    drawn = sampling.on_submit(2, split)
    for start in range(0, len(drawn), 8):
        group = [one.persona for one in drawn[start : start + 8]]
        assert len(set(group)) == 8
        assert group[0] == NO_PERSONA


def test_rows_without_a_persona_keep_none_and_do_not_count() -> None:
    sampling = PersonaSampling(run_with(persona_sampling="group-dro"))
    taught(sampling, 1, {POOL.keys[0]: 0.2, NO_PERSONA: 1.0})
    assert NO_PERSONA not in sampling.state()["accuracy"]
    given = prompts(20, persona=NO_PERSONA)
    assert sampling.on_submit(2, given) == given


def test_replaced_rollouts_count_for_a_personas_accuracy() -> None:
    sampling = PersonaSampling(run_with(persona_sampling="group-dro"))
    key = POOL.keys[0]
    sampling.on_dropped(1, rollouts_of(key, [0.0] * 8, "row/1"))
    sampling.on_rollouts(1, rollouts_of(key, [1.0] * 4 + [0.0] * 4, "row/2"))
    assert sampling.state()["accuracy"][key] == [pytest.approx(0.2 * 0.25), 1]
    sampling.on_rollouts(2, rollouts_of(key, [1.0] * 8, "row/3"))
    assert sampling.state()["accuracy"][key] == [pytest.approx(0.8 * 0.05 + 0.2), 2], "once only"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"persona_sampling_floor": 1.5}, "persona_sampling_floor=1.5; give a share from 0 to 1"),
        ({"persona_sampling_strength": -1}, "persona_sampling_strength=-1.0; give 0 or more"),
        ({"persona_sampling": "dro"}, "persona_sampling=dro: no such value; known: uniform group-dro variance"),
    ],
)
def test_unfit_settings_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        PersonaSampling(run_with(**{"persona_sampling": "group-dro", **keys}))


def test_data_without_a_draw_are_refused() -> None:
    run = run_with(persona_sampling="group-dro")
    run.trainer.train_dataset.draw = None
    with pytest.raises(UserError, match=r"no persona draw.*permix mix"):
        PersonaSampling(run).on_submit(1, prompts(2))
