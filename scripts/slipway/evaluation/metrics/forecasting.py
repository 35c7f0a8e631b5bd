"""Metrics of forecasts: all of regression's, and those that are fit to compare series of different size."""

from __future__ import annotations

from functools import partial

import numpy as np

from slipway.evaluation.metrics import regression
from slipway.evaluation.metrics.base import Estimate, Family, Metric, UndefinedError, mean, ratio
from slipway.evaluation.metrics.regression import error_of
from slipway.evaluation.outcomes import Floats, Forecast, Integers


def seasonal_naive_scale(truth: Floats, series: Integers, time: Integers, season: int) -> Floats:
    """Each row's scale: the mean over its series of |truth - truth `season` rows before|, NaN in one too short for it.

    Hyndman & Koehler 2006 (doi:10.1016/j.ijforecast.2006.03.001), taken over the rows that judge.
    truth, series, time: (rows,); series are positions from 0 on, time is anything that sorts.
    """
    order = np.lexsort((time, series))
    ordered, of_series = truth[order], series[order]
    same = of_series[season:] == of_series[:-season]
    change = np.abs(ordered[season:] - ordered[:-season])[same]
    count = int(series.max()) + 1
    steps = np.bincount(of_series[season:][same], minlength=count)
    sums = np.bincount(of_series[season:][same], weights=change, minlength=count)
    return np.asarray(np.divide(sums, steps, out=np.full(count, np.nan), where=steps > 0)[series])


def mean_absolute_scaled_error(o: Forecast) -> Estimate:
    """Mean of |error| / scale of the row's series; below 1 is better than the naive forecast.

    The scales are taken as given: they follow from the truth, and are the same for both models.
    """
    if np.isnan(o.scale).any():
        raise UndefinedError("a series has no more rows than a season, so nothing to scale its errors by")
    if (o.scale == 0).any():
        raise UndefinedError("a series repeats itself exactly, so nothing to scale its errors by")
    return mean(np.abs(error_of(o)) / o.scale)


def symmetric_mean_absolute_percentage_error(o: Forecast) -> Estimate:
    """Mean of 2 |error| / (|truth| + |prediction|), from 0 to 2; 0 where both are 0."""
    size = np.abs(o.truth) + np.abs(o.prediction)
    return mean(np.divide(2 * np.abs(error_of(o)), size, out=np.zeros(len(o)), where=size > 0))


def wape(o: Forecast) -> Estimate:
    """Weighted absolute percentage error: sum of |error| / sum of |truth|."""
    return ratio(np.abs(error_of(o)), np.abs(o.truth), undefined="every truth is 0")


_loss = partial(Metric, task="forecasting", greater_is_better=False)

METRICS: tuple[Metric, ...] = (
    *regression.metrics_of("forecasting"),
    _loss("mean_absolute_scaled_error", estimate=mean_absolute_scaled_error),
    _loss(
        "symmetric_mean_absolute_percentage_error",
        estimate=symmetric_mean_absolute_percentage_error,
    ),
    _loss("wape", estimate=wape),
)

FAMILIES: tuple[Family, ...] = (
    Family("mean_pinball_loss", "forecasting", "q", "0.9", partial(regression.mean_pinball_loss, "forecasting")),
)
