"""Run a schema on a dataset: all checks in one scan that keeps nothing, then examples of the violated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from slipway.data.plan import Plan
from slipway.data.probes import Probe
from slipway.data.reading import first_line
from slipway.data.schema import Schema
from slipway.report.model import Check, Verdict

ROW = "slipway row"
VALUE_LENGTH = 60


def validate(schema: Schema, frame: pl.LazyFrame, *, examples: int = 3, now: datetime | None = None) -> list[Check]:
    """One Check for everything that the schema declares, in its order.

    `examples` is how many violating rows each check may quote (0: none, for data that nobody should see). Rows count
    from 0. What could not be measured is inconclusive. Raises polars' errors where the data cannot be read at all.
    """
    plan = Plan(schema, frame, now or datetime.now(UTC))
    planned = [item for item in plan.items if isinstance(item, Probe)]
    findings = iter(_run(plan.frame, frame, planned, examples))
    return [next(findings) if isinstance(item, Probe) else item for item in plan.items]


def _run(frame: pl.LazyFrame, original: pl.LazyFrame, planned: Sequence[Probe], examples: int) -> list[Check]:
    empty = pl.LazyFrame(schema=frame.collect_schema())
    refused = refusals(empty, planned)
    runnable = {place: probe for place, probe in enumerate(planned) if place not in refused}
    rows, measured, broken = _measure(frame, runnable, original)
    if examples <= 0:  # what polars says of a value that breaks a check quotes the value
        broken = dict.fromkeys(broken, "it breaks on the values")
    checks = []
    for place, probe in enumerate(planned):
        why = refused.get(place) or broken.get(place) or ("" if rows else "the data have no rows")
        if why:
            checks.append(Check(name=probe.name, verdict=Verdict.INCONCLUSIVE, detail=f"not run: {why}"))
        else:
            check = probe.judge(measured[place], rows)
            checks.append(_with_examples(frame, probe, check, examples))
    return checks


def refusals(empty: pl.LazyFrame, planned: Sequence[Probe]) -> dict[int, str]:
    """Which probes cannot run on data of these types, found on no rows at all."""
    try:
        empty.select(_aggregates(dict(enumerate(planned)))).collect()
    except pl.exceptions.PolarsError:
        return {place: why for place, probe in enumerate(planned) if (why := _failure(empty, place, probe))}
    return {}


def _measure(
    frame: pl.LazyFrame, runnable: Mapping[int, Probe], original: pl.LazyFrame
) -> tuple[int, dict[int, dict[str, Any]], dict[int, str]]:
    """Number of rows, measures by probe, and the probes that broke on the values with the reason."""
    broken: dict[int, str] = {}
    try:
        found = frame.select(_aggregates(runnable)).collect(engine="streaming").row(0, named=True)
    except pl.exceptions.PolarsError:
        # Either the data cannot be read, which is raised here again, or single checks break on them.
        original.select(pl.all().null_count()).collect(engine="streaming")
        broken = {place: why for place, probe in runnable.items() if (why := _failure(frame, place, probe))}
        runnable = {place: probe for place, probe in runnable.items() if place not in broken}
        found = frame.select(_aggregates(runnable)).collect(engine="streaming").row(0, named=True)
    measured = {place: {key: found[f"{place}:{key}"] for key in probe.measures} for place, probe in runnable.items()}
    return found["rows"], measured, broken


def _aggregates(probes: Mapping[int, Probe]) -> list[pl.Expr]:
    measures = [
        expression.alias(f"{place}:{key}")
        for place, probe in probes.items()
        for key, expression in probe.measures.items()
    ]
    return [pl.len().alias("rows"), *measures]


def _failure(frame: pl.LazyFrame, place: int, probe: Probe) -> str:
    try:
        frame.select(_aggregates({place: probe})).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        return first_line(error)
    return ""


def _with_examples(frame: pl.LazyFrame, probe: Probe, check: Check, most: int) -> Check:
    """The check with its first violating rows. The scan stops at the last of them and reads only their columns."""
    most = most if probe.most_examples is None else min(most, probe.most_examples)
    if not check.count or probe.violates is None or most <= 0:
        return check
    needed = list(dict.fromkeys([*probe.columns, *probe.violates.meta.root_names()]))
    violating = frame.select(needed).with_row_index(ROW).filter(probe.violates).head(most)
    rows = violating.select(ROW, *probe.columns).collect(engine="streaming").rows(named=True)
    return check.model_copy(update={"examples": tuple(shown(row) for row in rows)})


def shown(row: dict[str, Any]) -> str:
    """An example: its number (column ROW) and its values."""
    number = row.pop(ROW)
    values = [_short(value) for value in row.values()]
    if len(values) == 1:
        return f"row {number}: {values[0]}"
    return f"row {number}: " + ", ".join(f"{name}={value}" for name, value in zip(row, values, strict=True))


def _short(value: Any) -> str:
    text = "missing" if value is None else repr(value) if isinstance(value, str | bytes) else str(value)
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 3] + "..."
