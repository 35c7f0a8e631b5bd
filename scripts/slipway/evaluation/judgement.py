"""The policy's metrics applied to two models: checks for machines, one table and reasons for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, log10

import numpy as np

from slipway.evaluation import scoring
from slipway.evaluation.findings import Findings
from slipway.evaluation.formulas import Interval
from slipway.evaluation.gates import POWER, Gate, detectable, gates_of, rows_to_settle, too_few
from slipway.evaluation.intervals import of_difference, of_one
from slipway.evaluation.metrics import Metric, UndefinedError, find
from slipway.evaluation.outcomes import Outcome, Text
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.report import Cell, Check, Column, Span, Table, Verdict
from slipway.report.advice import FIRST_RELEASE


@dataclass(frozen=True)
class Measured:
    """One metric on both models: each an interval, or the sentence that says why there is none."""

    metric: Metric
    candidate: Interval | str
    production: Interval | str = ""
    difference: Interval | str = ""

    def seen_by(self, gate: Gate) -> Interval | str:
        """The interval that a gate looks at."""
        return self.difference if gate.relative else self.candidate


def judge(evaluation: Evaluation, candidate: Outcome, production: Outcome | None, sampling: Sampling) -> Findings:
    """Candidate against production on the same rows. Without production, a first release, relative gates rest.

    Raises KeyError for a metric that the task does not have.
    """
    checks: list[Check] = []
    rows: list[tuple[Cell, ...]] = []
    for name, rule in evaluation.metrics.items():
        metric = metric_of(name, evaluation, candidate)
        measured = measure(metric, candidate, production, sampling)
        gates = gates_of(rule, greater_is_better=metric.greater_is_better)
        applicable = [gate for gate in gates if production is not None or not gate.relative]
        decided = [(gate, check(measured, gate, evaluation, sampling)) for gate in applicable]
        checks.extend(each for _, each in decided)
        rows.extend(rows_of(measured, decided, first_release=production is None))
    table = _table(rows, checks, sampling)
    if production is None and not checks:
        # A gate of another suite must not let a model pass whose quality nobody judged.
        detail = "No absolute gate (`min`, `max`) is defined, so nothing judged this first release: a person decides."
        checks.append(Check(name=FIRST_RELEASE, verdict=Verdict.INCONCLUSIVE, detail=detail))
    return Findings(tuple(checks), (table,), _reasons(checks))


def metric_of(name: str, evaluation: Evaluation, outcome: Outcome) -> Metric:
    """The metric of the policy's task. Raises KeyError for one that the task does not have."""
    return scoring.metric(name, outcome) if isinstance(outcome, Text) else find(name, evaluation.task)


def measure(metric: Metric, candidate: Outcome, production: Outcome | None, sampling: Sampling) -> Measured:
    """The metric with its intervals, or the reasons why it has none."""
    ours = _interval(f"{metric.name} has no interval for the candidate", lambda: of_one(metric, candidate, sampling))
    if production is None:
        return Measured(metric, ours)
    theirs = _interval(f"{metric.name} has no interval for production", lambda: of_one(metric, production, sampling))
    difference = _interval(
        f"{metric.name} has no interval for the difference",
        lambda: of_difference(metric, production, candidate, sampling),
    )
    if isinstance(difference, str):
        # What one of the models lacks says more.
        difference = next((each for each in (ours, theirs) if isinstance(each, str)), difference)
    return Measured(metric, ours, theirs, difference)


def _interval(otherwise: str, find_interval: Callable[[], Interval]) -> Interval | str:
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # a loss too great for a float is found as not finite
            return find_interval()
    except UndefinedError as reason:
        return f"{otherwise}: {reason}."


def check(measured: Measured, gate: Gate, evaluation: Evaluation, sampling: Sampling) -> Check:
    """One gate's verdict in words and numbers. What was not measured is inconclusive."""
    name = f"{measured.metric.name}: {gate.text}"
    interval = measured.seen_by(gate)
    if isinstance(interval, str):
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=interval)
    verdict, needed = gate.decide(interval), None
    few = too_few(sampling, evaluation.min_rows)
    if few:
        verdict, detail = Verdict.INCONCLUSIVE, f"No gate can judge: {few}."
    else:
        if verdict is Verdict.INCONCLUSIVE:
            needed = rows_to_settle(interval, gate.limit, rows=sampling.rows, confidence=sampling.confidence)
        detail = _sentence(measured.metric.name, gate, verdict, interval, sampling, needed=needed)
    values = {
        "production": measured.production.value if isinstance(measured.production, Interval) else None,
        "candidate": measured.candidate.value if isinstance(measured.candidate, Interval) else None,
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "standard_error": interval.standard_error,
        "limit": gate.limit,
        "method": interval.method,
        "rows_needed": needed,
    }
    if not few:  # a gate that cannot judge is none of those that chance could fail
        values["p_beyond"] = gate.p_beyond(interval)
    if gate.relative:
        values["minimum_detectable_effect"] = detectable(interval, confidence=sampling.confidence)
    return Check(name=name, verdict=verdict, detail=detail, values=values)


def decimals(standard_error: float) -> int:
    """Digits after the point that show two significant digits of the uncertainty."""
    return min(8, max(0, 1 - floor(log10(standard_error)))) if standard_error > 0 else 4


def _sentence(
    metric: str, gate: Gate, verdict: Verdict, interval: Interval, sampling: Sampling, *, needed: int | None
) -> str:
    form = f"{'+' if gate.relative else ''}.{decimals(interval.standard_error)}f"
    found = f"{metric} {'changed by' if gate.relative else 'is'} {interval.value:{form}}"
    span = f"{100 * sampling.confidence:g} % interval {interval.low:{form}} to {interval.high:{form}}"
    limit = f"{gate.limit:{'+' if gate.relative else ''}.12g}"
    match verdict:
        case Verdict.PASS:
            return f"{found} ({span}): clear of the limit {limit}."
        case Verdict.FAIL:
            return f"{found} ({span}): all of it is beyond the limit {limit} of “{gate.text}”."
        case Verdict.INCONCLUSIVE:
            distance = abs(interval.value - gate.limit)
            advice = rows_advice(needed, sampling.rows, distance)
            return f"{found} ({span}): the limit {limit} of “{gate.text}” lies inside. {advice}"


def rows_advice(needed: int | None, rows: int, distance: float) -> str:
    """How many rows would settle an open gate. distance: of the value from the limit."""
    if needed is None:
        where = f"only {distance:.2g} from the limit, a small part of the interval" if distance else "on the limit"
        return f"The value is {where}: no reasonable number of rows would settle it ({rows:,} so far)."
    if needed <= rows:
        return f"Another holdout of as many rows ({rows:,}) would probably settle it."
    scale = 10 ** max(0, floor(log10(needed)) - 1)  # two significant digits: it is an estimate
    return f"About {-(-needed // scale) * scale:,} rows would settle it if the value stays ({rows:,} so far)."


def rows_of(measured: Measured, decided: list[tuple[Gate, Check]], *, first_release: bool) -> list[tuple[Cell, ...]]:
    """The comparison, with its gate if it has one; then the gates on the candidate alone, with its own interval."""
    relative = [_row(measured, measured.difference, gate, each) for gate, each in decided if gate.relative]
    absolute = [_row(measured, measured.candidate, gate, each) for gate, each in decided if not gate.relative]
    if relative or (first_release and absolute):
        return relative + absolute
    shown = measured.difference if isinstance(measured.difference, Interval) else measured.candidate
    return [_row(measured, shown, None, None), *absolute]


def _row(measured: Measured, interval: Interval | str, gate: Gate | None, check: Check | None) -> tuple[Cell, ...]:
    compared = gate is None or gate.relative
    digits = decimals(interval.standard_error) if isinstance(interval, Interval) else 4
    sign = "+" if interval is measured.difference else ""

    def value(shown: Interval | str, sign: str = "") -> str:
        return f"{shown.value:{sign}.{digits}f}" if isinstance(shown, Interval) else "–"

    span: Span | str = "–"
    if isinstance(interval, Interval):
        span = Span(
            text=f"{interval.low:{sign}.{digits}f} to {interval.high:{sign}.{digits}f}",
            low=interval.low,
            value=interval.value,
            high=interval.high,
            # Without a gate a difference is held against no change at all.
            limit=gate.limit if gate else 0.0 if sign else None,
            above=gate.above if gate else None,
        )

    return (
        f"{measured.metric.name}\u00a0{'↑' if measured.metric.greater_is_better else '↓'}",
        value(measured.production) if compared else "",
        value(measured.candidate),
        value(measured.difference, "+") if compared else "",
        span,
        gate.text if gate else "none",
        # Other suites' gates count, too: until all are judged, a cell holds the name of the check that it is about.
        check.name if check else "–",
    )


def columns(sampling: Sampling) -> tuple[Column, ...]:
    """The columns of what `rows_of` gives."""
    return (
        Column(name="metric", kind="code"),
        Column(name="production", kind="number"),
        Column(name="candidate", kind="number"),
        Column(name="difference", kind="number"),
        Column(name=f"{100 * sampling.confidence:g} % interval", kind="number"),
        Column(name="gate"),
        Column(name="verdict", kind="verdict"),
    )


def _table(rows: list[tuple[Cell, ...]], checks: list[Check], sampling: Sampling) -> Table:
    units = "rows" if sampling.clusters is None else f"rows in {sampling.units:,} clusters"
    note = f"{sampling.rows:,} {units}, the same for both models. ↑ more is better, ↓ less is better."
    # A metric may have an absolute gate, too, which detects no change.
    seen = [(check.name.partition(":")[0], check.values.get("minimum_detectable_effect")) for check in checks]
    shown = [f"{metric} {float(effect):.2g}" for metric, effect in seen if effect]
    if shown:
        note += f" Smallest change that these rows show with {100 * POWER:g} % power: {', '.join(shown)}."
    return Table(title="Candidate against production", columns=columns(sampling), rows=tuple(rows), note=note)


def _reasons(checks: list[Check]) -> tuple[str, ...]:
    """Fails first. One metric can have two gates with the same trouble: it is said once."""
    if not checks:
        return ("No metric of the policy has a gate, so no quality over the whole holdout was judged.",)
    failed = [each.detail for each in checks if each.verdict is Verdict.FAIL]
    unsettled = [each.detail for each in checks if each.verdict is Verdict.INCONCLUSIVE]
    return tuple(dict.fromkeys(failed + unsettled))
