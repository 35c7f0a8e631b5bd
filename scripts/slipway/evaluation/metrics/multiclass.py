"""Metrics of any number of classes, one to each row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from slipway.evaluation.metrics import binary
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
    whole,
)
from slipway.evaluation.outcomes import Binary, Booleans, Floats, Multiclass


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
            influence += share_of_class * score.influence + score.value * (as_numbers(o.truth == k) - share_of_class)
        return Estimate(value, influence)

    return estimate


def balanced_accuracy(o: Multiclass) -> Estimate:
    """Mean recall over the classes of the truth."""
    return average([binary.recall(_one_against_rest(o, k)) for k in _present(o, in_truth_only=True)])


def _probabilities(o: Multiclass) -> Floats:
    if o.probability is None:
        raise UndefinedError("the model gives no probabilities")
    return o.probability


def log_loss(o: Multiclass) -> Estimate:
    """Mean negative log of the probability given to the true class."""
    return mean(-np.log(clipped(_probabilities(o)[np.arange(len(o)), o.truth])))


def brier_score(o: Multiclass) -> Estimate:
    """Mean over rows of the squared distance of the probabilities from the truth."""
    truth = np.eye(o.classes)[o.truth]
    return mean(((_probabilities(o) - truth) ** 2).sum(axis=1))


def roc_auc_ovr(o: Multiclass) -> Estimate:
    """Plain mean over classes of the area under the ROC curve, one class against the rest."""
    _probabilities(o)
    if len(_present(o, in_truth_only=True)) < o.classes:
        raise UndefinedError("at least one class does not occur in the holdout")
    return average([binary.roc_auc(_one_against_rest(o, k)) for k in range(o.classes)])


def accuracy(o: Multiclass) -> Estimate:
    """Share of rows with the right label."""
    return share(o.truth == o.label)


def top_k_accuracy(number: float) -> Metric:
    """Share of rows whose class is among the k most probable; of equal ones the last count as more probable."""
    k = whole(number)

    def estimate(o: Multiclass) -> Estimate:
        probability = _probabilities(o)
        of_truth = probability[np.arange(len(o)), o.truth][:, None]
        later = np.arange(o.classes) > o.truth[:, None]
        before = (probability > of_truth) | ((probability == of_truth) & later)
        return share(before.sum(axis=1) < k)

    return Metric(f"top_k_accuracy@{k}", "multiclass", True, estimate)


def matthews_corrcoef(o: Multiclass) -> Estimate:
    """Gorodkin's 2004 correlation of truth and label, by the delta method on the shares that it is made of."""
    agrees, expected, by_row = binary.agreement(o.truth, o.label, o.classes)
    spreads, influences = [], []
    for column in (o.truth, o.label):
        shares = np.bincount(column, minlength=o.classes) / len(o)
        spreads.append(1 - float(shares @ shares))
        influences.append(-2 * (shares[column] - shares @ shares))
    if min(spreads) == 0:
        raise UndefinedError("the holdout, or what the model calls, holds one class only")
    scale = float(np.sqrt(spreads[0] * spreads[1]))
    value = (float(agrees.mean()) - expected) / scale
    by_spread = influences[0] / spreads[0] + influences[1] / spreads[1]
    return Estimate(value, (agrees - agrees.mean() - by_row) / scale - value / 2 * by_spread)


def cohen_kappa(o: Multiclass) -> Estimate:
    """Agreement of truth and label beyond chance."""
    return binary.agreement_beyond_chance(o.truth, o.label, o.classes)


def d2_log_loss(o: Multiclass) -> Estimate:
    """1 - log loss / log loss of a model that gives every row the classes' shares."""
    loss = -np.log(clipped(_probabilities(o)[np.arange(len(o)), o.truth]))
    constant = -np.log((np.bincount(o.truth) / len(o))[o.truth])
    unexplained = ratio(loss, constant, undefined="the holdout holds one class only")
    return Estimate(1 - unexplained.value, -unexplained.influence)


_of_labels = partial(Metric, task="multiclass", greater_is_better=True, of_labels=True)
_of_scores = partial(Metric, task="multiclass", greater_is_better=True)
_loss = partial(Metric, task="multiclass", greater_is_better=False)


def _per_class(
    name: str, metric: Callable[[Binary], Estimate], named: Callable[[Multiclass], Booleans] | None = None
) -> list[Metric]:
    return [
        _of_labels(f"{name}_macro", estimate=macro(metric), named=named),
        _of_labels(f"{name}_weighted", estimate=weighted(metric)),
        # With one label per row, the counts over all classes make each of these the accuracy.
        _of_labels(f"{name}_micro", estimate=accuracy),
    ]


def _named(o: Multiclass) -> Booleans:
    """Which rows the model puts into each class that occurs. (rows, classes that occur)"""
    return np.asarray(o.label[:, None] == np.array(_present(o, in_truth_only=False)))


METRICS: tuple[Metric, ...] = (
    _of_labels("accuracy", estimate=accuracy),
    _of_labels("balanced_accuracy", estimate=balanced_accuracy),
    *_per_class("precision", binary.precision, named=_named),
    *_per_class("recall", binary.recall),
    *_per_class("f1", binary.f1),
    *_per_class("jaccard", binary.jaccard)[:2],
    _of_labels("matthews_corrcoef", estimate=matthews_corrcoef),
    _of_labels("cohen_kappa", estimate=cohen_kappa),
    _of_scores("roc_auc_ovr", estimate=roc_auc_ovr),
    _of_scores("d2_log_loss_score", estimate=d2_log_loss),
    _loss("log_loss", estimate=log_loss),
    _loss("brier_score", estimate=brier_score),
)

FAMILIES: tuple[Family, ...] = (Family("top_k_accuracy", "multiclass", "k", "5", top_k_accuracy),)
