"""Gaps between groups of people: the candidate's largest value of any group minus its smallest.

Each pair of groups has a difference with a standard error from the rows' influences; what one cluster adds to both
groups cancels. The largest difference is picked after the fact, so every pair gets Bonferroni's share of the level:
then all pairs are covered at once, and with them the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from slipway.evaluation.formulas import Interval
from slipway.evaluation.grouping import Grouping, take, take_sampling, too_small
from slipway.evaluation.imaginary import with_imaginary_rows
from slipway.evaluation.intervals import check_named
from slipway.evaluation.metrics import Metric, UndefinedError
from slipway.evaluation.outcomes import Floats, Integers, Outcome
from slipway.evaluation.sampling import Sampling


@dataclass(frozen=True)
class Measured:
    """One metric of one group, with what each of its rows adds to the value's error.

    places: (n,) rows of the holdout. parts: (n,) influences / n, as are those of imaginary rows.
    """

    label: str
    value: float
    places: Integers
    parts: Floats
    imaginary: Floats


@dataclass(frozen=True)
class Group:
    """A group under both models. why: what it lacks to be judged; then, and before a first release, there is None."""

    label: str
    rows: int
    candidate: Measured | None = None
    production: Measured | None = None
    why: str = ""


@dataclass(frozen=True)
class Gap:
    """Largest minus smallest value, with its interval, and the two groups. level: of each pair's own interval."""

    interval: Interval
    largest: Measured
    smallest: Measured
    level: float
    p_beyond: Callable[[float], float] = field(compare=False, repr=False)
    """One-sided p-value of no gap above a limit, over all pairs: small where the rows show one."""


def measure_groups(
    metric: Metric,
    candidate: Outcome,
    production: Outcome | None,
    grouping: Grouping,
    sampling: Sampling,
    *,
    min_rows: int,
) -> Iterator[Group]:
    """Every group under both models."""
    for code, label in enumerate(grouping.labels):
        places = np.flatnonzero(grouping.codes == code)
        sampled = take_sampling(sampling, places)
        small = too_small(sampled, min_rows)
        if small:
            yield Group(label, len(places), why=small)
            continue
        ours = _measure(metric, candidate, label, places, sampled)
        if isinstance(ours, str):
            yield Group(label, len(places), why=ours)
            continue
        theirs = None if production is None else _measure(metric, production, label, places, sampled)
        yield Group(label, len(places), ours, None if isinstance(theirs, str) else theirs)


def _measure(metric: Metric, outcome: Outcome, label: str, places: Integers, sampling: Sampling) -> Measured | str:
    """The metric in one group, or why it has none there."""
    part = take(outcome, places)
    try:
        check_named(metric, [part], sampling)
        with np.errstate(over="ignore", invalid="ignore"):  # what is too great for a float is found as not finite
            estimate = metric.estimate(part)
            influence = estimate.influence
            if metric.of_labels:
                # Few rows often show no error at all, which is no certainty; as for one model in `intervals`.
                influence = metric.estimate(with_imaginary_rows(part, (True, True, False, False))).influence
            if not np.isfinite(influence @ influence):
                return "its standard error is not a finite number"
    except UndefinedError as undefined:
        return str(undefined).replace("the holdout", "the group")
    real, imaginary = np.split(influence / len(influence), [len(places)])
    return Measured(label, estimate.value, places, real, imaginary)


def gap_of(groups: Sequence[Measured], sampling: Sampling) -> Gap | None:
    """The largest difference of two groups; None where there are not two.

    All pairs' intervals hold at once, so the largest true difference lies between the largest of their lower ends and
    the largest of their upper ends.
    """
    if len(groups) < 2:
        return None
    values = np.array([each.value for each in groups])
    covariance = _covariance(groups, sampling)
    variances = np.diag(covariance)
    errors = np.sqrt(np.maximum(variances[:, None] + variances[None, :] - 2 * covariance, 0))
    distances = np.abs(values[:, None] - values[None, :])
    pairs = len(groups) * (len(groups) - 1) // 2
    level = 1 - (1 - sampling.confidence) / pairs
    critical = float(special.stdtrit(sampling.units - 1, (1 + level) / 2))
    apart = ~np.eye(len(groups), dtype=bool)
    low = max(0.0, float((distances - critical * errors)[apart].max()))
    high = float((distances + critical * errors)[apart].max())
    largest, smallest = int(values.argmax()), int(values.argmin())
    if largest == smallest:  # all are equal
        largest, smallest = 0, 1
    method = "by influence" if pairs == 1 else f"by influence, Bonferroni over {pairs} pairs"
    error = float(errors[largest, smallest])

    def t(limit: float) -> Floats:
        beyond, spread = distances[apart] - limit, errors[apart]
        certain = np.where(beyond > 0, np.inf, -np.inf)  # without any error
        return np.asarray(np.divide(beyond, spread, out=certain, where=spread > 0))

    # Above a limit lies the gap if any pair does, and below it only if all pairs do.
    def p_beyond(limit: float) -> float:
        return min(1.0, pairs * float(special.stdtr(sampling.units - 1, -t(limit).max())))

    def below(limit: float) -> tuple[float, float]:
        share = 1 - min(1.0, pairs * float(special.stdtr(sampling.units - 1, t(limit).max())))
        return share, share

    interval = Interval(float(distances[largest, smallest]), low, high, error, method, below)
    return Gap(interval, groups[largest], groups[smallest], level, p_beyond)


def change_of(candidate: Gap, production: Gap, sampling: Sampling) -> Interval:
    """The candidate's gap minus production's, paired, at the groups that each has it between.

    Those groups are taken as given, so the interval is too narrow where several gaps are nearly equal: it is shown.
    """
    signed = ((candidate.largest, 1), (candidate.smallest, -1), (production.largest, -1), (production.smallest, 1))
    parts = np.zeros(sampling.rows)
    for each, sign in signed:
        parts[each.places] += sign * each.parts
    error = float(np.sqrt(_sum_of_squares(parts, sampling)))
    value = candidate.interval.value - production.interval.value
    half = float(special.stdtrit(sampling.units - 1, (1 + sampling.confidence) / 2)) * error

    def below(limit: float) -> tuple[float, float]:
        if not error:
            return float(value < limit), float(value <= limit)
        share = float(special.stdtr(sampling.units - 1, (limit - value) / error))
        return share, share

    return Interval(value, value - half, value + half, error, "paired, at the groups found", below)


def _covariance(groups: Sequence[Measured], sampling: Sampling) -> Floats:
    """(groups, groups), of their values. Without clusters no two groups share a unit."""
    own = np.diag([float((each.imaginary**2).sum()) for each in groups])
    if sampling.clusters is None:
        return own + np.diag([float((each.parts**2).sum()) for each in groups])
    units = sampling.units
    sums = np.array([np.bincount(sampling.clusters[each.places], each.parts, units) for each in groups])
    together = np.einsum("ik,jk->ij", sums, sums)  # by `@` the last digit depends on the number of threads
    return np.asarray(own + together * units / (units - 1))


def _sum_of_squares(parts: Floats, sampling: Sampling) -> float:
    if sampling.clusters is None:
        return float((parts**2).sum())
    sums = np.bincount(sampling.clusters, parts, sampling.units)
    return float((sums**2).sum()) * sampling.units / (sampling.units - 1)
