"""Rows that are not independent: a window of ten days is ten days, not ten thousand rows.

Rows of one day are like each other, so a window of a few days differs from the year by more than chance between rows
explains, though nothing has drifted. The counts of each cluster say by how much: the design effect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from slipway.drift.cells import Cells
from slipway.drift.distances import chi_square
from slipway.profiles import MOST_VALUES, Profile, by_value
from slipway.profiles.histogram import Integers
from slipway.runner.errors import InputError

FEWEST = 5
"""With fewer clusters nothing can be said of how they differ."""

MOST_ALIKE = 0.9
"""Correlation of neighbours that is reckoned with at most: nineteen clusters then count as one."""

K = TypeVar("K")
Floats = NDArray[np.float64]
Alike = tuple[float, float]
"""Correlation of each cluster with the next, along the direction of most variance and along all others."""

APART: Alike = (0.0, 0.0)
"""Clusters that are independent."""


@dataclass(frozen=True)
class Design:
    """How much less the rows say than independent ones. effect: rows for each independent row, at least 1.

    degrees: of freedom of the numerator, fewer than cells - 1 where some combinations of cells vary more than others.
    clusters: as many as say the same where neighbours are independent.
    """

    effect: float
    degrees: float
    clusters: float


class Neighbours(NamedTuple):
    """How alike a cluster and the next one are. variance: of the estimate, where they are independent."""

    correlation: float
    variance: float


def profiles_of(frame: pl.LazyFrame, cluster: str) -> tuple[Profile, ...]:
    """One profile for each value of the column `cluster`, in its order; rows without a value are a cluster, too.

    Raises InputError where the column is not there, or has too many values.
    """
    if cluster not in frame.collect_schema():
        raise InputError(
            f"The current data have no column `{cluster}`, which `cluster` names.",
            fix="Name a column that they have, such as the day.",
        )
    return in_order(tuple(by_value(frame.collect_batches(engine="streaming"), cluster).values()), cluster)


def in_order(parts: tuple[Profile, ...], cluster: str) -> tuple[Profile, ...]:
    """The profiles of the clusters, sorted by the value of the column `cluster`, so that days stand beside the next.

    Raises InputError where there are more than are told apart.
    """
    if len(parts) > MOST_VALUES:
        raise InputError(
            f"`{cluster}`, which `cluster` names, has more than {MOST_VALUES:,} different values.",
            fix="Name a coarser one: the day instead of the minute.",
        )

    def place(part: Profile) -> tuple[float, bool, str]:
        column = part.columns[cluster]
        names = column.categories.named if column.categories else None
        number = column.numbers.minimum if column.numbers else math.inf
        return number, not names, min(names or [""])

    return tuple(sorted(parts, key=place))


def design(parts: Integers, shares: Floats, alike: Alike = APART) -> Design:
    """The design effect of counts, shape (clusters, cells), for cells of these shares under no drift.

    The generalised design effects are the eigenvalues of n V / P, where V is the variance of the shares between
    clusters (linearised, C / (C - 1)) and P that of independent rows; their mean is the correction of first order, and
    their spread makes the degrees of freedom fewer (Rao and Scott 1984, Annals of Statistics 12(1), section 4).
    """
    clusters, cells = parts.shape
    effects = _spectrum(parts, shares)[0] ** 2 * clusters / (clusters - 1) / int(parts.sum())
    apart = float(effects.sum())
    if apart <= 0:
        return Design(1.0, cells - 1, clusters)
    effects[:1] *= _as_one(alike[0], clusters)
    effects[1:] *= _as_one(alike[1], clusters)
    total, squares = float(effects.sum()), float((effects * effects).sum())
    effect = max(1.0, apart / (cells - 1)) * total / apart
    return Design(effect, min(cells - 1, max(1.0, total**2 / squares)), max(2.0, clusters * apart / total))


def neighbours(parts: Integers, shares: Floats) -> tuple[Neighbours | None, Neighbours | None]:
    """How alike clusters and the next ones are, along the direction in which they vary most and along all others; None
    where they do not vary.

    What days have in common, their level, moves all cells along one direction; along the others rows vary by chance.
    """
    if min(parts.shape) < 2:
        return None, None
    values, along = _spectrum(parts, shares)
    return _neighbours(values[:1], along[:, :1]), _neighbours(values[1:], along[:, 1:])


def _neighbours(values: Floats, along: Floats) -> Neighbours | None:
    """Of a series whose mean is estimated the correlation of neighbours comes out too small, by (1 + 4 r) / C (Marriott
    and Pope 1954, Biometrika 41), and varies by 1 / C where they are independent, over as many directions as count."""
    weights, clusters = values**2, len(along)
    if weights.sum() <= 1e-12:
        return None
    raw = float((weights * (along[1:] * along[:-1]).sum(axis=0)).sum() / weights.sum()) + 1 / clusters
    free = float(weights.sum() ** 2 / (weights**2).sum())
    return Neighbours(raw + 4 * max(0.0, raw) / clusters, 1 / (clusters * free))


def correlations(found: Mapping[K, Neighbours]) -> dict[K, float]:
    """For each test the correlation to reckon with, from 0 to `MOST_ALIKE`.

    A dozen days say little of how alike neighbours are in one column. So each estimate is drawn to their common mean,
    as far as chance explains that they differ (moments as in DerSimonian and Laird 1986).
    """
    if not found:
        return {}
    each, variances = np.array([known.correlation for known in found.values()]), [v.variance for v in found.values()]
    weights = 1 / np.array(variances)
    mean = float(np.average(each, weights=weights))
    excess = float((weights * (each - mean) ** 2).sum()) - (len(each) - 1)
    between = excess / (weights.sum() - (weights**2).sum() / weights.sum()) if len(each) > 1 else 0.0
    own = max(0.0, between) / (max(0.0, between) + 1 / weights)
    drawn = np.clip(own * each + (1 - own) * mean, 0.0, MOST_ALIKE)
    return dict(zip(found, drawn.tolist(), strict=True))


def _as_one(correlation: float, clusters: int) -> float:
    """So many clusters of which each resembles the next say as much as one: what their variance is multiplied by.

    A mean of C terms of a first-order autoregressive series varies as one of C (1 - r) / (1 + r) independent terms, and
    the variance of the terms comes out too small by as much as their mean moves with them (Bayley and Hammersley 1946,
    JRSS Supplement 8). Fewer than two independent clusters are never reckoned with.
    """
    as_one = min((1 + correlation) / (1 - correlation), clusters / 2)
    return as_one * (clusters - 1) / (clusters - as_one)


def _spectrum(parts: Integers, shares: Floats) -> tuple[Floats, Floats]:
    """How clusters differ from the whole, in standard deviations of a row: how far along each direction (the singular
    values, falling), and which cluster how far, shape (clusters, directions)."""
    sizes = parts.sum(axis=1, keepdims=True)
    residuals = (parts - sizes * (parts.sum(axis=0) / parts.sum())) / np.sqrt(shares)
    along, values, _ = np.linalg.svd(residuals, full_matrices=False)
    return values, along


def p_value(both: Cells, found: Design) -> float:
    """That both columns have the same shares, when the rows come in clusters: chi-square over the design effect and its
    degrees, as F with that many and that many times (clusters - 1) (Thomas and Rao 1987, JASA 82(398)).

    The reference's rows count as alike as the current ones, since a profile does not tell its clusters.
    """
    cells = int(((both.reference + both.current) > 0).sum())
    if cells < 2:
        return 1.0
    f = chi_square(both).statistic / (found.effect * (cells - 1))
    return float(special.fdtrc(found.degrees, found.degrees * (found.clusters - 1), f))


def effective(rows: int, found: Design | None) -> float:
    """So many independent rows say as much."""
    return rows / found.effect if found else float(rows)
