"""Evidence from two means of numbers from 0 to 1, by betting: of scores, and of shares above a bound.

The null hypothesis says that the canary's mean is at most `margin` above the baseline's. A look with n numbers X of the
canary and m numbers Y of the baseline has the factor

    product (1 + a (X - (z + margin)))  *  product (1 - a n/m (Y - z))

with a stake a > 0 and a centre z that were chosen before it. Its mean is at most 1: by log(1+u) <= u it is at most
exp(a n (mean X - mean Y - margin)), also where the means differ from number to number. That is the betting of
Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting, with a second sample; of numbers
that are 0 or 1 the best stake gives the block e-variable of `blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p

from slipway.canary.evidence import Floats, grid

STAKES = grid(0.01, 10, 12)
NOTHING: Floats = (0.0,) * len(STAKES)
RUIN = 0.95
"""A stake is lowered so far that no single number takes more than this part of what is held."""

Sample = Sequence[tuple[float, int]]
"""Numbers with how often each occurred."""


def mirrored(sample: Sample) -> Sample:
    """1 - X: what is above becomes what is below."""
    return [(1 - value, count) for value, count in sample]


def size(sample: Sample) -> int:
    """How many numbers it has."""
    return sum(count for _, count in sample)


def total(sample: Sample) -> float:
    """Their sum."""
    return sum(value * count for value, count in sample)


def factors(canary: Sample, baseline: Sample, *, margin: float, mean: float) -> Floats:
    """A look's log factor for each stake. mean: over both arms, as it is expected; both samples have numbers.

    The closer `mean` is to what comes, the more is gained; that the mean factor is at most 1 does not depend on it.
    """
    n, m = size(canary), size(baseline)
    ratio = n / m
    z = mean - margin * n / (n + m)
    highest = _limit(z + margin, z, ratio)
    found = []
    for wanted in STAKES:
        stake = min(wanted, highest)
        gained = sum(count * log1p(stake * (value - z - margin)) for value, count in canary if count)
        gained += sum(count * log1p(-stake * ratio * (value - z)) for value, count in baseline if count)
        found.append(gained)
    return tuple(found)


def _limit(canary: float, baseline: float, ratio: float) -> float:
    """The highest stake with which no number from 0 to 1 loses more than RUIN. Both are centres."""
    worst = max(canary, ratio * (1 - baseline), 1e-9)
    return RUIN / worst
