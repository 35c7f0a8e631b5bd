"""What is measured of the data for one check, and how the verdict follows. All probes are measured in one scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from slipway.data.findings import share
from slipway.data.rules import Rule, UniqueValuesEq
from slipway.data.schema import Compare, Freshness, Rows
from slipway.report.model import Check, Value, Verdict

Measured = Mapping[str, Any]
Judge = Callable[[Measured, int], Check]

CLOCK_TOLERANCE = timedelta(days=1)
"""A time without a zone may be up to 14 hours ahead of UTC; what is later than this lies in the future."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One check that needs a look at the rows."""

    name: str
    measures: Mapping[str, pl.Expr]
    """Aggregates by name; their values and the number of rows go to `judge`."""

    judge: Judge
    violates: pl.Expr | None = None
    """True where a row violates the check; examples are fetched with it."""

    columns: tuple[str, ...] = field(default=())
    """The columns whose values the examples show."""

    most_examples: int | None = None

    unmeasured: Check | None = None
    """What there is to say without a look at the rows, for an engine that cannot have it."""


def violations(
    name: str,
    violates: pl.Expr,
    columns: tuple[str, ...],
    *,
    says: str = "violate it",
    count: pl.Expr | None = None,
    rule: Rule | None = None,
) -> Probe:
    """Fails with the first row that violates it. `count` is a cheaper way to count the violating rows, if any."""
    return Probe(
        name=name,
        measures={"count": violates.sum() if count is None else count},
        judge=partial(_judge_rows, name, says, rule or Rule()),
        violates=violates,
        columns=columns,
        most_examples=rule.n_failure_cases if rule else None,
    )


def _judge_rows(name: str, says: str, rule: Rule, measured: Measured, rows: int) -> Check:
    count = int(measured["count"] or 0)
    if not count:
        return Check(name=name, verdict=Verdict.PASS, count=0)
    detail = f"{share(count, rows)} {says}"
    if rule.error:
        detail = f"{rule.error}: {detail}"
    if rule.raise_warning:
        warned: dict[str, Value] = {"warning_only": True}
        return Check(name=name, verdict=Verdict.PASS, detail=f"warning only: {detail}", count=count, values=warned)
    return Check(name=name, verdict=Verdict.FAIL, detail=detail, count=count)


def wrong_type(name: str, column: str, violates: pl.Expr, want: pl.DataType, have: pl.DataType) -> Probe:
    """A text column that should be of another type: fails whatever its values, and counts those in the way."""

    def judge(measured: Measured, rows: int) -> Check:
        count = int(measured["count"] or 0)
        why = f"{share(count, rows)} cannot be read as {want}" if count else "`coerce: true` would convert them all"
        return Check(name=name, verdict=Verdict.FAIL, detail=f"found {have}; {why}", count=count)

    return Probe(
        name=name,
        measures={"count": violates.sum()},
        judge=judge,
        violates=violates,
        columns=(column,),
        unmeasured=Check(name=name, verdict=Verdict.FAIL, detail=f"found {have}"),
    )


def exact_values(name: str, rule: UniqueValuesEq, column: str, violates: pl.Expr) -> Probe:
    """The distinct values must be exactly the declared ones: none besides, none missing."""
    wanted = rule.arguments()["values"]

    def judge(measured: Measured, rows: int) -> Check:
        found = int(measured["count"] or 0)
        lacking = len(set(wanted)) - int(measured["found"])
        if not found and lacking <= 0:
            return Check(name=name, verdict=Verdict.PASS, count=0)
        parts = [f"{share(found, rows)} hold another value"] if found else []
        parts += [f"{lacking} of the values never occur"] if lacking > 0 else []
        return Check(name=name, verdict=Verdict.FAIL, detail="; ".join(parts), count=found)

    inside = pl.col(column).filter(violates.not_()).drop_nulls().n_unique()
    measures = {"count": violates.sum(), "found": inside}
    return Probe(name=name, measures=measures, judge=judge, violates=violates, columns=(column,))


def row_count(declared: Rows) -> Probe:
    """The number of rows lies between the bounds."""
    low, high = declared.min, declared.max
    bounds = [f"at least {low:,}" if low else "", f"at most {high:,}" if high else ""]
    wanted = " and ".join(bound for bound in bounds if bound)
    name = f"rows: {wanted}"

    def judge(_: Measured, rows: int) -> Check:
        fits = (low is None or rows >= low) and (high is None or rows <= high)
        verdict = Verdict.PASS if fits else Verdict.FAIL
        return Check(name=name, verdict=verdict, detail=f"{rows:,} rows", values={"rows": rows})

    return Probe(name=name, measures={}, judge=judge)


def missing_share(column: str, most: float, violates: pl.Expr) -> Probe:
    """At most so large a share of missing values."""
    name = f"{column}: at most {most:.4g} missing"

    def judge(measured: Measured, rows: int) -> Check:
        count = int(measured["count"] or 0)
        values: dict[str, Value] = {"share": count / rows, "max_share": most}
        if count <= most * rows:
            return Check(name=name, verdict=Verdict.PASS, detail=f"{share(count, rows)} have no value", values=values)
        detail = f"{share(count, rows)} have no value"
        return Check(name=name, verdict=Verdict.FAIL, detail=detail, count=count, values=values)

    return Probe(name=name, measures={"count": violates.sum()}, judge=judge, violates=violates, columns=(column,))


def condition(declared: Compare, floats: list[str]) -> Probe:
    """A rule between columns. As in an SQL CHECK constraint, a row about which the rule knows nothing satisfies it.

    A NaN is a missing value, although polars would compare it as the greatest of all numbers.
    """
    rule = pl.sql_expr(declared.rule)
    unknown = pl.any_horizontal(rule.is_null(), *(pl.col(column).is_nan().fill_null(False) for column in floats))
    violates = rule.not_() & unknown.not_()
    name = declared.name or f"rule {declared.rule}"

    def judge(measured: Measured, rows: int) -> Check:
        count, silent = int(measured["count"] or 0), int(measured["unknown"] or 0)
        notes = [declared.description] if declared.description else []
        notes += [f"{share(count, rows)} violate it"] if count else []
        notes += [f"{share(silent, rows)} could not be judged, for lack of a value"] if silent else []
        verdict = Verdict.FAIL if count else Verdict.INCONCLUSIVE if silent == rows else Verdict.PASS
        return Check(name=name, verdict=verdict, detail="; ".join(notes), count=count, values={"unknown": silent})

    columns = tuple(dict.fromkeys(rule.meta.root_names()))
    measures = {"count": violates.sum(), "unknown": unknown.sum()}
    return Probe(name=name, measures=measures, judge=judge, violates=violates, columns=columns)


def freshness(declared: Freshness, dtype: pl.DataType, now: datetime) -> Probe:
    """The newest value is young enough, and none lies in the future: one mistyped year would look fresh for ever."""
    as_of = declared.moment(now)
    column = pl.col(declared.column)
    future = column > _as_value(as_of + CLOCK_TOLERANCE, dtype)
    name = f"{declared.column}: at most {declared.max_age_days:g} days old"

    def judge(measured: Measured, rows: int) -> Check:
        newest, ahead = measured["newest"], int(measured["count"] or 0)
        if newest is None:
            return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail="the column has no value")
        age = max(0.0, _age_days(newest, as_of))
        detail = f"the newest value is {newest}, {age:.1f} days before {as_of:%Y-%m-%d %H:%M} UTC"
        if ahead:
            detail = f"{share(ahead, rows)} lie after {as_of:%Y-%m-%d %H:%M} UTC, the latest is {newest}"
        verdict = Verdict.FAIL if ahead or age > declared.max_age_days else Verdict.PASS
        return Check(name=name, verdict=verdict, detail=detail, count=ahead, values={"age_days": round(age, 4)})

    measures = {"newest": column.max(), "count": future.sum()}
    return Probe(name=name, measures=measures, judge=judge, violates=future, columns=(declared.column,))


def _as_value(moment: datetime, dtype: pl.DataType) -> date | datetime:
    if dtype == pl.Date:
        return moment.date()
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    return moment.astimezone(ZoneInfo(zone)) if zone else moment.replace(tzinfo=None)


def _age_days(newest: date | datetime, as_of: datetime) -> float:
    if not isinstance(newest, datetime):
        return float((as_of.date() - newest).days)
    aware = newest if newest.tzinfo else newest.replace(tzinfo=UTC)
    return (as_of - aware) / timedelta(days=1)
