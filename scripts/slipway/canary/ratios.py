"""An interval for the ratio of two rates that holds at every look: all ratios that the counts have not refuted.

For each ratio of a grid two e-processes of `counts` are kept, against "it is no greater" and "it is no smaller". At a
level of 1 - alpha the interval lies between the greatest ratio that the first kind has refuted at 2/alpha, and the
smallest that the second has. The true ratio is ever outside of it with a probability of at most alpha.
"""

from __future__ import annotations

from math import inf, log

from slipway.canary import counts
from slipway.canary.evidence import Floats, carried_on, grid, log_mean

RATIOS = grid(0.1, 10, 41)
"""Each is 1.12 times the one before: the interval's ends are known to that."""

STEPS = (1.15, 1.5, 3.0)
NOTHING: Floats = (0.0,) * (len(RATIOS) * len(STEPS))


def carried(held: Floats, canary: int, baseline: int, *, share: float, up: bool, cluster: int = 1) -> Floats:
    """The logarithms for every ratio and alternative after a look's events."""
    found: list[float] = []
    for ratio in RATIOS:
        found += counts.factors(canary, baseline, share=share, margin=ratio, up=up, growth=STEPS, cluster=cluster)
    return carried_on(held, found)


def interval(greater: Floats, smaller: Floats, alpha: float) -> tuple[float, float]:
    """Its ends; 0 and infinity where nothing is refuted. greater, smaller: with `up`, and without."""
    limit = log(2 / alpha)
    below = [ratio for ratio, each in zip(RATIOS, _by_ratio(greater), strict=True) if each >= limit]
    above = [ratio for ratio, each in zip(RATIOS, _by_ratio(smaller), strict=True) if each >= limit]
    return max(below, default=0.0), min(above, default=inf)


def _by_ratio(held: Floats) -> list[float]:
    size = len(STEPS)
    return [log_mean(held[place : place + size]) for place in range(0, len(held), size)]
