"""Every suite takes the outcomes of every task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from slipway.evaluation.baseline import baseline
from slipway.evaluation.leakage import tells_alone
from slipway.evaluation.metrics import find
from slipway.evaluation.outcomes import Forecast
from slipway.evaluation.search import row_harm
from test_evaluation_reference import MAKERS, PRICES, binary, forecast, multilabel, ranking


@pytest.mark.parametrize("task", MAKERS)
def test_baseline__is_an_outcome_of_the_same_task(task: str) -> None:
    known = MAKERS[task](100, 0)
    assert type(baseline(known)) is type(known)


def test_baseline__keeps_costs_and_scales() -> None:
    constant = baseline(binary(100, 0))
    assert getattr(constant, "costs", None) is PRICES
    numbers = baseline(forecast(100, 0))
    assert isinstance(numbers, Forecast)
    scaled = find("mean_absolute_scaled_error", "forecasting")
    assert scaled.estimate is not None
    assert scaled.estimate(numbers).value > 0


def test_row_harm__of_labels_is_the_share_that_is_wrong() -> None:
    production = multilabel(50, 0)
    candidate = replace(production, label=production.truth)
    name, harm = row_harm(candidate, production)
    assert name == "share of wrong labels"
    assert harm == pytest.approx(-(production.truth != production.label).mean(axis=1))


def test_tells_alone__one_label_or_the_grade() -> None:
    labels, ranked = multilabel(300, 0), ranking(300, 0)
    noise = pl.Series("x", np.random.default_rng(0).normal(size=300))
    assert tells_alone(pl.Series("x", labels.truth[:, 3].astype(float)), labels)
    assert tells_alone(pl.Series("x", 2 * ranked.truth), ranked)
    assert not tells_alone(noise, labels)
    assert not tells_alone(noise, ranked)
