"""Bands around a distribution that hold at all times at once, and the intervals of its quantiles.

    sup_x |F_n(x) - F(x)| <= 0.85 sqrt((log(1 + log(n/m)) + C) / n)    for all n >= m

with probability 1 - alpha (Howard and Ramdas 2022, Sequential estimation of quantiles, theorem 2). C follows from

    alpha = min over eta of 4 e^(-g² C) (1 + 1/((g² - 1) log eta)),   g = sqrt(2/eta) (0.85 - sqrt(2 (eta - 1)/C))
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from math import exp, inf, log, sqrt

from slipway.canary.observations import Histogram

WIDTH = 0.85
FEWEST = 100
"""The theorem's m: nothing is said of fewer numbers."""


def crossing(constant: float) -> float:
    """The probability that a band with this constant is ever left."""
    best = inf
    for step in range(1, 440):
        eta = 1 + step / 1000
        inner = WIDTH - sqrt(2 * (eta - 1) / constant)
        g = sqrt(2 / eta) * inner
        if inner > 0 and g > 1:
            best = min(best, 4 * exp(-g * g * constant) * (1 + 1 / ((g * g - 1) * log(eta))))
    return best


@cache
def constant_for(alpha: float) -> float:
    """C."""
    low, high = 1.0, 200.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if crossing(middle) <= alpha else (middle, high)
    return high


def radius(numbers: int, alpha: float) -> float:
    """Half of the band's width in probability; infinite for fewer than FEWEST numbers."""
    if numbers < FEWEST:
        return inf
    return WIDTH * sqrt((log(1 + log(numbers / FEWEST)) + constant_for(alpha)) / numbers)


def quantile(histogram: Histogram, p: float, alpha: float) -> tuple[float, float, float]:
    """Lower end, value and upper end of a quantile.

    A histogram knows its numbers to the width of a cell: the value is the upper bound of the quantile's cell, the lower
    end the lower bound of its own. Infinite where it lies above the last bound, or where the numbers are too few.
    """
    numbers = sum(histogram.counts)
    if not numbers:
        return -inf, inf, inf
    off = radius(numbers, alpha)
    ends, summed = (*histogram.bounds, inf), list(accumulate(histogram.counts))
    low = _cell(summed, (p - off) * numbers)
    return (
        -inf if p - off <= 0 else ends[low - 1] if low else 0.0,
        ends[_cell(summed, p * numbers)],
        inf if p + off >= 1 else ends[_cell(summed, (p + off) * numbers)],
    )


def _cell(summed: Sequence[int], rank: float) -> int:
    return next((place for place, count in enumerate(summed) if count >= rank and count), len(summed) - 1)
