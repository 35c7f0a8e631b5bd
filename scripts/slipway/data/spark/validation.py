"""Run a schema on a table in Spark: all checks of single rows in one job, one more for each key that must be unique.

The plan is the one that polars would carry out, and so are its verdicts: only the counting is Spark's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import polars as pl

from slipway.data import validation
from slipway.data.plan import Plan
from slipway.data.probes import Probe
from slipway.data.schema import Schema
from slipway.data.spark.expressions import NotOnSparkError, Translator, groups_of, quoted, tree, type_of
from slipway.data.spark.session import functions_for, window_for
from slipway.data.spark.table import FILE, PLACE, Table, numbered, reading
from slipway.report.model import Check, Verdict
from slipway.runner.errors import PolicyError

START = "slipway first row"
VIOLATES = "slipway violates"

Measured = dict[tuple[int, str], Any]


def validate(schema: Schema, table: Table, *, examples: int = 3, now: datetime | None = None) -> list[Check]:
    """The checks of `slipway.data.validation.validate`, of rows in Spark.

    Raises PolicyError where the schema asks for something whose answer Spark is not known to share with polars, and
    InputError where the data cannot be read.
    """
    plan = Plan(schema, pl.LazyFrame(schema=dict(table.types)), now or datetime.now(UTC))
    run = _Run(plan, table)
    findings = iter(run.checks([item for item in plan.items if isinstance(item, Probe)], examples))
    return [next(findings) if isinstance(item, Probe) else item for item in plan.items]


class _Run:
    """One schema on one table."""

    def __init__(self, plan: Plan, table: Table) -> None:
        self.f = functions_for(table.frame)
        self.table = table
        self.types = dict(plan.frame.collect_schema())
        self.empty = pl.LazyFrame(schema=self.types)
        self.given = Translator(self.f, table.types, table.uncarried)
        self.translator = Translator(self.f, self.types, table.uncarried)
        self.conversions = plan.conversions
        self.starts: Any = None
        self.unmeasured: set[int] = set()
        self.frame = self._converted(table.frame)

    def checks(self, planned: Sequence[Probe], examples: int) -> list[Check]:
        refused = validation.refusals(self.empty, planned)
        runnable = {place: probe for place, probe in enumerate(planned) if place not in refused}
        rows, measured = self._measure(runnable)
        judged = []
        for place, probe in enumerate(planned):
            if probe.unmeasured and place in self.unmeasured and rows:
                judged.append(probe.unmeasured)
                continue
            why = refused.get(place) or ("" if rows else "the data have no rows")
            if why:
                judged.append(Check(name=probe.name, verdict=Verdict.INCONCLUSIVE, detail=f"not run: {why}"))
                continue
            check = probe.judge({key: measured[place, key] for key in probe.measures}, rows)
            judged.append(self._with_examples(probe, check, examples))
        return judged

    def _measure(self, runnable: Mapping[int, Probe]) -> tuple[int, Measured]:
        """Number of rows, and the measures by probe and name. What cannot be asked is refused before anything runs."""
        asked, keys, refused = {}, {}, []
        for place, probe in runnable.items():
            for name, expression in probe.measures.items():
                node = tree(expression)
                try:
                    if group := groups_of(node["Agg"]["Sum"] if "Sum" in node.get("Agg", {}) else node):
                        keys[place, name] = [self.translator.rows({"Column": each}) for each in group]
                    else:
                        asked[place, name] = self._as_number(self.translator.aggregate(node), expression)
                except NotOnSparkError as reason:
                    if probe.unmeasured:
                        self.unmeasured.add(place)
                        break
                    refused.append(f"{probe.name}: {reason}.")
        if refused:
            raise PolicyError(
                "The schema asks for what Spark is not known to answer as polars does.",
                why=" ".join(dict.fromkeys(refused)),
                fix="Say it otherwise, or let polars read this dataset: leave `engine: spark` out.",
            )
        with reading(self.table):
            columns = [self.f.count(self.f.lit(1)), *asked.values()]
            row = self.frame.agg(*(each.alias(f"m{at}") for at, each in enumerate(columns))).collect()[0]
            measured = dict(zip(asked, list(row)[1:], strict=True))
            for (place, name), group in keys.items():
                measured[place, name] = self._rows_that_repeat(group)
        for (place, name), value in measured.items():
            measured[place, name] = self._as_value(value, runnable[place].measures[name])
        return row[0], measured

    def _rows_that_repeat(self, group: Sequence[Any]) -> int:
        counted = self.frame.groupBy(*(each.alias(f"k{at}") for at, each in enumerate(group))).agg(
            self.f.count(self.f.lit(1)).alias("rows")
        )
        return counted.filter("rows > 1").agg(self.f.sum("rows")).collect()[0][0] or 0

    def _as_number(self, column: Any, expression: pl.Expr) -> Any:
        """Times leave Spark as numbers: its Python client would read them in the machine's zone."""
        dtype = type_of(expression, self.types)
        if dtype == pl.Date:
            return self.f.unix_date(column)
        return self.f.unix_micros(column.cast("timestamp")) if isinstance(dtype, pl.Datetime) else column

    def _as_value(self, value: Any, expression: pl.Expr) -> Any:
        dtype = type_of(expression, self.types)
        if not dtype.is_temporal() or value is None:
            return value
        number = pl.Series([value], dtype=pl.Int32 if dtype == pl.Date else pl.Int64)
        zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
        return number.cast(dtype if dtype == pl.Date else pl.Datetime("us", zone)).item()

    def _converted(self, frame: Any) -> Any:
        """The rows with `coerce` columns converted, as the plan has them."""
        try:
            changed = {each.meta.output_name(): self.given.rows(tree(each)) for each in self.conversions}
        except NotOnSparkError as reason:
            raise PolicyError(
                "The schema asks for a conversion that Spark is not known to do as polars does.",
                why=f"{reason}.",
                fix="Let the job that writes the data convert them, or leave `engine: spark` out.",
            ) from None
        if not changed:
            return frame
        kept = [self.f.col(quoted(name)) for name in frame.columns if name not in changed]
        return frame.select(*kept, *(column.alias(name) for name, column in changed.items()))

    def _with_examples(self, probe: Probe, check: Check, most: int) -> Check:
        """The check with its first violating rows, in the order in which polars reads the files."""
        most = most if probe.most_examples is None else min(most, probe.most_examples)
        if not check.count or probe.violates is None or most <= 0:
            return check
        rows = self._converted(numbered(self.table, list(self.table.types)))
        rows = rows.withColumn(VIOLATES, self._violates(probe.violates)).filter(self.f.col(quoted(VIOLATES)))
        with reading(self.table):
            if self.starts is None:
                self.starts = self._first_rows()
            number = (self.f.col(quoted(START)) + self.f.col(quoted(PLACE))).alias(validation.ROW)
            shown = [self.f.col(quoted(name)) for name in probe.columns]
            first = rows.join(self.f.broadcast(self.starts), FILE).select(number, *shown)
            first = first.orderBy(quoted(validation.ROW)).limit(most)
            found = pl.DataFrame(pl.from_arrow(first.toArrow()))
        found = found.with_columns(pl.col(name).cast(self.types[name]) for name in probe.columns)
        return check.model_copy(update={"examples": tuple(map(validation.shown, found.rows(named=True)))})

    def _violates(self, expression: pl.Expr) -> Any:
        node = tree(expression)
        if group := groups_of(node):
            same = window_for(self.frame).partitionBy(*(self.translator.rows({"Column": name}) for name in group))
            return self.f.count(self.f.lit(1)).over(same) > 1
        return self.translator.rows(node)

    def _first_rows(self) -> Any:
        """By file the number of its first row, where the files follow each other by their names."""
        counted = numbered(self.table, []).groupBy(FILE).count().collect()
        rows = {row[0]: row[1] for row in counted}
        starts, start = [], 0
        for file in sorted(rows, key=lambda name: PurePosixPath(unquote(name))):
            starts.append((file, start))
            start += rows[file]
        schema = f"{quoted(FILE)} string, {quoted(START)} bigint"
        return self.table.frame.sparkSession.createDataFrame(starts, schema)
