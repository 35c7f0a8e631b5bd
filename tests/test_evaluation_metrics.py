"""Every metric's value against scikit-learn's function of that name, on random rows and on the edges."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from slipway.evaluation.fairness import OF_GROUPS
from slipway.evaluation.metrics import FAMILIES, METRICS, Metric, Task, UndefinedError, find
from slipway.evaluation.metrics.forecasting import seasonal_naive_scale
from slipway.evaluation.outcomes import (
    Binary,
    Forecast,
    Integers,
    Multiclass,
    Multilabel,
    Outcome,
    Prices,
    Ranking,
    Regression,
)
from slipway.policy import metrics as of_policy
from test_evaluation_reference import EVERY, MAKERS, PRICES, REFERENCES, multiclass


def value_of(metric: Metric, outcome: Outcome) -> float:
    return metric.estimate(outcome).value


def without_probability(outcome: Outcome) -> Outcome:
    assert isinstance(outcome, Binary | Multiclass | Multilabel)
    return replace(outcome, probability=None)


def repeated(outcome: Outcome, times: Integers) -> Outcome:
    """The rows, each as many times as it says."""
    columns = {name: column for name, column in vars(outcome).items() if isinstance(column, np.ndarray)}
    changes: dict[str, Any] = {name: np.repeat(column, times, axis=0) for name, column in columns.items()}
    return replace(outcome, **changes)


def named(name: str, task: Task = "binary") -> Metric:
    return find(name, task)


def assert_as_scikit_learn(metric: Metric, outcome: Outcome) -> None:
    """Same value; where we say that there is none, scikit-learn warns, refuses or has a convention."""
    try:
        ours = value_of(metric, outcome)
    except UndefinedError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn remarks on labels that only the model uses
        theirs = REFERENCES[metric.task, metric.name](outcome, None)
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def every_metric(task: Task) -> list[Any]:
    return [pytest.param(metric, id=metric.name) for metric in EVERY if metric.task == task]


FREE_IF_RIGHT = Prices(false_positive=5, false_negative=30)

ALL = [pytest.param(metric, id=f"{metric.task}-{metric.name}") for metric in EVERY]

# Values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("rows", [20, 57, 400])
def test_value__is_scikit_learns(metric: Metric, rows: int) -> None:
    for seed in range(5):
        outcome = MAKERS[metric.task](rows, seed)
        theirs = REFERENCES[metric.task, metric.name](outcome, None)
        assert value_of(metric, outcome) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@given(
    rows=st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.5001, 1.0])), min_size=1)
)
@settings(max_examples=80, deadline=None)
def test_value__of_any_binary_rows_is_scikit_learns(rows: list[tuple[bool, bool, float]]) -> None:
    truth, label, score = (np.array(column) for column in zip(*rows, strict=True))
    for metric in EVERY:
        if metric.task == "binary":
            assert_as_scikit_learn(metric, Binary(truth, label, score, PRICES))


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_value__of_any_multiclass_rows_is_scikit_learns(rows: list[tuple[int, int]], seed: int) -> None:
    truth, label = (np.array(column) for column in zip(*rows, strict=True))
    probability = np.round(np.random.default_rng(seed).dirichlet([0.5] * 3, size=len(rows)), 1)
    probability = np.column_stack([probability, 1 - probability.sum(axis=1)]).clip(0, 1)
    outcome = Multiclass(truth, label, 4, probability / probability.sum(axis=1, keepdims=True))
    for metric in EVERY:
        if metric.task == "multiclass":
            assert_as_scikit_learn(metric, outcome)


numbers = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 3))


@given(rows=st.lists(st.tuples(numbers, numbers), min_size=1))
@settings(max_examples=60, deadline=None)
def test_value__of_any_numbers_is_scikit_learns(rows: list[tuple[float, float]]) -> None:
    truth, prediction = (np.array(column) for column in zip(*rows, strict=True))
    for outcome in (Regression(truth, prediction), Regression(abs(truth), np.abs(prediction).clip(min=0.001))):
        for metric in EVERY:
            if metric.task == "regression":
                assert_as_scikit_learn(metric, outcome)


@pytest.mark.parametrize("metric", every_metric("regression"))
def test_value__of_a_perfect_regression_is_the_best_there_is(metric: Metric) -> None:
    truth = np.array([1.0, 2.0, 5.0, 7.5])
    assert value_of(metric, Regression(truth, truth.copy())) == float(metric.greater_is_better)


@pytest.mark.parametrize("metric", every_metric("binary"))
def test_value__of_perfect_labels_is_the_best_there_is(metric: Metric) -> None:
    truth = np.array([True, False, True, False])
    outcome = repeated(Binary(truth, truth.copy(), truth.astype(float), FREE_IF_RIGHT), np.full(4, 5))
    assert value_of(metric, outcome) == pytest.approx(float(metric.greater_is_better), abs=1e-12)


def test_value__of_a_constant_score() -> None:
    o = Binary(np.array([True, True, False, False, False, False, False, False]), np.ones(8, bool), np.full(8, 0.3))
    assert value_of(named("roc_auc"), o) == 0.5
    assert value_of(named("average_precision"), o) == 0.25
    assert value_of(named("brier_score"), o) == pytest.approx((0.49 + 3 * 0.09) / 4)
    assert value_of(named("accuracy"), o) == 0.25
    assert value_of(named("recall"), o) == 1.0


def test_value__auc_counts_ties_half() -> None:
    # Pairs (positive, negative): .5 > .2 right, .5 = .5 half, .2 = .2 half, .2 < .5 wrong.
    o = Binary(np.array([True, True, False, False]), np.ones(4, dtype=bool), np.array([0.5, 0.2, 0.2, 0.5]))
    assert value_of(named("roc_auc"), o) == 0.5


def test_value__f1_by_hand() -> None:
    # 3 right positives, 1 called in vain, 2 missed: 6 / (6 + 1 + 2).
    truth = np.array([1, 1, 1, 0, 1, 1, 0], dtype=bool)
    label = np.array([1, 1, 1, 1, 0, 0, 0], dtype=bool)
    assert value_of(named("f1"), Binary(truth, label)) == pytest.approx(6 / 9)


def test_value__log_loss_of_certainty_in_the_wrong_is_clipped_as_scikit_learn_clips_it() -> None:
    o = Binary(np.array([True, False]), np.array([False, True]), np.array([0.0, 1.0]))
    assert value_of(named("log_loss"), o) == pytest.approx(sk.log_loss(o.truth, o.probability))


def test_value__absent_classes_count_as_scikit_learn_counts_them() -> None:
    # Class 2 is called and never true; class 3 is true and never called; class 4 occurs nowhere.
    o = Multiclass(np.array([0, 0, 1, 3]), np.array([0, 2, 1, 0]), 5)
    for name in ("precision_macro", "recall_macro", "f1_macro", "precision_weighted", "f1_weighted", "jaccard_macro"):
        theirs = REFERENCES["multiclass", name](o, None)
        assert value_of(named(name, "multiclass"), o) == pytest.approx(theirs), name


@given(
    rows=st.lists(st.tuples(*[st.booleans()] * 6, *[st.sampled_from([0.0, 0.1, 0.5, 1.0])] * 3), min_size=1),
)
@settings(max_examples=60, deadline=None)
def test_value__of_any_multilabel_rows_is_scikit_learns(rows: list[tuple[Any, ...]]) -> None:
    table = np.array(rows, dtype=float)
    outcome = Multilabel(table[:, :3] > 0, table[:, 3:6] > 0, table[:, 6:])
    for metric in EVERY:
        if metric.task == "multilabel":
            assert_as_scikit_learn(metric, outcome)


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([-1.0, 0.0, 0.5])), min_size=1),
)
@settings(max_examples=80, deadline=None)
def test_value__of_any_ranking_is_scikit_learns(rows: list[tuple[int, int, float]]) -> None:
    query, truth, score = (np.array(column) for column in zip(*rows, strict=True))
    for metric in EVERY:
        if metric.task == "ranking":
            assert_as_scikit_learn(metric, Ranking(truth.astype(float), score, 7 * query))


def test_value__of_a_ranking_by_hand() -> None:
    # Query 4 shows grades 0, 2, 1; query 9 has two tied rows, one of them relevant; query 2 has nothing relevant.
    o = Ranking(np.array([2.0, 0, 1, 1, 0, 0]), np.array([0.5, 0.9, 0.1, 3.0, 3.0, 1.0]), np.array([4, 4, 4, 9, 9, 2]))
    expected = {
        "ndcg": ((2 / np.log2(3) + 1 / 2) / (2 + 1 / np.log2(3)) + (1 + 1 / np.log2(3)) / 2 + 0) / 3,
        "ndcg@1": (0 / 2 + 1 / 2 + 0) / 3,
        "precision@2": (1 / 2 + 1 / 2 + 0) / 3,
        "precision@1": (0 + 1 / 2 + 0) / 3,
        "recall@2": (1 / 2 + 1 + 0) / 3,
        "mean_average_precision": ((1 / 2 + 2 / 3) / 2 + 1 / 2 + 0) / 3,
        "mean_reciprocal_rank": (1 / 2 + 1 / 2 + 0) / 3,
    }
    assert {name: value_of(named(name, "ranking"), o) for name in expected} == pytest.approx(expected)


def test_value__expected_cost_by_hand() -> None:
    # One of each kind: -2, 30, 5 and 0.
    o = Binary(np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool), None, PRICES)
    assert value_of(named("expected_cost"), o) == 33 / 4


def test_value__of_the_seasonal_naive_forecast_is_one() -> None:
    """Hyndman & Koehler's scale, on two series given in no order: the naive forecast has exactly this error."""
    random = np.random.default_rng(4)
    series, time = np.repeat([0, 1], [40, 30]), np.concatenate([np.arange(40), np.arange(30)])
    truth = np.where(series == 0, 1.0, 100.0) * random.lognormal(size=70)
    shuffled = random.permutation(70)
    scale = seasonal_naive_scale(truth[shuffled], series[shuffled], time[shuffled], 7)[np.argsort(shuffled)]
    for each in (0, 1):
        y = truth[series == each]
        assert scale[series == each] == pytest.approx(np.abs(y[7:] - y[:-7]).mean())
    later = time >= 7
    forecast = np.concatenate([np.roll(truth[series == each], 7) for each in (0, 1)])
    o = Forecast(truth[later], forecast[later], scale[later])
    assert value_of(named("mean_absolute_scaled_error", "forecasting"), o) == pytest.approx(1)


def test_value__symmetric_percentage_error_of_nothing_is_nothing() -> None:
    o = Forecast(np.array([0.0, 0.0]), np.array([0.0, 3.0]), np.ones(2))
    assert value_of(named("smape", "forecasting"), o) == 1.0


# No value ----------------------------------------------------------------------------------------------------------

ONE_CLASS = Binary(np.zeros(5, dtype=bool), np.array([0, 0, 1, 0, 0], dtype=bool), np.linspace(0, 1, 5))
NONE_CALLED = Binary(np.array([1, 0, 1, 0, 0], dtype=bool), np.zeros(5, dtype=bool))
ONE_POSITIVE = Binary(np.array([1, 0, 0, 0, 0], dtype=bool), np.zeros(5, dtype=bool), np.array([0.9, 0.1, 0.2, 0.3, 0]))


@pytest.mark.parametrize(
    ("name", "outcome", "why"),
    [
        ("recall", ONE_CLASS, "no positive row"),
        ("balanced_accuracy", ONE_CLASS, "one class only"),
        ("matthews_corrcoef", ONE_CLASS, "one class only"),
        ("roc_auc", ONE_CLASS, "one class only"),
        ("average_precision", ONE_CLASS, "one class only"),
        ("precision", NONE_CALLED, "calls no row positive"),
        ("matthews_corrcoef", NONE_CALLED, "one class only"),
        ("f1", Binary(np.zeros(3, dtype=bool), np.zeros(3, dtype=bool)), "no positive row"),
        ("jaccard", Binary(np.zeros(3, dtype=bool), np.zeros(3, dtype=bool)), "no positive row"),
        ("roc_auc", replace(ONE_CLASS, probability=None), "gives no probabilities|one class"),
        ("log_loss", replace(ONE_CLASS, probability=None), "gives no probabilities"),
        ("brier_score", replace(ONE_CLASS, probability=None), "gives no probabilities"),
        ("specificity", Binary(np.ones(3, dtype=bool), np.ones(3, dtype=bool)), "no negative row"),
        ("negative_predictive_value", Binary(np.zeros(3, dtype=bool), np.ones(3, dtype=bool)), "no row negative"),
        ("cohen_kappa", Binary(np.ones(3, dtype=bool), np.ones(3, dtype=bool)), "all of one class"),
        ("expected_cost", NONE_CALLED, "names no `costs`"),
        ("fbeta@2", Binary(np.zeros(3, dtype=bool), np.zeros(3, dtype=bool)), "no positive row"),
        ("d2_log_loss_score", ONE_CLASS, "one class only"),
        ("squared_calibration_error", ONE_CLASS, "fewer than 20 rows"),
        ("squared_calibration_error", NONE_CALLED, "gives no probabilities"),
        ("average_precision", NONE_CALLED, "gives no probabilities"),
    ],
)
def test_undefined__binary(name: str, outcome: Binary, why: str) -> None:
    with pytest.raises(UndefinedError, match=why):
        value_of(named(name), outcome)


def test_undefined__auc_with_one_row_of_a_class_since_its_spread_is_unknown() -> None:
    with pytest.raises(UndefinedError, match="single row"):
        value_of(named("roc_auc"), ONE_POSITIVE)


def test_undefined__agrees_with_what_scikit_learn_warns_of() -> None:
    with pytest.warns(UndefinedMetricWarning):
        sk.roc_auc_score(ONE_CLASS.truth, ONE_CLASS.probability)
    with pytest.warns(UndefinedMetricWarning):
        sk.precision_score(NONE_CALLED.truth, NONE_CALLED.label)


@pytest.mark.parametrize("name", ["roc_auc_ovr", "log_loss", "brier_score"])
def test_undefined__multiclass_without_probabilities(name: str) -> None:
    with pytest.raises(UndefinedError, match="gives no probabilities"):
        value_of(named(name, "multiclass"), replace(multiclass(40, 0), probability=None))


def test_undefined__roc_auc_ovr_with_a_class_that_the_holdout_lacks() -> None:
    o = multiclass(60, 0)
    with pytest.raises(UndefinedError, match="does not occur"):
        value_of(named("roc_auc_ovr", "multiclass"), replace(o, truth=o.truth % 3))


@pytest.mark.parametrize(
    ("name", "truth", "prediction", "why"),
    [
        ("r2", [3.0, 3.0], [1.0, 2.0], "same target"),
        ("explained_variance", [3.0, 3.0], [1.0, 2.0], "same target"),
        ("mean_squared_log_error", [1.0, 2.0], [-1.0, 2.0], "-1 or less"),
        ("root_mean_squared_log_error", [-2.0, 2.0], [1.0, 2.0], "-1 or less"),
        ("mean_poisson_deviance", [1.0, 2.0], [0.0, 2.0], "above 0"),
        ("mean_poisson_deviance", [-1.0, 2.0], [1.0, 2.0], "at least 0"),
        ("mean_gamma_deviance", [0.0, 2.0], [1.0, 2.0], "above 0"),
    ],
)
def test_undefined__regression(name: str, truth: list[float], prediction: list[float], why: str) -> None:
    with pytest.raises(UndefinedError, match=why):
        value_of(named(name, "regression"), Regression(np.array(truth), np.array(prediction)))


@pytest.mark.parametrize("name", ["mean_squared_error", "root_mean_squared_error", "r2", "explained_variance"])
def test_undefined__a_loss_that_overflows(name: str) -> None:
    diverged = Regression(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 1e200]))
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(UndefinedError, match="not a finite number"):
        value_of(named(name, "regression"), diverged)


NO_LABELS = np.zeros((4, 2), dtype=bool)
ONE_LABEL = np.array([[1, 0], [0, 0], [1, 0], [0, 0]], dtype=bool)


@pytest.mark.parametrize(
    ("name", "outcome", "why"),
    [
        ("f1_micro", Multilabel(NO_LABELS, NO_LABELS), "no label, neither true nor given"),
        ("recall_weighted", Multilabel(NO_LABELS, ONE_LABEL), "no row of the holdout has a label"),
        ("roc_auc_macro", Multilabel(ONE_LABEL, ONE_LABEL, ONE_LABEL * 0.5), "at least one label: the holdout holds"),
        ("average_precision_macro", Multilabel(ONE_LABEL, ONE_LABEL, ONE_LABEL * 0.5), "at least one label"),
        ("roc_auc_micro", Multilabel(ONE_LABEL, ONE_LABEL), "gives no probabilities"),
        ("label_ranking_average_precision", Multilabel(ONE_LABEL, ONE_LABEL), "gives no probabilities"),
    ],
)
def test_undefined__multilabel(name: str, outcome: Multilabel, why: str) -> None:
    with pytest.raises(UndefinedError, match=why):
        value_of(named(name, "multilabel"), outcome)


@pytest.mark.parametrize("scale", [0.0, np.nan])
def test_undefined__forecast_without_a_scale(scale: float) -> None:
    o = Forecast(np.ones(3), np.zeros(3), np.array([1.0, scale, 1.0]))
    with pytest.raises(UndefinedError, match="nothing to scale its errors by"):
        value_of(named("mean_absolute_scaled_error", "forecasting"), o)


def test_undefined__others_of_rankings_and_forecasts() -> None:
    with pytest.raises(UndefinedError, match="a grade is below 0"):
        value_of(named("ndcg", "ranking"), Ranking(np.array([-1.0, 1]), np.ones(2), np.zeros(2, dtype=np.int64)))
    with pytest.raises(UndefinedError, match="every truth is 0"):
        value_of(named("wape", "forecasting"), Forecast(np.zeros(3), np.ones(3), np.ones(3)))


# Names -------------------------------------------------------------------------------------------------------------

SCORERS = {scorer.removeprefix("neg_"): scorer for scorer in sk.get_scorer_names()}


OURS = {
    "specificity",
    "negative_predictive_value",
    "cohen_kappa",
    "expected_cost",
    "squared_calibration_error",
    "hamming_loss",
    "label_ranking_average_precision",
    "roc_auc_macro",
    "roc_auc_micro",
    "average_precision_macro",
    "ndcg",
    "mean_average_precision",
    "mean_reciprocal_rank",
    "mean_absolute_scaled_error",
    "symmetric_mean_absolute_percentage_error",
    "wape",
}
"""Names that scikit-learn has no scorer of."""


def test_find__every_scorers_name() -> None:
    """All others are scorers of scikit-learn, which names losses with `neg_`; both names are understood."""
    assert {metric.name for metric in METRICS if metric.name not in SCORERS} == OURS
    for metric in METRICS:
        if metric.name in OURS:
            continue
        scorer = SCORERS[metric.name]
        assert find(scorer, metric.task) is metric
        assert find(metric.name, metric.task) is metric
        assert metric.greater_is_better == (sk.get_scorer(scorer)._sign > 0)


@pytest.mark.parametrize(
    ("function", "name", "task"),
    [
        ("accuracy_score", "accuracy", "multiclass"),
        ("balanced_accuracy_score", "balanced_accuracy", "binary"),
        ("precision_score", "precision", "binary"),
        ("recall_score", "recall", "binary"),
        ("f1_score", "f1", "binary"),
        ("jaccard_score", "jaccard", "binary"),
        ("roc_auc_score", "roc_auc", "binary"),
        ("average_precision_score", "average_precision", "binary"),
        ("brier_score_loss", "brier_score", "multiclass"),
        ("r2_score", "r2", "regression"),
        ("explained_variance_score", "explained_variance", "regression"),
        ("mean_squared_error", "mean_squared_error", "regression"),
    ],
)
def test_find__a_functions_name(function: str, name: str, task: Task) -> None:
    assert hasattr(sk, function)
    assert find(function, task).name == name


def test_find__has_the_metrics_that_the_policy_knows_and_no_others() -> None:
    for task in get_args(Task):
        assert [metric.name for metric in METRICS if metric.task == task] == [*of_policy.RANGES[task]]
        families = {family.name: (family.symbol, family.example) for family in FAMILIES if family.task == task}
        assert families == {
            name: (each.symbol, each.example) for name, each in of_policy.FAMILIES.get(task, {}).items()
        }
        of_groups = {metric.name for metric in OF_GROUPS if metric.task == task}
        assert of_groups == {*of_policy.OF_GROUPS.get(task, {})}


@pytest.mark.parametrize(
    ("typed", "task", "hint"),
    [
        ("auc_roc", "binary", "did you mean `roc_auc`"),
        ("rocauc", "binary", "did you mean `roc_auc`"),
        ("roc_auc", "multiclass", "did you mean `roc_auc_ovr`"),
        ("f1", "multiclass", "did you mean `f1_macro`, `f1_micro` or `f1_weighted`?"),
        ("zzz", "multiclass", "known for multiclass tasks: accuracy, balanced_accuracy, brier_score, cohen_kappa"),
        ("log_los", "binary", "did you mean `log_loss`"),
        ("ndcg", "binary", "known for binary tasks: accuracy"),
        ("fbeta@3", "multiclass", "known for multiclass tasks"),
        ("ndgc@10", "ranking", "did you mean `ndcg@k`"),
        ("expected_calibration_error", "multiclass", "known for multiclass tasks"),
        ("r2", "binary", "known for binary tasks: accuracy, average_precision"),
        ("mean_square_error", "regression", "did you mean `mean_squared_error`"),
    ],
)
def test_find__unknown_names_suggest_the_nearest(typed: str, task: Task, hint: str) -> None:
    with pytest.raises(KeyError) as raised:
        find(typed, task)
    assert hint in raised.value.args[0]
    assert f"`{typed}` is no metric for {task} tasks" in raised.value.args[0]


@pytest.mark.parametrize(
    ("typed", "task", "said"),
    [
        ("precision@", "ranking", "`precision@` lacks its number: `precision@k`, such as `precision@10`"),
        ("ndcg@ten", "ranking", "`ndcg@ten` lacks its number"),
        ("ndcg@0", "ranking", "`ndcg@0`: k of `ndcg@k` must be a whole number from 1 on"),
        ("ndcg@2.5", "ranking", "must be a whole number from 1 on"),
        ("recall@inf", "ranking", "must be a whole number from 1 on"),
        ("fbeta", "binary", "`fbeta` lacks its number: `fbeta@beta`, such as `fbeta@2`"),
        ("fbeta@0", "binary", "must be a number above 0"),
        ("fbeta@nan", "binary", "must be a number above 0"),
        ("fbeta@inf", "binary", "must be a number above 0"),
        ("mean_pinball_loss@1", "regression", "must be a share between 0 and 1"),
        ("top_k_accuracy@-1", "multiclass", "must be a whole number from 1 on"),
        ("expected_calibration_error", "binary", "no honest interval; take `squared_calibration_error`"),
    ],
)
def test_find__a_familys_number_is_checked(typed: str, task: Task, said: str) -> None:
    with pytest.raises(KeyError) as raised:
        find(typed, task)
    assert said in raised.value.args[0]


def test_find__a_familys_member_is_named_as_it_is_meant() -> None:
    assert find("ndcg@10.0", "ranking").name == "ndcg@10"
    assert find("fbeta@0.5", "binary").name == "fbeta@0.5"
    assert find("mean_pinball_loss@0.95", "forecasting").task == "forecasting"


def test_metric__of_labels_tells_which_need_no_probability() -> None:
    for metric in EVERY:
        if metric.task in ("ranking", "regression", "forecasting"):
            assert not metric.of_labels
            continue
        outcome = without_probability(MAKERS[metric.task](50, 1))
        if metric.of_labels:
            assert np.isfinite(value_of(metric, outcome))
        else:
            with pytest.raises(UndefinedError):
                value_of(metric, outcome)
