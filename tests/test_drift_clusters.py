"""Rows that come in clusters: against hand computation, another form of the same statistic, and streams of days."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from slipway.drift import cells, clusters
from slipway.drift.cells import Cells
from slipway.drift.judging import judge, verdict
from slipway.policy.drift import Drift
from slipway.profiles import merge, of_batches
from slipway.report import Verdict
from slipway.runner.errors import InputError

RULES = Drift(current="live", cluster="day")


def days(random: np.random.Generator, count: int, rows: int, spread: float, shift: float = 0.0) -> pl.DataFrame:
    """Days with a weather of their own: of a variance of 1, `spread`**2 is between days."""
    day = np.repeat(np.arange(count), rows)
    level = random.normal(size=count)[day] * spread
    x = level + random.normal(size=len(day)) * np.sqrt(1 - spread**2) + shift
    kinds = np.array(["a", "b", "c", "d"])[np.digitize(x, [-0.7, 0.0, 0.7])]
    return pl.DataFrame({"day": day, "x": x, "kind": kinds})


def test_design__agrees_with_hand_computation() -> None:
    # Two cells: the one eigenvalue is n Var(p) / (p (1 - p)), the usual design effect.
    parts = np.array([[8, 2], [5, 5], [2, 8], [6, 4], [9, 1]])
    found = clusters.design(parts, np.array([0.6, 0.4]))
    variance = 5 / 4 * sum((n - 0.6 * 10) ** 2 for n in (8, 5, 2, 6, 9)) / 50**2
    assert found.effect == pytest.approx(50 * variance / (0.6 * 0.4))
    assert (found.degrees, found.clusters) == (1.0, 5)


def test_design__of_clusters_that_are_alike_is_that_of_independent_rows() -> None:
    assert clusters.design(np.array([[6, 4]] * 10), np.array([0.6, 0.4])).effect == 1.0


def test_p_value__of_two_cells_is_the_square_of_a_cluster_robust_t() -> None:
    # With one degree of freedom F is the square of t, with clusters - 1 degrees.
    parts = np.array([[8, 2], [5, 5], [2, 8], [6, 4], [9, 1]])
    both = Cells(np.array([300, 200]), parts.sum(axis=0))
    shares = (both.reference + both.current) / 550
    found = clusters.design(parts, shares)
    statistic = stats.chi2_contingency([both.reference, both.current], correction=False).statistic
    expected = 2 * stats.t.sf(np.sqrt(statistic / found.effect), 4)
    assert clusters.p_value(both, found) == pytest.approx(expected)


def test_design__of_neighbours_that_are_alike_counts_fewer_clusters() -> None:
    parts = np.array([[8, 2], [5, 5], [2, 8], [6, 4], [9, 1]])
    shares = np.array([0.6, 0.4])
    apart, alike = clusters.design(parts, shares), clusters.design(parts, shares, (0.25, 0.0))
    # (1 + r) / (1 - r) = 5 / 3, times (5 - 1) / (5 - 5 / 3) = 6 / 5
    assert alike.effect == pytest.approx(apart.effect * 2)
    assert alike.clusters == pytest.approx(5 / 2)
    assert alike.degrees == apart.degrees


def test_design__takes_the_direction_of_most_variance_apart() -> None:
    """Three cells in which days differ along one direction by far: twice as much of that leaves fewer degrees."""
    parts = np.array([[30, 40, 30], [50, 40, 10], [10, 41, 49], [45, 39, 16], [15, 40, 45], [30, 40, 30]])
    shares = np.array([0.3, 0.4, 0.3])
    scaled = (parts - 100 * parts.mean(axis=0) / 100) / np.sqrt(shares)
    first, second = np.linalg.eigvalsh(scaled.T @ scaled)[::-1][:2] * 6 / 5 / 600
    doubled = (1 + 0.25) / (1 - 0.25) * 5 / (6 - 5 / 3)
    found = clusters.design(parts, shares, (0.25, 0.0))
    assert found.effect == pytest.approx((doubled * first + second) / 2)
    assert found.degrees == pytest.approx((doubled * first + second) ** 2 / ((doubled * first) ** 2 + second**2))
    assert found.clusters == pytest.approx(6 * (first + second) / (doubled * first + second))


def test_neighbours__agree_with_hand_computation() -> None:
    # Of two cells each cluster has one number, how far its rows are from the mean's: 2, -1, -4, 0, 3.
    found = clusters.neighbours(np.array([[8, 2], [5, 5], [2, 8], [6, 4], [9, 1]]), np.array([0.6, 0.4]))
    raw = (2 * -1 + -1 * -4 + -4 * 0 + 0 * 3) / (4 + 1 + 16 + 0 + 9) + 1 / 5
    assert found[0] == pytest.approx((raw * (1 + 4 / 5), 1 / 5))
    assert found[1] is None


def test_neighbours__are_unknown_where_clusters_do_not_differ() -> None:
    assert clusters.neighbours(np.array([[6, 4]] * 10), np.array([0.6, 0.4])) == (None, None)
    assert clusters.neighbours(np.array([[6]] * 10), np.array([1.0])) == (None, None)


@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_neighbours__are_found_as_alike_as_they_are(correlation: float) -> None:
    """Fourteen days of so many rows that their shares are known, 2,000 times."""
    random = np.random.default_rng(8)
    shares = np.array([0.5, 0.5])
    found = [each for _ in range(2_000) if (each := clusters.neighbours(series(random, 14, correlation), shares)[0])]
    assert np.mean([each.correlation for each in found]) == pytest.approx(correlation, abs=0.04)
    if not correlation:
        assert np.var([each.correlation for each in found]) == pytest.approx(found[0].variance, rel=0.5)


def series(random: np.random.Generator, count: int, correlation: float, rows: int = 10_000) -> Any:
    """Counts of two cells whose shares are a first-order autoregressive series, shape (count, 2)."""
    level = np.zeros(count)
    level[0] = random.normal()
    for day in range(1, count):
        level[day] = correlation * level[day - 1] + np.sqrt(1 - correlation**2) * random.normal()
    first = np.round(rows * (0.5 + 0.05 * level)).astype(np.int64)
    return np.column_stack([first, rows - first])


def test_correlations__are_drawn_to_what_columns_have_in_common() -> None:
    near = {name: clusters.Neighbours(each, 0.04) for name, each in {"a": 0.3, "b": 0.5, "c": 0.4}.items()}
    assert clusters.correlations(near) == pytest.approx(dict.fromkeys("abc", 0.4))  # they differ by chance
    far = {"a": clusters.Neighbours(0.6, 0.0001), "b": clusters.Neighbours(0.1, 0.0001)}
    # Weights 10,000 each; Q = 1,250, between = (1,250 - 1) / 10,000, own = 0.1249 / 0.125
    assert clusters.correlations(far) == pytest.approx({"a": 0.5998, "b": 0.1002})
    assert clusters.correlations({"a": clusters.Neighbours(-0.4, 0.1)}) == {"a": 0.0}
    assert clusters.correlations({"a": clusters.Neighbours(1.3, 0.1)}) == {"a": clusters.MOST_ALIKE}
    assert clusters.correlations({}) == {}


def test_p_value__is_held_where_each_day_resembles_the_next() -> None:
    """400 windows of thirty days, of a mean that the reference knows: about 5 % are below 0.05."""
    random, shares = np.random.default_rng(9), np.array([0.5, 0.5])
    below = {"as independent": 0, "as alike": 0}
    for _ in range(400):
        parts = series(random, 30, 0.5)
        both = Cells(np.array([10**9, 10**9]), parts.sum(axis=0))
        known = clusters.neighbours(parts, shares)[0]
        assert known
        (found,) = clusters.correlations({"x": known}).values()
        below["as independent"] += clusters.p_value(both, clusters.design(parts, shares)) < 0.05
        below["as alike"] += clusters.p_value(both, clusters.design(parts, shares, (found, 0.0))) < 0.05
    assert below["as independent"] > 80
    assert below["as alike"] < 44


@given(
    some.lists(some.lists(some.floats(-1e6, 1e6), min_size=1, max_size=30), min_size=1, max_size=6),
    some.lists(some.floats(-1e6, 1e6), min_size=1, max_size=50),
)
def test_of_parts__adds_up_to_the_whole(parts: list[list[float]], reference: list[float]) -> None:
    before = of_batches([pl.DataFrame({"x": reference})]).columns["x"]
    pieces = [of_batches([pl.DataFrame({"x": part})]) for part in parts]
    now = merge(pieces).columns["x"]
    found = cells.of_parts(before, now, [each.columns["x"] for each in pieces])
    whole = cells.of(before, now).current
    assert found.shape == (len(parts), len(whole))
    assert found.sum(axis=0).tolist() == whole.tolist()


@pytest.mark.parametrize("levels", [4, 2_000], ids=["named", "in buckets"])
def test_of_parts__of_texts_adds_up_to_the_whole(levels: int) -> None:
    random = np.random.default_rng(levels)
    texts = [[f"level {n}" for n in random.integers(levels, size=300)] for _ in range(4)]
    before = of_batches([pl.DataFrame({"x": texts[0]})]).columns["x"]
    pieces = [of_batches([pl.DataFrame({"x": each})]) for each in texts[1:]]
    now = merge(pieces).columns["x"]
    found = cells.of_parts(before, now, [each.columns["x"] for each in pieces])
    assert found.sum(axis=0).tolist() == cells.of(before, now).current.tolist()


def test_profiles_of__makes_one_of_each_value_and_of_none() -> None:
    frame = pl.LazyFrame({"day": [1, 1, None, 2], "x": [1.0, 2.0, 3.0, 4.0]})
    assert sorted(each.rows for each in clusters.profiles_of(frame, "day")) == [1, 1, 2]


@pytest.mark.parametrize(
    ("values", "ordered"),
    [
        ([date(2026, 10, 1), date(2026, 9, 30), None, date(2026, 9, 4)], [4, 2, 1, 3]),
        ([10, 9, None, -1], [4, 2, 1, 3]),
        (["2026-10-01", "2026-09-30", None, "2026-09-04"], [4, 2, 1, 3]),
        ([True, False, None], [2, 1, 3]),
    ],
    ids=["dates", "numbers", "texts", "booleans"],
)
def test_profiles_of__are_in_order_of_the_value(values: list[Any], ordered: list[int]) -> None:
    frame = pl.LazyFrame({"day": values, "x": [f"{row}" for row in range(1, len(values) + 1)]})
    parts = [each.columns["x"].categories for each in clusters.profiles_of(frame, "day")]
    assert [list(each.named or {}) for each in parts if each] == [[f"{row}"] for row in ordered]


def test_profiles_of__takes_all_rows_that_are_not_a_number_for_one_cluster() -> None:
    part = pl.LazyFrame({"day": [float("nan"), 1.0] * 75_000})
    frame = pl.concat([part, part])  # long enough for several batches
    assert sorted(each.rows for each in clusters.profiles_of(frame, "day")) == [150_000, 150_000]


@pytest.mark.parametrize(("column", "says"), [("month", "no column `month`"), ("row", "more than 2,000")])
def test_profiles_of__refuses_what_is_no_cluster(column: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        clusters.profiles_of(pl.LazyFrame({"row": range(3_000)}), column)


def look(reference: pl.DataFrame, current: pl.DataFrame, rules: Drift) -> Any:
    parts = clusters.profiles_of(current.lazy(), "day") if rules.cluster else ()
    return judge(of_batches([reference.drop("day")]), of_batches([current]), rules, parts)


def test_judge__days_of_quiet_weather_are_no_drift_though_rows_say_so() -> None:
    """Windows of fourteen days of 200 flights, of a year of days. Row by row most looks alarm."""
    random = np.random.default_rng(5)
    year = days(random, 365, 200, 0.5)
    windows = [days(random, 14, 200, 0.5) for _ in range(100)]
    by_rows = sum(verdict(look(year, each, Drift(current="live", floor=0.01))) is Verdict.FAIL for each in windows)
    by_days = sum(
        verdict(look(year, each, RULES.model_copy(update={"floor": 0.01}))) is Verdict.FAIL for each in windows
    )
    assert by_rows >= 60
    assert by_days <= 9  # 5 % of a hundred; more than 9 has a chance of 3 % at that


def test_judge__drift_of_the_days_is_found() -> None:
    random = np.random.default_rng(6)
    year = days(random, 365, 200, 0.5)
    found = [look(year, days(random, 28, 200, 0.5, shift=1.0), RULES) for _ in range(20)]
    assert sum(verdict(each) is Verdict.FAIL for each in found) == 20
    assert found[0][0].design_effect > 5


def test_judge__too_few_clusters_are_inconclusive() -> None:
    random = np.random.default_rng(7)
    (x, _) = look(days(random, 365, 200, 0.5), days(random, 4, 300, 0.5, shift=3.0), RULES)
    assert x.verdict is Verdict.INCONCLUSIVE
    assert "4 clusters (`day`) are too few" in x.detail
