"""What a metric is, and the building blocks that most are made of.

A smooth metric comes with influence values: its error is about the mean of them, so its variance, and that of the
difference of two models on the same rows, is the variance of a mean. One pass over the rows gives every interval
without resampling. Source: the delta method (van der Vaart, Asymptotic Statistics, ch. 20).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway.evaluation.outcomes import Booleans, Floats
from slipway.policy.metrics import Task


class UndefinedError(Exception):
    """The metric has no value on these rows; the message says why."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value and how each row moves it.

    influence: (rows,), mean zero, scaled so that sum(influence**2) / rows**2 is the value's variance.
    correct: (rows that count,) True where right, if the value is a plain share of all rows, or of those that the truth
    or the model's label picks: it allows a better interval for small samples.
    """

    value: float
    influence: Floats
    correct: Booleans | None = None


@dataclass(frozen=True)
class Metric:
    """A metric of one task.

    estimate: outcome -> Estimate; raises UndefinedError where the metric has no value.
    of_labels: whether truth and label alone decide it. The best value is 1 where greater is better, else 0.
    named: outcome -> (rows, divisors) which rows the model's own labels put below the line, where these alone do, as in
    precision: with few of them the formulas know little.
    """

    name: str
    task: Task
    greater_is_better: bool
    estimate: Callable[[Any], Estimate]
    of_labels: bool = False
    named: Callable[[Any], Booleans] | None = None


@dataclass(frozen=True)
class Family:
    """Metrics of one task that differ in a number, which stands after an `@`: `ndcg@10`, `fbeta@2`.

    symbol: what documentation calls the number. build: number -> Metric; raises ValueError that says what it may be.
    example: a number that it may be.
    """

    name: str
    task: Task
    symbol: str
    example: str
    build: Callable[[float], Metric]


def whole(number: float) -> int:
    """`number` as a count. Raises ValueError where it is none."""
    if not number.is_integer() or number < 1:
        raise ValueError("a whole number from 1 on")
    return int(number)


def mean(rows: Floats) -> Estimate:
    """The mean of a value per row; its variance has the divisor n - 1."""
    if not np.isfinite(rows).all():
        raise UndefinedError("the loss of at least one row is not a finite number")
    value = float(rows.mean())
    return Estimate(value, (rows - value) * np.sqrt(len(rows) / max(len(rows) - 1, 1)))


def share(rows: Booleans) -> Estimate:
    """The share of rows that are true."""
    estimate = mean(rows.astype(np.float64))
    return Estimate(estimate.value, estimate.influence, correct=rows)


def ratio(above: Floats, below: Floats, *, undefined: str) -> Estimate:
    """mean(above) / mean(below) by the delta method."""
    divisor = float(below.mean())
    if divisor == 0:
        raise UndefinedError(undefined)
    if not (np.isfinite(above).all() and np.isfinite(divisor)):
        raise UndefinedError("the loss of at least one row is not a finite number")
    value = float(above.mean()) / divisor
    return Estimate(value, (above - value * below) / divisor)


def share_among(rows: Booleans, among: Booleans, *, undefined: str) -> Estimate:
    """The share of the rows of `among` that are true."""
    estimate = ratio(as_numbers(rows & among), as_numbers(among), undefined=undefined)
    return Estimate(estimate.value, estimate.influence, correct=rows[among])


def average(estimates: list[Estimate]) -> Estimate:
    """The plain mean of estimates over the same rows."""
    values = [estimate.value for estimate in estimates]
    return Estimate(float(np.mean(values)), np.mean([estimate.influence for estimate in estimates], axis=0))


def as_numbers(rows: Booleans) -> Floats:
    """True and false as 1 and 0."""
    return rows.astype(np.float64)


def clipped(probability: Floats) -> Floats:
    """Away from 0 and 1 by the machine's epsilon, as scikit-learn clips."""
    eps = np.finfo(probability.dtype).eps
    return np.clip(probability, eps, 1 - eps)
