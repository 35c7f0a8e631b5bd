"""From a schema and the types of the data to the list of what to check. What the types alone decide is decided here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from datetime import datetime

import polars as pl

from slipway.data import dtypes, pandera_objects, probes
from slipway.data.columns import Column
from slipway.data.probes import Probe
from slipway.data.reading import first_line
from slipway.data.rules import Rule, UniqueValuesEq
from slipway.data.schema import Schema, why_not_a_condition
from slipway.report.model import Check, Verdict

Item = Probe | Check

NEAREST = 20
"""Absent columns for which the nearest name is looked for: each is compared with all columns of the data."""


class Plan:
    """What to check of one frame. `items` holds a finished Check where the types of the data decide it."""

    def __init__(self, schema: Schema, frame: pl.LazyFrame, now: datetime) -> None:
        self.schema = schema
        self.now = now
        self.actual = dict(frame.collect_schema())
        self.columns = _matched(schema, list(self.actual))
        self.types = dict(self.actual)
        self.given: dict[str, str] = {}
        self.absent: set[str] = set()
        self.conversions: list[pl.Expr] = []
        self.frame = self._coerced(frame)
        self.items: list[Item] = [
            *self._absent_columns(),
            *(item for name, column in self.columns for item in self._column(name, column)),
            *self._whole_table(),
            *self._slipway(),
        ]

    def _coerced(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The frame with `coerce` columns converted; what was given stays beside them under another name."""
        for name, column in self.columns:
            want, have = column.polars_type, self.actual[name]
            if want is None or not (self.schema.coerce or column.coerce) or pandera_objects.dtype_accepts(want, have):
                continue
            if name not in self.given and _converts(have, want):
                self.given[name] = f"{name} (as given)"
                self.types[name] = want
                self.conversions += [dtypes.converted(pl.col(name), have, want), pl.col(name).alias(self.given[name])]
        return frame.with_columns(self.conversions) if self.conversions else frame

    def _absent_columns(self) -> Iterator[Item]:
        present = {id(column) for _, column in self.columns}
        for name, column in (self.schema.columns or {}).items():
            if id(column) in present:
                continue
            pattern = "no column of the data matches this pattern"
            detail = pattern if column.is_pattern(name) else self._no_column(name)
            if not column.required:
                detail = "not in the data; the schema does not require it, so its checks do not apply"
                yield Check(name=f"{name}: present", verdict=Verdict.PASS, detail=detail)
                continue
            yield Check(name=f"{name}: present", verdict=Verdict.FAIL, detail=detail)
            for title in [rule.title() for rule in column.rules] + ["unique"] * column.unique:
                yield _not_run(f"{name}: {title}", "the column is absent")

    def _column(self, name: str, column: Column) -> Iterator[Item]:
        yield self._type(name, column)
        if not column.nullable:
            title, missing = f"{name}: no missing values", self._missing(name)
            count = pl.col(self.given.get(name, name)).null_count()
            if dtypes.is_float(self.types[name]):
                count += pl.col(name).is_nan().sum()
            yield probes.violations(title, missing, (self.given.get(name, name),), says="have no value", count=count)
        if column.unique:
            twice = pl.col(name).is_duplicated()
            yield probes.violations(f"{name}: unique", twice, (name,), says="share their value with another row")
        want, have = column.polars_type, self.types[name]
        for rule in column.rules:
            if want is not None and want != have and not dtypes.same_kind(want, have):
                yield _not_run(f"{name}: {rule.title()}", f"the column is {have}, not {want}")
            else:
                yield self._rule(name, rule, have)

    def _type(self, name: str, column: Column) -> Item:
        want, have = column.polars_type, self.actual[name]
        if want is None:
            return Check(name=f"{name}: present", verdict=Verdict.PASS)
        title = f"{name}: type {want}"
        if pandera_objects.dtype_accepts(want, have):
            return Check(name=title, verdict=Verdict.PASS)
        if name in self.given:
            source = self.given[name]
            lost = pl.col(source).is_not_null() & pl.col(name).is_null()
            return probes.violations(title, lost, (source,), says=f"cannot be converted from {have}")
        if have == pl.String and _converts(have, want):
            lost = pl.col(name).is_not_null() & dtypes.converted(pl.col(name), have, want).is_null()
            return probes.wrong_type(title, name, lost, want, have)
        asked = self.schema.coerce or column.coerce
        detail = f"found {have}, which does not convert" if asked else f"found {have}"
        return Check(name=title, verdict=Verdict.FAIL, detail=detail)

    def _rule(self, name: str, rule: Rule, dtype: pl.DataType) -> Item:
        title = f"{name}: {rule.title()}"
        try:
            violates = _violates(rule, name, dtype)
        except (ValueError, TypeError) as error:
            return _not_run(title, first_line(error))
        if isinstance(rule, UniqueValuesEq):
            return probes.exact_values(title, rule, name, violates)
        return probes.violations(title, violates, (name,), rule=rule)

    def _whole_table(self) -> Iterator[Item]:
        names, declared = list(self.actual), dict.fromkeys(name for name, _ in self.columns)
        if self.schema.strict is True:
            extra = [name for name in names if name not in declared]
            yield _static("no other columns", not extra, "the schema does not declare " + ", ".join(extra[:10]))
        if self.schema.ordered:
            found = [name for name in names if name in declared]
            yield _static("column order", found == list(declared), f"the order is {', '.join(found[:20])}")
        for group in self.schema.unique_groups:
            title = f"{', '.join(group)}: unique together"
            if absent := [name for name in group if name not in self.actual]:
                yield _static(title, False, self._no_column(absent[0]))
                continue
            twice = pl.struct(group).is_duplicated()
            yield probes.violations(title, twice, group, says="share these values with another row")
        for rule in self.schema.rules:
            title = f"all columns: {rule.title()}"
            try:
                violates = pl.any_horizontal(_violates(rule, name, self.types[name]) for name in names)
            except (ValueError, TypeError) as error:
                yield _not_run(title, first_line(error))
                continue
            yield probes.violations(title, violates, tuple(names), rule=rule)

    def _slipway(self) -> Iterator[Item]:
        declared = self.schema.slipway
        if declared.rows:
            yield probes.row_count(declared.rows)
        if declared.freshness:
            yield self._freshness()
        for column, most in declared.missing.items():
            if column in self.actual:
                yield probes.missing_share(column, most, self._missing(column))
            else:
                yield _static(f"{column}: at most {most:.4g} missing", False, self._no_column(column))
        for each in declared.compare:
            title = each.name or f"rule {each.rule}"
            names = list(dict.fromkeys(pl.sql_expr(each.rule).meta.root_names()))
            if absent := [name for name in names if name not in self.actual]:
                yield _static(title, False, self._no_column(absent[0]))
            elif reason := why_not_a_condition(each.rule, {name: self.types[name] for name in names}):
                yield _not_run(title, reason)
            else:
                yield probes.condition(each, [name for name in names if dtypes.is_float(self.types[name])])

    def _freshness(self) -> Item:
        declared = self.schema.slipway.freshness
        assert declared is not None
        title = f"{declared.column}: at most {declared.max_age_days:g} days old"
        if declared.column not in self.actual:
            return _static(title, False, self._no_column(declared.column))
        dtype = self.types[declared.column]
        if dtype != pl.Date and not isinstance(dtype, pl.Datetime):
            return _not_run(title, f"the column is {dtype}, neither a date nor a datetime")
        return probes.freshness(declared, dtype, self.now)

    def _missing(self, name: str) -> pl.Expr:
        missing = pl.col(self.given.get(name, name)).is_null()
        return missing | pl.col(name).is_nan().fill_null(False) if dtypes.is_float(self.types[name]) else missing

    def _no_column(self, name: str) -> str:
        self.absent.add(name)
        close = difflib.get_close_matches(name, list(self.actual), n=1) if len(self.absent) <= NEAREST else []
        return f"the data have no column `{name}`" + (f"; the nearest is `{close[0]}`" if close else "")


def _violates(rule: Rule, name: str, dtype: pl.DataType) -> pl.Expr:
    """True where a row violates the check. NaN is out of every order, but for polars above all numbers."""
    satisfied = pandera_objects.satisfied(rule, name, dtype)
    violates = satisfied.not_() if rule.ignore_na else satisfied.fill_null(False).not_()
    return violates | pl.col(name).is_nan() if rule.ordering and dtypes.is_float(dtype) else violates


def _matched(schema: Schema, names: list[str]) -> list[tuple[str, Column]]:
    """The columns of the data with what the schema declares of them, in its order.

    Several patterns may rule one column; none rules a column that is declared by its name.
    """
    declared, present = schema.columns or {}, set(names)
    explicit = {name for name, column in declared.items() if not column.is_pattern(name)}
    found = []
    for name, column in declared.items():
        if column.is_pattern(name):
            found += [(match, column) for match in _matching(name, names) if match not in explicit]
        elif name in present:
            found.append((name, column))
    return found


def _matching(pattern: str, names: list[str]) -> list[str]:
    return [name for name in names if re.fullmatch(pattern, name)]


def _converts(have: pl.DataType, want: pl.DataType) -> bool:
    """Whether values of the one type can be of the other. Polars decides it on a value, not on the types alone."""
    try:
        sample = pl.select(column=pl.lit(0).cast(have))
    except pl.exceptions.PolarsError:
        sample = pl.DataFrame({"column": [None]}, schema={"column": have})
    try:
        sample.select(dtypes.converted(pl.col("column"), have, want))
    except pl.exceptions.PolarsError:
        return False
    return True


def _static(title: str, passes: bool, detail: str) -> Check:
    return Check(name=title, verdict=Verdict.PASS if passes else Verdict.FAIL, detail="" if passes else detail)


def _not_run(title: str, why: str) -> Check:
    return Check(name=title, verdict=Verdict.INCONCLUSIVE, detail=f"not run: {why}")
