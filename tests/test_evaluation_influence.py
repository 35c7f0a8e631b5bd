"""The influence of each row, against derivatives, jackknife, bootstrap, DeLong's own formula and published numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slipway.evaluation import ordered
from slipway.evaluation.intervals import of_one
from slipway.evaluation.metrics import Estimate, Metric, area_under_roc, find
from slipway.evaluation.outcomes import Binary, Booleans, Floats, Integers, Outcome, Text
from slipway.evaluation.sampling import Sampling
from test_evaluation_reference import BY_ROW, EVERY, MAKERS, REFERENCES, binary, multiclass, ranking

# A median has no derivative by a row's weight, and no consistent jackknife; tests of its own follow at the end.
SMOOTH = [
    pytest.param(metric, id=f"{metric.task}-{metric.name}")
    for metric in EVERY
    if metric.name != "median_absolute_error"
]

BINNED = "squared_calibration_error"
"""Its bins move with the rows, and its influences take them as given: it has tests of its own."""

DERIVED = [each for each in SMOOTH if each.values[0].name != BINNED]  # type: ignore[union-attr]
DRAWN = [
    pytest.param(metric, id=f"{metric.task}-{metric.name}")
    for metric in BY_ROW
    if metric.name not in (BINNED, "median_absolute_error")
]


def estimate_of(metric: Metric, outcome: Outcome) -> Estimate:
    return metric.estimate(outcome)


def taken(outcome: Outcome, rows: Integers) -> Outcome:
    columns = {name: column for name, column in vars(outcome).items() if isinstance(column, np.ndarray)}
    changes: dict[str, Any] = {name: column[rows] for name, column in columns.items()}
    return replace(outcome, **changes)


def variance(influence: Floats) -> float:
    return float((influence**2).sum()) / len(influence) ** 2


def derivative(reference: Callable[[Any, Floats | None], float], outcome: Outcome) -> Floats:
    """rows * d value / d weight of each row, by scikit-learn's sample_weight: the infinitesimal jackknife."""
    rows, step = len(outcome), 1e-4
    found = np.empty(rows)
    for row in range(rows):
        moved = []
        for sign in (1, -1):
            weights = np.ones(rows)
            weights[row] += sign * step
            moved.append(reference(outcome, weights))
        found[row] = rows * (moved[0] - moved[1]) / (2 * step)
    return found


@pytest.mark.parametrize("metric", DERIVED)
def test_influence__is_the_derivative_by_the_rows_weight(metric: Metric) -> None:
    outcome = MAKERS[metric.task](60, 11)
    influence = estimate_of(metric, outcome).influence
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = derivative(REFERENCES[metric.task, metric.name], outcome)
    # Means and areas carry n / (n - 1) of their rows or class for small samples: a few percent here, never more.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(influence, expected, atol=0.07 * scale)
    ratio = float(influence @ expected / (expected @ expected))
    assert 1 - 1e-4 < ratio < 1.07


@pytest.mark.parametrize("metric", SMOOTH)
@pytest.mark.parametrize("rows", [30, 300])
def test_influence__has_mean_zero(metric: Metric, rows: int) -> None:
    influence = estimate_of(metric, MAKERS[metric.task](rows, 5)).influence
    assert abs(influence.mean()) < 1e-10 * (1 + np.abs(influence).max())


@pytest.mark.parametrize("metric", DRAWN)
def test_influence__gives_the_jackknifes_variance(metric: Metric) -> None:
    outcome = MAKERS[metric.task](250, 2)
    everyone = np.arange(250)
    left_out = np.array([estimate_of(metric, taken(outcome, np.delete(everyone, row))).value for row in everyone])
    jackknife = 249 / 250 * ((left_out - left_out.mean()) ** 2).sum()
    # The delta method is the jackknife to first order: skewed losses in a ratio leave some percent.
    tolerance = 0.1 if metric.name in ("r2", "explained_variance") else 0.06
    assert variance(estimate_of(metric, outcome).influence) == pytest.approx(jackknife, rel=tolerance)


@pytest.mark.parametrize("metric", DRAWN)
def test_influence__gives_the_bootstraps_variance_of_a_paired_difference(metric: Metric) -> None:
    rows, draws = 400, 600
    production = MAKERS[metric.task](rows, 21)
    assert not isinstance(production, Text)
    same_truth: dict[str, Any] = {"truth": production.truth}
    candidate = replace(MAKERS[metric.task](rows, 22), **same_truth)
    random = np.random.default_rng(0)
    drawn = random.integers(0, rows, size=(draws, rows))
    values = [
        estimate_of(metric, taken(candidate, each)).value - estimate_of(metric, taken(production, each)).value
        for each in drawn
    ]
    paired = estimate_of(metric, candidate).influence - estimate_of(metric, production).influence
    # 600 draws find a standard error within 3 % (one sigma); three of them, and the delta method's own remainder.
    tolerance = 0.2 if metric.name in ("r2", "explained_variance") else 0.12
    assert np.sqrt(variance(paired)) == pytest.approx(np.std(values, ddof=1), rel=tolerance)


def test_influence__of_a_mean_is_the_textbooks_standard_error() -> None:
    outcome = MAKERS["regression"](80, 0)
    error = vars(outcome)["truth"] - vars(outcome)["prediction"]
    influence = estimate_of(find("mean_absolute_error", "regression"), outcome).influence
    assert np.sqrt(variance(influence)) == pytest.approx(stats.sem(np.abs(error)), rel=1e-12)


def test_influence__of_recall_is_the_binomial_error_among_the_positives() -> None:
    o = binary(200, 4)
    found = estimate_of(find("recall", "binary"), o)
    positives = o.truth.sum()
    assert variance(found.influence) == pytest.approx(found.value * (1 - found.value) / positives, rel=1e-12)


def test_influence__of_a_perfect_root_is_zero_and_no_error() -> None:
    outcome = MAKERS["regression"](10, 0)
    perfect = replace(outcome, prediction=vars(outcome)["truth"])
    found = estimate_of(find("root_mean_squared_error", "regression"), perfect)
    assert found.value == 0
    assert not found.influence.any()


def test_influence__averaged_over_classes_counts_a_class_without_value_as_a_constant_zero() -> None:
    o = multiclass(60, 8)
    unseen = replace(o, classes=6, label=np.where(o.label == 1, 5, o.label), probability=None)
    found = estimate_of(find("precision_macro", "multiclass"), unseen)
    assert np.isfinite(found.influence).all()
    assert found.value == pytest.approx(REFERENCES["multiclass", "precision_macro"](unseen, None))


# Rankings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [each for each in EVERY if each.task == "ranking"], ids=lambda metric: metric.name)
def test_ranking__has_the_interval_of_a_mean_over_queries(metric: Metric) -> None:
    outcome = ranking(400, 3)
    queries = [taken(outcome, np.flatnonzero(outcome.query == each)) for each in np.unique(outcome.query)]
    scores = [estimate_of(metric, each).value for each in queries]
    found = of_one(metric, outcome, Sampling(400, clusters=outcome.query))
    assert found.value == pytest.approx(np.mean(scores), rel=1e-12)
    assert found.standard_error == pytest.approx(stats.sem(scores), rel=1e-9)
    # Without the correction for skewness, which moves both ends to the same side.
    theirs = stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.12 * (theirs.high - theirs.low))


# The calibration error -----------------------------------------------------------------------------------------------

CALIBRATION = find(BINNED, "binary")


def scored(rows: int, seed: int, *, sharpness: float) -> Binary:
    """Calibrated where `sharpness` is 1, overconfident where it is more."""
    random = np.random.default_rng(seed)
    signal = random.normal(-0.5, 1.2, size=rows)
    probability = 1 / (1 + np.exp(-sharpness * signal))
    return Binary(random.random(rows) < 1 / (1 + np.exp(-signal)), probability > 0.5, probability)


def test_calibration_error__has_the_bootstraps_standard_error_where_there_is_one() -> None:
    outcome = scored(4000, 1, sharpness=2)
    random = np.random.default_rng(0)
    drawn = [taken(outcome, random.integers(0, 4000, size=4000)) for _ in range(600)]
    deviation = np.std([estimate_of(CALIBRATION, each).value for each in drawn], ddof=1)
    assert np.sqrt(variance(estimate_of(CALIBRATION, outcome).influence)) == pytest.approx(deviation, rel=0.1)


def test_calibration_error__of_calibrated_models_is_zero_on_average_and_its_error_no_less_than_it_is() -> None:
    found = [estimate_of(CALIBRATION, scored(1000, seed, sharpness=1)) for seed in range(400)]
    values = np.array([each.value for each in found])
    errors = np.array([np.sqrt(variance(each.influence)) for each in found])
    assert abs(values.mean()) < 3 * values.std() / 20
    assert (values < 0).mean() == pytest.approx(0.55, abs=0.15)
    assert np.sqrt((errors**2).mean()) > 0.95 * values.std()


@pytest.mark.parametrize("rows", [300, 3000])
def test_calibration_error__of_two_models_is_covered(rows: int) -> None:
    """The usual expected calibration error misses the difference below in 15 to 50 % of such intervals."""
    ends = (1.3, 2.0)
    large = [estimate_of(CALIBRATION, scored(400_000, 9, sharpness=each)).value for each in ends]
    missed = 0
    for seed in range(300):
        theirs, ours = (estimate_of(CALIBRATION, scored(rows, seed, sharpness=each)) for each in ends)
        error = np.sqrt(variance(ours.influence - theirs.influence))
        missed += abs(ours.value - theirs.value - (large[1] - large[0])) > 1.96 * error
    assert missed / 300 <= 0.09


# The area under the ROC curve --------------------------------------------------------------------------------------


def delong(truth: Booleans, scores: list[Floats]) -> tuple[Floats, Floats]:
    """Areas and their covariance matrix, straight from DeLong et al. 1988: every pair is looked at."""
    placements = []
    for score in scores:
        positive, negative = score[truth][:, None], score[~truth][None, :]
        placements.append((positive > negative) + 0.5 * (positive == negative))
    areas = np.array([kernel.mean() for kernel in placements])
    of_positives = np.cov([kernel.mean(axis=1) for kernel in placements])
    of_negatives = np.cov([kernel.mean(axis=0) for kernel in placements])
    return areas, np.atleast_2d(of_positives / truth.sum() + of_negatives / (~truth).sum())


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("positives", [0.05, 0.4, 0.95])
def test_auc__is_delongs_area_variance_and_covariance(ties: bool, positives: float) -> None:
    a = binary(150, 1, positives=positives, ties=ties)
    b = binary(150, 1, positives=positives, skill=0.7, ties=not ties)
    assert a.probability is not None
    assert b.probability is not None
    areas, covariance = delong(a.truth, [a.probability, b.probability])
    ours = [area_under_roc(a.truth, each) for each in (a.probability, b.probability)]
    assert [each.value for each in ours] == pytest.approx(areas, rel=1e-12)
    product = ours[0].influence @ ours[1].influence / 150**2
    assert product == pytest.approx(covariance[0, 1], rel=1e-9)
    assert [variance(each.influence) for each in ours] == pytest.approx(np.diag(covariance), rel=1e-9)


def test_auc__of_two_rows_a_class_by_hand() -> None:
    # Positives .8 and .3, negatives .5 and .1: three of four pairs are right.
    found = area_under_roc(np.array([True, True, False, False]), np.array([0.8, 0.3, 0.5, 0.1]))
    assert found.value == 0.75
    # Placements 1, .5 | .5, 1: each class has variance 1/8, over two rows each.
    assert variance(found.influence) == pytest.approx(1 / 8 / 2 + 1 / 8 / 2)


def test_auc__does_not_change_with_the_scale_of_the_score() -> None:
    o = binary(100, 3, ties=False)
    assert o.probability is not None
    first, second = area_under_roc(o.truth, o.probability), area_under_roc(o.truth, np.exp(7 * o.probability) - 3)
    np.testing.assert_array_equal(first.influence, second.influence)


# 113 patients after a haemorrhage (Turck et al. 2010, doi:10.1007/s00134-009-1641-y), the example data set of R's pROC:
# outcome, the biomarker S100b, and the clinical grade WFNS.
POOR_OUTCOME = np.array([*map(int, (
    "00001101001011001011101000000000100110110000000001100010001010011101101111000110100000010000000000001111110001000"
))], dtype=bool)  # fmt: skip
S100B = np.array([
    0.13, 0.14, 0.1, 0.04, 0.13, 0.1, 0.47, 0.16, 0.18, 0.1, 0.12, 0.1, 0.44, 0.71, 0.04, 0.08, 0.49, 0.04, 0.07, 0.33,
    0.09, 0.09, 0.07, 0.11, 0.07, 0.17, 0.07, 0.11, 0.13, 0.19, 0.05, 0.16, 0.41, 0.14, 0.34, 0.35, 0.48, 0.09, 0.96,
    0.25, 0.5, 0.46, 0.16, 0.07, 0.43, 0.45, 0.11, 0.08, 0.09, 0.86, 0.52, 0.08, 0.06, 0.13, 2.07, 0.1, 0.14, 0.15,
    0.07, 0.06, 0.77, 0.05, 0.09, 0.3, 0.03, 0.09, 0.04, 0.23, 0.7, 0.09, 0.27, 0.71, 0.08, 0.26, 0.08, 0.16, 0.09,
    0.13, 0.1, 0.08, 0.11, 0.33, 0.11, 0.28, 0.07, 0.1, 0.32, 0.22, 0.07, 0.05, 0.24, 0.38, 0.1, 0.15, 0.08, 0.14, 0.1,
    0.07, 0.04, 0.19, 0.56, 0.14, 0.58, 0.32, 0.82, 0.74, 0.15, 0.47, 0.17, 0.44, 0.15, 0.5, 0.48,
])  # fmt: skip
WFNS = np.array([*map(float, (
    "11113254125255125225211112121134214541425511241125521251222151125214524414121421232421451154221113125225552445111"
))])  # fmt: skip


def test_auc__published_by_proc() -> None:
    """pROC's documentation: s100b .7314, 95 % interval (DeLong) .6301 to .8326; its tests: the paired test below."""
    assert (len(POOR_OUTCOME), int(POOR_OUTCOME.sum())) == (113, 41)
    s100b, wfns = area_under_roc(POOR_OUTCOME, S100B), area_under_roc(POOR_OUTCOME, WFNS)
    assert round(s100b.value, 4) == 0.7314
    assert round(wfns.value, 4) == 0.8237
    half = stats.norm.ppf(0.975) * np.sqrt(variance(s100b.influence))
    assert (round(s100b.value - half, 4), round(s100b.value + half, 4)) == (0.6301, 0.8326)
    difference = wfns.value - s100b.value
    error = np.sqrt(variance(wfns.influence - s100b.influence))
    assert difference / error == pytest.approx(2.20898359144091, rel=1e-12)
    assert difference - stats.norm.ppf(0.975) * error == pytest.approx(0.0104061769564846, rel=1e-9)
    assert difference + stats.norm.ppf(0.975) * error == pytest.approx(0.174214419249478, rel=1e-9)


def test_auc__published_for_ratings_of_images() -> None:
    """Hanley & McNeil 1982, table I: 58 normal and 51 abnormal images in five ratings; the area is .893."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    rating = np.repeat([1.0, 2, 3, 4, 5, 1, 2, 3, 4, 5], normal + abnormal)
    truth = np.arange(109) >= 58
    found = area_under_roc(truth, rating)
    assert round(found.value, 3) == 0.893
    # Stata's manual of roctab has DeLong's standard error for the same table.
    assert round(float(np.sqrt(variance(found.influence))), 4) == 0.0307


# What follows from the order of rows -------------------------------------------------------------------------------


def test_average_precision__by_hand() -> None:
    # Scores 4, 3, 3, 1; the second group of two holds one positive: precision 1, 2/3 twice as one step, 2/4.
    value, influence = ordered.average_precision(np.array([True, True, False, False]), np.array([4.0, 3, 3, 1]))
    assert value == pytest.approx((1 + 2 / 3) / 2)
    assert influence.sum() == pytest.approx(0, abs=1e-12)


def test_median__standard_error_is_price_and_bonetts() -> None:
    """n = 25: the ranks 13 -+ 5 are 8 and 18, whose exact level is 2 P(Binomial(25, 1/2) <= 7)."""
    values = np.random.default_rng(3).exponential(size=25)
    value, influence = ordered.median(values)
    ranked = np.sort(values)
    z = stats.norm.isf(stats.binom.cdf(7, 25, 0.5))
    assert value == np.median(values)
    # The median itself is one of an odd number of rows, and moves nothing.
    assert np.sqrt(variance(influence)) == pytest.approx((ranked[17] - ranked[7]) / (2 * z) * np.sqrt(24 / 25))


@pytest.mark.parametrize("rows", [2, 3, 4, 7, 100, 101])
def test_median__of_any_number_of_rows(rows: int) -> None:
    values = np.random.default_rng(rows).normal(size=rows)
    value, influence = ordered.median(values)
    assert value == pytest.approx(np.median(values))
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    assert np.isfinite(influence).all()


def test_median__of_a_large_sample_has_the_density_s_error() -> None:
    """1 / (2 f(median) sqrt(n)); of a normal distribution sqrt(pi / 2 / n)."""
    influence = ordered.median(np.random.default_rng(0).normal(size=200_000))[1]
    assert np.sqrt(variance(influence)) == pytest.approx(np.sqrt(np.pi / 2 / 200_000), rel=0.06)


def test_median__paired_difference_has_the_bootstraps_error() -> None:
    random = np.random.default_rng(6)
    shared = random.normal(size=4_000)
    both = [np.abs(shared + 0.5 * random.normal(size=4_000)) for _ in range(2)]
    found = np.sqrt(variance(ordered.median(both[0])[1] - ordered.median(both[1])[1]))
    rows = random.integers(0, 4_000, size=(1_000, 4_000))
    drawn = np.median(both[0][rows], axis=1) - np.median(both[1][rows], axis=1)
    assert found == pytest.approx(drawn.std(), rel=0.15)
