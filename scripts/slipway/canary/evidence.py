"""Evidence that may be looked at as often as one likes.

An e-process is a nonnegative process that begins at 1 and has at every stopping time a mean of at most 1 while the
null hypothesis holds. By Ville's inequality the probability that it ever reaches 1/alpha is then at most alpha. What is
kept of one is its logarithm for each of some alternatives; the evidence is their mean, which is an e-process again.

Ville 1939; Ramdas, Grünwald, Vovk and Shafer 2023, Game-theoretic statistics and safe anytime-valid inference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, floor, inf, log, log1p

Floats = tuple[float, ...]


def log_sum(values: Iterable[float]) -> float:
    """Logarithm of the sum of exponentials."""
    known = list(values)
    highest = max(known, default=-inf)
    if highest == -inf:
        return -inf
    return highest + log(sum(exp(value - highest) for value in known))


def log_mean(values: Sequence[float]) -> float:
    """Logarithm of the mean of exponentials: the evidence of a mixture in equal parts."""
    return log_sum(values) - log(len(values))


def grid(low: float, high: float, count: int) -> Floats:
    """Numbers from `low` to `high` at equal ratios."""
    return tuple(low * (high / low) ** (number / (count - 1)) for number in range(count))


DIGITS = 100_000
"""Logarithms are kept to a hundred-thousandth, rounded down: the state is half as long, and what is lost is evidence,
never the guarantee."""


def carried_on(sums: Floats, factors: Sequence[float]) -> Floats:
    """The alternatives' logarithms after a look's log factors."""
    return tuple(_rounded_down(held + factor) for held, factor in zip(sums, factors, strict=True))


def _rounded_down(value: float) -> float:
    return floor(DIGITS * value) / DIGITS


NONE_YET = -1e9
"""Logarithm of a part of the mixture that has not begun, as JSON can hold it."""


def begun_late(sums: Floats, factors: Sequence[float], look: int) -> Floats:
    """The same for a mixture over the look at which the harm begins, of which look `look` (from 1) is the newest.

    A process that runs from the first look on sinks while nothing is wrong, and would need long to see what breaks
    late. Here a part of 1/(k(k+1)) of the stake is laid at each look k; all that is laid sums up to 1 - 1/(look+1), and
    `late_evidence` adds the rest. So it is an e-process with a state of the same size. Half is laid at the first look:
    what is harmful from the start needs twice the evidence.
    """
    stake = -log(look * (look + 1))
    return tuple(_rounded_down(_log_add(held, stake) + factor) for held, factor in zip(sums, factors, strict=True))


def late_evidence(sums: Floats, looks: int) -> float:
    """Logarithm of the evidence of such a mixture after so many looks."""
    return _log_add(log_mean(sums), -log(looks + 1)) if looks else 0.0


def _log_add(one: float, other: float) -> float:
    high, low = max(one, other), min(one, other)
    return high + log1p(exp(low - high))
