"""Distances and tests between two columns, from their profiles alone.

PSI, Jensen-Shannon and chi-square are of cells, in each of which both columns are counted exactly. Kolmogorov-Smirnov
and Wasserstein are of the values, which a profile knows to the width of a bin; they say how far off they may be, which
is nothing where both columns have at most 1,536 different values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from slipway.drift.cells import Cells, together
from slipway.profiles.histogram import Floats, Histogram
from slipway.profiles.profile import Numbers


@dataclass(frozen=True)
class Bounded:
    """A distance between columns that are known to the width of their bins: the true one is from least to most."""

    value: float
    least: float
    most: float


@dataclass(frozen=True)
class Tested:
    """A test statistic with its p-value."""

    statistic: float
    p_value: float


def population_stability(cells: Cells) -> float:
    """PSI: the sum over cells of (q - p) ln(q / p), after half a row is added to every cell of both.

    Without that an empty cell would make it infinite. Siddiqi, Credit Risk Scorecards (2006); its distribution:
    Yurdakul and Naranjo, Journal of Risk Model Validation 14(4) (2020).
    """
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (cells.reference, cells.current))
    return float(((q - p) * np.log(q / p)).sum())


def population_stability_limit(reference: float, current: float, cells: int, confidence: float = 0.99) -> float:
    """What PSI stays below in `confidence` of the comparisons without drift, for so many rows and cells.

    (1/n + 1/m) times the quantile of chi-square with cells - 1 degrees of freedom (Yurdakul and Naranjo 2020).
    """
    if cells < 2:
        return 0.0
    return (1 / reference + 1 / current) * float(special.chdtri(cells - 1, 1 - confidence))


def jensen_shannon(cells: Cells) -> float:
    """The Jensen-Shannon distance, 0 to 1: root of the divergence in bits (Lin 1991, Endres and Schindelin 2003)."""
    p, q = _shares(cells)
    middle = (p + q) / 2
    divergence = float((special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum()) / 2 / math.log(2)
    return math.sqrt(max(divergence, 0.0))


def jensen_shannon_limit(reference: float, current: float, cells: int, confidence: float = 0.99) -> float:
    """What the distance stays below in `confidence` of the comparisons without drift.

    Near equality the divergence is an eighth of PSI (in nats), so its limit follows from PSI's.
    """
    limit = population_stability_limit(reference, current, cells, confidence)
    return min(1.0, math.sqrt(limit / 8 / math.log(2)))


def chi_square(cells: Cells) -> Tested:
    """Pearson's test that both columns have the same shares; p-value 1 with a single cell.

    The p-value is asymptotic and wants about five expected rows in every cell of the smaller column (Cochran 1954).
    """
    counts = np.array([cells.reference, cells.current], dtype=np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return Tested(0.0, 1.0)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return Tested(statistic, float(special.chdtrc(counts.shape[1] - 1, statistic)))


def kolmogorov_smirnov(reference: Histogram, current: Histogram) -> Bounded:
    """The greatest distance between the distribution functions. Both must hold a value.

    At the ends of bins both functions are exact, so the value found there is the least. Within a bin one function may
    rise first and the other last, which gives the most.
    """
    one, other = together(reference, current)
    ends = [np.cumsum(each.counts) / each.total for each in (one, other)]
    starts = [np.concatenate([[0.0], each[:-1]]) for each in ends]
    value = float(np.abs(ends[0] - ends[1]).max())
    if one.exact:
        return Bounded(value, value, value)
    most = float(max((ends[0] - starts[1]).max(), (ends[1] - starts[0]).max()))
    return Bounded(value, value, min(1.0, most))


def kolmogorov_smirnov_p(distance: float, reference: int, current: int) -> float:
    """The asymptotic p-value of the distance (Smirnov 1948). Of `Bounded.least` it is the greatest it can be."""
    return float(special.kolmogorov(distance * math.sqrt(reference * current / (reference + current))))


def wasserstein(reference: Numbers, current: Numbers) -> Bounded:
    """The mean distance that values must move (Wasserstein-1), in standard deviations of the reference.

    Every value is taken for the middle of its bin, from which it is at most half a width away; by the triangle
    inequality the distance is off by at most the mean half width of both columns. NaN where the reference has no
    standard deviation; infinite where it is constant and the current column is another.
    """
    one, other = together(reference.histogram, current.histogram)
    low, high = min(reference.minimum, current.minimum), max(reference.maximum, current.maximum)
    lower, upper = np.clip(one.lower, low, high), np.clip(one.upper, low, high)
    middle = lower / 2 + upper / 2
    p, q = one.counts / one.total, other.counts / other.total
    distance = float((np.abs(np.cumsum(p - q))[:-1] * np.diff(middle)).sum())
    off = float(((p + q) * (upper / 2 - lower / 2)).sum())
    # Moments are exact, and means cannot be further apart than the distance.
    least = max(distance - off, abs(reference.moments.mean - current.moments.mean), 0.0)
    scale = reference.moments.standard_deviation
    return Bounded(_scaled(distance, scale), _scaled(least, scale), _scaled(distance + off, scale))


def _scaled(distance: float, scale: float) -> float:
    if scale == 0.0:
        return math.inf if distance > 0 else 0.0
    return distance / scale


def _shares(cells: Cells) -> tuple[Floats, Floats]:
    return cells.reference / cells.reference.sum(), cells.current / cells.current.sum()
