"""Column types by the names that pandera writes into its YAML files, for polars and for pandas."""

from __future__ import annotations

import ast
import difflib
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import AfterValidator, StrictStr

NAMED: dict[str, pl.DataType] = {
    **{f"Int{bits}": getattr(pl, f"Int{bits}")() for bits in (8, 16, 32, 64)},
    **{f"UInt{bits}": getattr(pl, f"UInt{bits}")() for bits in (8, 16, 32, 64)},
    "Float32": pl.Float32(),
    "Float64": pl.Float64(),
    "Boolean": pl.Boolean(),
    "String": pl.String(),
    "Binary": pl.Binary(),
    "Categorical": pl.Categorical(),
    "Date": pl.Date(),
    "Datetime": pl.Datetime("us"),
    "Duration": pl.Duration("us"),
    "Time": pl.Time(),
    "Decimal": pl.Decimal(28, 0),
    "Null": pl.Null(),
}
"""Polars' own names; the bare ones that take arguments stand for what pandera makes of them."""

ALIASES = {
    "int": "Int64",
    "float": "Float64",
    "bool": "Boolean",
    "str": "String",
    "utf8": "String",
    "object": "String",
    "string[python]": "String",
    "string[pyarrow]": "String",
    "category": "Categorical",
    "timedelta": "Duration",
}
"""Other spellings: Python's and pandas'. A pandas `object` column that comes out of a file holds text."""

NESTED = {"List": pl.List, "Array": pl.Array, "Struct": pl.Struct, "Enum": pl.Enum, "Field": pl.Field}
TAKING_ARGUMENTS = {**NESTED, "Datetime": pl.Datetime, "Duration": pl.Duration, "Decimal": pl.Decimal}

PANDAS_DATETIME = re.compile(r"datetime64\[(ms|us|ns)(?:, *([^\]]+))?\]")
PANDAS_TIMEDELTA = re.compile(r"timedelta64\[(ms|us|ns)\]")


def parse(text: str) -> pl.DataType:
    """The polars type called `text`: `Int64`, `datetime64[ns]`, `Enum(categories=['a', 'b'])`.

    Raises ValueError with the nearest known name.
    """
    name = text.strip()
    lower = {known.lower(): kind for known, kind in NAMED.items()}
    plain = ALIASES.get(name.lower(), name)
    if plain.lower() in lower:
        return lower[plain.lower()]
    if found := PANDAS_DATETIME.fullmatch(name):
        return pl.Datetime(found[1], found[2])  # type: ignore[arg-type]
    if found := PANDAS_TIMEDELTA.fullmatch(name):
        return pl.Duration(found[1])  # type: ignore[arg-type]
    try:
        built = _build(ast.parse(name, mode="eval").body)
    except (SyntaxError, ValueError, TypeError, AttributeError):
        raise ValueError(_unknown(name)) from None
    if not isinstance(built, pl.DataType):
        raise ValueError(_unknown(name))
    return built


def _known(name: str) -> str:
    parse(name)
    return name


Name = Annotated[StrictStr, AfterValidator(_known)]
"""The name of a type in a schema's file."""


def is_float(dtype: pl.DataType) -> bool:
    """Whether the type has NaN."""
    return dtype in (pl.Float32, pl.Float64)


def same_kind(one: pl.DataType, other: pl.DataType) -> bool:
    """Whether values of the two types can stand in for each other in a comparison."""
    texts = (pl.String, pl.Categorical, pl.Enum)
    return (
        (one.is_numeric() and other.is_numeric())
        or one.base_type() == other.base_type()
        or (isinstance(one, texts) and isinstance(other, texts))
    )


def typed(value: Any, dtype: pl.DataType) -> Any:
    """A check's argument as a value of the column's type.

    YAML has no times or durations, and pandera writes datetimes as text without a zone (they are in the column's
    zone) and durations as nanoseconds. Raises ValueError where the text is no such value.
    """
    if isinstance(value, list):
        return [typed(each, dtype) for each in value]
    if isinstance(dtype, pl.Datetime):
        return _moment(value, dtype.time_zone)
    if isinstance(value, str) and dtype == pl.Date:
        return date.fromisoformat(value)
    if isinstance(value, str) and dtype == pl.Time:
        return time.fromisoformat(value)
    if isinstance(value, int) and isinstance(dtype, pl.Duration):
        return timedelta(microseconds=value / 1000)
    if isinstance(value, float) and isinstance(dtype, pl.Decimal):
        return Decimal(str(value))
    return value


def converted(column: pl.Expr, have: pl.DataType, want: pl.DataType) -> pl.Expr:
    """`column` as type `want`, null where a value has no equal there. Polars raises where the types never convert."""
    if have == pl.String and want == pl.Date:
        return column.str.to_date(strict=False)
    if have == pl.String and want == pl.Time:
        return column.str.to_time("%H:%M:%S", strict=False)
    if have == pl.String and isinstance(want, pl.Datetime):
        return column.str.to_datetime(time_unit=want.time_unit, time_zone=want.time_zone, strict=False)
    return column.cast(want, strict=False)


def _moment(value: Any, zone: str | None) -> Any:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        return value
    if zone is None:
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return value.astimezone(ZoneInfo(zone)) if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))


def _build(node: ast.expr) -> Any:
    """What polars prints for a type is the call that makes it; only types and plain values are made here."""
    if isinstance(node, ast.Name):
        return NAMED[node.id] if node.id in NAMED else _refuse(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TAKING_ARGUMENTS:
        arguments = [_build(each) for each in node.args]
        named = {each.arg or "": _build(each.value) for each in node.keywords}
        return TAKING_ARGUMENTS[node.func.id](*arguments, **named)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [_build(each) for each in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_build(each) for each in node.elts)
    if isinstance(node, ast.Dict):
        return {_build(key): _build(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    return _refuse(node)


def _refuse(node: ast.expr) -> Any:
    raise ValueError(f"{ast.unparse(node)} is not a type")


def _unknown(name: str) -> str:
    known = [*NAMED, *ALIASES, *NESTED, "datetime64[ns]", "timedelta64[ns]"]
    if name in NESTED:
        return f"`{name}` needs its parts, such as `List(Int64)` or `Enum(categories=['a', 'b'])`"
    nearest = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), nearest, n=1, cutoff=0.5)
    hint = f"did you mean `{nearest[close[0]]}`?" if close else f"known types: {', '.join(NAMED)}"
    return f"`{name}` is not a known type; {hint}"
