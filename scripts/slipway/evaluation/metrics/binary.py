"""Metrics of two classes.

The influences of the area under the ROC curve are DeLong's placement values (DeLong, DeLong and Clarke-Pearson 1988)
with the midranks of Sun & Xu 2014.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from slipway.evaluation import ordered
from slipway.evaluation.metrics.base import (
    Estimate,
    Family,
    Metric,
    UndefinedError,
    as_numbers,
    average,
    clipped,
    mean,
    ratio,
    share,
    share_among,
)
from slipway.evaluation.metrics.calibration import squared_calibration_error
from slipway.evaluation.outcomes import Binary, Booleans, Floats, Integers


def probability_of(o: Binary) -> Floats:
    """The probabilities, which the metric needs."""
    if o.probability is None:
        raise UndefinedError("the model gives no probabilities")
    return o.probability


def both_classes(truth: Booleans) -> None:
    """Refuse a holdout of one class."""
    if truth.all() or not truth.any():
        raise UndefinedError("the holdout holds one class only")


def precision(o: Binary) -> Estimate:
    """TP / (TP + FP)."""
    return share_among(o.truth, o.label, undefined="the model calls no row positive")


def recall(o: Binary) -> Estimate:
    """TP / (TP + FN)."""
    return share_among(o.label, o.truth, undefined="the holdout has no positive row")


def f1(o: Binary) -> Estimate:
    """2 TP / (2 TP + FP + FN)."""
    nothing = "there is no positive row, neither true nor called so"
    return ratio(2 * as_numbers(o.truth & o.label), as_numbers(o.truth) + as_numbers(o.label), undefined=nothing)


def jaccard(o: Binary) -> Estimate:
    """TP / (TP + FP + FN)."""
    nothing = "there is no positive row, neither true nor called so"
    return ratio(as_numbers(o.truth & o.label), as_numbers(o.truth | o.label), undefined=nothing)


def balanced_accuracy(o: Binary) -> Estimate:
    """Mean of the two classes' recalls."""
    both_classes(o.truth)
    correct = o.truth == o.label
    sides = (o.truth, ~o.truth)
    return average([ratio(as_numbers(side & correct), as_numbers(side), undefined="") for side in sides])


def matthews_corrcoef(o: Binary) -> Estimate:
    """Correlation of truth and label, by the delta method on the three means that it is made of."""
    y, called = as_numbers(o.truth), as_numbers(o.label)
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
    return area_under_roc(o.truth, probability_of(o))


def area_under_roc(truth: Booleans, score: Floats) -> Estimate:
    """The share of (positive, negative) pairs in the right order, ties counting half. truth, score: (rows,)."""
    both_classes(truth)
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
    p = clipped(probability_of(o))
    return mean(-np.log(np.where(o.truth, p, 1 - p)))


def brier_score(o: Binary) -> Estimate:
    """Mean squared difference of probability and truth."""
    return mean((probability_of(o) - as_numbers(o.truth)) ** 2)


def average_precision(o: Binary) -> Estimate:
    """Sum over thresholds of precision times gain in recall."""
    both_classes(o.truth)
    return Estimate(*ordered.average_precision(o.truth, probability_of(o)))


def accuracy(o: Binary) -> Estimate:
    """Share of rows with the right label."""
    return share(o.truth == o.label)


def specificity(o: Binary) -> Estimate:
    """TN / (TN + FP): the recall of the negative class."""
    return share_among(~o.label, ~o.truth, undefined="the holdout has no negative row")


def negative_predictive_value(o: Binary) -> Estimate:
    """TN / (TN + FN): the precision of the negative class."""
    return share_among(~o.truth, ~o.label, undefined="the model calls no row negative")


def fbeta(beta: float) -> Metric:
    """(1 + beta²) TP / ((1 + beta²) TP + beta² FN + FP): recall counts beta times as much as precision."""
    if not 0 < beta < np.inf:
        raise ValueError("a number above 0")

    def estimate(o: Binary) -> Estimate:
        above = (1 + beta**2) * as_numbers(o.truth & o.label)
        below = beta**2 * as_numbers(o.truth) + as_numbers(o.label)
        return ratio(above, below, undefined="there is no positive row, neither true nor called so")

    return Metric(f"fbeta@{beta:g}", "binary", True, estimate, of_labels=True)


def cohen_kappa(o: Binary) -> Estimate:
    """Agreement of truth and label beyond chance: (p - e) / (1 - e), p their agreement, e that of independent ones."""
    return agreement_beyond_chance(o.truth.astype(np.int64), o.label.astype(np.int64), 2)


def agreement_beyond_chance(truth: Integers, label: Integers, classes: int) -> Estimate:
    """Cohen's kappa by the delta method. truth, label: (rows,) positions below `classes`."""
    agrees, expected, by_row = agreement(truth, label, classes)
    chance = 1 - expected
    if chance == 0:
        raise UndefinedError("truth and labels are all of one class")
    value = (agrees.mean() - expected) / chance
    influence = (agrees - agrees.mean()) / chance + (agrees.mean() - 1) / chance**2 * by_row
    return Estimate(float(value), influence)


def agreement(truth: Integers, label: Integers, classes: int) -> tuple[Floats, float, Floats]:
    """Whether each row agrees, how often rows would by chance, and the influence of each row on the latter."""
    of_truth = np.bincount(truth, minlength=classes) / len(truth)
    of_label = np.bincount(label, minlength=classes) / len(label)
    expected = float(of_truth @ of_label)
    return as_numbers(truth == label), expected, of_label[truth] + of_truth[label] - 2 * expected


def expected_cost(o: Binary) -> Estimate:
    """Mean over rows of what the policy says that each kind of right and wrong costs."""
    if o.costs is None:
        raise UndefinedError("the policy names no `costs`")
    positive = np.where(o.label, o.costs.true_positive, o.costs.false_negative)
    negative = np.where(o.label, o.costs.false_positive, o.costs.true_negative)
    return mean(np.where(o.truth, positive, negative))


def d2_log_loss(o: Binary) -> Estimate:
    """1 - log loss / log loss of a model that gives every row the share of positives."""
    both_classes(o.truth)
    p = clipped(probability_of(o))
    positives = float(o.truth.mean())
    loss = -np.log(np.where(o.truth, p, 1 - p))
    # The mean of this is the constant model's log loss, and to first order so is each row's part in it.
    constant = -np.log(np.where(o.truth, positives, 1 - positives))
    unexplained = ratio(loss, constant, undefined="")
    return Estimate(1 - unexplained.value, -unexplained.influence)


_of_labels = partial(Metric, task="binary", greater_is_better=True, of_labels=True)
_of_scores = partial(Metric, task="binary", greater_is_better=True)
_loss = partial(Metric, task="binary", greater_is_better=False)

METRICS: tuple[Metric, ...] = (
    _of_labels("accuracy", estimate=accuracy),
    _of_labels("balanced_accuracy", estimate=balanced_accuracy),
    _of_labels("precision", estimate=precision, named=lambda o: o.label[:, None]),
    _of_labels("recall", estimate=recall),
    _of_labels("specificity", estimate=specificity),
    _of_labels("negative_predictive_value", estimate=negative_predictive_value, named=lambda o: ~o.label[:, None]),
    _of_labels("f1", estimate=f1),
    _of_labels("jaccard", estimate=jaccard),
    _of_labels("matthews_corrcoef", estimate=matthews_corrcoef),
    _of_labels("cohen_kappa", estimate=cohen_kappa),
    _loss("expected_cost", estimate=expected_cost, of_labels=True),
    _of_scores("roc_auc", estimate=roc_auc),
    _of_scores("average_precision", estimate=average_precision),
    _of_scores("d2_log_loss_score", estimate=d2_log_loss),
    _loss("log_loss", estimate=log_loss),
    _loss("brier_score", estimate=brier_score),
    _loss("squared_calibration_error", estimate=squared_calibration_error),
)

FAMILIES: tuple[Family, ...] = (Family("fbeta", "binary", "beta", "2", fbeta),)
