"""Draws by weight: whole numbers in the weights' ratio, and the uniform draw where all are equal."""

from collections import Counter
from fractions import Fraction

import pytest
from scipy import stats

from permix_verl import Persona, PersonaPool, draw_persona
from permix_verl.personas.draw_table import DrawTable, integer_shares
from permix_verl.seeding import derive_seed


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ([1.0, 1.0, 1.0], [1, 1, 1]),
        ([0.1, 0.2, 0.3], [1, 2, 3]),
        ([2.5, 0.0, 10.0], [1, 0, 4]),
        ([1 / 3, 1 / 3], [1, 1]),
        ([1e-6, 1.0], [1, 1_000_000]),
        ([7.0], [1]),
    ],
)
def test_shares_are_the_weights_smallest_whole_numbers(weights: list[float], shares: list[int]) -> None:
    assert integer_shares(weights) == shares


@pytest.mark.parametrize("weights", [[1e-300, 1e300, 3.0], [0.1234567890123456, 1.0, 5e-324], [1e15, 1e-15] * 1000])
def test_weights_too_far_apart_are_rounded_and_none_is_lost(weights: list[float]) -> None:
    shares = integer_shares(weights)
    assert sum(shares) < 2**62
    assert min(shares) >= 1
    step = Fraction(2, 2 ** (62 - len(weights).bit_length()))
    for weight, share in zip(weights, shares, strict=True):
        exact = Fraction(weight) / Fraction(max(weights))
        assert abs(Fraction(share, max(shares)) - exact) <= step


def test_a_position_is_the_modulus_with_equal_weights_and_each_share_has_its_position() -> None:
    for weights in (None, [0.3] * 5):
        assert [DrawTable(5, weights).position(number) for number in range(12)] == [n % 5 for n in range(12)]
    assert [DrawTable(4, [0, 2, 0.0, 1]).position(number) for number in range(6)] == [1, 1, 3, 1, 1, 3]


def pool(weights: list[float]) -> PersonaPool:
    return PersonaPool("own", tuple(Persona(f"p{i}", "", f"{i}", weight) for i, weight in enumerate(weights)))


def test_twenty_thousand_draws_follow_the_weights_and_equal_weights_would_be_noticed() -> None:
    weights = [0.5, 1.0, 3.0, 0.0, 10.0, 0.25]
    personas = pool(weights)
    drawn = Counter(draw_persona(personas, 4, 0, f"row {i}").key for i in range(20_000))
    assert drawn["p3"] == 0
    positive = [number for number, weight in enumerate(weights) if weight]
    found = [drawn[f"p{number}"] for number in positive]
    expected = [20_000 * weights[number] / sum(weights) for number in positive]
    assert stats.chisquare(found, expected).pvalue > 0.001
    assert stats.chisquare(found).pvalue < 1e-6


def test_equal_weights_give_the_draw_without_weights() -> None:
    plain, weighted = pool([1.0] * 50), pool([0.7] * 50)
    rows = [f"row {i}" for i in range(500)]
    assert [draw_persona(plain, 0, 1, row).key for row in rows] == [
        draw_persona(weighted, 0, 1, row).key for row in rows
    ]
    assert draw_persona(plain, 0, 1, "row").key == f"p{derive_seed('permix.persona', 0, 1, 'row') % 50}"
