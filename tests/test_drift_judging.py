"""Which columns drifted: against hand computation, on streams without drift, and on columns that went bad."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from slipway.drift import telling
from slipway.drift.judging import Compared, judge, new_columns, verdict
from slipway.policy.drift import Drift
from slipway.profiles import Profile, of_batches
from slipway.report import Verdict


def rules(**said: Any) -> Drift:
    return Drift.model_validate({"current": "live", **said})


RULES = rules()


def profile(**columns: Any) -> Profile:
    return of_batches([pl.DataFrame(columns)])


def one(reference: Any, current: Any, by: Drift = RULES) -> Compared:
    (found,) = judge(profile(x=reference), profile(x=current), by)
    return found


def normal(rows: int, mean: float = 0.0, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(mean, 1, rows)


def test_judge__a_shift_is_drift_and_the_numbers_agree_with_hand_computation() -> None:
    reference, current = ["a"] * 600 + ["b"] * 400, ["a"] * 300 + ["b"] * 700
    found = one(reference, current)
    assert found.drifted
    p, q = np.array([0.6, 0.4]), np.array([0.3, 0.7])
    middle = (p + q) / 2
    divergence = (stats.entropy(p, middle, base=2) + stats.entropy(q, middle, base=2)) / 2
    assert found.distance == pytest.approx(np.sqrt(divergence))
    expected = stats.chi2_contingency([[600, 400], [300, 700]], correction=False).pvalue
    # Beside it stands the test of missing values, with p-value 1: the smaller of two is doubled.
    assert found.p_adjusted == pytest.approx(2 * expected)
    assert found.missing == (0.0, 0.0)


def test_judge__what_is_significant_and_small_is_no_drift() -> None:
    found = one(normal(400_000), normal(400_000, 0.05, seed=2))
    assert found.p_adjusted is not None and found.p_adjusted < 1e-6
    assert found.distance is not None and found.distance < 0.1
    assert found.verdict is Verdict.PASS


def test_judge__what_is_large_by_chance_is_no_drift() -> None:
    by = rules(min_rows=20, floor=0.01)
    found = [one(normal(60, seed=seed), normal(60, seed=seed + 1000), by) for seed in range(200)]
    assert sum(each.distance is not None and each.distance > 0.1 for each in found) > 180
    assert (
        sum(each.drifted for each in found) <= 6
    )  # of 200, where each may be wrong with less than 1 %: P(> 6) < 0.5 %


@pytest.mark.parametrize("rows", [200, 1_000, 20_000])
def test_judge__quiet_streams_stay_quiet(rows: int) -> None:
    """Thirty columns without drift, forty looks: the floor and the correction leave next to no look with an alarm."""
    random = np.random.default_rng(rows)

    def draw(count: int) -> Profile:
        numbers = {f"n{place}": random.normal(size=count) for place in range(20)}
        return profile(**numbers, **{f"c{place}": random.choice(list("abcdef"), count) for place in range(10)})

    reference = draw(5_000)
    looks = [judge(reference, draw(rows), RULES) for _ in range(40)]
    assert sum(verdict(look) is Verdict.FAIL for look in looks) <= 2


@pytest.mark.parametrize(
    ("current", "said"),
    [
        (normal(2_000, 0.8), "its distance"),
        (normal(2_000) * 2.5, "its distance"),
        (np.where(np.arange(2_000) % 5 == 0, np.nan, normal(2_000)), "20.0% have no value, and 0.0% had none"),
        (np.where(np.arange(2_000) % 5 == 0, np.inf, normal(2_000)), "20.0% have no value"),
        (np.full(2_000, 0.3), "its distance"),
        ([None] * 2_000, "100.0% have no value"),
        (["a"] * 2_000, "`x` was Float64 and is String."),
    ],
    ids=["mean", "spread", "nan", "infinite", "constant", "nulls", "type"],
)
def test_judge__what_drifts(current: Any, said: str) -> None:
    found = one(normal(5_000, seed=3), current)
    assert found.drifted
    assert said in found.detail


def test_judge__a_new_category_is_drift_and_a_rare_one_is_not() -> None:
    reference = ["a"] * 500 + ["b"] * 500
    assert one(reference, ["a"] * 400 + ["b"] * 400 + ["new"] * 200).drifted
    assert not one(reference, ["a"] * 499 + ["b"] * 499 + ["new"] * 2).drifted


def test_judge__rare_categories_are_pooled() -> None:
    """A thousand names that occur once each say nothing of drift, whichever they are."""
    names = [f"n{place}" for place in range(300)]
    found = one(names + ["a"] * 700, [f"m{place}" for place in range(300)] + ["a"] * 700, rules(floor=0.001))
    assert found.p_adjusted is not None and found.p_adjusted > 0.5


def test_judge__columns_that_are_not_judged() -> None:
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2024, 1, 1), eager=True)
    reference = profile(day=days, tags=[["a"]] * len(days), gone=[1] * len(days))
    found = {
        each.name: each
        for each in judge(reference, profile(day=days, tags=[["b"]] * len(days), new=[1] * len(days)), RULES)
    }
    assert (found["day"].verdict, found["tags"].verdict) == (None, None)
    assert found["gone"].drifted and "not there any more" in found["gone"].detail
    assert new_columns(reference, profile(day=days, new=[1] * len(days))) == ("new",)


@pytest.mark.parametrize(
    ("current", "said"),
    [
        (["2024-01-01"] * 1_000, "`x` was Date and is String."),
        ([None] * 1_000, "100.0% have no value"),
    ],
    ids=["as text", "nulls"],
)
def test_judge__a_column_of_times_that_broke_is_no_silence(current: Any, said: str) -> None:
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2024, 1, 1), eager=True)
    found = one(days, current)
    assert (found.verdict, found.role) == (Verdict.FAIL, "quality")
    assert said in found.detail


@pytest.mark.parametrize("rows", [0, 1, 199])
def test_judge__too_few_rows_are_inconclusive(rows: int) -> None:
    found = judge(profile(x=normal(1_000)), profile(x=normal(rows)), RULES)
    assert [each.verdict for each in found] == [Verdict.INCONCLUSIVE]
    assert verdict(found) is Verdict.INCONCLUSIVE


def test_judge__too_few_values_hide_no_loss_of_values() -> None:
    found = one(normal(1_000), [None] * 950 + normal(50).tolist())
    assert found.drifted and "95.0% have no value" in found.detail


def test_verdict__nothing_judged_is_no_pass() -> None:
    assert verdict(()) is Verdict.INCONCLUSIVE


def test_judge__the_correction_is_over_all_columns() -> None:
    """A single column in ten with p near 0.02 is chance."""
    reference = profile(**{f"x{place}": ["a"] * 1_000 + ["b"] * 1_000 for place in range(10)})
    counts = {f"x{place}": ["a"] * 100 + ["b"] * 100 for place in range(9)}
    current = profile(**counts, x9=["a"] * 83 + ["b"] * 117)
    found = judge(reference, current, rules(floor=0.001, min_rows=100))
    alone = stats.chi2_contingency([[1_000, 1_000], [83, 117]], correction=False).pvalue
    assert 0.01 < alone < 0.05
    assert Counter(each.verdict for each in found) == {Verdict.PASS: 10}
    assert one(
        ["a"] * 1_000 + ["b"] * 1_000, ["a"] * 83 + ["b"] * 117, rules(floor=0.001, min_rows=100)
    ).p_adjusted == pytest.approx(2 * alone)


def test_judge__shows_the_shape_of_numbers_by_ranges_of_the_reference() -> None:
    found = one(np.arange(1000.0), np.arange(900.0, 1900.0))
    assert len(found.shape) == 10
    assert found.shape[0].label.startswith("0 to ")
    assert [round(part.before, 2) for part in found.shape] == [0.1] * 10
    # Only its last hundred values are within the reference, and the outer cells are open.
    assert [round(part.now, 2) for part in found.shape] == [0.0] * 9 + [1.0]


def test_judge__shows_the_most_frequent_categories_and_the_others_together() -> None:
    names = [f"v{number:02}" for number in range(12) for _ in range(20 + number)]
    found = one(names, names)
    assert [part.label for part in found.shape[:2]] == ["v11", "v10"]
    assert found.shape[-1].label == "others"
    assert sum(part.now for part in found.shape) == pytest.approx(1)


def test_judge__of_too_many_categories_shows_no_shape() -> None:
    names = [f"value {number}" for number in range(2_000)]
    assert one(names, names).shape == ()


def test_telling__draws_both_on_one_scale_and_charts_what_drifted() -> None:
    found = judge(
        profile(x=[0.0] * 500 + [1.0] * 500, y=normal(1000)), profile(x=[1.0] * 1000, y=normal(1000, seed=2)), RULES
    )
    table = telling.table(found, RULES)
    shapes = {str(row[0]): str(row[1]) for row in table.rows}
    assert shapes["x"] == "▅▅ → ▁█"
    charts = telling.chart(found)
    assert [each.title for each in charts] == ["Distance by column", "Shares of x"]
    assert [[point.y for point in each.points] for each in charts[1].series] == [[0.5, 0.5], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("reference", "current", "same"),
    [
        (pl.Boolean, pl.String, False),
        (pl.String, pl.Boolean, False),
        (pl.Int64, pl.Duration("us"), False),
        (pl.Time, pl.Duration("us"), False),
        (pl.Datetime("us", "UTC"), pl.Datetime("us"), False),
        (pl.Date, pl.Datetime("us", "UTC"), False),
        (pl.Datetime("us", "UTC"), pl.Datetime("ms", "Europe/Berlin"), True),
        (pl.Date, pl.Datetime("us"), True),
        (pl.Int8, pl.Float64, True),
        (pl.Float64, pl.Decimal(10, 2), True),
        (pl.Categorical, pl.String, True),
        (pl.Null, pl.Boolean, True),
    ],
)
def test_judge__values_that_look_alike_and_mean_something_else_are_another_type(
    reference: Any, current: Any, same: bool
) -> None:
    values = pl.Series("x", [0, 1] * 300)

    def typed(dtype: Any) -> Profile:
        if dtype == pl.Null:
            return profile(x=[None] * 600)
        if dtype in (pl.String, pl.Categorical):
            return of_batches([values.cast(pl.Boolean).cast(pl.String).cast(dtype).to_frame()])
        return of_batches([values.cast(dtype).to_frame()])

    (found,) = judge(typed(reference), typed(current), RULES)
    assert (" was " not in found.detail) is same
    if not same:
        assert (found.verdict, found.role) == (Verdict.FAIL, "quality")


def test_reasons__of_many_columns_the_first_are_named() -> None:
    names = [f"c{number}" for number in range(40)]
    gone = judge(profile(**{name: normal(300) for name in names}), profile(other=normal(300)), RULES)
    said = telling.reasons(gone, [])
    assert len(said) == 21
    assert said[-1] == "20 more are in the table."
