"""Performance without truths, from the model's own probabilities: confidence-based performance estimation (CBPE).

A row that is positive with probability p is a true positive for p of a row, and a false one for 1 - p, where the model
says positive. The expected counts give every metric of a confusion matrix. The probabilities are calibrated on the
reference first, by isotonic regression. What it assumes: the same features still mean the same truth (no concept
drift), and current rows are like some of the reference. Source: NannyML, "How it works: confidence-based performance
estimation"; Bialek et al., Estimating Model Performance Under Covariate Shift Without Labels (2024), arXiv:2401.08348.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from slipway.evaluation.metrics import UndefinedError
from slipway.evaluation.outcomes import Binary, Booleans, Floats, Multiclass, Outcome

SMALLEST = float(np.finfo(np.float64).eps)
"""Where scikit-learn's log_loss clips probabilities."""


@dataclass(frozen=True)
class Calibration:
    """An increasing curve through (score, probability), straight between its points and level beyond them."""

    scores: Floats
    probabilities: Floats

    def __call__(self, scores: Floats) -> Floats:
        """Calibrated probabilities. scores: (rows,)."""
        return np.interp(scores, self.scores, self.probabilities)


def calibrate(scores: Floats, truth: Booleans) -> Calibration:
    """Isotonic regression of truth on scores, both (rows,): pool adjacent violators (Barlow et al. 1972)."""
    places, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(inverse, weights=truth) / counts
    return Calibration(places, isotonic_regression(shares, weights=counts).x)


def estimate(name: str, reference: Outcome, current: Outcome) -> float:
    """The metric of the current rows, whose truth is not looked at. reference: with truth, to calibrate on.

    Raises UndefinedError where the metric or the task cannot be estimated, or the model gives no probabilities.
    """
    if isinstance(reference, Binary) and isinstance(current, Binary):
        return _binary(name, reference, current)
    if isinstance(reference, Multiclass) and isinstance(current, Multiclass):
        return _multiclass(name, reference, current)
    raise UndefinedError("only binary and multiclass tasks have probabilities to estimate from")


def accuracy(p: Floats, label: Booleans) -> float:
    """Expected share of right labels. p: (rows,) calibrated probability of the positive class."""
    return float(np.where(label, p, 1 - p).mean())


def precision(p: Floats, label: Booleans) -> float:
    """Expected true positives to all that are called positive."""
    return _share(p[label].sum(), float(label.sum()))


def recall(p: Floats, label: Booleans) -> float:
    """Expected true positives to all that are expected to be positive."""
    return _share(p[label].sum(), p.sum())


def f1(p: Floats, label: Booleans) -> float:
    """2 TP / (2 TP + FP + FN) of the expected counts."""
    return _share(2 * p[label].sum(), label.sum() + p.sum())


def log_loss(p: Floats, score: Floats) -> float:
    """Expected log loss of the model's own probabilities."""
    said = np.clip(score, SMALLEST, 1 - SMALLEST)
    return float(-(p * np.log(said) + (1 - p) * np.log(1 - said)).mean())


def brier_score(p: Floats, score: Floats) -> float:
    """Expected squared distance of the model's own probabilities from the truth."""
    return float((p * (1 - score) ** 2 + (1 - p) * score**2).mean())


def roc_auc(p: Floats, score: Floats) -> float:
    """Area under the curve of expected true and false positives, by the model's score; ties count half."""
    _, inverse = np.unique(score, return_inverse=True)
    positive, negative = np.bincount(inverse, weights=p), np.bincount(inverse, weights=1 - p)
    below = np.cumsum(negative) - negative / 2
    return _share(float(positive @ below), float(positive.sum() * negative.sum()))


OF_LABELS: dict[str, Callable[[Floats, Booleans], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "precision": precision,
    "recall": recall,
}
"""By the metric's name: (calibrated probabilities, the model's labels) -> value."""

OF_SCORES: dict[str, Callable[[Floats, Floats], float]] = {
    "roc_auc": roc_auc,
    "log_loss": log_loss,
    "brier_score": brier_score,
}
"""By the metric's name: (calibrated probabilities, the model's own) -> value."""


def _binary(name: str, reference: Binary, current: Binary) -> float:
    if reference.probability is None or current.probability is None:
        raise UndefinedError("the model gives no probabilities")
    p = calibrate(reference.probability, reference.truth)(current.probability)
    if name in OF_LABELS:
        return OF_LABELS[name](p, current.label)
    if name in OF_SCORES:
        return OF_SCORES[name](p, current.probability)
    raise UndefinedError(f"it cannot be estimated; of binary tasks {', '.join((*OF_SCORES, *OF_LABELS))} can")


def _multiclass(name: str, reference: Multiclass, current: Multiclass) -> float:
    """Mean calibrated probability of the class that the model names. Each class is calibrated against all others, and
    then each row's probabilities are scaled to add up to 1, as NannyML does."""
    if name != "accuracy":
        raise UndefinedError("it cannot be estimated; of multiclass tasks accuracy can")
    if reference.probability is None or current.probability is None:
        raise UndefinedError("the model gives no probabilities")
    columns = []
    for each in range(reference.classes):
        curve = calibrate(reference.probability[:, each], reference.truth == each)
        columns.append(curve(current.probability[:, each]))
    calibrated = np.column_stack(columns)
    total = calibrated.sum(axis=1, keepdims=True)
    shares = np.divide(calibrated, total, out=np.full_like(calibrated, 1 / current.classes), where=total > 0)
    return float(shares[np.arange(len(current)), current.label].mean())


def _share(part: float, whole: float) -> float:
    if whole <= 0:
        raise UndefinedError("no row is expected to count in it")
    return float(part / whole)
