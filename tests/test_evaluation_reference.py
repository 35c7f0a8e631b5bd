"""scikit-learn's function for each metric of ours: the other implementation that the tests of the numbers ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn import metrics as sk

from slipway.evaluation.metrics import METRICS
from slipway.evaluation.outcomes import Binary, Floats, Multiclass, Outcome, Regression

Reference = Callable[[Any, Floats | None], float]


def _labels(function: Callable[..., float], **options: Any) -> Reference:
    return lambda o, weights: float(function(o.truth, o.label, sample_weight=weights, **options))


def _scores(function: Callable[..., float]) -> Reference:
    return lambda o, weights: float(function(o.truth, o.probability, sample_weight=weights))


def _every_class(function: Callable[..., float], **options: Any) -> Reference:
    def reference(o: Multiclass, weights: Floats | None) -> float:
        labels = list(range(o.classes))
        return float(function(o.truth, o.probability, labels=labels, sample_weight=weights, **options))

    return reference


def _numbers(function: Callable[..., float]) -> Reference:
    return lambda o, weights: float(function(o.truth, o.prediction, sample_weight=weights))


REGRESSION = (
    sk.explained_variance_score,
    sk.mean_absolute_error,
    sk.mean_squared_error,
    sk.root_mean_squared_error,
    sk.mean_squared_log_error,
    sk.root_mean_squared_log_error,
    sk.mean_absolute_percentage_error,
    sk.mean_poisson_deviance,
    sk.mean_gamma_deviance,
    sk.median_absolute_error,
    sk.r2_score,
)

AVERAGED = {
    f"{name}_{average}": _labels(function, average=average, zero_division=0)
    for name, function in (
        ("precision", sk.precision_score),
        ("recall", sk.recall_score),
        ("f1", sk.f1_score),
        ("jaccard", sk.jaccard_score),
    )
    for average in ("macro", "weighted", "micro")
    if (name, average) != ("jaccard", "micro")
}

REFERENCES: dict[tuple[str, str], Reference] = {
    ("binary", "accuracy"): _labels(sk.accuracy_score),
    ("binary", "balanced_accuracy"): _labels(sk.balanced_accuracy_score),
    ("binary", "precision"): _labels(sk.precision_score),
    ("binary", "recall"): _labels(sk.recall_score),
    ("binary", "f1"): _labels(sk.f1_score),
    ("binary", "jaccard"): _labels(sk.jaccard_score),
    ("binary", "matthews_corrcoef"): _labels(sk.matthews_corrcoef),
    ("binary", "roc_auc"): _scores(sk.roc_auc_score),
    ("binary", "average_precision"): _scores(sk.average_precision_score),
    ("binary", "log_loss"): _scores(partial(sk.log_loss, labels=[False, True])),
    ("binary", "brier_score"): _scores(partial(sk.brier_score_loss, labels=[False, True])),
    ("multiclass", "accuracy"): _labels(sk.accuracy_score),
    ("multiclass", "balanced_accuracy"): _labels(sk.balanced_accuracy_score),
    **{("multiclass", name): reference for name, reference in AVERAGED.items()},
    ("multiclass", "roc_auc_ovr"): _every_class(sk.roc_auc_score, multi_class="ovr"),
    ("multiclass", "log_loss"): _every_class(sk.log_loss),
    ("multiclass", "brier_score"): _every_class(sk.brier_score_loss),
    **{("regression", function.__name__.removesuffix("_score")): _numbers(function) for function in REGRESSION},
}


def binary(rows: int, seed: int, *, positives: float = 0.4, skill: float = 1.2, ties: bool = True) -> Binary:
    """Truths, scores of that skill (on a coarse grid, so that many are tied), labels from 0.5 on."""
    random = np.random.default_rng(seed)
    truth = random.random(rows) < positives
    truth[:4] = [True, False, True, False]
    score = 1 / (1 + np.exp(-skill * (2 * truth - 1) - random.normal(size=rows)))
    score = np.round(score, 1 if ties else 9)
    return Binary(truth, score >= 0.5, score)


def multiclass(rows: int, seed: int, *, classes: int = 4) -> Multiclass:
    """Classes of falling frequency; the most probable one is the label."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, classes + 1)
    truth = random.choice(classes, size=rows, p=share / share.sum())
    truth[: 2 * classes] = np.tile(np.arange(classes), 2)
    scores = np.exp(random.normal(size=(rows, classes)) + 1.2 * np.eye(classes)[truth])
    probability = scores / scores.sum(axis=1, keepdims=True)
    return Multiclass(truth, probability.argmax(axis=1), classes, probability)


def regression(rows: int, seed: int) -> Regression:
    """Positive, somewhat skewed numbers, as the log and deviance metrics need them."""
    random = np.random.default_rng(seed)
    truth = random.lognormal(sigma=0.5, size=rows)
    return Regression(truth, truth * random.lognormal(sigma=0.2, size=rows))


MAKERS: dict[str, Callable[[int, int], Outcome]] = {
    "binary": binary,
    "multiclass": multiclass,
    "regression": regression,
}


def test_reference__covers_every_metric() -> None:
    assert set(REFERENCES) == {(metric.task, metric.name) for metric in METRICS}
