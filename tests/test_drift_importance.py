"""How much a model's answers hang on each column: against a model of which that is known."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from slipway.drift import importance


def rows(count: int) -> pl.DataFrame:
    random = np.random.default_rng(3)
    return pl.DataFrame({name: random.normal(size=count) for name in ("a", "b", "c")})


def test_importance__of_a_sum_is_what_can_be_computed() -> None:
    """y = 2 a + b. Shuffling a moves y by 2 |a - a'|, whose mean is 2 * 2 / sqrt(pi); y has the deviation sqrt(5)."""
    asked = importance.shuffled(rows(5_000), ["a", "b", "c"])
    assert asked.height == 4 * importance.ROWS
    found = importance.of_answers(asked.select(y=2 * pl.col("a") + pl.col("b")), ["a", "b", "c"])
    assert found["a"] == pytest.approx(4 / math.sqrt(math.pi) / math.sqrt(5), rel=0.06)
    assert found["b"] == pytest.approx(2 / math.sqrt(math.pi) / math.sqrt(5), rel=0.06)
    assert found["c"] == 0


def test_importance__of_named_classes_is_the_share_that_changed() -> None:
    asked = importance.shuffled(rows(5_000), ["a", "b"])
    answers = asked.select(y=pl.when(pl.col("a") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")))
    found = importance.of_answers(answers, ["a", "b"])
    assert found["a"] == pytest.approx(0.5, abs=0.05)
    assert found["b"] == 0


def test_importance__of_a_constant_answer_is_none() -> None:
    asked = importance.shuffled(rows(50), ["a"])
    assert asked.height == 100
    assert importance.of_answers(asked.select(y=pl.lit(0.5)), ["a"]) == {"a": 0.0}


def test_shuffled__keeps_every_value_of_the_column() -> None:
    asked = importance.shuffled(rows(100), ["a"])
    assert asked[:100]["a"].sort().equals(asked[100:]["a"].sort())
    assert asked[:100]["b"].equals(asked[100:]["b"])
    assert not asked[:100]["a"].equals(asked[100:]["a"])
