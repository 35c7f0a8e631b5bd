"""Metrics under scikit-learn's names, each with the influence of every row on its value; a module for each task."""

from __future__ import annotations

import difflib

from slipway.evaluation.metrics import binary, forecasting, multiclass, multilabel, ranking, regression
from slipway.evaluation.metrics.base import Estimate, Family, Metric, Task, UndefinedError, mean, ratio, share
from slipway.evaluation.metrics.binary import area_under_roc

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


INSTEAD = {
    "expected_calibration_error": "squared_calibration_error",
    "ece": "squared_calibration_error",
}
"""What is asked for in vain, since it has no honest interval, and what has one."""


def find(name: str, task: Task) -> Metric:
    """The metric of that scikit-learn name (scorer or function, with or without `neg_`), or of a family: `ndcg@10`.

    Raises KeyError whose message names the nearest known metric.
    """
    known = {alias: metric for metric in METRICS if metric.task == task for alias in (metric.name, *metric.aliases)}
    if name in known:
        return known[name]
    families = {family.name: family for family in FAMILIES if family.task == task}
    stem, _, number = name.partition("@")
    if stem in families:
        return _member(families[stem], name, number)
    if INSTEAD.get(name) in known:
        raise KeyError(f"`{name}` has no honest interval; take `{INSTEAD[name]}`, which has")
    full = {alias: metric.name for alias, metric in known.items()}
    full |= {f"{each.name}@{each.symbol}": f"{each.name}@{each.symbol}" for each in families.values()}
    close = difflib.get_close_matches(name, list(full), n=1, cutoff=0.5)
    listed = ", ".join(sorted(set(full.values())))
    hint = f"did you mean `{full[close[0]]}`?" if close else f"known for {task} tasks: {listed}"
    raise KeyError(f"`{name}` is no metric for {task} tasks; {hint}")


def _member(family: Family, name: str, number: str) -> Metric:
    form = f"{family.name}@{family.symbol}"
    try:
        value = float(number)
    except ValueError:
        raise KeyError(f"`{name}` lacks its number: `{form}`, such as `{family.name}@{family.example}`") from None
    try:
        return family.build(value)
    except ValueError as limits:
        raise KeyError(f"`{name}`: {family.symbol} of `{form}` must be {limits}") from None
