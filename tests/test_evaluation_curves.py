"""Points of curves, against scikit-learn's curves and hand computations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from slipway.evaluation.curves import precision_recall, reliability, residual_quantiles, roc
from slipway.evaluation.metrics import UndefinedError
from slipway.evaluation.outcomes import Binary, Regression
from test_evaluation_reference import binary, regression


@pytest.mark.parametrize("rows", [50, 2000])
def test_reliability__is_scikit_learns_with_quantiles(rows: int) -> None:
    outcome = binary(rows, 3, ties=False)
    observed, mean = calibration_curve(outcome.truth, outcome.probability, n_bins=10, strategy="quantile")
    points = reliability(outcome)
    assert [point.probability for point in points] == pytest.approx(mean)
    assert [point.observed for point in points] == pytest.approx(observed)
    assert sum(point.rows for point in points) == rows
    assert {point.rows for point in points} == {rows // 10}


def test_reliability__has_wilsons_interval() -> None:
    point = reliability(binary(500, 1, ties=False), bins=5)[2]
    theirs = stats.binomtest(round(point.observed * point.rows), point.rows).proportion_ci(0.95, method="wilson")
    assert (point.low, point.high) == pytest.approx((theirs.low, theirs.high))


def test_reliability__of_one_probability_is_one_bin() -> None:
    (point,) = reliability(Binary(np.arange(10) < 3, np.zeros(10, dtype=bool), np.full(10, 0.4)))
    assert point.probability == pytest.approx(0.4)
    assert (point.observed, point.rows) == (0.3, 10)


@pytest.mark.parametrize("ties", [True, False])
def test_roc__lies_on_scikit_learns_curve(ties: bool) -> None:
    outcome = binary(1000, 2, ties=ties)
    false_rate, true_rate, _ = sk.roc_curve(outcome.truth, outcome.probability, drop_intermediate=False)
    theirs = {(round(x, 9), round(y, 9)) for x, y in zip(false_rate, true_rate, strict=True)}
    points = roc(outcome, points=50)
    assert {(round(each.false_positive_rate, 9), round(each.true_positive_rate, 9)) for each in points} <= theirs
    assert (points[0].false_positive_rate, points[0].true_positive_rate, points[0].threshold) == (0, 0, np.inf)
    assert (points[-1].false_positive_rate, points[-1].true_positive_rate) == (1, 1)
    assert len(points) <= 52
    area = np.trapezoid([each.true_positive_rate for each in points], [each.false_positive_rate for each in points])
    assert area == pytest.approx(sk.roc_auc_score(outcome.truth, outcome.probability), abs=0.005)


def test_precision_recall__lies_on_scikit_learns_curve() -> None:
    outcome = binary(1000, 2, ties=False)
    theirs = sk.precision_recall_curve(outcome.truth, outcome.probability)
    known = {(round(r, 9), round(p, 9)) for p, r in zip(theirs[0], theirs[1], strict=True)}
    points = precision_recall(outcome, points=30)
    assert {(round(each.recall, 9), round(each.precision, 9)) for each in points} <= known
    recalls = [each.recall for each in points]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1
    assert 25 <= len(points) <= 32


def test_curves__stay_small_for_many_rows() -> None:
    outcome = binary(200_000, 0, ties=False)
    assert max(len(roc(outcome)), len(precision_recall(outcome))) <= 52


def test_curves__have_no_points_without_probabilities_or_with_one_class() -> None:
    outcome = binary(100, 0)
    for curve in (reliability, roc, precision_recall):
        with pytest.raises(UndefinedError, match="gives no probabilities"):
            curve(replace(outcome, probability=None))
    for curve in (roc, precision_recall):
        with pytest.raises(UndefinedError, match="one class"):
            curve(replace(outcome, truth=np.ones(100, dtype=bool)))


def test_residual_quantiles__are_numpys() -> None:
    outcome = regression(300, 0)
    found = residual_quantiles(outcome, (0.1, 0.5))
    assert [each.share for each in found] == [0.1, 0.5]
    assert found[1].residual == pytest.approx(np.median(outcome.truth - outcome.prediction))
    shifted = Regression(outcome.truth, outcome.truth - 2)
    assert {round(each.residual, 9) for each in residual_quantiles(shifted)} == {2.0}
