"""Rows of the holdout among the training rows: planted ones are found, chance is not called leakage."""

from __future__ import annotations

import random

import polars as pl
import pytest

from slipway.data import leakage
from slipway.report import Verdict


def rows(start: int, count: int, seed: int = 0) -> pl.DataFrame:
    draw = random.Random(seed)
    numbers = range(start, start + count)
    return pl.DataFrame({"id": numbers, "x": [draw.random() for _ in numbers], "s": [str(n % 7) for n in numbers]})


@pytest.mark.parametrize(
    ("planted", "verdict"),
    [(0, Verdict.PASS), (1, Verdict.INCONCLUSIVE), (9, Verdict.INCONCLUSIVE), (10, Verdict.FAIL)],
)
def test_planted_rows_are_counted(planted: int, verdict: Verdict) -> None:
    train = rows(0, 5000)
    holdout = pl.concat([rows(10_000, 1000 - planted, seed=1), train.head(planted)])
    check = leakage.check(train.lazy(), holdout.lazy())
    assert check.verdict is verdict
    assert check.values == {"shared": planted, "rows": 1000, "chance": 0.0}


def test_columns_are_matched_by_name_and_extra_ones_left_out() -> None:
    train = rows(0, 100)
    holdout = train.select("s", "x", "id").head(50).with_columns(extra=pl.lit(1))
    assert leakage.check(train.lazy(), holdout.lazy()).values["shared"] == 50


def test_missing_values_and_nan_are_equal_to_themselves() -> None:
    train = pl.DataFrame({"a": [None, 1.0, float("nan"), 4.0], "b": ["x", None, "y", "z"]})
    assert leakage.check(train.lazy(), train.lazy()).values["shared"] == 4


@pytest.mark.parametrize("seed", range(10))
def test_few_columns_repeat_by_chance_and_that_is_no_leakage(seed: int) -> None:
    draw = random.Random(seed)
    train, holdout = (
        pl.LazyFrame({"a": [draw.randint(0, 9) for _ in range(size)], "b": [draw.randint(0, 9) for _ in range(size)]})
        for size in (3000, 1000)
    )
    check = leakage.check(train, holdout)
    assert check.verdict is Verdict.PASS
    assert check.values["shared"] == 1000
    assert "are expected" in check.detail


def test_a_partly_repeating_dataset_with_a_real_leak_fails() -> None:
    draw = random.Random(3)
    train = pl.DataFrame({"a": [draw.randint(0, 40_000) for _ in range(4000)]})
    fresh = pl.DataFrame({"a": [draw.randint(0, 40_000) for _ in range(900)]})
    assert leakage.check(train.lazy(), fresh.lazy()).verdict is Verdict.PASS
    leaky = pl.concat([fresh, train.head(100)])
    assert leakage.check(train.lazy(), leaky.lazy()).verdict is Verdict.FAIL


def test_what_cannot_be_compared_is_inconclusive() -> None:
    one, other = pl.LazyFrame({"a": [1]}), pl.LazyFrame({"a": ["1"]})
    assert leakage.check(one, other).verdict is Verdict.INCONCLUSIVE
    assert leakage.check(one, pl.LazyFrame({"b": [1]})).verdict is Verdict.INCONCLUSIVE


def test_categories_are_compared_by_their_text() -> None:
    train = pl.LazyFrame({"a": pl.Series(["x", "y", "z"], dtype=pl.Categorical)})
    holdout = pl.LazyFrame({"a": pl.Series(["z", "y"], dtype=pl.Categorical)})
    assert leakage.check(train, holdout).values["shared"] == 2


def test_nested_columns_are_compared() -> None:
    train = pl.LazyFrame({"a": [[1, 2], [3]], "b": [{"x": 1}, {"x": 2}]})
    assert leakage.check(train, train.head(1)).values["shared"] == 1
