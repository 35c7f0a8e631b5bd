"""Outcomes that need more of a row than its truth: its query, or its time and series."""

from __future__ import annotations

import numpy as np
import polars as pl

from slipway.evaluation.metrics.forecasting import seasonal_naive_scale
from slipway.evaluation.outcomes import Forecast, Integers, Ranking
from slipway.policy.evaluation import Evaluation
from slipway.prediction.process import Predictions
from slipway.runner.errors import InputError


def positions(values: pl.Series) -> Integers:
    """Positions 0..n-1 of each row's value. values: (rows,). Rows without a value share a position."""
    return values.cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1


def rankings(
    evaluation: Evaluation, truth: pl.Series, named: dict[str, Predictions], keys: pl.DataFrame
) -> dict[str, Ranking]:
    """Each model's order. keys: the query's column.

    Raises InputError where a row has no query, a grade is below 0, or no query has anything to put in order.
    """
    query = _complete(keys, evaluation.query)
    if float(truth.min()) < 0:  # type: ignore[arg-type]
        raise InputError(
            f"The target `{evaluation.target}` has grades below 0.",
            fix="Grades of relevance start at 0, which means not relevant.",
        )
    place = positions(query)
    if len(place) == int(place.max()) + 1:
        raise InputError(
            f"Every row has a value of its own in `{evaluation.query}`, so there is nothing to put in order.",
            fix="Name the column that the rows of one query share under `evaluation.query`.",
        )
    grades = truth.cast(pl.Float64).to_numpy()
    return {name: Ranking(grades, _numbers(said), place) for name, said in named.items()}


def forecasts(
    evaluation: Evaluation, truth: pl.Series, named: dict[str, Predictions], keys: pl.DataFrame
) -> dict[str, Forecast]:
    """Each model's forecast. keys: the columns of time and, if the policy names one, series.

    Raises InputError where a row lacks one of them, or two rows of a series have the same time.
    """
    time = _complete(keys, evaluation.time).rank("dense").to_numpy().astype(np.int64)
    series = np.zeros(len(truth), dtype=np.int64)
    if evaluation.series:
        series = positions(_complete(keys, evaluation.series))
    if len(np.unique(series * (int(time.max()) + 1) + time)) < len(time):
        raise InputError(
            f"Several rows of one series have the same value in `{evaluation.time}`.",
            fix="Name the column that tells them apart (shop, product, horizon) under `evaluation.series`.",
        )
    numbers = truth.cast(pl.Float64).to_numpy()
    scale = seasonal_naive_scale(numbers, series, time, evaluation.season or 1)
    return {name: Forecast(numbers, _numbers(said), scale) for name, said in named.items()}


def _complete(keys: pl.DataFrame, column: str | None) -> pl.Series:
    assert column is not None
    values = keys[column]
    if values.null_count():
        raise InputError(
            f"`{column}` is missing in {values.null_count():,} of {len(values):,} rows of the holdout.",
            fix="Leave these rows out of the holdout, or fill the column in.",
        )
    return values


def _numbers(said: Predictions) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return said.frame["prediction"].cast(pl.Float64).to_numpy()
