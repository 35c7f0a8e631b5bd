"""Points of the usual curves as plain data, a few dozen whatever the number of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slipway.evaluation.formulas import wilson
from slipway.evaluation.metrics.base import as_numbers
from slipway.evaluation.metrics.binary import both_classes, probability_of
from slipway.evaluation.metrics.calibration import bins_of_equal_size
from slipway.evaluation.metrics.regression import error_of
from slipway.evaluation.outcomes import Binary, Floats, Integers, Regression


@dataclass(frozen=True)
class CalibrationPoint:
    """One bin of a reliability diagram: mean probability, share of positives with its Wilson interval, and its rows."""

    probability: float
    observed: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class RocPoint:
    """Both rates where rows are called positive from `threshold` on; infinite where none is."""

    false_positive_rate: float
    true_positive_rate: float
    threshold: float


@dataclass(frozen=True)
class PrecisionRecallPoint:
    """Precision and recall where rows are called positive from `threshold` on."""

    recall: float
    precision: float
    threshold: float


@dataclass(frozen=True)
class ResidualQuantile:
    """That share of rows has a residual (truth minus prediction) of at most this."""

    share: float
    residual: float


def reliability(outcome: Binary, bins: int = 10, confidence: float = 0.95) -> tuple[CalibrationPoint, ...]:
    """Bins of equal size by probability, the lowest first; fewer than `bins` where probabilities are tied.

    Raises UndefinedError without probabilities.
    """
    probability = probability_of(outcome)
    position = bins_of_equal_size(probability, bins)
    rows = np.bincount(position)
    means = np.bincount(position, weights=probability) / rows
    positives = np.bincount(position, weights=as_numbers(outcome.truth)).astype(int)
    found = [wilson(int(k), int(n), confidence) for k, n in zip(positives, rows, strict=True)]
    return tuple(
        CalibrationPoint(float(mean), each.value, each.low, each.high, int(n))
        for mean, each, n in zip(means, found, rows, strict=True)
    )


def roc(outcome: Binary, points: int = 50) -> tuple[RocPoint, ...]:
    """From (0, 0) to (1, 1), evenly along the curve. Raises UndefinedError without probabilities or with one class."""
    thresholds, true_positive, called = _cumulated(outcome)
    positives = true_positive[-1]
    false_rate = np.concatenate(([0.0], (called - true_positive) / (called[-1] - positives)))
    true_rate = np.concatenate(([0.0], true_positive / positives))
    thresholds = np.concatenate(([np.inf], thresholds))
    return tuple(
        RocPoint(float(false_rate[i]), float(true_rate[i]), float(thresholds[i]))
        for i in _evenly(false_rate + true_rate, points)
    )


def precision_recall(outcome: Binary, points: int = 50) -> tuple[PrecisionRecallPoint, ...]:
    """By rising recall, evenly. Raises UndefinedError without probabilities or with one class."""
    thresholds, true_positive, called = _cumulated(outcome)
    recall, precision = true_positive / true_positive[-1], true_positive / called
    return tuple(
        PrecisionRecallPoint(float(recall[i]), float(precision[i]), float(thresholds[i]))
        for i in _evenly(recall, points)
    )


SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def residual_quantiles(outcome: Regression, shares: tuple[float, ...] = SHARES) -> tuple[ResidualQuantile, ...]:
    """Quantiles of truth minus prediction (linear between neighbours, as numpy's)."""
    values = np.quantile(error_of(outcome), shares)
    return tuple(ResidualQuantile(share, float(value)) for share, value in zip(shares, values, strict=True))


def _cumulated(outcome: Binary) -> tuple[Floats, Integers, Integers]:
    """By falling threshold, one for each probability that occurs: thresholds, true positives, rows called positive."""
    both_classes(outcome.truth)
    probability = probability_of(outcome)
    order = np.argsort(-probability)
    ordered, truth = probability[order], outcome.truth[order].astype(np.int64)
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return ordered[last], np.cumsum(truth)[last], last + 1


def _evenly(along: Floats, points: int) -> Integers:
    """Positions of about `points` values spread evenly from the first to the last. along: rising."""
    wanted = np.linspace(along[0], along[-1], points)
    found = np.searchsorted(along, wanted).clip(max=len(along) - 1)
    return np.unique(np.concatenate(([0], found, [len(along) - 1])))
