"""The policy's metrics applied to two models: checks for machines, one table and reasons for people."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10

from slipway.evaluation.gates import Gate, gates_of, rows_to_settle
from slipway.evaluation.intervals import Interval, Sampling, of_difference, of_one
from slipway.evaluation.metrics import Metric, UndefinedError, find
from slipway.evaluation.outcomes import Outcome
from slipway.policy import Evaluation
from slipway.report import Cell, Check, Column, Table, Verdict, combine


@dataclass(frozen=True)
class Judgement:
    """What the comparison says. `reasons` explain every gate that did not pass."""

    verdict: Verdict
    checks: tuple[Check, ...]
    table: Table
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """One metric on both models; an interval is None where it does not exist, and `undefined` says why."""

    metric: Metric
    candidate: Interval | None = None
    production: Interval | None = None
    difference: Interval | None = None
    undefined: str = ""

    def seen_by(self, gate: Gate) -> Interval | None:
        """The interval that a gate looks at."""
        return self.difference if gate.relative else self.candidate


def judge(evaluation: Evaluation, candidate: Outcome, production: Outcome | None, sampling: Sampling) -> Judgement:
    """Candidate against production on the same rows. Without production, a first release, relative gates rest.

    Raises KeyError for a metric that the task does not have.
    """
    checks: list[Check] = []
    rows: list[tuple[Cell, ...]] = []
    for name, rule in evaluation.metrics.items():
        metric = find(name, evaluation.task)
        measured = measure(metric, candidate, production, sampling)
        gates = gates_of(rule, greater_is_better=metric.greater_is_better)
        applicable = [gate for gate in gates if production is not None or not gate.relative]
        decided = [(gate, check(measured, gate, evaluation, sampling)) for gate in applicable]
        checks.extend(each for _, each in decided)
        rows.extend(_rows(measured, decided, first_release=production is None))
    verdict = combine(each.verdict for each in checks)
    reasons = _reasons(checks, first_release=production is None)
    return Judgement(verdict, tuple(checks), _table(rows, sampling), reasons)


def measure(metric: Metric, candidate: Outcome, production: Outcome | None, sampling: Sampling) -> Measured:
    """The metric with its intervals, or the reason why it has none."""
    try:
        ours = of_one(metric, candidate, sampling)
    except UndefinedError as reason:
        return Measured(metric, undefined=f"{metric.name} has no value for the candidate: {reason}.")
    if production is None:
        return Measured(metric, ours)
    try:
        theirs = of_one(metric, production, sampling)
        return Measured(metric, ours, theirs, of_difference(metric, production, candidate, sampling))
    except UndefinedError as reason:
        return Measured(metric, ours, undefined=f"{metric.name} has no value for production: {reason}.")


def check(measured: Measured, gate: Gate, evaluation: Evaluation, sampling: Sampling) -> Check:
    """One gate's verdict in words and numbers. What was not measured is inconclusive."""
    name = f"{measured.metric.name}: {gate.text}"
    interval = measured.seen_by(gate)
    if interval is None:
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=measured.undefined)
    verdict, needed = gate.decide(interval), None
    if sampling.rows < evaluation.min_rows:
        verdict = Verdict.INCONCLUSIVE
        detail = f"{name}: the holdout has {sampling.rows:,} rows, and the policy asks for {evaluation.min_rows:,}."
    else:
        if verdict is Verdict.INCONCLUSIVE:
            needed = rows_to_settle(interval, gate.limit, rows=sampling.rows, confidence=sampling.confidence)
        detail = _sentence(measured.metric.name, gate, verdict, interval, sampling, needed=needed)
    values = {
        "production": measured.production.value if measured.production else None,
        "candidate": measured.candidate.value if measured.candidate else None,
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "standard_error": interval.standard_error,
        "limit": gate.limit,
        "method": interval.method,
        "rows_needed": needed,
    }
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
    limit = f"{gate.limit:{'+' if gate.relative else ''}g}"
    match verdict:
        case Verdict.PASS:
            return f"{found} ({span}): clear of the limit {limit}."
        case Verdict.FAIL:
            return f"{found} ({span}): all of it is beyond the limit {limit} of “{gate.text}”."
        case Verdict.INCONCLUSIVE:
            return f"{found} ({span}): the limit {limit} of “{gate.text}” lies inside. {_advice(needed, sampling.rows)}"


def _advice(needed: int | None, rows: int) -> str:
    if needed is None:
        return f"The value is so near to the limit that no reasonable number of rows would settle it ({rows:,} so far)."
    if needed <= rows:
        return f"Another holdout of as many rows ({rows:,}) would probably settle it."
    scale = 10 ** (floor(log10(needed)) - 1)  # two significant digits: it is an estimate
    return f"About {-(-needed // scale) * scale:,} rows would settle it if the value stays ({rows:,} so far)."


def _rows(measured: Measured, decided: list[tuple[Gate, Check]], *, first_release: bool) -> list[tuple[Cell, ...]]:
    """The comparison, with its gate if it has one; then the gates on the candidate alone, with its own interval."""
    relative = [_row(measured, measured.difference, gate, each) for gate, each in decided if gate.relative]
    absolute = [_row(measured, measured.candidate, gate, each) for gate, each in decided if not gate.relative]
    if relative or (first_release and absolute):
        return relative + absolute
    return [_row(measured, measured.difference or measured.candidate, None, None), *absolute]


def _row(measured: Measured, interval: Interval | None, gate: Gate | None, check: Check | None) -> tuple[Cell, ...]:
    compared = gate is None or gate.relative
    digits = decimals(interval.standard_error) if interval else 4
    sign = "+" if interval and interval is measured.difference else ""

    def value(shown: Interval | None, sign: str = "") -> str:
        return f"{shown.value:{sign}.{digits}f}" if shown else "–"

    return (
        f"{measured.metric.name} {'↑' if measured.metric.greater_is_better else '↓'}",
        value(measured.production) if compared else "",
        value(measured.candidate),
        value(measured.difference, "+") if compared else "",
        f"{interval.low:{sign}.{digits}f} to {interval.high:{sign}.{digits}f}" if interval else "–",
        gate.text if gate else "none",
        check.verdict.value if check else "–",
    )


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


def _reasons(checks: list[Check], *, first_release: bool) -> tuple[str, ...]:
    """Fails first. One metric can have two gates with the same trouble: it is said once."""
    if not checks and first_release:
        return ("No absolute gate (`min`, `max`) is defined, so nothing judged this first release: a person decides.",)
    if not checks:
        return ("No metric of the policy has a gate, so nothing was judged.",)
    failed = [each.detail for each in checks if each.verdict is Verdict.FAIL]
    unsettled = [each.detail for each in checks if each.verdict is Verdict.INCONCLUSIVE]
    return tuple(dict.fromkeys(failed + unsettled))
