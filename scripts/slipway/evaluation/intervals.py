"""Intervals: of one model's metric, and of the paired difference of two models over the same rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slipway.evaluation.formulas import Interval, bonett_price, hall, spread_of, student, wilson, within
from slipway.evaluation.imaginary import with_imaginary_rows
from slipway.evaluation.metrics import Metric, UndefinedError
from slipway.evaluation.outcomes import Outcome
from slipway.evaluation.sampling import Sampling
from slipway.policy.metrics import SKILL, range_of

NAMED = 3
"""Rows, or clusters, that carry a label at least, for a precision of it: with fewer the coverage falls short."""


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
    spread = spread_of(influence, sampling)
    if estimate.correct is not None and spread.error == 0:
        # Whole clusters agree, so that as many are known, and no more.
        return wilson(sampling.units if estimate.value else 0, sampling.units, sampling.confidence)
    if bounds is not None and bounds[0] < centre < bounds[1]:
        interval = within(bounds, estimate.value, centre, spread, sampling.confidence)
    elif bounds is not None:
        interval = student(estimate.value, spread, sampling.confidence)
    else:
        skewed = spread.as_skewed_as_a_gamma(estimate.value - 1) if _is_skill(metric) else spread
        interval = hall(estimate.value, skewed, sampling.confidence)
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
        spread = spread_of(ours.influence - theirs.influence, sampling)
        if ours.correct is not None and theirs.correct is not None and spread.error == 0:
            # Every cluster says the same of both, so that as many are known, and no more.
            each = [np.full(sampling.units, one) for one in (value > 0, value < 0)]
            return bonett_price(each[0], each[1], sampling.confidence)
        return student(value, spread, sampling.confidence)
    # As Bonett & Price add one disagreement each way to a difference of shares.
    ours = metric.estimate(with_imaginary_rows(candidate, (True, False)))
    theirs = metric.estimate(with_imaginary_rows(production, (False, True)))
    # Of a precision it does not suffice: there the degrees of freedom count the few rows, too.
    spread = spread_of(ours.influence - theirs.influence, sampling, labels=metric.named is None)
    return student(value, spread, sampling.confidence)


def _bounds(metric: Metric) -> tuple[float, float] | None:
    """Between which values the metric lies, where near its best value an interval should not be symmetric."""
    if metric.name in ("matthews_corrcoef", "cohen_kappa"):
        return -1.0, 1.0
    counts = metric.of_labels and metric.greater_is_better
    return (0.0, 1.0) if counts or metric.name.startswith(("roc_auc", "average_precision")) else None


def _is_skill(metric: Metric) -> bool:
    """Whether it is one minus a ratio of two losses, the model's and a constant's."""
    return metric.task != "text" and range_of(metric.name, metric.task) == SKILL


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
