"""Metrics under scikit-learn's names, each with the influence of every row on its value; a module for each task."""

from __future__ import annotations

from slipway.evaluation.metrics import binary, forecasting, multiclass, multilabel, ranking, regression
from slipway.evaluation.metrics.base import Estimate, Family, Metric, UndefinedError, mean, ratio, share
from slipway.evaluation.metrics.binary import area_under_roc
from slipway.policy.metrics import Task, canonical

__all__ = [
    "FAMILIES",
    "METRICS",
    "Estimate",
    "Family",
    "Metric",
    "Task",
    "UndefinedError",
    "area_under_roc",
    "find",
    "mean",
    "ratio",
    "share",
]

METRICS: tuple[Metric, ...] = (
    *binary.METRICS,
    *multiclass.METRICS,
    *multilabel.METRICS,
    *ranking.METRICS,
    *regression.METRICS,
    *forecasting.METRICS,
)

FAMILIES: tuple[Family, ...] = (
    *binary.FAMILIES,
    *multiclass.FAMILIES,
    *ranking.FAMILIES,
    *regression.FAMILIES,
    *forecasting.FAMILIES,
)


def find(name: str, task: Task) -> Metric:
    """The metric of that scikit-learn name (scorer or function, with or without `neg_`), or of a family: `ndcg@10`.

    Raises KeyError whose message names the nearest known metric.
    """
    try:
        known = canonical(name, task)
    except ValueError as unknown:
        raise KeyError(str(unknown)) from None
    stem, _, number = known.partition("@")
    if number:
        return next(each for each in FAMILIES if (each.name, each.task) == (stem, task)).build(float(number))
    return next(each for each in METRICS if (each.name, each.task) == (known, task))
