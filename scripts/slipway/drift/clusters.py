"""Rows that are not independent: a window of ten days is ten days, not ten thousand rows.

Rows of one day are like each other, so a window of a few days differs from the year by more than chance between rows
explains, though nothing has drifted. The counts of each cluster say by how much: the design effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import special

from slipway.drift.cells import Cells
from slipway.drift.distances import chi_square
from slipway.profiles import MOST_VALUES, Profile, by_value
from slipway.profiles.histogram import Integers
from slipway.runner.errors import InputError

FEWEST = 5
"""With fewer clusters nothing can be said of how they differ."""


@dataclass(frozen=True)
class Design:
    """How much less the rows say than independent ones. effect: rows for each independent row, at least 1.

    degrees: of freedom of the numerator, fewer than cells - 1 where some combinations of cells vary more than others.
    """

    effect: float
    degrees: float
    clusters: int


def profiles_of(frame: pl.LazyFrame, cluster: str) -> tuple[Profile, ...]:
    """One profile for each value of the column `cluster`; rows without a value are a cluster, too.

    Raises InputError where the column is not there, or has too many values.
    """
    if cluster not in frame.collect_schema():
        raise InputError(
            f"The current data have no column `{cluster}`, which `cluster` names.",
            fix="Name a column that they have, such as the day.",
        )
    return not_too_many(tuple(by_value(frame.collect_batches(engine="streaming"), cluster).values()), cluster)


def not_too_many(parts: tuple[Profile, ...], cluster: str) -> tuple[Profile, ...]:
    """The profiles of the clusters. Raises InputError where there are more than are told apart."""
    if len(parts) > MOST_VALUES:
        raise InputError(
            f"`{cluster}`, which `cluster` names, has more than {MOST_VALUES:,} different values.",
            fix="Name a coarser one: the day instead of the minute.",
        )
    return parts


def design(parts: Integers, shares: np.ndarray[Any, np.dtype[np.float64]]) -> Design:
    """The design effect of counts, shape (clusters, cells), for cells of these shares under no drift.

    The generalised design effects are the eigenvalues of n V / P, where V is the variance of the shares between
    clusters (linearised, C / (C - 1)) and P that of independent rows; their mean is the correction of first order, and
    their spread makes the degrees of freedom fewer (Rao and Scott 1984, Annals of Statistics 12(1), section 4).
    """
    clusters, cells = parts.shape
    sizes, rows = parts.sum(axis=1, keepdims=True), int(parts.sum())
    residuals = parts - sizes * (parts.sum(axis=0) / rows)
    covariance = residuals.T @ residuals * clusters / (clusters - 1) / rows  # times n: of one row
    scaled = covariance / np.sqrt(np.outer(shares, shares))
    total, squares = float(np.trace(scaled)), float((scaled * scaled).sum())
    if total <= 0:
        return Design(1.0, cells - 1, clusters)
    return Design(max(1.0, total / (cells - 1)), min(cells - 1, max(1.0, total**2 / squares)), clusters)


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
