"""The draw is uniform, independent of everything but (seed, epoch, row id), and stable."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from permix_verl import draw_persona, load_pool

POOL = load_pool("train")


def draws(row_ids: list[str], seed: int, epoch: int = 0) -> list[str]:
    return [draw_persona(POOL, seed, epoch, row_id).key for row_id in row_ids]


@pytest.fixture(scope="module")
def lengths(shared_data: Path) -> np.ndarray:
    rows = (shared_data / "gsm8k" / "train.jsonl").read_text().splitlines()
    return np.array([len(json.loads(row)["question"]) for row in rows])


def test_a_draw_is_the_same_in_every_process_and_release() -> None:
    # Written down once: a change here changes every run's data.
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
