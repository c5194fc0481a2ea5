"""The draw of a pool's position by weight, in integers."""

import bisect
import math
from array import array
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate


def integer_shares(weights: Sequence[float]) -> list[int]:
    """Return whole numbers in the ratio of the weights, without a common divisor: equal weights give ones.

    The ratio is that of the weights' shortest decimal forms, and exact if all shares fit into 62 bits with the number
    of the weights, as those of weights with up to six digits do. Otherwise a share is its weight over the largest one
    in units of the smallest step that fits (``2**-44`` for 200,000 weights), rounded, and at least 1 if the weight is
    positive.

    Args:
        weights: finite, not negative, and not all 0.
    """
    largest_share = 1 << (62 - len(weights).bit_length())
    exact = {weight: Fraction(repr(weight)) for weight in set(weights)}
    common = math.lcm(*(share.denominator for share in exact.values()))
    whole = {weight: int(share * common) for weight, share in exact.items()}
    divisor = math.gcd(*whole.values())
    if max(whole.values()) // divisor > largest_share:
        largest = max(weights)
        whole = {weight: max(1, round(weight / largest * largest_share)) if weight else 0 for weight in whole}
        divisor = math.gcd(*whole.values())
    return [whole[weight] // divisor for weight in weights]


class DrawTable:
    """A draw of positions 0 to ``size - 1``, uniform or by weight.

    The modulus of a 128-bit hash favours no position by more than ``2**-66``.

    Args:
        weights: one weight a position; ``None`` for a uniform draw.
    """

    def __init__(self, size: int, weights: Sequence[float] | None = None) -> None:
        self.total = size
        self._cumulative: array[int] | None = None
        if weights is not None and len(set(weights)) > 1:
            self._cumulative = array("q", accumulate(integer_shares(weights)))
            self.total = self._cumulative[-1]

    def position(self, number: int) -> int:
        """Return the position that a hash stands for."""
        share = number % self.total
        return share if self._cumulative is None else bisect.bisect_right(self._cumulative, share)
