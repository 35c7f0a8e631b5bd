"""Intervals against published values, scipy, formulas by hand and the bootstrap; their coverage by simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slipway.evaluation.formulas import Interval, bonett_price, normal_quantile, wilson
from slipway.evaluation.grouping import take
from slipway.evaluation.imaginary import with_imaginary_rows
from slipway.evaluation.intervals import of_difference, of_one
from slipway.evaluation.metrics import Metric, UndefinedError, find
from slipway.evaluation.outcomes import Binary, Floats, Integers, Multiclass, Outcome, Regression, Text
from slipway.evaluation.sampling import Sampling
from test_evaluation_reference import BY_ROW, MAKERS, multiclass, regression

ALL = [pytest.param(metric, id=f"{metric.task}-{metric.name}") for metric in BY_ROW]


def pair(metric: Metric, rows: int) -> tuple[Outcome, Outcome]:
    """Production and candidate with the same truth."""
    production = MAKERS[metric.task](rows, 31)
    assert not isinstance(production, Text)
    same_truth: dict[str, Any] = {"truth": production.truth}
    return production, replace(MAKERS[metric.task](rows, 32), **same_truth)


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


# Shares ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "rows", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson__published_by_newcombe_1998(successes: int, rows: int, low: float, high: float) -> None:
    """Table I of doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, method 3."""
    found = wilson(successes, rows, 0.95)
    assert found.value == successes / rows
    assert ends(found) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize("successes", [0, 1, 7, 40])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_wilson__is_scipys(successes: int, confidence: float) -> None:
    theirs = stats.binomtest(successes, 40).proportion_ci(confidence, method="wilson")
    assert ends(wilson(successes, 40, confidence)) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def labels(both: int, ours: int, theirs: int, none: int) -> tuple[Any, Any]:
    """Rows that both models, only one, or none of them gets right."""
    return (
        np.repeat([True, True, False, False], [both, ours, theirs, none]),
        np.repeat([True, False, True, False], [both, ours, theirs, none]),
    )


def test_bonett_price__published_with_statpsych() -> None:
    """The example of ci.prop.ps in the R package of the paper's author: f00 12, f01 4, f10 26, f11 6."""
    found = bonett_price(*labels(6, 26, 4, 12), 0.95)
    assert found.value == pytest.approx((26 - 4) / 48)
    assert found.standard_error == pytest.approx(0.09448809, abs=5e-9)
    assert ends(found) == pytest.approx((0.2548067, 0.6251933), abs=5e-8)


def test_bonett_price__without_any_disagreement_is_not_certain() -> None:
    # (0 + 1) / 102 won and lost: variance (2 / 102) / 102.
    found = bonett_price(*labels(90, 0, 0, 10), 0.95)
    assert found.value == 0
    assert ends(found) == pytest.approx((-1.959964 * np.sqrt(2) / 102, 1.959964 * np.sqrt(2) / 102), rel=1e-6)


def test_bonett_price__stays_within_what_a_difference_can_be() -> None:
    assert ends(bonett_price(*labels(0, 3, 0, 0), 0.99))[1] == 1.0
    assert ends(bonett_price(*labels(0, 0, 3, 0), 0.99))[0] == -1.0


def test_of__accuracy_without_clusters_takes_the_intervals_of_shares() -> None:
    accuracy = find("accuracy", "binary")
    production, candidate = pair(accuracy, 150)
    sampling = Sampling(rows=150, confidence=0.9)
    right = [vars(each)["truth"] == vars(each)["label"] for each in (candidate, production)]
    assert of_one(accuracy, candidate, sampling) == wilson(int(right[0].sum()), 150, 0.9)
    assert of_difference(accuracy, production, candidate, sampling) == bonett_price(right[0], right[1], 0.9)


@pytest.mark.parametrize(("confidence", "z"), [(0.95, 1.959964), (0.9, 1.644854), (0.99, 2.575829)])
def test_normal_quantile__is_two_sided(confidence: float, z: float) -> None:
    assert normal_quantile(confidence) == pytest.approx(z, abs=1e-6)


# Means -------------------------------------------------------------------------------------------------------------

MAE = find("mean_absolute_error", "regression")


def losses(outcome: Outcome) -> Floats:
    assert isinstance(outcome, Regression)
    return np.abs(outcome.truth - outcome.prediction)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("rows", [5, 120])
def test_of_difference__of_a_mean_is_the_paired_t_interval(rows: int, confidence: float) -> None:
    production, candidate = pair(MAE, rows)
    found = of_difference(MAE, production, candidate, Sampling(rows=rows, confidence=confidence))
    changes = losses(candidate) - losses(production)
    half = stats.t.ppf((1 + confidence) / 2, degrees(changes)) * stats.sem(changes)
    assert ends(found) == pytest.approx((changes.mean() - half, changes.mean() + half), rel=1e-9)
    assert found.value == pytest.approx(losses(candidate).mean() - losses(production).mean())


def degrees(values: Floats) -> float:
    """Satterthwaite's degrees of freedom of a variance: 2 n / (kurtosis - 1), at most n - 1."""
    return float(min(len(values) - 1, 2 * len(values) / (stats.kurtosis(values, fisher=False) - 1)))


def test_degrees__of_a_loss_that_one_row_decides_are_two() -> None:
    """A single row of a thousand: nothing is known of the spread of such rows, and t with 2 degrees says so."""
    right, wild = Regression(np.zeros(1000), np.zeros(1000)), np.where(np.arange(1000) == 7, 50.0, 0.0)
    found = of_difference(MAE, right, Regression(np.zeros(1000), wild), Sampling(1000))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * found.standard_error, rel=1e-2)


def test_degrees__of_even_losses_are_all_of_them() -> None:
    even = Regression(np.zeros(40), np.linspace(1, 2, 40))
    found = of_one(MAE, even, Sampling(40))
    theirs = stats.ttest_1samp(losses(even), 0).confidence_interval(0.95)
    assert ends(found) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def hall(t: float, a: float) -> float:
    """The u whose u + a u² / 3 + a² u³ / 27 + a / 6 is t, by the root of the polynomial."""
    roots = np.roots([a**2 / 27, a / 3, 1, a / 6 - t])
    return float(roots[np.abs(roots.imag).argmin()].real)


@pytest.mark.parametrize("clusters", [None, np.arange(40) // 2])
def test_of_one__of_a_mean_is_the_t_interval_with_halls_correction(clusters: Integers | None) -> None:
    outcome = regression(40, 0)
    units = losses(outcome) if clusters is None else losses(outcome).reshape(20, 2).mean(axis=1)
    found = of_one(MAE, outcome, Sampling(40, clusters=clusters))
    a = stats.skew(units) / np.sqrt(len(units))
    t = stats.t.ppf(0.975, degrees(units))
    error = stats.sem(units) * (1 if clusters is None else np.sqrt(40 / 39))  # both corrections, n - 1 and G - 1
    expected = [units.mean() - error * hall(sign * t, a) for sign in (1, -1)]
    assert ends(found) == pytest.approx(expected, rel=1e-6)
    assert found.high - found.value > found.value - found.low
    assert found.method.endswith("skewness")


def test_of_one__of_skewed_losses_holds_the_truth_more_often_than_t() -> None:
    """Squared normal errors, one in twenty three times as wide; t alone misses upwards in 11 % of samples."""
    random = np.random.default_rng(11)
    metric = find("mean_squared_error", "regression")
    truth = 0.95 + 0.05 * 9
    above = []
    for _ in range(1000):
        error = random.normal(size=200) * np.where(random.random(200) < 0.05, 3, 1)
        above.append(of_one(metric, Regression(np.zeros(200), error), Sampling(200)).high < truth)
    # 6.7 % of 4,000 samples; three sigma of 1,000 are 2.4.
    assert np.mean(above) < 0.091


def test_of_one__of_r2_is_as_skewed_as_a_gamma_variable_at_least() -> None:
    """1 - r2 of even errors: its influences are hardly skewed, and a gamma variable of its error is by 2 errors."""
    random = np.random.default_rng(3)
    truth = random.normal(size=200)
    outcome = Regression(truth, truth + 0.5 * random.normal(size=200))
    r2 = find("r2", "regression")
    found, estimate = of_one(r2, outcome, Sampling(200)), r2.estimate(outcome)
    own = (estimate.influence**3).sum() / (estimate.influence**2).sum() ** 1.5
    least = 2 * found.standard_error / (1 - found.value)
    assert abs(own) < least
    t = stats.t.ppf(0.975, degrees(estimate.influence))
    expected = [found.value - found.standard_error * hall(sign * t, -least) for sign in (1, -1)]
    assert ends(found) == pytest.approx(expected, rel=1e-6)
    assert found.value - found.low > found.high - found.value
    under, up_to = found.below(found.low)
    assert (under, up_to) == pytest.approx((0.025, 0.025), rel=1e-6)


def test_of_one__of_r2_holds_the_truth() -> None:
    """With the skewness of the influences alone the interval lies above the truth in 7 % of samples."""
    random = np.random.default_rng(5)
    r2 = find("r2", "regression")
    above = []
    for _ in range(1000):
        truth = np.exp(0.5 * random.normal(size=200))
        outcome = Regression(truth, truth * np.exp(0.2 * random.normal(size=200)))
        above.append(of_one(r2, outcome, Sampling(200)).low)
    large = np.exp(0.5 * random.normal(size=1_000_000))
    whole = r2.estimate(Regression(large, large * np.exp(0.2 * random.normal(size=1_000_000)))).value
    # 2.5 % are meant; three sigma of 1,000 are 1.5.
    assert np.mean(np.array(above) > whole) < 0.04


@pytest.mark.parametrize("metric", ALL)
def test_of_difference__changes_sign_with_the_models(metric: Metric) -> None:
    production, candidate = pair(metric, 120)
    sampling = Sampling(rows=120)
    there = of_difference(metric, production, candidate, sampling)
    back = of_difference(metric, candidate, production, sampling)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low), abs=1e-12)
    assert there.low < there.high
    assert there.value == pytest.approx(
        of_one(metric, candidate, sampling).value - of_one(metric, production, sampling).value
    )


@pytest.mark.parametrize("metric", ALL)
def test_of_difference__widens_with_confidence(metric: Metric) -> None:
    production, candidate = pair(metric, 120)
    narrow, wide = (of_difference(metric, production, candidate, Sampling(120, level)) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


# Clusters ----------------------------------------------------------------------------------------------------------

UNEVEN: Integers = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 4])


def test_clusters__give_the_sandwich_by_hand() -> None:
    production, candidate = pair(MAE, 12)
    changes = losses(candidate) - losses(production)
    centred = changes - changes.mean()
    sums = [sum(centred[row] for row in range(12) if UNEVEN[row] == cluster) for cluster in range(5)]
    # Liang & Zeger with G / (G - 1); the mean's own n / (n - 1) is in the influences.
    error = np.sqrt(sum(each**2 for each in sums) * 5 / 4 * 12 / 11) / 12
    half = stats.t.ppf(0.975, 4) * error
    found = of_difference(MAE, production, candidate, Sampling(12, clusters=UNEVEN))
    assert found.standard_error == pytest.approx(error, rel=1e-12)
    assert ends(found) == pytest.approx((changes.mean() - half, changes.mean() + half), rel=1e-9)
    assert "5 clusters" in found.method


@pytest.mark.parametrize("metric", BY_ROW, ids=lambda m: f"{m.task}-{m.name}")
def test_clusters__of_one_row_are_rows(metric: Metric) -> None:
    production, candidate = pair(metric, 90)
    rows = of_difference(metric, production, candidate, Sampling(90))
    alone = of_difference(metric, production, candidate, Sampling(90, clusters=np.arange(90)))
    # Up to G / (G - 1), of a few imaginary rows more for labels; Bonett & Price for plain shares is another formula.
    assert alone.standard_error == pytest.approx(rows.standard_error * np.sqrt(90 / 89), rel=0.05)
    share_of_rows = metric.estimate(candidate).correct is not None
    if not metric.of_labels and not share_of_rows:
        assert alone.standard_error == pytest.approx(rows.standard_error * np.sqrt(90 / 89), rel=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_clusters__repeated_rows_add_no_evidence(metric: Metric) -> None:
    """Every row four times, each in the cluster of its original: four times the rows, the same standard error."""
    once = pair(metric, 70)
    four = [_repeated(outcome, 4) for outcome in once]
    alone = of_difference(metric, *once, Sampling(70, clusters=np.arange(70)))
    repeated = of_difference(metric, four[0], four[1], Sampling(280, clusters=np.repeat(np.arange(70), 4)))
    as_if_independent = of_difference(metric, four[0], four[1], Sampling(280))
    tolerance = 0.25 if metric.of_labels else 0.05
    assert repeated.standard_error == pytest.approx(alone.standard_error, rel=tolerance)
    assert as_if_independent.standard_error < 0.7 * repeated.standard_error


def _repeated(outcome: Outcome, times: int) -> Outcome:
    columns = {name: column for name, column in vars(outcome).items() if isinstance(column, np.ndarray)}
    changes: dict[str, Any] = {name: np.repeat(column, times, axis=0) for name, column in columns.items()}
    return replace(outcome, **changes)


@pytest.mark.parametrize("metric", ALL)
def test_clusters__fewer_than_two_give_no_interval(metric: Metric) -> None:
    production, candidate = pair(metric, 40)
    one_cluster = Sampling(40, clusters=np.zeros(40, dtype=np.int64))
    with pytest.raises(UndefinedError, match="fewer than two"):
        of_one(metric, candidate, one_cluster)
    with pytest.raises(UndefinedError, match="fewer than two"):
        of_difference(metric, production, candidate, one_cluster)


def test_units__one_row_gives_no_interval() -> None:
    right = Binary(np.array([True]), np.array([True]))
    with pytest.raises(UndefinedError, match="fewer than two"):
        of_difference(find("accuracy", "binary"), right, right, Sampling(1))


# Imaginary rows ----------------------------------------------------------------------------------------------------


def test_imaginary_rows__two_classes() -> None:
    found = with_imaginary_rows(Binary(np.array([True]), np.array([False]), np.array([0.2])), (True, False))
    assert isinstance(found, Binary)
    assert found.truth.tolist() == [True, False, False, True, True]
    assert found.label.tolist() == [False, False, True, True, False]
    assert found.probability is None


def test_imaginary_rows__many_classes() -> None:
    found = with_imaginary_rows(Multiclass(np.array([0, 2, 2]), np.array([0, 1, 2]), 4), (True, False))
    assert isinstance(found, Multiclass)
    assert found.truth.tolist() == [0, 2, 2, 0, 0, 2, 2]
    assert found.label.tolist() == [0, 1, 2, 0, 2, 2, 0]
    assert found.classes == 4


def test_imaginary_rows__one_class_of_several_still_gets_wrong_ones() -> None:
    found = with_imaginary_rows(Multiclass(np.array([3, 3]), np.array([3, 3]), 4), (True, False))
    assert isinstance(found, Multiclass)
    assert found.label.tolist() == [3, 3, 3, 0]


def test_imaginary_rows__recall_of_models_that_agree_is_bonett_price_among_the_positives() -> None:
    truth = np.arange(300) < 25
    same = Binary(truth, truth & (np.arange(300) > 2))
    found = of_difference(find("recall", "binary"), same, same, Sampling(300))
    assert found.value == 0
    assert found.standard_error == pytest.approx(np.sqrt(2) / 27, rel=1e-12)


def test_imaginary_rows__perfect_recall_has_the_error_of_two_successes_and_two_failures_more() -> None:
    truth = np.arange(300) < 25
    # A cluster for each row: without clusters the interval of a share is Wilson's.
    found = of_one(find("recall", "binary"), Binary(truth, truth), Sampling(300, clusters=np.arange(300)))
    share = 27 / 29
    assert found.value == 1
    assert found.standard_error == pytest.approx(np.sqrt(share * (1 - share) / 29), rel=2e-3)


# Shares of some rows, and precisions of few -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "successes", "among"),
    [("precision", 3, 8), ("recall", 3, 10), ("specificity", 85, 90), ("negative_predictive_value", 85, 92)],
)
def test_of_one__a_share_of_some_rows_is_wilsons(name: str, successes: int, among: int) -> None:
    truth = np.repeat([True, True, False, False], [3, 7, 5, 85])
    label = np.repeat([True, False, True, False], [3, 7, 5, 85])
    found = of_one(find(name, "binary"), Binary(truth, label), Sampling(100))
    theirs = stats.binomtest(successes, among).proportion_ci(0.95, method="wilson")
    assert found.value == successes / among
    assert ends(found) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert found.method == "Wilson"


def called(rows: int, positives: int) -> Binary:
    """Every second row is positive; the first rows are called so."""
    return Binary(np.arange(rows) % 2 == 0, np.arange(rows) < positives)


def test_precision__of_two_rows_called_positive_is_not_compared() -> None:
    precision = find("precision", "binary")
    with pytest.raises(UndefinedError, match="too few rows carry the label that it counts: 2; at least 3 are needed"):
        of_difference(precision, called(100, 20), called(100, 2), Sampling(100))
    with pytest.raises(UndefinedError, match="that it counts: 2"):
        of_difference(precision, called(100, 2), called(100, 20), Sampling(100))
    with pytest.raises(UndefinedError, match="that it counts: 1"):
        of_difference(find("negative_predictive_value", "binary"), called(100, 99), called(100, 20), Sampling(100))
    assert of_difference(precision, called(100, 20), called(100, 3), Sampling(100)).high > 0


def test_precision__of_rows_in_two_clusters_is_neither_compared_nor_judged() -> None:
    precision = find("precision", "binary")
    sampling = Sampling(100, clusters=np.arange(100) // 10)
    with pytest.raises(UndefinedError, match="too few clusters carry the label that it counts: 2"):
        of_difference(precision, called(100, 60), called(100, 20), sampling)
    with pytest.raises(UndefinedError, match="clusters carry the label that it counts: 2"):
        of_one(precision, called(100, 20), sampling)


def test_precision_macro__of_a_class_that_is_hardly_named_has_no_interval() -> None:
    o = multiclass(200, 3, classes=3)
    rare = replace(o, label=np.where(o.label == 2, 0, o.label))
    metric = find("precision_macro", "multiclass")
    with pytest.raises(UndefinedError, match="carry one of the labels that it counts: 0"):
        of_one(metric, rare, Sampling(200))
    with pytest.raises(UndefinedError, match="carry one of the labels that it counts: 0"):
        of_difference(metric, o, rare, Sampling(200))
    assert of_difference(metric, o, o, Sampling(200)).value == 0


def test_precision__of_few_rows_has_few_degrees_of_freedom() -> None:
    """Six called rows count, and not the thousand that were not called."""
    production, candidate = called(1000, 12), called(1000, 6)
    found = of_difference(find("precision", "binary"), production, candidate, Sampling(1000))
    assert found.high - found.value > 2.05 * found.standard_error
    recall = of_difference(find("recall", "binary"), production, candidate, Sampling(1000))
    assert recall.high - recall.value == pytest.approx(stats.t.ppf(0.975, 999) * recall.standard_error, rel=1e-9)


def test_coverage__of_a_precision_of_few_rows() -> None:
    """Two models that call 5 and 7 rows of 200 positive: with all degrees of freedom 91.7 % were covered."""
    random = np.random.default_rng(6)

    def make(rows: int) -> tuple[Binary, Binary]:
        truth, seen = random.random(rows) < 0.05, random.standard_normal(rows)

        def model(strength: float) -> Binary:
            noise = 0.8 * seen + 0.6 * random.standard_normal(rows)
            return Binary(truth, np.log(0.05 / 0.95) + strength * noise + strength**2 * (truth - 0.5) > -0.847)

        return model(1.5), model(1.7)

    precision = find("precision", "binary")
    values = [_value(precision, each) for each in make(2_000_000)]
    held = []
    for _ in range(1000):
        try:
            found = of_difference(precision, *make(200), Sampling(200))
        except UndefinedError:
            continue
        held.append(found.low <= values[1] - values[0] <= found.high)
    assert len(held) > 800
    # 94.9 % of 20,000 samples; three sigma of 900 are 2.2.
    assert np.mean(held) >= 0.927


@pytest.mark.parametrize("metric", [each for each in BY_ROW if each.of_labels], ids=lambda m: f"{m.task}-{m.name}")
@pytest.mark.parametrize("clustered", [False, True])
def test_imaginary_rows__no_metric_of_labels_is_ever_certain(metric: Metric, clustered: bool) -> None:
    outcome = MAKERS[metric.task](100, 1)
    assert not isinstance(outcome, Text)
    same_label: dict[str, Any] = {"label": outcome.truth}
    perfect = replace(outcome, **same_label)
    sampling = Sampling(100, clusters=np.arange(100) // 5 if clustered else None)
    for each in (outcome, perfect):
        agreeing = of_difference(metric, each, each, sampling)
        assert agreeing.value == 0
        assert agreeing.low < -0.002
        assert agreeing.high > 0.002
    assert of_one(metric, perfect, sampling).low < 0.995


def test_imaginary_rows__are_no_clusters_of_evidence() -> None:
    """Three clusters leave two degrees of freedom, whatever is imagined beside them."""
    production, candidate = pair(find("f1", "binary"), 90)
    found = of_difference(find("f1", "binary"), production, candidate, Sampling(90, clusters=np.arange(90) % 3))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * found.standard_error, rel=1e-9)
    assert found.method == "paired, closed form, 3 clusters"


def test_imaginary_rows__fade_with_the_rows() -> None:
    f1 = find("f1", "binary")
    production, candidate = pair(f1, 20_000)
    influence = f1.estimate(candidate).influence - f1.estimate(production).influence
    plain = np.sqrt((influence**2).sum()) / 20_000
    assert of_difference(f1, production, candidate, Sampling(20_000)).standard_error == pytest.approx(plain, rel=2e-3)


# Where there is no interval ----------------------------------------------------------------------------------------

SEPARATED = Binary(np.arange(100) < 5, np.arange(100) < 5, np.linspace(1, 0, 100))


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_perfect__order_gives_no_interval_since_its_error_would_be_zero(name: str) -> None:
    with pytest.raises(UndefinedError, match="perfect on these rows"):
        of_one(find(name, "binary"), SEPARATED, Sampling(100))


def test_perfect__candidate_can_still_be_compared() -> None:
    production = replace(SEPARATED, probability=np.random.default_rng(0).random(100))
    found = of_difference(find("roc_auc", "binary"), production, SEPARATED, Sampling(100))
    assert 0 < found.low < found.value < found.high


def test_constant__score_is_a_coin_for_certain() -> None:
    """A constant does not rank at all, on any row: here an interval without width is the truth."""
    constant = replace(SEPARATED, probability=np.full(100, 0.3))
    found = of_one(find("roc_auc", "binary"), constant, Sampling(100))
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_of_one__an_error_that_overflows_is_no_interval() -> None:
    diverged = Regression(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 1e100]))
    with np.errstate(over="ignore"), pytest.raises(UndefinedError, match="standard error is not a finite number"):
        of_one(find("mean_squared_error", "regression"), diverged, Sampling(3))


# Bootstrap ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("binary", "precision"),
        ("binary", "roc_auc"),
        ("binary", "average_precision"),
        ("multiclass", "f1_macro"),
        ("regression", "root_mean_squared_error"),
    ],
)
def test_bootstrap__ends_are_those_of_the_formula(task: Any, name: str) -> None:
    """A plain bootstrap that draws rows and computes both models anew.

    1,500 draws know an end to within sqrt(0.025 * 0.975 / 1500) / 0.0584 standard errors, 1.8 % of the width; allowed
    are four times that, and 1 % for what 3,000 rows lack to a normal distribution (5 % in benchmarks/agreement.py).
    """
    metric, random = find(name, task), np.random.default_rng(4)
    production, candidate = pair(metric, 3000)
    draws = []
    for _ in range(1500):
        rows = random.integers(0, 3000, size=3000)
        draws.append(_value(metric, take(candidate, rows)) - _value(metric, take(production, rows)))
    low, high = np.quantile(draws, [0.025, 0.975])
    found = of_difference(metric, production, candidate, Sampling(3000))
    assert ends(found) == pytest.approx((low, high), abs=0.082 * (high - low))


# Coverage ----------------------------------------------------------------------------------------------------------

REPLICATIONS = 400
POPULATION = 400_000


def labelled(rows: int, seed: int, *, positives: float, disagreement: float) -> tuple[Binary, Binary]:
    """Production errs in a fifth of the positives; the candidate differs from it in that share of rows."""
    random = np.random.default_rng(seed)
    truth = random.random(rows) < positives
    theirs = np.where(truth, random.random(rows) > 0.2, random.random(rows) < 0.05)
    return Binary(truth, theirs), Binary(truth, theirs ^ (random.random(rows) < disagreement))


def scored(rows: int, seed: int) -> tuple[Binary, Binary]:
    random = np.random.default_rng(seed)
    truth = random.random(rows) < 0.3
    signal = 1.5 * truth + random.normal(size=rows)
    both = [1 / (1 + np.exp(1.2 - signal - noise * random.normal(size=rows))) for noise in (0.3, 0.5)]
    return Binary(truth, both[0] > 0.5, both[0]), Binary(truth, both[1] > 0.5, both[1])


def classified(rows: int, seed: int) -> tuple[Multiclass, Multiclass]:
    production = multiclass(rows, seed)
    random = np.random.default_rng(seed + 10**6)
    changed = np.where(random.random(rows) < 0.1, random.integers(0, 4, rows), production.label)
    return production, replace(production, label=changed)


def measured(rows: int, seed: int) -> tuple[Regression, Regression]:
    production = regression(rows, seed)
    noise = np.random.default_rng(seed + 10**6).normal(scale=0.1, size=rows)
    return production, replace(production, prediction=np.abs(production.prediction + noise))


def misses(metric: Metric, make: Callable[[int, int], tuple[Any, Any]], rows: int) -> tuple[float, float]:
    """How often the difference's interval lies wholly above, and wholly below, the true difference."""
    truth = [_value(metric, outcome) for outcome in make(POPULATION, 999_999)]
    true_difference = truth[1] - truth[0]
    above = below = 0
    for seed in range(REPLICATIONS):
        found = of_difference(metric, *make(rows, seed), Sampling(rows))
        above += found.low > true_difference
        below += found.high < true_difference
    return above / REPLICATIONS, below / REPLICATIONS


def _value(metric: Metric, outcome: Outcome) -> float:
    return metric.estimate(outcome).value


@pytest.mark.parametrize(
    ("name", "task", "make"),
    [
        ("accuracy", "binary", scored),
        ("f1", "binary", scored),
        ("matthews_corrcoef", "binary", scored),
        ("roc_auc", "binary", scored),
        ("log_loss", "binary", scored),
        ("f1_macro", "multiclass", classified),
        ("root_mean_squared_error", "regression", measured),
    ],
)
def test_coverage__of_95_percent_intervals(name: str, task: Any, make: Callable[[int, int], tuple[Any, Any]]) -> None:
    above, below = misses(find(name, task), make, rows=300)
    # 400 replications know a coverage of 95 % to within 2.2 points (two sigma); three sigma are allowed.
    assert 0.915 <= 1 - above - below <= 0.995


@pytest.mark.parametrize("name", ["recall", "precision", "f1", "balanced_accuracy", "matthews_corrcoef"])
@pytest.mark.parametrize(("rows", "positives"), [(200, 0.3), (1000, 0.05)])
def test_coverage__where_few_rows_tell_the_models_apart(name: str, rows: int, positives: float) -> None:
    """One row in a hundred differs: without imaginary rows, `low` was above the truth in up to 60 % of cases."""

    def make(size: int, seed: int) -> tuple[Binary, Binary]:
        return labelled(size, seed, positives=positives, disagreement=0.01)

    above, below = misses(find(name, "binary"), make, rows)
    assert above <= 0.05
    assert below <= 0.05


@pytest.mark.parametrize("name", ["recall", "f1", "balanced_accuracy"])
def test_coverage__of_one_nearly_perfect_model(name: str) -> None:
    """Two errors in a hundred: without imaginary rows, a `min` at the true value passed in up to 16 % of cases."""

    def make(size: int, seed: int) -> Binary:
        random = np.random.default_rng(seed)
        truth = random.random(size) < 0.3
        return Binary(truth, truth ^ (random.random(size) < 0.02))

    metric = find(name, "binary")
    true_value = _value(metric, make(POPULATION, 999_999))
    found = [of_one(metric, make(300, seed), Sampling(300)) for seed in range(REPLICATIONS)]
    assert np.mean([each.low > true_value for each in found]) <= 0.05
    assert np.mean([each.high < true_value for each in found]) <= 0.05
