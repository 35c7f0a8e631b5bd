"""Pandera's own objects and check functions. Built here, because pandera's YAML reader needs pandas and drops keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandera.backends.polars.builtin_checks  # noqa: F401 - registers the functions that are called below
import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from slipway.data import dtypes
from slipway.data.rules import Rule

if TYPE_CHECKING:
    from slipway.data.columns import Column
    from slipway.data.schema import Schema


class _Recorder:
    """Stands in for the lazy frame that pandera's functions select from, and hands back what they select.

    So pandera defines each check, and all checks still run in one scan of the data instead of one scan each.
    """

    def select(self, expression: pl.Expr) -> pl.Expr:
        return expression


def satisfied(rule: Rule, column: str, dtype: pl.DataType) -> pl.Expr:
    """Pandera's expression of a check on a column of type `dtype`: true, false, or null for a missing value."""
    name, arguments = rule.check, _arguments(rule, dtype)
    if (
        name == "unique_values_eq"
    ):  # the one check that is not about single rows; whether all values occur is asked apart
        name, arguments = "isin", {"allowed_values": arguments["values"]}
    function: Any = pa.Check.get_builtin_check_fn(name)
    recorder: Any = _Recorder()
    recorded: pl.Expr = function(PolarsData(recorder, column), **arguments)
    return recorded


def check(rule: Rule, dtype: pl.DataType | None) -> pa.Check:
    """The rule as pandera's object. Pandera raises ValueError or TypeError where the arguments make no sense."""
    options: dict[str, Any] = {"ignore_na": rule.ignore_na, "raise_warning": rule.raise_warning}
    given = {"name": rule.name, "error": rule.error, "n_failure_cases": rule.n_failure_cases}
    options |= {key: value for key, value in given.items() if value is not None}
    arguments = {key: value for key, value in _arguments(rule, dtype).items() if value is not None}
    built: pa.Check = getattr(pa.Check, rule.check)(**arguments, **options)
    return built


def column(declared: Column) -> pa.Column:
    """The column as pandera's object."""
    return pa.Column(
        declared.polars_type,
        [check(rule, declared.polars_type) for rule in declared.rules],
        nullable=declared.nullable,
        unique=declared.unique,
        coerce=declared.coerce,
        required=declared.required,
        regex=declared.regex,
        title=declared.title,
        description=declared.description,
    )


def schema(declared: Schema) -> pa.DataFrameSchema:
    """The schema as pandera's object, without what pandera cannot express (the `slipway` section)."""
    unique: Any = [list(group) for group in declared.unique_groups]
    return pa.DataFrameSchema(
        {name: column(each) for name, each in (declared.columns or {}).items()},
        checks=[check(rule, None) for rule in declared.rules],
        coerce=declared.coerce,
        strict=declared.strict,
        ordered=declared.ordered,
        unique=unique or None,
        name=declared.name,
        title=declared.title,
        description=declared.description,
    )


def dtype_accepts(declared: pl.DataType, actual: pl.DataType) -> bool:
    """Whether pandera takes a column of type `actual` for one of type `declared`."""
    return bool(pa.Column(declared).dtype.check(actual))


def _arguments(rule: Rule, dtype: pl.DataType | None) -> dict[str, Any]:
    given = rule.arguments()
    if dtype is None or rule.check.startswith("str_"):
        return given
    return {key: value if isinstance(value, bool) else dtypes.typed(value, dtype) for key, value in given.items()}
