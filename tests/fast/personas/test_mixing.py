"""The sampled persona is uniform, depends on (seed, epoch, row id) only, and is stable."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from permix_verl import UserError, draw_persona, load_pool
from permix_verl.personas.mixing import PersonaDraw, development_personas
from permix_verl.personas.pool import Persona, PersonaPool

POOL = load_pool("train")


def draws(row_ids: list[str], seed: int, epoch: int = 0) -> list[str]:
    return [draw_persona(POOL, seed, epoch, row_id).key for row_id in row_ids]


@pytest.fixture(scope="module")
def lengths(shared_data: Path) -> np.ndarray:
    rows = (shared_data / "gsm8k" / "train.jsonl").read_text().splitlines()
    return np.array([len(json.loads(row)["question"]) for row in rows])


def test_a_persona_draw_is_the_same_in_every_process_and_release() -> None:
    # Recorded values: a change here changes every run's data.
    assert [draw_persona(POOL, 0, 0, f"gsm8k/train/{i}").key for i in range(4)] == FIRST_DRAWS


FIRST_DRAWS = ["farmer", "intern", "conspiracy theorist", "cryptographer"]


def test_seed_epoch_and_row_each_change_the_draw() -> None:
    rows = [f"gsm8k/train/{i}" for i in range(2000)]
    base = draws(rows, seed=0)
    for other in (draws(rows, seed=1), draws(rows, seed=0, epoch=1), draws([f"{row}0" for row in rows], seed=0)):
        same = sum(a == b for a, b in zip(base, other, strict=True)) / len(rows)
        assert 0.02 < same < 0.06, "independent draws over 25 personas coincide 4 % of the time"


def test_draws_are_uniform_over_twenty_seeds(lengths: np.ndarray) -> None:
    rows = [f"gsm8k/train/{i}" for i in range(len(lengths))]
    for seed in range(20):
        counts = Counter(draws(rows, seed))
        assert stats.chisquare([counts[key] for key in POOL.keys]).pvalue > 0.001, f"seed {seed}"


def test_draws_are_independent_of_length_and_of_neighbours(lengths: np.ndarray) -> None:
    rows = [f"gsm8k/train/{i}" for i in range(len(lengths))]
    keys = np.array([POOL.keys.index(key) for key in draws(rows, seed=0)])
    assert stats.kruskal(*[lengths[keys == persona] for persona in range(len(POOL))]).pvalue > 0.001
    pairs = np.zeros((len(POOL), len(POOL)))
    np.add.at(pairs, (keys[:-1], keys[1:]), 1)
    assert stats.chi2_contingency(pairs).pvalue > 0.001


def test_a_biased_draw_would_be_caught(lengths: np.ndarray) -> None:
    """Negative control: personas dealt by row length are not uniform within lengths."""
    keys = np.argsort(np.argsort(lengths)) * len(POOL) // len(lengths)
    assert stats.kruskal(*[lengths[keys == persona] for persona in range(len(POOL))]).pvalue < 0.001


def test_draws_without_the_held_out_personas_are_uniform_over_the_others() -> None:
    rows = [f"gsm8k/train/{i}" for i in range(6000)]
    for seed in range(5):
        held_out = development_personas(POOL, "5", seed)
        draw = PersonaDraw(POOL, seed, dev_personas=held_out)
        counts: Counter[str] = Counter()
        for epoch in range(2):
            counts.update(persona.key for row in rows if (persona := draw.persona(epoch, row)))
        assert set(counts) == set(POOL.keys) - set(held_out)
        assert stats.chisquare(list(counts.values())).pvalue > 0.001, f"seed {seed}"


def test_a_number_of_held_out_personas_is_drawn_from_the_seed_and_every_persona_can_be() -> None:
    drawn = [development_personas(POOL, "5", seed) for seed in range(200)]
    assert drawn == [development_personas(POOL, "5", seed) for seed in range(200)]
    assert all(len(set(keys)) == 5 for keys in drawn)
    counts = Counter(key for keys in drawn for key in keys)
    assert stats.chisquare([counts[key] for key in POOL.keys]).pvalue > 0.001
    assert set(development_personas(POOL, "3", 0)) < set(development_personas(POOL, "5", 0))


def test_held_out_personas_are_named_by_key_or_slug_in_any_order() -> None:
    assert development_personas(POOL, "zen_master, chef", 0) == ("chef", "zen master")
    assert development_personas(POOL, "harry potter", 7) == ("harry potter",)
    assert development_personas(POOL, "", 0) == development_personas(POOL, "0", 0) == ()


@pytest.mark.parametrize("asked", [r"chef,Smith\, John", r" Smith\, John , chef ", r"Smith\,_John,chef"])
def test_a_key_with_a_comma_is_named_with_a_backslash_before_it(asked: str) -> None:
    personas = [Persona(key, "", f"You are {key}.") for key in ("chef", "Smith, John", "Smith", "John", "pilot")]
    pool = PersonaPool("own", tuple(personas))
    assert development_personas(pool, asked, 0) == ("chef", "Smith, John")
    assert development_personas(pool, "Smith, John", 0) == ("Smith", "John"), "without one these are two keys"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("25", "25 of the 25 personas of pool train held out leave none to train with; hold out at most 24"),
        ("chef,cheff", "unknown persona 'cheff' in pool train; known: statistician"),
        ("zen master,zen_master", "name one twice"),
        ("-1", "unknown persona '-1'"),
    ],
)
def test_invalid_held_out_personas_are_refused(asked: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        development_personas(POOL, asked, 0)


def test_a_draw_survives_its_file_and_keeps_its_bytes_without_held_out_personas() -> None:
    draw = PersonaDraw(POOL, 3, dev_personas=("chef",))
    assert PersonaDraw.from_json(draw.to_json()) == draw
    assert "held_out" not in PersonaDraw(POOL, 3).to_json()
    assert PersonaDraw.from_json(PersonaDraw(POOL, 3).to_json()).dev_personas == ()
