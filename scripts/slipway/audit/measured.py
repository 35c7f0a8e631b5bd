"""What an evaluation measured, as numbers: from its report's checks, and from its table where a metric has no gate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from slipway.report import Report, Table

LOSS = ("not worse", "worse by at most")
"""How a gate begins whose limit lies on the bad side of zero."""

RELATIVE = re.compile(rf"{'|'.join(LOSS)}|better")
RATIO = " × production"
ARROWS = {"↑": True, "↓": False}
SPAN = re.compile(r"(?P<low>[-+]?[\d.]+(?:e[-+]?\d+)?) to (?P<high>[-+]?[\d.]+(?:e[-+]?\d+)?)")
LEVEL = re.compile(r"([\d.]+ %) interval")


@dataclass(frozen=True)
class Measured:
    """One metric on the holdout with its interval, in its own unit.

    relative: whether value, low and high are candidate minus production, or the candidate's own.
    limit: of its gate, None without one. above: whether the right side of it is above; None where that is not known.
    level: of the interval, as people write it (`95 %`); empty where the report does not say.
    """

    metric: str
    gate: str
    verdict: str
    relative: bool
    value: float
    low: float
    high: float
    candidate: float | None = None
    production: float | None = None
    limit: float | None = None
    above: bool | None = None
    level: str = ""
    method: str = ""
    part: str = ""
    """The part of the rows that it was measured on; empty for all."""


def measured(report: Report) -> list[Measured]:
    """Every metric of an evaluation that has an interval, in the order of the report."""
    directions = dict(_directions(report))
    level = _level(report)
    found = list(_of_checks(report, directions, level))
    found.extend(_of_tables(report, {each.metric for each in found}, level))
    return found


def _of_checks(report: Report, directions: dict[str, bool], level: str) -> Iterator[Measured]:
    for check in report.checks:
        value, low, high = (_number(check.values.get(name)) for name in ("value", "low", "high"))
        if value is None or low is None or high is None:
            continue
        metric, _, gate = check.name.rpartition(": ")
        metric, gate = (metric, gate) if metric else (check.name, "")
        if gate.endswith(RATIO):  # a number of times, which must not pass for milliseconds
            metric += RATIO
        limit, relative = _number(check.values.get("limit")), bool(RELATIVE.match(gate))
        yield Measured(
            metric=metric,
            gate=gate,
            verdict=check.verdict.value,
            relative=relative,
            value=value,
            low=low,
            high=high,
            candidate=_number(check.values.get("candidate")),
            production=_number(check.values.get("production")),
            limit=limit,
            above=_above(gate, limit, directions.get(metric)),
            level=level,
            method=str(check.values.get("method") or ""),
            part=str(check.values.get("slice") or ""),
        )


def _of_tables(report: Report, known: set[str], level: str) -> Iterator[Measured]:
    """Metrics that no gate judges stand in the table only, with the digits that it shows."""
    for table in report.tables:
        for row in _rows(table):
            metric = row.get("metric", "").rstrip("\u00a0 ↑↓")
            span = next((SPAN.fullmatch(cell) for name, cell in row.items() if LEVEL.fullmatch(name)), None)
            if not metric or metric in known or span is None:
                continue
            candidate, production = _number(row.get("candidate")), _number(row.get("production"))
            difference = _number(row.get("difference"))
            value = candidate if difference is None else difference
            low, high = _number(span["low"]), _number(span["high"])
            if value is not None and low is not None and high is not None:
                yield Measured(
                    metric=metric,
                    gate="",
                    verdict="",
                    relative=difference is not None,
                    value=value,
                    low=low,
                    high=high,
                    candidate=candidate,
                    production=production,
                    level=level,
                )


def _rows(table: Table) -> Iterator[dict[str, str]]:
    for row in table.rows:
        yield {column.name: "" if cell is None else str(cell) for column, cell in zip(table.columns, row, strict=True)}


def _directions(report: Report) -> Iterator[tuple[str, bool]]:
    """Whether more is better, by metric, as the arrows of the table say."""
    for table in report.tables:
        for row in _rows(table):
            name = row.get("metric", "")
            if name[-1:] in ARROWS:
                yield name.rstrip("\u00a0 ↑↓"), ARROWS[name[-1]]


def _level(report: Report) -> str:
    names = (column.name for table in report.tables for column in table.columns)
    return next((match[1] for match in map(LEVEL.fullmatch, names) if match), "")


def _above(gate: str, limit: float | None, more_is_better: bool | None) -> bool | None:
    if limit is None:
        return None
    if gate.startswith(("at least", "at most")):
        return gate.startswith("at least")
    if more_is_better is not None:
        return more_is_better
    # A margin lies on the bad side of zero, and a demand on the good one.
    return (limit < 0) == gate.startswith(LOSS) if limit else None


def _number(said: object) -> float | None:
    """A number that can be drawn; None for all else, which a report from a fork may have in the place of one."""
    if isinstance(said, bool) or not isinstance(said, (int, float, str)):
        return None
    try:
        found = float(said)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None
