"""Metrics under scikit-learn's names, each with the influence of every row on its value.

A smooth metric comes with influence values: its error is about the mean of them, so its variance, and that of the
difference of two models on the same rows, is the variance of a mean. One pass over the rows gives every interval
without resampling. Sources: the delta method (van der Vaart, Asymptotic Statistics, ch. 20) and, for the area under
the ROC curve, DeLong et al. 1988 with the midranks of Sun & Xu 2014. A metric that is no smooth function of means
gives its value under many row weights at once instead, for the bootstrap.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from slipway.evaluation import ordered
from slipway.evaluation.outcomes import Binary, Booleans, Floats, Multiclass, Regression

Task = Literal["binary", "multiclass", "regression", "text"]


class UndefinedError(Exception):
    """The metric has no value on these rows; the message says why."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value and how each row moves it.

    influence: (rows,), mean zero, scaled so that sum(influence**2) / rows**2 is the value's variance.
    correct: (rows,) 0 or 1 where the value is a plain share of rows, which allows better intervals for small samples.
    """

    value: float
    influence: Floats
    correct: Booleans | None = None


@dataclass(frozen=True)
class Metric:
    """A metric of one task. Exactly one of `estimate` and `weighted` is given.

    estimate: outcome -> Estimate. weighted: (outcome, weights (draws, rows)) -> values (draws,).
    Both raise UndefinedError where the metric has no value.
    of_labels: whether truth and label alone decide it. The best value is 1 where greater is better, else 0.
    """

    name: str
    task: Task
    greater_is_better: bool
    estimate: Callable[[Any], Estimate] | None = None
    weighted: Callable[[Any, Floats], Floats] | None = None
    aliases: tuple[str, ...] = ()
    of_labels: bool = False


def find(name: str, task: Task) -> Metric:
    """The metric of that scikit-learn name (scorer or function, with or without `neg_`).

    Raises KeyError whose message names the nearest known metric.
    """
    known = {alias: metric for metric in METRICS if metric.task == task for alias in (metric.name, *metric.aliases)}
    if name in known:
        return known[name]
    names = sorted({metric.name for metric in known.values()})
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean `{known[close[0]].name}`?" if close else f"known for {task} tasks: {', '.join(names)}"
    raise KeyError(f"`{name}` is no metric for {task} tasks; {hint}")


# Building blocks ----------------------------------------------------------------------------------------------------


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


def average(estimates: list[Estimate]) -> Estimate:
    """The plain mean of estimates over the same rows."""
    values = [estimate.value for estimate in estimates]
    return Estimate(float(np.mean(values)), np.mean([estimate.influence for estimate in estimates], axis=0))


# Binary -------------------------------------------------------------------------------------------------------------


def _probability(outcome: Binary) -> Floats:
    if outcome.probability is None:
        raise UndefinedError("the model gives no probabilities")
    return outcome.probability


def _both_classes(truth: Booleans) -> None:
    if truth.all() or not truth.any():
        raise UndefinedError("the holdout holds one class only")


def precision(o: Binary) -> Estimate:
    """TP / (TP + FP)."""
    return ratio(_f(o.truth & o.label), _f(o.label), undefined="the model calls no row positive")


def recall(o: Binary) -> Estimate:
    """TP / (TP + FN)."""
    return ratio(_f(o.truth & o.label), _f(o.truth), undefined="the holdout has no positive row")


def f1(o: Binary) -> Estimate:
    """2 TP / (2 TP + FP + FN)."""
    nothing = "there is no positive row, neither true nor called so"
    return ratio(2 * _f(o.truth & o.label), _f(o.truth) + _f(o.label), undefined=nothing)


def jaccard(o: Binary) -> Estimate:
    """TP / (TP + FP + FN)."""
    nothing = "there is no positive row, neither true nor called so"
    return ratio(_f(o.truth & o.label), _f(o.truth | o.label), undefined=nothing)


def balanced_accuracy(o: Binary) -> Estimate:
    """Mean of the two classes' recalls."""
    _both_classes(o.truth)
    correct = o.truth == o.label
    sides = (o.truth, ~o.truth)
    return average([ratio(_f(side & correct), _f(side), undefined="") for side in sides])


def matthews_corrcoef(o: Binary) -> Estimate:
    """Correlation of truth and label, by the delta method on the three means that it is made of."""
    y, called = _f(o.truth), _f(o.label)
    a, b, both = y.mean(), called.mean(), (y * called).mean()
    spread = a * (1 - a) * b * (1 - b)
    if spread == 0:
        raise UndefinedError("the holdout, or what the model calls, holds one class only")
    value = (both - a * b) / np.sqrt(spread)
    by_a = -b / np.sqrt(spread) - value * (1 - 2 * a) / (2 * a * (1 - a))
    by_b = -a / np.sqrt(spread) - value * (1 - 2 * b) / (2 * b * (1 - b))
    influence = (y * called - both) / np.sqrt(spread) + by_a * (y - a) + by_b * (called - b)
    return Estimate(float(value), influence)


def roc_auc(o: Binary) -> Estimate:
    """Area under the ROC curve; influence = DeLong's placement values, so the variance is DeLong's exactly."""
    return area_under_roc(o.truth, _probability(o))


def area_under_roc(truth: Booleans, score: Floats) -> Estimate:
    """The share of (positive, negative) pairs in the right order, ties counting half. truth, score: (rows,)."""
    _both_classes(truth)
    rows, positives = len(truth), int(truth.sum())
    negatives = rows - positives
    if min(positives, negatives) < 2:
        raise UndefinedError("one class has a single row in the holdout, which shows nothing of that class's spread")
    order = np.argsort(score)
    ordered = score[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.append(starts[1:], rows)
    # Rows of each class below a tied group, half of the group's own included: the midranks within the class.
    counted = np.concatenate(([0], np.cumsum(truth[order])))
    positives_below = np.repeat((counted[starts] + counted[ends]) / 2, ends - starts)
    negatives_below = np.repeat((starts + ends) / 2, ends - starts) - positives_below
    # Placement of a row: share of the other class that it is on the right side of.
    placement = np.empty(rows)
    placement[order] = np.where(truth[order], negatives_below / negatives, 1 - positives_below / positives)
    value = float(placement[truth].mean())
    of_class = np.where(truth, positives, negatives)
    return Estimate(value, (placement - value) * rows / np.sqrt(of_class * (of_class - 1)))


def log_loss(o: Binary) -> Estimate:
    """Mean negative log-likelihood, probabilities clipped to [eps, 1 - eps] as scikit-learn clips them."""
    p = _clipped(_probability(o))
    return mean(-np.log(np.where(o.truth, p, 1 - p)))


def brier_score(o: Binary) -> Estimate:
    """Mean squared difference of probability and truth."""
    return mean((_probability(o) - _f(o.truth)) ** 2)


def average_precision(o: Binary) -> Estimate:
    """Sum over thresholds of precision times gain in recall."""
    _both_classes(o.truth)
    return Estimate(*ordered.average_precision(o.truth, _probability(o)))


# Multiclass ---------------------------------------------------------------------------------------------------------


def _one_against_rest(o: Multiclass, k: int) -> Binary:
    probability = None if o.probability is None else o.probability[:, k]
    return Binary(o.truth == k, o.label == k, probability)


def _present(o: Multiclass, *, in_truth_only: bool) -> list[int]:
    seen = np.unique(o.truth if in_truth_only else np.concatenate([o.truth, o.label]))
    return [int(k) for k in seen]


def _class_score(metric: Callable[[Binary], Estimate], o: Multiclass, k: int) -> Estimate:
    """As scikit-learn's `zero_division=0`: a class for which the score has no value counts as 0."""
    try:
        return metric(_one_against_rest(o, k))
    except UndefinedError:
        return Estimate(0.0, np.zeros(len(o)))


def macro(metric: Callable[[Binary], Estimate]) -> Callable[[Multiclass], Estimate]:
    """Plain mean over the classes that occur, in truth or label."""

    def estimate(o: Multiclass) -> Estimate:
        return average([_class_score(metric, o, k) for k in _present(o, in_truth_only=False)])

    return estimate


def weighted(metric: Callable[[Binary], Estimate]) -> Callable[[Multiclass], Estimate]:
    """Mean over classes weighted by their share of the truth, which is itself estimated from the rows."""

    def estimate(o: Multiclass) -> Estimate:
        value, influence = 0.0, np.zeros(len(o))
        for k in _present(o, in_truth_only=True):
            score, share_of_class = _class_score(metric, o, k), float((o.truth == k).mean())
            value += share_of_class * score.value
            influence += share_of_class * score.influence + score.value * (_f(o.truth == k) - share_of_class)
        return Estimate(value, influence)

    return estimate


def balanced_accuracy_multiclass(o: Multiclass) -> Estimate:
    """Mean recall over the classes of the truth."""
    return average([recall(_one_against_rest(o, k)) for k in _present(o, in_truth_only=True)])


def _probabilities(o: Multiclass) -> Floats:
    if o.probability is None:
        raise UndefinedError("the model gives no probabilities")
    return o.probability


def log_loss_multiclass(o: Multiclass) -> Estimate:
    """Mean negative log of the probability given to the true class."""
    return mean(-np.log(_clipped(_probabilities(o)[np.arange(len(o)), o.truth])))


def brier_score_multiclass(o: Multiclass) -> Estimate:
    """Mean over rows of the squared distance of the probabilities from the truth."""
    truth = np.eye(o.classes)[o.truth]
    return mean(((_probabilities(o) - truth) ** 2).sum(axis=1))


def roc_auc_ovr(o: Multiclass) -> Estimate:
    """Plain mean over classes of the area under the ROC curve, one class against the rest."""
    _probabilities(o)
    if len(_present(o, in_truth_only=True)) < o.classes:
        raise UndefinedError("at least one class does not occur in the holdout")
    return average([roc_auc(_one_against_rest(o, k)) for k in range(o.classes)])


# Regression ---------------------------------------------------------------------------------------------------------


def _error(o: Regression) -> Floats:
    return o.truth - o.prediction


def root(inner: Callable[[Regression], Estimate]) -> Callable[[Regression], Estimate]:
    """Square root of a metric, by the delta method."""

    def estimate(o: Regression) -> Estimate:
        squared = inner(o)
        value = float(np.sqrt(squared.value))
        # At a perfect fit the root has no derivative, and every row's loss is zero anyway.
        return Estimate(value, squared.influence / (2 * value) if value else np.zeros(len(o)))

    return estimate


def mean_squared_error(o: Regression) -> Estimate:
    """Mean squared error."""
    return mean(_error(o) ** 2)


def mean_squared_log_error(o: Regression) -> Estimate:
    """Mean squared difference of log(1 + value)."""
    if min(o.truth.min(), o.prediction.min()) <= -1:
        raise UndefinedError("a value is -1 or less, where log(1 + value) does not exist")
    return mean((np.log1p(o.truth) - np.log1p(o.prediction)) ** 2)


def mean_absolute_percentage_error(o: Regression) -> Estimate:
    """Mean of |error| / |truth|, the divisor at least the machine's epsilon as in scikit-learn."""
    return mean(np.abs(_error(o)) / np.maximum(np.abs(o.truth), np.finfo(np.float64).eps))


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
    unexplained = ratio(_error(o) ** 2, spread, undefined="every row of the holdout has the same target")
    return Estimate(1 - unexplained.value, -unexplained.influence)


def explained_variance(o: Regression) -> Estimate:
    """1 - variance of the error / variance of the truth."""
    error = _error(o)
    spread = (o.truth - o.truth.mean()) ** 2
    unexplained = ratio((error - error.mean()) ** 2, spread, undefined="every row has the same target")
    return Estimate(1 - unexplained.value, -unexplained.influence)


def median_absolute_error(o: Regression) -> Estimate:
    """Median of |error|, the mean of the two middle values where they differ."""
    return Estimate(*ordered.median(np.abs(_error(o))))


def _f(rows: Booleans) -> Floats:
    return rows.astype(np.float64)


def _clipped(probability: Floats) -> Floats:
    eps = np.finfo(probability.dtype).eps
    return np.clip(probability, eps, 1 - eps)


def _accuracy(o: Binary | Multiclass) -> Estimate:
    return share(o.truth == o.label)


def _per_class(name: str, metric: Callable[[Binary], Estimate]) -> list[Metric]:
    return [
        Metric(f"{name}_macro", "multiclass", True, macro(metric), of_labels=True),
        Metric(f"{name}_weighted", "multiclass", True, weighted(metric), of_labels=True),
        # With one label per row, the counts over all classes make each of these the accuracy.
        Metric(f"{name}_micro", "multiclass", True, _accuracy, of_labels=True),
    ]


METRICS: tuple[Metric, ...] = (
    Metric("accuracy", "binary", True, _accuracy, aliases=("accuracy_score",), of_labels=True),
    Metric(
        "balanced_accuracy", "binary", True, balanced_accuracy, aliases=("balanced_accuracy_score",), of_labels=True
    ),
    Metric("precision", "binary", True, precision, aliases=("precision_score",), of_labels=True),
    Metric("recall", "binary", True, recall, aliases=("recall_score",), of_labels=True),
    Metric("f1", "binary", True, f1, aliases=("f1_score",), of_labels=True),
    Metric("jaccard", "binary", True, jaccard, aliases=("jaccard_score",), of_labels=True),
    Metric("matthews_corrcoef", "binary", True, matthews_corrcoef, of_labels=True),
    Metric("roc_auc", "binary", True, roc_auc, aliases=("roc_auc_score",)),
    Metric("average_precision", "binary", True, average_precision, aliases=("average_precision_score",)),
    Metric("log_loss", "binary", False, log_loss, aliases=("neg_log_loss",)),
    Metric("brier_score", "binary", False, brier_score, aliases=("brier_score_loss", "neg_brier_score")),
    Metric("accuracy", "multiclass", True, _accuracy, aliases=("accuracy_score",), of_labels=True),
    Metric(
        "balanced_accuracy",
        "multiclass",
        True,
        balanced_accuracy_multiclass,
        aliases=("balanced_accuracy_score",),
        of_labels=True,
    ),
    *_per_class("precision", precision),
    *_per_class("recall", recall),
    *_per_class("f1", f1),
    *_per_class("jaccard", jaccard)[:2],
    Metric("roc_auc_ovr", "multiclass", True, roc_auc_ovr),
    Metric("log_loss", "multiclass", False, log_loss_multiclass, aliases=("neg_log_loss",)),
    Metric("brier_score", "multiclass", False, brier_score_multiclass, aliases=("brier_score_loss", "neg_brier_score")),
    Metric("r2", "regression", True, r2, aliases=("r2_score",)),
    Metric("explained_variance", "regression", True, explained_variance, aliases=("explained_variance_score",)),
    Metric(
        "mean_absolute_error",
        "regression",
        False,
        lambda o: mean(np.abs(_error(o))),
        aliases=("neg_mean_absolute_error",),
    ),
    Metric("mean_squared_error", "regression", False, mean_squared_error, aliases=("neg_mean_squared_error",)),
    Metric(
        "root_mean_squared_error",
        "regression",
        False,
        root(mean_squared_error),
        aliases=("neg_root_mean_squared_error",),
    ),
    Metric(
        "mean_squared_log_error", "regression", False, mean_squared_log_error, aliases=("neg_mean_squared_log_error",)
    ),
    Metric(
        "root_mean_squared_log_error",
        "regression",
        False,
        root(mean_squared_log_error),
        aliases=("neg_root_mean_squared_log_error",),
    ),
    Metric(
        "mean_absolute_percentage_error",
        "regression",
        False,
        mean_absolute_percentage_error,
        aliases=("neg_mean_absolute_percentage_error",),
    ),
    Metric("mean_poisson_deviance", "regression", False, mean_poisson_deviance, aliases=("neg_mean_poisson_deviance",)),
    Metric("mean_gamma_deviance", "regression", False, mean_gamma_deviance, aliases=("neg_mean_gamma_deviance",)),
    Metric(
        "median_absolute_error",
        "regression",
        False,
        median_absolute_error,
        aliases=("neg_median_absolute_error",),
    ),
)
