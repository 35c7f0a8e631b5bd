"""Metrics of any number of labels to each row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from slipway.evaluation.metrics import binary
from slipway.evaluation.metrics.base import Estimate, Metric, UndefinedError, average, mean, ratio, share
from slipway.evaluation.outcomes import Binary, Booleans, Floats, Multilabel

Counts = npt.NDArray[np.int8]
Parts = Callable[[Booleans, Booleans], tuple[Counts, Counts]]
"""Truth and label, (rows, labels), to what each cell adds above and below the line of a score."""


def _precision(truth: Booleans, label: Booleans) -> tuple[Counts, Counts]:
    return (truth & label).astype(np.int8), label.astype(np.int8)


def _recall(truth: Booleans, label: Booleans) -> tuple[Counts, Counts]:
    return (truth & label).astype(np.int8), truth.astype(np.int8)


def _f1(truth: Booleans, label: Booleans) -> tuple[Counts, Counts]:
    return 2 * (truth & label).astype(np.int8), truth.astype(np.int8) + label.astype(np.int8)


def _jaccard(truth: Booleans, label: Booleans) -> tuple[Counts, Counts]:
    return (truth & label).astype(np.int8), (truth | label).astype(np.int8)


def micro(parts: Parts) -> Callable[[Multilabel], Estimate]:
    """The score over all cells together."""

    def estimate(o: Multilabel) -> Estimate:
        above, below = parts(o.truth, o.label)
        nothing = "there is no label, neither true nor given"
        return ratio(above.sum(axis=1).astype(float), below.sum(axis=1).astype(float), undefined=nothing)

    return estimate


def macro(parts: Parts) -> Callable[[Multilabel], Estimate]:
    """Plain mean of the labels' scores; one without a value counts as 0, as scikit-learn's `zero_division=0`."""

    def estimate(o: Multilabel) -> Estimate:
        scores, influence_of = _by_label(parts, o)
        return Estimate(float(scores.mean()), influence_of(np.full(o.labels, 1 / o.labels)))

    return estimate


def weighted(parts: Parts) -> Callable[[Multilabel], Estimate]:
    """Mean of the labels' scores weighted by their rows, whose shares are themselves estimated from the rows."""

    def estimate(o: Multilabel) -> Estimate:
        scores, influence_of = _by_label(parts, o)
        rows = o.truth.sum(axis=0)
        if not rows.any():
            raise UndefinedError("no row of the holdout has a label")
        weights = rows / rows.sum()
        value = float(weights @ scores)
        by_weights = (_over_labels(o.truth, scores) - value * o.truth.sum(axis=1)) * len(o) / rows.sum()
        return Estimate(value, influence_of(weights) + by_weights)

    return estimate


def samples(parts: Parts) -> Callable[[Multilabel], Estimate]:
    """Mean over rows of the score among a row's labels; one without a value counts as 0."""

    def estimate(o: Multilabel) -> Estimate:
        above, below = (cells.sum(axis=1) for cells in parts(o.truth, o.label))
        return mean(above / np.maximum(below, 1))

    return estimate


def _by_label(parts: Parts, o: Multilabel) -> tuple[Floats, Callable[[Floats], Floats]]:
    """The score of each label, and from weights (labels,) the influences of their weighted sum, by the delta method."""
    above, below = parts(o.truth, o.label)
    divisor = below.mean(axis=0)
    known = divisor > 0
    inverse = np.divide(1.0, divisor, out=np.zeros(o.labels), where=known)
    scores = above.mean(axis=0) * inverse

    def influence_of(weights: Floats) -> Floats:
        return _over_labels(above, weights * inverse) - _over_labels(below, weights * inverse * scores)

    return scores, influence_of


def _over_labels(cells: Counts | Booleans, weights: Floats) -> Floats:
    """Weighted sum of each row's cells. Not by `@`: BLAS's last digit depends on the number of threads."""
    return np.asarray(np.einsum("ij,j->i", cells, weights))


def accuracy(o: Multilabel) -> Estimate:
    """Share of rows with every label right: the subset accuracy."""
    return share((o.truth == o.label).all(axis=1))


def hamming_loss(o: Multilabel) -> Estimate:
    """Share of cells that are wrong."""
    return mean((o.truth != o.label).mean(axis=1))


def _probability(o: Multilabel) -> Floats:
    if o.probability is None:
        raise UndefinedError("the model gives no probabilities")
    return o.probability


def label_ranking_average_precision(o: Multilabel) -> Estimate:
    """Mean over rows of the average precision among a row's labels; 1 for a row with none or all of them.

    Tied labels all take the last place of their group, as in scikit-learn.
    """
    probability = _probability(o)
    order = np.argsort(-probability, axis=1)
    ordered = np.take_along_axis(probability, order, axis=1)
    truth = np.take_along_axis(o.truth, order, axis=1)
    # The last place of each label's group: the nearest one, from the right, after which the probability changes.
    is_last = np.concatenate([ordered[:, 1:] != ordered[:, :-1], np.ones((len(o), 1), dtype=bool)], axis=1)
    place = np.where(is_last, np.arange(o.labels), o.labels)
    last = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(np.cumsum(truth, axis=1), last, axis=1) / (last + 1)
    relevant = truth.sum(axis=1)
    has_order = (relevant > 0) & (relevant < o.labels)
    return mean(np.where(has_order, (precision * truth).sum(axis=1) / np.maximum(relevant, 1), 1.0))


def _of_label(o: Multilabel, k: int) -> Binary:
    return Binary(o.truth[:, k], o.label[:, k], _probability(o)[:, k])


def roc_auc_macro(o: Multilabel) -> Estimate:
    """Plain mean over labels of the area under the ROC curve."""
    try:
        return average([binary.roc_auc(_of_label(o, k)) for k in range(o.labels)])
    except UndefinedError as reason:
        raise UndefinedError(f"for at least one label: {reason}") from None


def roc_auc_micro(o: Multilabel) -> Estimate:
    """Area under the ROC curve over all cells together; the influence of a row is that of its cells together."""
    cells = binary.area_under_roc(o.truth.ravel(), _probability(o).ravel())
    return Estimate(cells.value, cells.influence.reshape(len(o), o.labels).mean(axis=1))


def average_precision_macro(o: Multilabel) -> Estimate:
    """Plain mean over labels of the average precision."""
    try:
        return average([binary.average_precision(_of_label(o, k)) for k in range(o.labels)])
    except UndefinedError as reason:
        raise UndefinedError(f"for at least one label: {reason}") from None


_of_labels = partial(Metric, task="multilabel", greater_is_better=True, of_labels=True)
_of_scores = partial(Metric, task="multilabel", greater_is_better=True)

METRICS: tuple[Metric, ...] = (
    _of_labels("accuracy", estimate=accuracy),
    Metric("hamming_loss", "multilabel", False, hamming_loss, of_labels=True),
    *(
        _of_labels(
            f"{name}_{way.__name__}",
            estimate=way(parts),
            named=(lambda o: o.label) if (name, way) == ("precision", macro) else None,
        )
        for name, parts in (("precision", _precision), ("recall", _recall), ("f1", _f1), ("jaccard", _jaccard))
        for way in (micro, macro, weighted, samples)
    ),
    _of_scores(
        "label_ranking_average_precision",
        estimate=label_ranking_average_precision,
    ),
    _of_scores("roc_auc_macro", estimate=roc_auc_macro),
    _of_scores("roc_auc_micro", estimate=roc_auc_micro),
    _of_scores("average_precision_macro", estimate=average_precision_macro),
)
