"""Intervals: of one model's metric, and of the paired difference of two models over the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from slipway.evaluation.metrics import Metric, UndefinedError
from slipway.evaluation.outcomes import Binary, Booleans, Floats, Integers, Multiclass, Multilabel, Outcome

NAMED = 3
"""Rows, or clusters, that carry a label at least, for a precision of it: with fewer the coverage falls short."""


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


@dataclass(frozen=True)
class Sampling:
    """How the rows were sampled, and the level of the intervals.

    clusters: (rows,) positions 0..n-1 of the group that each row belongs to, or None where rows are independent.
    seed: of what draws at random (the search for the worst slice, disturbances): the same inputs, the same report.
    """

    rows: int
    confidence: float = 0.95
    clusters: Integers | None = None
    seed: int = 0

    @property
    def units(self) -> int:
        """How many independent units there are."""
        return self.rows if self.clusters is None else int(self.clusters.max()) + 1


def of_one(metric: Metric, outcome: Outcome, sampling: Sampling) -> Interval:
    """The metric of one model. Raises UndefinedError where it has no value, or no interval, on these rows."""
    _check_units(sampling)
    estimate = metric.estimate(outcome)
    if estimate.correct is not None and sampling.clusters is None:
        return wilson(int(estimate.correct.sum()), len(estimate.correct), sampling.confidence)
    check_named(metric, [outcome], sampling)
    centre, influence = estimate.value, estimate.influence
    bounds = _bounds(metric)
    if metric.of_labels:
        # As Agresti & Coull 1998 add two successes and two failures to a share.
        imagined = metric.estimate(with_imaginary_rows(outcome, (True, True, False, False)))
        influence = imagined.influence
        if bounds is not None and not bounds[0] < centre < bounds[1]:
            centre = imagined.value
    spread = _spread(influence, sampling)
    if estimate.correct is not None and spread.error == 0:
        # Whole clusters agree, so that as many are known, and no more.
        return wilson(sampling.units if estimate.value else 0, sampling.units, sampling.confidence)
    if bounds is not None and bounds[0] < centre < bounds[1]:
        interval = _within(bounds, estimate.value, centre, spread, sampling.confidence)
    elif bounds is not None:
        interval = _student(estimate.value, spread, sampling.confidence)
    else:
        interval = _hall(estimate.value, spread, sampling.confidence)
    if metric.greater_is_better and interval.value == 1 and interval.standard_error == 0:
        raise UndefinedError("it is perfect on these rows, which does not show how far from perfect it is on others")
    return interval


def of_difference(metric: Metric, production: Outcome, candidate: Outcome, sampling: Sampling) -> Interval:
    """Candidate minus production, paired row by row. Raises UndefinedError where one of them has no value."""
    _check_units(sampling)
    ours, theirs = metric.estimate(candidate), metric.estimate(production)
    # Shares of all rows are paired row by row; two models' precisions are shares of different rows.
    shares = [
        each.correct for each in (ours, theirs) if each.correct is not None and len(each.correct) == sampling.rows
    ]
    if len(shares) == 2 and sampling.clusters is None:
        return bonett_price(shares[0], shares[1], sampling.confidence)
    check_named(metric, [candidate, production], sampling)
    value = ours.value - theirs.value
    if not metric.of_labels:
        spread = _spread(ours.influence - theirs.influence, sampling)
        if ours.correct is not None and theirs.correct is not None and spread.error == 0:
            # Every cluster says the same of both, so that as many are known, and no more.
            each = [np.full(sampling.units, one) for one in (value > 0, value < 0)]
            return bonett_price(each[0], each[1], sampling.confidence)
        return _student(value, spread, sampling.confidence)
    # As Bonett & Price add one disagreement each way to a difference of shares.
    ours = metric.estimate(with_imaginary_rows(candidate, (True, False)))
    theirs = metric.estimate(with_imaginary_rows(production, (False, True)))
    # Of a precision it does not suffice: there the degrees of freedom count the few rows, too.
    spread = _spread(ours.influence - theirs.influence, sampling, labels=metric.named is None)
    return _student(value, spread, sampling.confidence)


def _bounds(metric: Metric) -> tuple[float, float] | None:
    """Between which values the metric lies, where near its best value an interval should not be symmetric."""
    if metric.name in ("matthews_corrcoef", "cohen_kappa"):
        return -1.0, 1.0
    counts = metric.of_labels and metric.greater_is_better
    return (0.0, 1.0) if counts or metric.name.startswith(("roc_auc", "average_precision")) else None


def with_imaginary_rows(outcome: Outcome, right: Sequence[bool]) -> Binary | Multiclass | Multilabel:
    """The labels with `len(right)` rows added to each class, called right or wrong as `right` says.

    Labels of few rows often show no error, or no disagreement, in a class; the formulas would take that for certainty.
    The standard error is therefore taken with these rows added. The value itself stays the rows' own.
    """
    if isinstance(outcome, Binary):
        truth = np.repeat([False, True], len(right))
        label = truth == np.tile(right, 2)
        truths, labels = np.concatenate([outcome.truth, truth]), np.concatenate([outcome.label, label])
        return Binary(truths, labels, costs=outcome.costs)
    if isinstance(outcome, Multilabel):
        return _multilabel_with_imaginary_rows(outcome, right)
    assert isinstance(outcome, Multiclass)
    classes = np.unique(outcome.truth)
    wrong = np.roll(classes, 1) if len(classes) > 1 else (classes + 1) % outcome.classes
    said = np.where(right, classes[:, None], wrong[:, None]).ravel()
    truths = np.concatenate([outcome.truth, np.repeat(classes, len(right))])
    return Multiclass(truths, np.concatenate([outcome.label, said]), outcome.classes)


def _multilabel_with_imaginary_rows(outcome: Multilabel, right: Sequence[bool]) -> Multilabel:
    """Each label gets its rows; where the holdout is small, several labels share them.

    A row to each label would be as many as the rows themselves where labels are many, and dilute a mean over rows.
    """
    groups = min(outcome.labels, max(1, len(outcome) // 200))
    has_label = np.arange(outcome.labels) % groups == np.arange(groups)[:, None]
    truth = np.concatenate([np.repeat(has_label, len(right), axis=0), np.zeros((groups * len(right), outcome.labels))])
    wrong = np.tile(~np.array(right), 2 * groups)[:, None] & np.tile(np.repeat(has_label, len(right), axis=0), (2, 1))
    truths = np.concatenate([outcome.truth, truth.astype(bool)])
    return Multilabel(truths, np.concatenate([outcome.label, truth.astype(bool) ^ wrong]))


def _check_units(sampling: Sampling) -> None:
    if sampling.units < 2:
        raise UndefinedError("there are fewer than two independent rows or clusters")


def check_named(metric: Metric, outcomes: Sequence[Outcome], sampling: Sampling) -> None:
    """Raises UndefinedError for a precision of hardly any rows: no formula holds there what it promises."""
    if metric.named is None:
        return
    for outcome in outcomes:
        named = metric.named(outcome)
        if sampling.clusters is None:
            fewest, unit = int(named.sum(axis=0).min()), "rows"
        else:
            fewest, unit = min(len(np.unique(sampling.clusters[rows])) for rows in named.T), "clusters"
        if fewest < NAMED:
            label = "the label" if named.shape[1] == 1 else "one of the labels"
            raise UndefinedError(f"too few {unit} carry {label} that it counts: {fewest}; at least {NAMED} are needed")


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


def _spread(influence: Floats, sampling: Sampling, *, labels: bool = False) -> Spread:
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


def _student(value: float, spread: Spread, confidence: float) -> Interval:
    """Student's t around the value."""
    error, degrees = spread.error, spread.degrees
    half = float(special.stdtrit(degrees, (1 + confidence) / 2)) * error

    def below(limit: float) -> tuple[float, float]:
        if error == 0:  # every row agrees: the value is taken as exact
            return float(value < limit), float(value <= limit)
        return _no_atom(special.stdtr(degrees, (limit - value) / error))

    return Interval(value, value - half, value + half, error, spread.method, below)


def _hall(value: float, spread: Spread, confidence: float) -> Interval:
    """Student's t, corrected for skewness (Hall 1992, J. R. Stat. Soc. B 54:221, the cubic transformation).

    With u = (value - truth) / error and the sum's skewness a, u + a u² / 3 + a² u³ / 27 + a / 6 is nearer to t than u:
    the interval of a loss, whose few great values a sample may lack, is longer upwards.
    """
    error, degrees, a = spread.error, spread.degrees, spread.skewness
    if error == 0 or abs(a) < 1e-9:
        return _student(value, spread, confidence)
    quantile = float(special.stdtrit(degrees, (1 + confidence) / 2))
    low, high = (value - error * 3 / a * (np.cbrt(1 + a * (t - a / 6)) - 1) for t in (quantile, -quantile))

    def below(limit: float) -> tuple[float, float]:
        t = ((1 + a * (value - limit) / error / 3) ** 3 - 1) / a + a / 6
        return _no_atom(special.stdtr(degrees, -t))

    return Interval(value, float(low), float(high), error, f"{spread.method}, skewness", below)


def _within(bounds: tuple[float, float], value: float, centre: float, spread: Spread, confidence: float) -> Interval:
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
