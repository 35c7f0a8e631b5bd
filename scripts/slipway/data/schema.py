"""The schema file: pandera's own YAML layout, read strictly, and a `slipway` section for what pandera cannot say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import Field, FiniteFloat, StrictBool, StrictStr, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from slipway.data.columns import ChecksByName, Column, problem, refuse_change
from slipway.data.reading import first_line
from slipway.data.rules import Rule
from slipway.data.types import Types, why_no_pattern
from slipway.policy.reading import read_text
from slipway.policy.strict import Strict


class Rows(Strict):
    """How many rows the dataset must have."""

    min: Annotated[int, Field(ge=1)] | None = None
    max: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _some_number_fits(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` ({self.min}) is above `max` ({self.max}): nothing could pass")
        return self


class Freshness(Strict):
    """How old the newest row may be."""

    column: StrictStr
    """A date or datetime column. A time without a zone is taken for UTC."""

    max_age_days: Annotated[FiniteFloat, Field(ge=0)]
    as_of: datetime | date | None = None
    """The moment that ages are counted from; now, where it is left out."""

    def moment(self, now: datetime) -> datetime:
        """The moment that ages are counted from, in UTC."""
        if self.as_of is None:
            return now
        if not isinstance(self.as_of, datetime):
            return datetime(self.as_of.year, self.as_of.month, self.as_of.day, tzinfo=UTC)
        return self.as_of.astimezone(UTC) if self.as_of.tzinfo else self.as_of.replace(tzinfo=UTC)


class Compare(Strict):
    """A rule that every row must satisfy, as an SQL condition."""

    rule: StrictStr
    name: StrictStr | None = None
    description: StrictStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_rule(cls, given: Any) -> Any:
        return {"rule": given} if isinstance(given, str) else given

    @field_validator("rule")
    @classmethod
    def _is_sql(cls, given: str) -> str:
        try:
            columns = pl.sql_expr(given).meta.root_names()
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"is not an SQL condition: {error}") from None
        if not columns:
            raise ValueError("names no column, so it says nothing about the rows")
        return given


class Slipway(Strict):
    """Rules about the whole dataset, and between columns."""

    rows: Rows | None = None
    freshness: Freshness | None = None
    compare: list[Compare] = Field(default_factory=list)
    missing: dict[StrictStr, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Share of missing values that a nullable column may have."""


class Schema(Strict):
    """A schema file."""

    schema_type: Literal["polars_dataframe", "dataframe"] | None = None
    version: StrictStr | int | float | None = None
    api: StrictStr | None = None
    dataframe_library: StrictStr | None = None
    columns: dict[StrictStr, Column] | None = None
    checks: ChecksByName = None
    unique: StrictStr | list[StrictStr] | list[list[StrictStr]] | None = None
    coerce: StrictBool = False
    strict: StrictBool | Literal["filter"] = False
    ordered: StrictBool = False
    name: StrictStr | None = None
    title: StrictStr | None = None
    description: StrictStr | None = None
    report_duplicates: Literal["all"] = "all"
    unique_column_names: StrictBool = False
    dtype: None = None
    index: None = None
    multiindex: None = None
    add_missing_columns: Literal[False] = False
    drop_invalid_rows: Literal[False] = False
    slipway: Slipway = Slipway()

    @field_validator("add_missing_columns", "drop_invalid_rows", mode="before")
    @classmethod
    def _changes_no_data(cls, given: Any) -> Any:
        return refuse_change(given)

    @field_validator("index", "multiindex", mode="before")
    @classmethod
    def _no_index(cls, given: Any) -> None:
        if given is not None:
            raise ValueError("files have no index: declare it under `columns`")

    @field_validator("dtype", mode="before")
    @classmethod
    def _no_common_type(cls, given: Any) -> None:
        if given is not None:
            raise ValueError("one type for all columns cannot be expressed: give each column its `dtype`")

    @model_validator(mode="after")
    def _says_what_can_be_meant(self) -> Self:
        problems = [*self._contradictions(), *self._rules_that_cannot_run()]
        if problems:
            raise ValidationError.from_exception_data("schema", problems)
        return self

    @property
    def rules(self) -> list[Rule]:
        """Checks that every column must satisfy."""
        return list(self.checks.values()) if isinstance(self.checks, dict) else []

    @property
    def types(self) -> Types:
        """The declared types."""
        declared = (self.columns or {}).items()
        return Types.declared((name, column.regex, column.polars_type) for name, column in declared)

    @property
    def unique_groups(self) -> list[tuple[str, ...]]:
        """Groups of columns whose values together must not repeat."""
        if not self.unique:
            return []
        if isinstance(self.unique, str):
            return [(self.unique,)]
        single = [each for each in self.unique if isinstance(each, str)]
        return [tuple(single)] if single else [tuple(each) for each in self.unique]

    def _contradictions(self) -> list[InitErrorDetails]:
        found = []
        for name, each in (self.columns or {}).items():
            if each.is_pattern(name) and (reason := why_no_pattern(name)):
                found.append(problem(reason, "columns", name))
        for name, share in self.slipway.missing.items():
            column = (self.columns or {}).get(name)
            if column and not column.nullable and share > 0:
                message = f"`{name}` is not `nullable`, so no share of missing values is allowed"
                found.append(problem(message, "slipway", "missing", name))
        for rule in self.rules:
            if rule.check == "unique_values_eq":
                found.append(problem("`unique_values_eq` is about one column", "checks", rule.check))
        return found

    def _rules_that_cannot_run(self) -> list[InitErrorDetails]:
        """Rules between columns whose types are all declared, tried over no rows."""
        known = {name: dtype for name, dtype in self.types.named.items() if dtype is not None}
        found = []
        for place, each in enumerate(self.slipway.compare):
            all_known = set(pl.sql_expr(each.rule).meta.root_names()) <= set(known)
            if all_known and (reason := why_not_a_condition(each.rule, known)):
                found.append(problem(reason, "slipway", "compare", place))
        return found


def read(text: str, *, file: str) -> Schema:
    """A schema from its YAML. Raises PolicyError with file, line and the nearest known name."""
    return read_text(text, Schema, file=file, page="docs/validate-data.md")


def why_not_a_condition(rule: str, columns: dict[str, pl.DataType]) -> str:
    """Why an SQL rule does not give true or false for each row of these columns; empty where it does."""
    try:
        judged = pl.LazyFrame(schema=columns).select(pl.sql_expr(rule).alias("rule")).collect()
    except pl.exceptions.PolarsError as error:
        return f"the rule `{rule}` cannot be evaluated: {first_line(error)}"
    if judged.height or judged.schema["rule"] != pl.Boolean:
        return f"the rule `{rule}` does not give true or false for each row"
    return ""
