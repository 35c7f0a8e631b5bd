"""The formulas of intervals: from a value and the influences of its rows to two ends and a p-value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import special

from slipway.evaluation.metrics import UndefinedError
from slipway.evaluation.outcomes import Booleans, Floats
from slipway.evaluation.sampling import Sampling


@dataclass(frozen=True)
class Interval:
    """A value with its two-sided interval and standard error, all in the metric's unit, and how they were found.

    below: how much of the confidence distribution (Xie & Singh 2013, Int. Stat. Rev. 81:3) lies strictly below a limit,
    and how much at or below it; the two differ only where the distribution has an atom. One minus it is the one-sided
    p-value of "the true value is at least this limit". The interval's ends are its quantiles, so that an interval lies
    below a limit just where that p-value is below (1 - confidence) / 2.
    """

    value: float
    low: float
    high: float
    standard_error: float
    method: str
    below: Callable[[float], tuple[float, float]] = field(compare=False, repr=False)


def wilson(successes: int, rows: int, confidence: float) -> Interval:
    """Wilson's score interval of a share (Wilson 1927)."""
    z = normal_quantile(confidence)
    share = successes / rows
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))

    # The ends are known exactly where rounding would miss them.
    low = 0.0 if successes == 0 else float(middle - half)
    high = 1.0 if successes == rows else float(middle + half)

    def below(limit: float) -> tuple[float, float]:
        if 0 < limit < 1:
            return _no_atom(special.ndtr((limit - share) / np.sqrt(limit * (1 - limit) / rows)))
        # At the very end the score of a share that is there, too, tends to 0: half of the distribution.
        at_end = 0.5 if limit == share else float(limit > share)
        return (0.0 if limit <= 0 else at_end, 1.0 if limit >= 1 else at_end)

    return Interval(share, low, high, float(half / z), "Wilson", below)


def bonett_price(ours: Booleans, theirs: Booleans, confidence: float) -> Interval:
    """Adjusted Wald interval of a difference of paired shares (Bonett & Price 2012, doi:10.3102/1076998611411915).

    One imaginary disagreement each way keeps the interval honest when few rows, or none, tell the models apart.
    """
    rows = len(ours)
    won = (int((ours & ~theirs).sum()) + 1) / (rows + 2)
    lost = (int((~ours & theirs).sum()) + 1) / (rows + 2)
    error = float(np.sqrt((won + lost - (won - lost) ** 2) / (rows + 2)))
    half = normal_quantile(confidence) * error
    value = float(ours.mean() - theirs.mean())

    def below(limit: float) -> tuple[float, float]:
        level = float(special.ndtr((limit - (won - lost)) / error))
        return (
            0.0 if limit <= -1 else 1.0 if limit > 1 else level,
            1.0 if limit >= 1 else 0.0 if limit < -1 else level,
        )

    low, high = max(-1.0, won - lost - half), min(1.0, won - lost + half)
    return Interval(value, low, high, error, "Bonett-Price", below)


def _no_atom(level: float) -> tuple[float, float]:
    return float(level), float(level)


def normal_quantile(confidence: float) -> float:
    """z of a two-sided interval."""
    return float(special.ndtri((1 + confidence) / 2))


@dataclass(frozen=True)
class Spread:
    """The standard error of a value, the degrees of freedom that it was estimated with, and how.

    skewness: of the rows' (or clusters') influences, over the root of their number: between -1 and 1.
    """

    error: float
    degrees: float
    skewness: float
    method: str

    def as_skewed_as_a_gamma(self, distance: float) -> Spread:
        """The same, at least as skewed as a gamma variable with this error: by 2 error / distance, at most by 1.

        distance: the value minus a bound that it never passes, as r2 never passes 1. For a ratio of two losses: its
        influences may show no skewness, and yet its standard error is small just where the ratio is, as of a gamma
        variable (such as a sum of squares), which makes the ratio's true value too often greater.
        """
        if not distance:
            return self
        least = min(1.0, 2 * self.error / abs(distance))
        return replace(self, skewness=max(self.skewness, least) if distance > 0 else min(self.skewness, -least))


def spread_of(influence: Floats, sampling: Sampling, *, labels: bool = False) -> Spread:
    """Of a value from the influences of rows, or of clusters (Liang & Zeger 1986 with G / (G - 1)).

    The degrees of freedom are units - 1, or fewer where few units carry most of the variance: 2 units / (kurtosis - 1),
    by which the estimated variance has the mean and variance of a multiple of chi-squared (Satterthwaite 1946).
    labels: units - 1 it is, since imaginary rows widen the interval already where few rows count.
    influence: (rows,), or longer by imaginary rows, each of which stands for itself and adds no degree of freedom.
    """
    units, method = sampling.units, "paired, closed form"
    if sampling.clusters is None:
        sums = influence
    else:
        real, imaginary = np.split(influence, [sampling.rows])
        of_clusters = np.bincount(sampling.clusters, weights=real) * np.sqrt(units / (units - 1))
        sums = np.concatenate([of_clusters, imaginary])
        method += f", {units} clusters"
    squares = sums**2
    variance = float(squares.sum())
    error = float(np.sqrt(variance)) / len(influence)
    if not np.isfinite(error):
        raise UndefinedError("its standard error is not a finite number")
    shares = squares / variance if variance else squares
    # Not by `@`: with another number of threads BLAS adds in another order, and no digit of a report may differ.
    excess = float((shares**2).sum()) - 1 / len(squares)  # (kurtosis - 1) / units
    degrees = min(units - 1, 2 / excess) if excess > 0 and not labels else units - 1
    skewness = float((shares * sums).sum()) / np.sqrt(variance) if variance else 0.0
    return Spread(error, degrees, skewness, method)


def student(value: float, spread: Spread, confidence: float) -> Interval:
    """Student's t around the value."""
    error, degrees = spread.error, spread.degrees
    half = float(special.stdtrit(degrees, (1 + confidence) / 2)) * error

    def below(limit: float) -> tuple[float, float]:
        if error == 0:  # every row agrees: the value is taken as exact
            return float(value < limit), float(value <= limit)
        return _no_atom(special.stdtr(degrees, (limit - value) / error))

    return Interval(value, value - half, value + half, error, spread.method, below)


def hall(value: float, spread: Spread, confidence: float) -> Interval:
    """Student's t, corrected for skewness (Hall 1992, J. R. Stat. Soc. B 54:221, the cubic transformation).

    With u = (value - truth) / error and the sum's skewness a, u + a u² / 3 + a² u³ / 27 + a / 6 is nearer to t than u:
    the interval of a loss, whose few great values a sample may lack, is longer upwards.
    """
    error, degrees, a = spread.error, spread.degrees, spread.skewness
    if error == 0 or abs(a) < 1e-9:
        return student(value, spread, confidence)
    quantile = float(special.stdtrit(degrees, (1 + confidence) / 2))
    low, high = (value - error * 3 / a * (np.cbrt(1 + a * (t - a / 6)) - 1) for t in (quantile, -quantile))

    def below(limit: float) -> tuple[float, float]:
        t = ((1 + a * (value - limit) / error / 3) ** 3 - 1) / a + a / 6
        return _no_atom(special.stdtr(degrees, -t))

    return Interval(value, float(low), float(high), error, f"{spread.method}, skewness", below)


def within(bounds: tuple[float, float], value: float, centre: float, spread: Spread, confidence: float) -> Interval:
    """Student's t on the scale of log odds, which never leaves the bounds (for the ROC area: Pepe 2003, section 5.2).

    centre: strictly within the bounds: the value, or what the imaginary rows make of a value on a bound.
    """
    lowest, highest = bounds
    width = highest - lowest
    share = (centre - lowest) / width
    error = spread.error / width / (share * (1 - share))
    half = float(special.stdtrit(spread.degrees, (1 + confidence) / 2)) * error
    middle = float(special.logit(share))
    low, high = lowest + width * special.expit(np.array([middle - half, middle + half]))

    def below(limit: float) -> tuple[float, float]:
        if error == 0:
            return float(centre < limit), float(centre <= limit)
        odds = special.logit(np.clip((limit - lowest) / width, 0, 1))
        return _no_atom(special.stdtr(spread.degrees, (odds - middle) / error))

    if error == 0:
        low = high = value
    return Interval(value, float(low), float(high), spread.error, f"{spread.method}, log odds", below)
