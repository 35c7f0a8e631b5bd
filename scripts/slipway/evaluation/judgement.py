"""The policy's metrics applied to two models: checks for machines, one table and reasons for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, log10

from slipway.evaluation import gates
from slipway.evaluation.intervals import Interval, Sampling, of_difference, of_one
from slipway.evaluation.metrics import Metric, Undefined, find
from slipway.evaluation.outcomes import Outcome
from slipway.policy import Evaluation, MetricRule
from slipway.report.model import Cell, Check, Column, Table, Value, Verdict, combine


@dataclass(frozen=True)
class Judgement:
    """What the comparison says. `reasons` explain every gate that did not pass, then what a reader must know."""

    verdict: Verdict
    checks: tuple[Check, ...]
    table: Table
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """One metric on both models; an interval is None where it does not exist, and `undefined` says why."""

    metric: Metric
    candidate: Interval | None
    production: Interval | None
    difference: Interval | None
    undefined: str = ""


def judge(
    evaluation: Evaluation, candidate: Outcome, production: Outcome | None, sampling: Sampling
) -> Judgement:
    """Candidate against production on the same rows; `production=None` is a first release.

    Raises KeyError for a metric that the task does not have.
    """
    metrics = {name: find(name, evaluation.task) for name in evaluation.metrics}
    checks: list[Check] = []
    rows: list[tuple[Cell, ...]] = []
    for name, rule in evaluation.metrics.items():
        measured = measure(metrics[name], candidate, production, sampling)
        decided = list(_decide(measured, rule, evaluation, sampling))
        checks.extend(check for check, _ in decided)
        rows.extend(_row(measured, gate, check.verdict) for check, gate in decided)
        if not decided:
            rows.append(_row(measured, _why_no_gate(rule), None))
    verdict = combine(check.verdict for check in checks)
    return Judgement(verdict, tuple(checks), _table(rows, sampling), _reasons(checks, evaluation, production is None))


def measure(metric: Metric, candidate: Outcome, production: Outcome | None, sampling: Sampling) -> Measured:
    """The metric with its intervals, or the reason why it has none."""
    try:
        ours = of_one(metric, candidate, sampling)
    except Undefined as reason:
        return Measured(metric, None, None, None, f"{metric.name} has no value for the candidate: {reason}")
    if production is None:
        return Measured(metric, ours, None, None)
    try:
        theirs = of_one(metric, production, sampling)
        return Measured(metric, ours, theirs, of_difference(metric, production, candidate, sampling))
    except Undefined as reason:
        return Measured(metric, ours, None, None, f"{metric.name} has no value for production: {reason}")


def _decide(
    measured: Measured, rule: MetricRule, evaluation: Evaluation, sampling: Sampling
) -> Iterator[tuple[Check, str]]:
    """Every gate of the rule that applies, with its short form for the table."""
    first_release = measured.difference is None and measured.candidate is not None and not measured.undefined
    greater = measured.metric.greater_is_better
    if rule.margin is not None and not first_release:
        gate = f"not worse by {rule.margin:g}"
        if measured.difference is None:
            yield _undefined(measured, gate), gate
        else:
            verdict, boundary = gates.not_worse(measured.difference, rule.margin, greater_is_better=greater)
            yield _check(measured, gate, verdict, boundary, measured.difference, evaluation, sampling), gate
    if rule.better_by is not None and not first_release:
        gate = f"better by {rule.better_by:g}" if rule.better_by else "better"
        if measured.difference is None:
            yield _undefined(measured, gate), gate
        else:
            verdict, boundary = gates.better(measured.difference, rule.better_by, greater_is_better=greater)
            yield _check(measured, gate, verdict, boundary, measured.difference, evaluation, sampling), gate
    for bound, name, decide in ((rule.min, "at least", gates.at_least), (rule.max, "at most", gates.at_most)):
        if bound is not None:
            gate = f"{name} {bound:g}"
            if measured.candidate is None:
                yield _undefined(measured, gate), gate
            else:
                verdict = decide(measured.candidate, bound)
                yield _check(measured, gate, verdict, bound, measured.candidate, evaluation, sampling), gate


def _check(
    measured: Measured,
    gate: str,
    verdict: Verdict,
    boundary: float,
    interval: Interval,
    evaluation: Evaluation,
    sampling: Sampling,
) -> Check:
    name = f"{measured.metric.name}: {gate}"
    values = _values(measured, interval, boundary)
    if sampling.rows < evaluation.min_rows:
        detail = f"{name}: the holdout has {sampling.rows:,} rows, and the policy asks for {evaluation.min_rows:,}."
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=detail, values=values)
    needed = None
    if verdict is Verdict.INCONCLUSIVE:
        needed = gates.rows_to_settle(interval, boundary, sampling.rows, sampling.confidence)
    detail = _sentence(measured, gate, verdict, boundary, interval, sampling, needed)
    return Check(name=name, verdict=verdict, detail=detail, values={**values, "rows_needed": needed})


def _undefined(measured: Measured, gate: str) -> Check:
    name = f"{measured.metric.name}: {gate}"
    return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=f"{measured.undefined}.")


def _values(measured: Measured, interval: Interval, boundary: float) -> dict[str, Value]:
    return {
        "production": measured.production.value if measured.production else None,
        "candidate": measured.candidate.value if measured.candidate else None,
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "standard_error": interval.standard_error,
        "boundary": boundary,
        "method": interval.method,
    }


def _sentence(
    measured: Measured,
    gate: str,
    verdict: Verdict,
    boundary: float,
    interval: Interval,
    sampling: Sampling,
    needed: int | None,
) -> str:
    relative = interval is measured.difference
    digits = decimals(interval.standard_error)
    show = (lambda x: f"{x:+.{digits}f}") if relative else (lambda x: f"{x:.{digits}f}")
    subject = f"{measured.metric.name} {'changed by' if relative else 'is'} {show(interval.value)}"
    span = f"{100 * sampling.confidence:g} % interval {show(interval.low)} to {show(interval.high)}"
    limit = f"{boundary:+g}" if relative else f"{boundary:g}"
    if verdict is Verdict.PASS:
        return f"{subject} ({span}): clear of the limit {limit}."
    if verdict is Verdict.FAIL:
        return f"{subject} ({span}): all of the interval is beyond the limit {limit} of “{gate}”."
    return f"{subject} ({span}): the limit {limit} of “{gate}” lies inside. {_rows_sentence(needed, sampling.rows)}"


def _rows_sentence(needed: int | None, rows: int) -> str:
    if needed is None or needed > 1000 * rows:
        return f"The value lies on the limit: no reasonable number of rows would settle it (there are {rows:,})."
    if needed <= rows:
        return f"Another holdout of the same {rows:,} rows would probably settle it."
    return f"About {_rounded(needed):,} rows would settle it if the difference stays (there are {rows:,})."


def _rounded(rows: int) -> int:
    """Two significant digits: it is an estimate."""
    scale = 10 ** max(0, floor(log10(rows)) - 1)
    return -(-rows // scale) * scale


def decimals(standard_error: float) -> int:
    """Digits after the point that show two significant digits of the uncertainty."""
    if standard_error <= 0:
        return 4
    return min(8, max(0, 1 - floor(log10(standard_error))))


def _row(measured: Measured, gate: str, verdict: Verdict | None) -> tuple[Cell, ...]:
    arrow = "↑" if measured.metric.greater_is_better else "↓"
    shown = measured.difference or measured.candidate
    digits = decimals(shown.standard_error) if shown else 4

    def value(interval: Interval | None) -> str:
        return "–" if interval is None else f"{interval.value:.{digits}f}"

    difference = measured.difference
    return (
        f"{measured.metric.name} {arrow}",
        value(measured.production),
        value(measured.candidate),
        "–" if difference is None else f"{difference.value:+.{digits}f}",
        "–" if shown is None else _span(shown, digits, signed=difference is not None),
        gate,
        verdict.value if verdict else "–",
    )


def _span(interval: Interval, digits: int, *, signed: bool) -> str:
    sign = "+" if signed else ""
    return f"{interval.low:{sign}.{digits}f} to {interval.high:{sign}.{digits}f}"


def _table(rows: list[tuple[Cell, ...]], sampling: Sampling) -> Table:
    columns = (
        Column(name="metric", kind="code"),
        Column(name="production", kind="number"),
        Column(name="candidate", kind="number"),
        Column(name="difference", kind="number"),
        Column(name=f"{100 * sampling.confidence:g} % interval", kind="number"),
        Column(name="gate"),
        Column(name="verdict", kind="verdict"),
    )
    units = "rows" if sampling.clusters is None else f"rows in {sampling.units:,} clusters"
    note = f"{sampling.rows:,} {units}, the same for both models. ↑ more is better, ↓ less is better."
    return Table(title="Candidate against production", columns=columns, rows=tuple(rows), note=note)


def _why_no_gate(rule: MetricRule) -> str:
    return "first release" if rule.margin is not None or rule.better_by is not None else "none"


def _reasons(checks: list[Check], evaluation: Evaluation, first_release: bool) -> tuple[str, ...]:
    order = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1}
    open_checks = sorted((c for c in checks if c.verdict is not Verdict.PASS), key=lambda c: order[c.verdict])
    reasons = [check.detail for check in open_checks]
    if not checks:
        reasons.append(
            "No absolute gate (`min`, `max`) is defined, so nothing judged this first release: a person decides."
            if first_release
            else "No metric of the policy has a gate, so nothing was judged."
        )
    return tuple(dict.fromkeys(reasons))
