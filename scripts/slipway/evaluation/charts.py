"""The curves that a task has, of both models, as charts: how well probabilities are calibrated, how rows are ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from slipway.evaluation.curves import reliability, residual_quantiles, roc
from slipway.evaluation.metrics.base import UndefinedError
from slipway.evaluation.outcomes import Binary, Outcome, Regression
from slipway.report import Chart, Point, Series

T = TypeVar("T")
BINS = 10


def charts_of(candidate: Outcome, production: Outcome | None, confidence: float) -> tuple[Chart, ...]:
    """Charts of binary tasks (where models give probabilities) and of tasks with numbers; none of other tasks."""
    both = {"candidate": candidate, **({"production": production} if production is not None else {})}
    if isinstance(candidate, Binary):
        binary = {name: each for name, each in both.items() if isinstance(each, Binary)}
        drawn = (_calibration(binary, confidence), _roc(binary))
        return tuple(chart for chart in drawn if chart)
    if isinstance(candidate, Regression):
        return (_residuals({name: each for name, each in both.items() if isinstance(each, Regression)}),)
    return ()


def _calibration(both: Mapping[str, Binary], confidence: float) -> Chart | None:
    def points(outcome: Binary) -> tuple[Point, ...]:
        return tuple(
            Point(x=each.probability, y=each.observed, low=each.low, high=each.high, count=each.rows)
            for each in reliability(outcome, BINS, confidence)
        )

    series = _series(both, points)
    note = f"Up to {BINS} bins of as many rows each; {100 * confidence:g} % intervals by Wilson."
    return Chart(kind="reliability", title="Calibration", series=series, note=note) if series else None


def _roc(both: Mapping[str, Binary]) -> Chart | None:
    def points(outcome: Binary) -> tuple[Point, ...]:
        return tuple(Point(x=each.false_positive_rate, y=each.true_positive_rate) for each in roc(outcome))

    series = _series(both, points)
    return Chart(kind="roc", title="ROC curve", series=series) if series else None


def _residuals(both: Mapping[str, Regression]) -> Chart:
    def points(outcome: Regression) -> tuple[Point, ...]:
        return tuple(Point(label=f"{100 * each.share:g} %", y=each.residual) for each in residual_quantiles(outcome))

    note = "That share of rows has a residual (truth minus prediction) of at most this."
    return Chart(kind="bars", title="Quantiles of the residuals", series=_series(both, points), note=note)


def _series(both: Mapping[str, T], points: Callable[[T], tuple[Point, ...]]) -> tuple[Series, ...]:
    """A series for each model that has the curve: one without probabilities, or over one class, has none."""
    found = []
    for name, outcome in both.items():
        try:
            found.append(Series(name=name, points=points(outcome)))
        except UndefinedError:
            continue
    return tuple(found)
