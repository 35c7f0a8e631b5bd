"""scikit-learn's function for each metric of ours: the other implementation that the tests of the numbers ask.

Where scikit-learn has none, the definition is written out, query by query and cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn import metrics as sk

from slipway.evaluation.metrics import FAMILIES, METRICS, Metric, find
from slipway.evaluation.outcomes import (
    Binary,
    Floats,
    Forecast,
    Multiclass,
    Multilabel,
    Outcome,
    Prices,
    Ranking,
    Regression,
)

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


def _mean(rows: Callable[[Any], Floats]) -> Reference:
    return lambda o, weights: float(np.average(rows(o), weights=weights))


def _share_of(above: Callable[[Any], Floats], below: Callable[[Any], Floats]) -> Reference:
    return lambda o, weights: float(np.average(above(o), weights=weights) / np.average(below(o), weights=weights))


def _queries(score: Callable[[Floats, Floats], float]) -> Reference:
    """The mean of `score(truth, scores)` over queries; a query weighs what its rows weigh on average."""

    def reference(o: Ranking, weights: Floats | None) -> float:
        queries = [o.query == query for query in np.unique(o.query)]
        weight = None if weights is None else [weights[rows].mean() for rows in queries]
        return float(np.average([score(o.truth[rows], o.score[rows]) for rows in queries], weights=weight))

    return reference


def _ndcg(truth: Floats, score: Floats, k: int | None = None) -> float:
    if len(truth) == 1:  # which scikit-learn refuses
        return float(truth[0] > 0)
    return float(sk.ndcg_score([truth], [score], k=k))


def _average_precision(truth: Floats, score: Floats) -> float:
    return float(sk.average_precision_score(truth > 0, score)) if (truth > 0).any() else 0.0


def _reciprocal_rank(truth: Floats, score: Floats) -> float:
    return max((1 / (score >= each).sum() for each in score[truth > 0]), default=0.0)


def _found_in_first(truth: Floats, score: Floats, k: int) -> float:
    """Relevant rows among the first k, on average over every order of tied rows."""
    found = 0.0
    for each in score[truth > 0]:
        before, tied = (score > each).sum(), (score == each).sum()
        found += min(max(k - before, 0), tied) / tied
    return found


def _squared_calibration_error(o: Binary, _: Floats | None) -> float:
    """Every pair of rows of a bin, one by one."""
    assert o.probability is not None
    gap = o.truth - o.probability
    total = 0.0
    edges = [-np.inf, *np.quantile(o.probability, np.arange(1, 10) / 10), np.inf]
    for low, high in pairwise(edges):
        rows = np.flatnonzero((low <= o.probability) & (o.probability < high))
        pairs = [gap[i] * gap[j] for i in rows for j in rows if i != j]
        total += len(rows) * float(np.mean(pairs)) if pairs else 0.0
    return total / len(o)


def _cost(o: Binary) -> Floats:
    return np.array([COSTS[truth, label] for truth, label in zip(o.truth, o.label, strict=True)])


COSTS = {(True, True): -2.0, (True, False): 30.0, (False, True): 5.0, (False, False): 0.0}
PRICES = Prices(false_positive=5, false_negative=30, true_positive=-2)

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

MULTILABEL = {
    f"{name}_{average}": _labels(function, average=average, zero_division=0)
    for name, function in (
        ("precision", sk.precision_score),
        ("recall", sk.recall_score),
        ("f1", sk.f1_score),
        ("jaccard", sk.jaccard_score),
    )
    for average in ("micro", "macro", "weighted", "samples")
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
    ("binary", "specificity"): _labels(sk.recall_score, pos_label=0),
    ("binary", "negative_predictive_value"): _labels(sk.precision_score, pos_label=0),
    ("binary", "cohen_kappa"): _labels(sk.cohen_kappa_score),
    ("binary", "d2_log_loss_score"): _scores(partial(sk.d2_log_loss_score, labels=[False, True])),
    ("binary", "expected_cost"): _mean(_cost),
    ("binary", "squared_calibration_error"): _squared_calibration_error,
    ("binary", "fbeta@2"): _labels(sk.fbeta_score, beta=2),
    ("multiclass", "matthews_corrcoef"): _labels(sk.matthews_corrcoef),
    ("multiclass", "cohen_kappa"): _labels(sk.cohen_kappa_score),
    ("multiclass", "d2_log_loss_score"): _every_class(sk.d2_log_loss_score),
    ("multiclass", "top_k_accuracy@2"): _every_class(sk.top_k_accuracy_score, k=2),
    ("multiclass", "accuracy"): _labels(sk.accuracy_score),
    ("multiclass", "balanced_accuracy"): _labels(sk.balanced_accuracy_score),
    **{("multiclass", name): reference for name, reference in AVERAGED.items()},
    ("multiclass", "roc_auc_ovr"): _every_class(sk.roc_auc_score, multi_class="ovr"),
    ("multiclass", "log_loss"): _every_class(sk.log_loss),
    ("multiclass", "brier_score"): _every_class(sk.brier_score_loss),
    ("multilabel", "accuracy"): _labels(sk.accuracy_score),
    ("multilabel", "hamming_loss"): _labels(sk.hamming_loss),
    **{("multilabel", name): reference for name, reference in MULTILABEL.items()},
    ("multilabel", "label_ranking_average_precision"): _scores(sk.label_ranking_average_precision_score),
    ("multilabel", "roc_auc_macro"): _scores(partial(sk.roc_auc_score, average="macro")),
    ("multilabel", "roc_auc_micro"): _scores(partial(sk.roc_auc_score, average="micro")),
    ("multilabel", "average_precision_macro"): _scores(partial(sk.average_precision_score, average="macro")),
    ("ranking", "ndcg"): _queries(_ndcg),
    ("ranking", "ndcg@3"): _queries(partial(_ndcg, k=3)),
    ("ranking", "precision@3"): _queries(lambda t, s: _found_in_first(t, s, 3) / 3),
    ("ranking", "recall@3"): _queries(lambda t, s: _found_in_first(t, s, 3) / max((t > 0).sum(), 1)),
    ("ranking", "mean_average_precision"): _queries(_average_precision),
    ("ranking", "mean_reciprocal_rank"): _queries(_reciprocal_rank),
    ("regression", "mean_pinball_loss@0.9"): _numbers(partial(sk.mean_pinball_loss, alpha=0.9)),
    ("forecasting", "mean_pinball_loss@0.1"): _numbers(partial(sk.mean_pinball_loss, alpha=0.1)),
    ("forecasting", "mean_absolute_scaled_error"): _mean(lambda o: np.abs(o.truth - o.prediction) / o.scale),
    ("forecasting", "symmetric_mean_absolute_percentage_error"): _mean(
        lambda o: 2 * np.abs(o.truth - o.prediction) / (np.abs(o.truth) + np.abs(o.prediction))
    ),
    ("forecasting", "wape"): _share_of(lambda o: np.abs(o.truth - o.prediction), lambda o: np.abs(o.truth)),
    **{("regression", function.__name__.removesuffix("_score")): _numbers(function) for function in REGRESSION},
}


def binary(rows: int, seed: int, *, positives: float = 0.4, skill: float = 1.2, ties: bool = True) -> Binary:
    """Truths, scores of that skill (on a coarse grid, so that many are tied), labels from 0.5 on."""
    random = np.random.default_rng(seed)
    truth = random.random(rows) < positives
    truth[:4] = [True, False, True, False]
    score = 1 / (1 + np.exp(-skill * (2 * truth - 1) - random.normal(size=rows)))
    score = np.round(score, 1 if ties else 9)
    return Binary(truth, score >= 0.5, score, PRICES)


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


def multilabel(rows: int, seed: int, *, labels: int = 5) -> Multilabel:
    """Labels of falling frequency that hang together; given where the probability is above one half."""
    random = np.random.default_rng(seed)
    common = random.normal(size=(rows, 1))
    propensity = common + random.normal(size=(rows, labels)) - np.linspace(0, 1.2, labels)
    truth = propensity + random.normal(size=(rows, labels)) > 0
    truth[:4] = np.array([True, False, True, False])[:, None]
    probability = np.round(1 / (1 + np.exp(-propensity - random.normal(size=(rows, labels)))), 2)
    return Multilabel(truth, probability > 0.5, probability)


def ranking(rows: int, seed: int) -> Ranking:
    """Queries of one to ten rows with grades 0 to 3, many without a relevant row, and many tied scores."""
    random = np.random.default_rng(seed)
    query = random.permutation(np.repeat(np.arange(rows), random.integers(1, 11, size=rows))[:rows])
    truth = random.choice(4, size=rows, p=[0.6, 0.2, 0.1, 0.1]).astype(float)
    return Ranking(truth, np.round(truth + random.normal(scale=2, size=rows)), query)


def forecast(rows: int, seed: int) -> Forecast:
    """Numbers of three series of different size."""
    numbers, scale = regression(rows, seed), np.resize([1.0, 5.0, 20.0], rows)
    return Forecast(numbers.truth * scale, numbers.prediction * scale, scale * 0.7)


MAKERS: dict[str, Callable[[int, int], Outcome]] = {
    "binary": binary,
    "multiclass": multiclass,
    "multilabel": multilabel,
    "ranking": ranking,
    "regression": regression,
    "forecasting": forecast,
}

MEMBERS = (
    find("fbeta@2", "binary"),
    find("top_k_accuracy@2", "multiclass"),
    find("ndcg@3", "ranking"),
    find("precision@3", "ranking"),
    find("recall@3", "ranking"),
    find("mean_pinball_loss@0.9", "regression"),
    find("mean_pinball_loss@0.1", "forecasting"),
)
"""One of each family."""

NUMBERS = {metric.name for metric in METRICS if metric.task == "regression"}

EVERY: tuple[Metric, ...] = (
    *(metric for metric in METRICS if not (metric.task == "forecasting" and metric.name in NUMBERS)),
    *MEMBERS,
)
"""Every metric, those that forecasting shares with regression once."""

BY_ROW = tuple(metric for metric in EVERY if metric.task != "ranking")
"""Those whose rows can be drawn and repeated one by one; a ranking's are queries."""


def test_reference__covers_every_metric() -> None:
    assert set(REFERENCES) == {(metric.task, metric.name) for metric in EVERY}
    assert {(family.task, family.name) for family in FAMILIES} == {
        (metric.task, metric.name.partition("@")[0]) for metric in MEMBERS
    }
    assert {metric.name for metric in METRICS if metric.task == "forecasting"} > NUMBERS
