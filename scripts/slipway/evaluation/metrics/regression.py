"""Metrics of numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from slipway.evaluation import ordered
from slipway.evaluation.metrics.base import Estimate, Family, Metric, UndefinedError, mean, ratio
from slipway.evaluation.outcomes import Floats, Regression
from slipway.policy.metrics import Task


def error_of(o: Regression) -> Floats:
    """Truth minus prediction, by row."""
    return o.truth - o.prediction


def root(inner: Callable[[Regression], Estimate]) -> Callable[[Regression], Estimate]:
    """Square root of a metric, by the delta method."""

    def estimate(o: Regression) -> Estimate:
        squared = inner(o)
        value = float(np.sqrt(squared.value))
        # At a perfect fit the root has no derivative, and every row's loss is zero anyway.
        return Estimate(value, squared.influence / (2 * value) if value else np.zeros(len(o)))

    return estimate


def mean_absolute_error(o: Regression) -> Estimate:
    """Mean of |error|."""
    return mean(np.abs(error_of(o)))


def mean_squared_error(o: Regression) -> Estimate:
    """Mean squared error."""
    return mean(error_of(o) ** 2)


def mean_squared_log_error(o: Regression) -> Estimate:
    """Mean squared difference of log(1 + value)."""
    if min(o.truth.min(), o.prediction.min()) <= -1:
        raise UndefinedError("a value is -1 or less, where log(1 + value) does not exist")
    return mean((np.log1p(o.truth) - np.log1p(o.prediction)) ** 2)


def mean_absolute_percentage_error(o: Regression) -> Estimate:
    """Mean of |error| / |truth|, the divisor at least the machine's epsilon as in scikit-learn."""
    return mean(np.abs(error_of(o)) / np.maximum(np.abs(o.truth), np.finfo(np.float64).eps))


def mean_poisson_deviance(o: Regression) -> Estimate:
    """Mean of 2 (y log(y / p) - y + p)."""
    if o.truth.min() < 0 or o.prediction.min() <= 0:
        raise UndefinedError("it needs truths of at least 0 and predictions above 0")
    log_ratio = np.log(np.where(o.truth > 0, o.truth, 1) / np.where(o.truth > 0, o.prediction, 1))
    return mean(2 * (o.truth * log_ratio - o.truth + o.prediction))


def mean_gamma_deviance(o: Regression) -> Estimate:
    """Mean of 2 (log(p / y) + y / p - 1)."""
    if o.truth.min() <= 0 or o.prediction.min() <= 0:
        raise UndefinedError("it needs truths and predictions above 0")
    return mean(2 * (np.log(o.prediction / o.truth) + o.truth / o.prediction - 1))


def r2(o: Regression) -> Estimate:
    """1 - squared error / squared distance of the truth from its mean."""
    spread = (o.truth - o.truth.mean()) ** 2
    unexplained = ratio(error_of(o) ** 2, spread, undefined="every row of the holdout has the same target")
    return Estimate(1 - unexplained.value, -unexplained.influence)


def explained_variance(o: Regression) -> Estimate:
    """1 - variance of the error / variance of the truth."""
    error = error_of(o)
    spread = (o.truth - o.truth.mean()) ** 2
    unexplained = ratio((error - error.mean()) ** 2, spread, undefined="every row has the same target")
    return Estimate(1 - unexplained.value, -unexplained.influence)


def median_absolute_error(o: Regression) -> Estimate:
    """Median of |error|, the mean of the two middle values where they differ."""
    return Estimate(*ordered.median(np.abs(error_of(o))))


def mean_pinball_loss(task: Task, q: float) -> Metric:
    """Mean of q |error| where the truth is above, (1 - q) |error| where it is below: judges the q-th quantile."""
    if not 0 < q < 1:
        raise ValueError("a share between 0 and 1")

    def estimate(o: Regression) -> Estimate:
        error = error_of(o)
        return mean(np.maximum(q * error, (q - 1) * error))

    return Metric(f"mean_pinball_loss@{q:g}", task, False, estimate)


def metrics_of(task: Task) -> tuple[Metric, ...]:
    """They serve forecasts, too, which are numbers with a time."""
    share = partial(Metric, task=task, greater_is_better=True)

    def loss(name: str, estimate: Callable[[Regression], Estimate]) -> Metric:
        return Metric(name, task, False, estimate)

    return (
        share("r2", estimate=r2),
        share("explained_variance", estimate=explained_variance),
        loss("mean_absolute_error", mean_absolute_error),
        loss("mean_squared_error", mean_squared_error),
        loss("root_mean_squared_error", root(mean_squared_error)),
        loss("mean_squared_log_error", mean_squared_log_error),
        loss("root_mean_squared_log_error", root(mean_squared_log_error)),
        loss("mean_absolute_percentage_error", mean_absolute_percentage_error),
        loss("mean_poisson_deviance", mean_poisson_deviance),
        loss("mean_gamma_deviance", mean_gamma_deviance),
        loss("median_absolute_error", median_absolute_error),
    )


METRICS = metrics_of("regression")
FAMILIES = (Family("mean_pinball_loss", "regression", "q", "0.9", partial(mean_pinball_loss, "regression")),)
