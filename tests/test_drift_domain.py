"""Rows of today told from the reference's by a classifier: null, joint drift, clusters, and against NannyML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from domain_of_nannyml import CASES, COUNT, rows
from slipway.drift import domain, judging
from slipway.evaluation.findings import Findings
from slipway.policy.drift import DomainClassifier, Drift
from slipway.profiles import of_batches
from slipway.report import Check, Verdict

RULES = DomainClassifier()
COLUMNS = ("a", "b", "c")
RECORDED = json.loads(Path(__file__).with_name("domain_of_nannyml.json").read_text())["areas"]


def frame(seed: int, count: int = COUNT, together: float = 0.0, shift: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame(rows(seed, count, together, shift))


def told(reference: pl.DataFrame, current: pl.DataFrame, **more: Any) -> Findings:
    return domain.judge(reference, current, RULES, **{"columns": COLUMNS, "min_rows": 200, **more})


def check(found: Findings) -> Check:
    (only,) = found.checks
    return only


def area(found: Findings, key: str = "area") -> float:
    value = check(found).values[key]
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize("case", CASES)
def test_area__agrees_with_nannyml(case: str) -> None:
    """Its classifier is LightGBM with greater trees, which learn more noise: ours finds as much or a little more."""
    found = area(told(frame(1), frame(2, COUNT, *CASES[case])))
    assert RECORDED[case] - 0.02 < found < RECORDED[case] + 0.04
    if case == "shifted":
        assert found == pytest.approx(0.638, abs=0.02)  # the best there is: Phi(0.5 / sqrt(2))


def test_judge__a_correlation_that_came_is_found_though_no_column_moved() -> None:
    reference, current = frame(1), frame(2, together=0.8)
    alone = judging.judge(of_batches([reference]), of_batches([current]), Drift(current="live"))
    assert judging.verdict(alone) is Verdict.PASS
    found = told(reference, current)
    assert check(found).verdict is Verdict.FAIL
    assert check(found).values["role"] == "feature"
    # Both of the pair give it away, and the third does not.
    first, *given_away = [row[0] for row in found.tables[0].rows]
    assert first == "all columns" and set(given_away[:2]) == {"a", "b"}
    assert "It looks at `" in found.reasons[0]


def test_judge__without_drift_the_area_is_a_half_and_nothing_alarms() -> None:
    found = [told(frame(seed, 300), frame(1_000 + seed, 300)) for seed in range(8)]
    areas = np.array([area(each) for each in found])
    assert areas.mean() == pytest.approx(0.5, abs=0.03)  # of one the standard error is 0.034
    assert all(check(each).verdict is not Verdict.FAIL for each in found)
    # Two-sided at 95 %: of eight at most one is beyond, but for 6 %.
    beyond = sum(area(each, "area_low") > 0.5 or area(each, "area_high") < 0.5 for each in found)
    assert beyond <= 1


def test_judge__the_same_rows_give_the_same_digits() -> None:
    assert told(frame(1, 300), frame(2, 300, 0.8)) == told(frame(1, 300), frame(2, 300, 0.8))


def days(seed: int, count: int, per_day: int, first: int) -> pl.DataFrame:
    """Days with a weather of their own, in all three columns: 60 % of the variance is between days."""
    draw = np.random.default_rng(seed)
    day = np.repeat(np.arange(count), per_day)
    values = draw.normal(size=(count, 3))[day] * np.sqrt(0.6) + draw.normal(size=(len(day), 3)) * np.sqrt(0.4)
    return pl.DataFrame(values, schema=["a", "b", "c"]).with_columns(day=pl.Series(first + day))


def test_judge__days_that_are_told_apart_are_no_drift() -> None:
    """Row by row, rows of the same day stand on both sides of a fold and give each other away."""
    reference, current = days(1, 100, 20, 0), days(2, 7, 60, 1_000)
    by_rows, by_days = told(reference, current), told(reference, current, cluster="day")
    assert area(by_rows, "area_low") > 0.6
    assert check(by_rows).verdict is Verdict.FAIL
    assert check(by_days).verdict is not Verdict.FAIL
    width = area(by_days, "area_high") - area(by_days, "area_low")
    assert width > 3 * (area(by_rows, "area_high") - area(by_rows, "area_low"))


def test_judge__drift_of_all_days_is_found() -> None:
    shifted = days(2, 28, 20, 1_000).with_columns(pl.col("a") + 4)
    found = told(days(1, 100, 20, 0), shifted, cluster="day")
    assert check(found).verdict is Verdict.FAIL
    assert found.tables[0].rows[1][0] == "a"


def test_split__keeps_a_group_together_and_deals_out_both_sides() -> None:
    groups = np.repeat(np.arange(60), 10)
    truth = groups >= 50
    folds = domain.split(truth, groups)
    assert all(len(set(folds[groups == each])) == 1 for each in range(60))
    assert [int(truth[folds == fold].sum()) for fold in range(domain.FOLDS)] == [20] * 5
    assert [int((~truth)[folds == fold].sum()) for fold in range(domain.FOLDS)] == [100] * 5


def test_usable__leaves_out_identifiers_times_and_what_has_another_type() -> None:
    counter = pl.int_range(600, eager=True)
    before = pl.DataFrame(
        {
            "id": [f"row {n}" for n in range(600)],
            "number": counter,
            "amount": counter % 50,
            "price": counter / 7,
            "kind": ["a", "b"] * 300,
            "gone": counter,
            "when": pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 1), eager=True).extend_constant(
                None, 599
            ),
            "typed": counter,
        }
    )
    now = before.drop("gone").with_columns(
        id=pl.col("id") + " of today", number=pl.col("number") + 600, typed=pl.lit("x")
    )
    found = domain.usable(before, now, before.columns)
    assert found == (["amount", "price", "kind"], ["id", "number"])
    # Of few rows amounts are all different, too.
    assert domain.usable(before.head(300), now.head(300), ["number"]) == (["number"], [])
    judged = told(before, now, columns=("number", "amount"))
    assert judged.reasons[-1].endswith("looks like an identifier: `number`.")


def test_encoded__names_the_most_frequent_values_and_what_is_missing() -> None:
    many = [f"level {n:03}" for n in range(300)]
    before = pl.DataFrame({"x": [1.0, float("inf"), None, *[0.0] * 600], "k": ["often"] * 302 + many + [None]})
    found = domain.encoded(before, before.head(2))
    assert found.names == ("x", "k") and found.texts.tolist() == [False, True]
    assert found.values[0, 0] == 1.0 and np.isnan(found.values[1:3, 0]).all()
    codes = found.values[:603, 1]
    assert codes[0] == 0.0 and np.isnan(codes[602])
    assert (codes == domain.LEVELS).sum() == 300 - (domain.LEVELS - 1)


@pytest.mark.parametrize(
    ("reference", "current", "more", "said"),
    [
        (100, 500, {}, "100 rows are too few"),
        (500, 500, {"columns": ("elsewhere",)}, "no column in common"),
        (500, 500, {"cluster": "day"}, "1 clusters (`day`) in the current data are too few"),
    ],
)
def test_judge__what_cannot_be_told_is_inconclusive(
    reference: int, current: int, more: dict[str, Any], said: str
) -> None:
    found = told(frame(1, reference), frame(2, current).with_columns(day=1), **more)
    assert check(found).verdict is Verdict.INCONCLUSIVE
    assert said in found.reasons[0]
