"""Whether production has become worse: measured where truths have come, estimated where the policy says so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from slipway.drift import estimation
from slipway.evaluation.findings import Findings
from slipway.evaluation.intervals import of_one
from slipway.evaluation.metrics import Metric, UndefinedError, find
from slipway.evaluation.outcomes import Integers, Outcome
from slipway.evaluation.sampling import Sampling
from slipway.policy.drift import Drift
from slipway.policy.evaluation import Evaluation
from slipway.report import Cell, Check, Column, Span, Table, Verdict
from slipway.report.model import Value as Scalar

ASSUMPTION = "Estimates (CBPE) assume that the same features still mean the same truth: they cannot see concept drift."


@dataclass(frozen=True)
class Known:
    """Rows with their truth beside production's answers."""

    outcome: Outcome
    sampling: Sampling


@dataclass(frozen=True)
class Value:
    """A metric's value with its interval."""

    value: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class Fallen:
    """One metric, reference and now. now: None where it is not known, and `detail` says why."""

    metric: str
    role: str
    before: Value | None
    now: Value | None
    limit: float | None
    detail: str = ""
    drop: tuple[float, float, float] | None = None
    """How much worse it is now: value and interval, in the metric's unit; below 0 where it is better."""

    @property
    def verdict(self) -> Verdict | None:
        """None without a limit. Fail: all of the interval is beyond it. Pass: none of it is. Else inconclusive."""
        if self.limit is None:
            return None
        if self.drop is None:
            return Verdict.INCONCLUSIVE
        _, low, high = self.drop
        return Verdict.FAIL if low > self.limit else Verdict.PASS if high <= self.limit else Verdict.INCONCLUSIVE


def judge(
    evaluation: Evaluation, rules: Drift, reference: Known, current: Known | str, answered: Known | str
) -> Findings:
    """Realised performance of every metric that the policy evaluates or limits, and what it wants estimated.

    current: rows whose truth is known; a text says why there are too few. answered: all current rows with production's
    answers, whose truth is not looked at; a text says why there are none.
    """
    named = dict.fromkeys((*evaluation.metrics, *rules.performance))
    found = [_realised(name, evaluation, rules.performance.get(name), reference, current) for name in named]
    if isinstance(current, str):
        # An estimate stands in for what nobody can measure yet.
        found = [each for each in found if each.limit is not None and each.metric not in rules.estimated_performance]
    found += [
        _estimated(name, evaluation, limit, reference, answered) for name, limit in rules.estimated_performance.items()
    ]
    return Findings(
        checks=tuple(_check(each) for each in found if each.verdict is not None),
        tables=(_table(found),) if found else (),
        reasons=tuple(said(each) for each in found if each.verdict not in (None, Verdict.PASS)),
    )


def not_judged(rules: Drift, why: str) -> Findings:
    """Every limit of the policy, inconclusive for one reason."""
    limits = (("performance", rules.performance), ("estimated_performance", rules.estimated_performance))
    found = [
        Fallen(name, role, None, None, limit, why) for role, by_metric in limits for name, limit in by_metric.items()
    ]
    return Findings(tuple(_check(each) for each in found), (), tuple(said(each) for each in found))


def said(fallen: Fallen) -> str:
    """One metric in a sentence."""
    what = f"`{fallen.metric}`" + (" (estimated)" if fallen.role == "estimated_performance" else "")
    if fallen.before is None or fallen.now is None or fallen.drop is None:
        return f"{what} is not known: {fallen.detail}"
    drop, low, high = fallen.drop
    moved = f"{what} went from {fallen.before.value:.4g} to {fallen.now.value:.4g}, worse by {drop:.4g} "
    limit = "" if fallen.limit is None else f"; the limit is {fallen.limit:g}"
    return f"{moved}({low:.4g} to {high:.4g}){limit}."


def _realised(name: str, evaluation: Evaluation, limit: float | None, reference: Known, current: Known | str) -> Fallen:
    metric = find(name, evaluation.task)
    try:
        before = _measured(metric, reference)
        if isinstance(current, str):
            return Fallen(name, "performance", before, None, limit, current)
        now = _measured(metric, current)
    except UndefinedError as undefined:
        return Fallen(name, "performance", None, None, limit, f"{undefined}.")
    return Fallen(name, "performance", before, now, limit, drop=_drop(metric, before, now))


def _estimated(name: str, evaluation: Evaluation, limit: float, reference: Known, answered: Known | str) -> Fallen:
    """The estimate's interval is what the current rows would have if they were rows of the reference: its standard
    error falls with the root of the rows, as NannyML's sampling error does, or with what the clusters leave of them."""
    role = "estimated_performance"
    if isinstance(answered, str):
        return Fallen(name, role, None, None, limit, answered)
    metric = find(name, evaluation.task)
    try:
        before = _measured(metric, reference)
        value = estimation.estimate(metric.name, reference.outcome, answered.outcome)
        scale = _scale(metric, reference, before, answered.sampling)
    except UndefinedError as undefined:
        return Fallen(name, role, None, None, limit, f"{undefined}.")
    now = Value(
        value,
        value - scale * (before.value - before.low),
        value + scale * (before.high - before.value),
        before.error * scale,
    )
    return Fallen(name, role, before, now, limit, drop=_drop(metric, before, now))


def _scale(metric: Metric, reference: Known, before: Value, current: Sampling) -> float:
    """The standard error of the current rows over that of the reference's.

    The variance of a sum of independent clusters is that of independent rows times 1 + r (b - 1), where b is the mean
    size of the cluster that a row is in, and r how alike rows of one cluster are (Kish, Survey Sampling (1965), section
    5.4). r is known from the reference, where there are truths; the clusters' sizes are each side's own.

    Raises UndefinedError where the reference does not tell r.
    """
    rows = math.sqrt(reference.sampling.rows / current.rows)
    if current.clusters is None:
        return rows
    if reference.sampling.clusters is None:
        raise UndefinedError(
            "the reference does not have the column of the clusters, so that nobody knows how alike rows of one are"
        )
    independent = _measured(metric, Known(reference.outcome, replace(reference.sampling, clusters=None))).error
    if independent == 0:
        return rows
    effect = (before.error / independent) ** 2
    sizes = [_size_of_a_rows_cluster(each) for each in (reference.sampling.clusters, current.clusters)]
    alike = min(1.0, max(0.0, (effect - 1) / (sizes[0] - 1))) if sizes[0] > 1 else 0.0
    return rows * math.sqrt((1 + alike * (sizes[1] - 1)) / effect) if effect > 0 else rows


def _size_of_a_rows_cluster(clusters: Integers) -> float:
    """Mean, over the rows, of how many rows share a row's cluster."""
    sizes = np.bincount(clusters).astype(np.float64)
    return float((sizes**2).sum() / sizes.sum())


def _measured(metric: Metric, known: Known) -> Value:
    interval = of_one(metric, known.outcome, known.sampling)
    return Value(interval.value, interval.low, interval.high, interval.standard_error)


def _drop(metric: Metric, before: Value, now: Value) -> tuple[float, float, float]:
    """How much worse, with the interval of a difference of two independent values from the interval of each.

    MOVER: Zou and Donner, Statistics in Medicine 27 (2008): low = d - sqrt((a - low_a)^2 + (high_b - b)^2), and so on.
    """
    better, worse = (before, now) if metric.greater_is_better else (now, before)
    drop = better.value - worse.value
    low = drop - math.hypot(better.value - better.low, worse.high - worse.value)
    high = drop + math.hypot(better.high - better.value, worse.value - worse.low)
    return drop, low, high


def _check(fallen: Fallen) -> Check:
    values: dict[str, Scalar] = {"role": fallen.role}
    if fallen.limit is not None:
        values["limit"] = fallen.limit
    if fallen.before and fallen.now and fallen.drop:
        values |= {"reference": fallen.before.value, "value": fallen.now.value}
        values |= dict(zip(("drop", "drop_low", "drop_high"), fallen.drop, strict=True))
    estimated = "estimated " if fallen.role == "estimated_performance" else ""
    return Check(
        name=f"{estimated}performance: {fallen.metric}",
        verdict=fallen.verdict or Verdict.INCONCLUSIVE,
        detail=said(fallen),
        values=values,
    )


def _table(found: list[Fallen]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in found:
        span = None
        if each.drop:
            drop, low, high = each.drop
            above = None if each.limit is None else False
            span = Span(
                text=f"{low:+.4g} to {high:+.4g}", low=low, value=drop, high=high, limit=each.limit, above=above
            )
        rows.append(
            (
                each.metric,
                "estimated" if each.role == "estimated_performance" else "measured",
                _number(each.before),
                _number(each.now),
                f"{each.drop[0]:+.4g}" if each.drop else "–",
                span,
                f"{each.limit:g}" if each.limit is not None else "–",
                each.verdict.value if each.verdict else "–",
            )
        )
    estimates = any(each.role == "estimated_performance" for each in found)
    return Table(
        title="Production's performance against the reference",
        columns=(
            Column(name="metric", kind="code"),
            Column(name="how"),
            *(Column(name=name, kind="number") for name in ("reference", "now", "worse by", "interval", "limit")),
            Column(name="verdict", kind="verdict"),
        ),
        rows=tuple(rows),
        note=ASSUMPTION if estimates else "",
    )


def _number(value: Value | None) -> str:
    return "–" if value is None else f"{value.value:.4g}"
