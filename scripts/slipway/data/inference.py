"""A starting schema from data: what was seen, with a margin, each bound marked for a person to review.

What is written is a guess about the next delivery from this one. It holds for the data that it was made from, and it is
not more than that: a range that was seen is no range that is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import yaml

from slipway.data import dtypes

CATEGORIES = 20
"""Most different texts that are taken for categories."""

ROWS_A_CATEGORY = 10
"""Rows that each category has on average at least: fewer, and there may be others."""

MARGIN = 0.1
"""Share of the range that was seen, by which the bounds lie beyond it."""

LEAST_MISSING = 0.05
"""Least bound of the share without a value; else it is twice what was seen."""

SHOWN = 60

AT_ONCE, STRIPS = 50, 40
"""Columns whose different values are counted together: polars' time and memory for it grow with the square of their
number. A text file is parsed anew for every strip of columns, so there are at most so many."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One column of one or several datasets. unique: in each of them. low, high: of the finite values."""

    dtype: pl.DataType
    rows: int
    nulls: int
    nans: int
    infinities: int
    unique: bool
    low: Any = None
    high: Any = None
    values: tuple[str, ...] | None = None

    @property
    def missing(self) -> float:
        """Share of rows without a value: null or NaN."""
        return (self.nulls + self.nans) / self.rows


def look(frames: Sequence[pl.LazyFrame]) -> dict[str, Seen]:
    """What the columns of datasets with the same columns hold. One pass over each (over a wide one several, of some
    columns each), and one over what may be categories.

    Polars' own exceptions come through where a file is damaged.
    """
    schema = frames[0].collect_schema()
    width = max(AT_ONCE, math.ceil(len(schema) / STRIPS))
    typed = list(schema.items())
    strips = [dict(typed[start : start + width]) for start in range(0, len(typed), width)]
    found = [{name: facts for strip in strips for name, facts in _facts(frame, strip).items()} for frame in frames]
    few = [
        name
        for name, dtype in schema.items()
        if isinstance(dtype, pl.String) and all(each[name]["distinct"] <= CATEGORIES for each in found)
    ]
    values: dict[str, set[str]] = {name: set() for name in few}
    for frame in frames if few else ():
        row = frame.select(pl.col(few).unique().drop_nulls().implode()).collect(engine="streaming")
        for name in few:
            values[name] |= set(row[name][0])
    return {name: _together(dtype, [each[name] for each in found], values.get(name)) for name, dtype in schema.items()}


def _facts(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> dict[str, dict[str, Any]]:
    expressions = {}
    for name, dtype in schema.items():
        column = pl.col(name)
        facts = {"rows": pl.len(), "nulls": column.null_count()}
        if not dtype.is_nested() and not isinstance(dtype, (pl.Null, pl.Object)):
            facts["distinct"] = column.n_unique()
        if dtypes.is_float(dtype):
            facts |= {"nans": column.is_nan().sum(), "infinities": column.is_infinite().sum()}
            column = column.filter(column.is_finite())
        if dtype.is_numeric() or isinstance(dtype, (pl.Date, pl.Datetime)):
            facts |= {"low": column.min(), "high": column.max()}
        expressions[name] = facts
    flat = [
        fact.alias(f"{place}:{key}") for place, each in enumerate(expressions.values()) for key, fact in each.items()
    ]
    row = frame.select(flat).collect(engine="streaming").row(0, named=True)
    return {
        name: {"distinct": math.inf} | {key: row[f"{place}:{key}"] for key in facts}
        for place, (name, facts) in enumerate(expressions.items())
    }


def _together(dtype: pl.DataType, found: list[dict[str, Any]], values: set[str] | None) -> Seen:
    rows = sum(each["rows"] for each in found)
    lows = [each["low"] for each in found if each.get("low") is not None]
    highs = [each["high"] for each in found if each.get("high") is not None]
    few = values is not None and 0 < len(values) <= CATEGORIES and rows >= ROWS_A_CATEGORY * len(values)
    return Seen(
        dtype=dtype,
        rows=rows,
        nulls=sum(each["nulls"] or 0 for each in found),
        nans=sum(each.get("nans") or 0 for each in found),
        infinities=sum(each.get("infinities") or 0 for each in found),
        unique=all(each["rows"] > 1 and not each["nulls"] and each["distinct"] == each["rows"] for each in found),
        low=min(lows) if lows else None,
        high=max(highs) if highs else None,
        values=tuple(sorted(values)) if few and values is not None else None,
    )


def schema_text(columns: Mapping[str, Seen], rows: Sequence[int], source: str) -> str:
    """The schema file (YAML) with a comment on every guess. rows: of each dataset. source: what it was made from."""
    lines = [
        f"# Made from {shown(source)}, {' and '.join(f'{each:,}' for each in rows)} rows.",
        "# Every line that says `review` is a guess from what was seen: a person who knows the data decides.",
        "# Slipway's docs/validate-data.md explains all keys.",
        "schema_type: polars_dataframe",
        "strict: true  # review: other columns are refused",
        "columns:",
    ]
    for name, seen in columns.items():
        lines += _column(name, seen)
    lines += ["", "slipway:", f"  rows: {{min: {max(1, min(rows) // 2)}}}  # review: half of {min(rows):,}"]
    shares = {name: seen for name, seen in columns.items() if seen.nulls + seen.nans}
    if shares:
        lines.append("  missing:")
        for name, seen in shares.items():
            most = min(1.0, max(LEAST_MISSING, math.ceil(200 * seen.missing) / 100))
            lines.append(f"    {scalar(name)}: {most:g}  # review: {seen.missing:.2%} seen")
    times = [name for name, seen in columns.items() if isinstance(seen.dtype, (pl.Date, pl.Datetime))]
    if times:
        lines.append("  # review: say how old the newest row may be")
        lines.append(f"  # freshness: {{column: {scalar(times[0])}, max_age_days: 7}}")
    return "\n".join(lines) + "\n"


def _column(name: str, seen: Seen) -> Iterator[str]:
    yield f"  {scalar(name)}:"
    if seen.dtype == pl.Null:
        yield "    # review: its type is not checked, since it has no value"
    elif known := _type_name(seen.dtype):
        yield f"    dtype: {scalar(known)}"
    else:
        yield f"    # review: its type, {shown(str(seen.dtype))}, is not checked"
    nullable = bool(seen.nulls + seen.nans)
    missing = f"{seen.nulls + seen.nans:,} of {seen.rows:,} without a value" if nullable else "no value was missing"
    yield f"    nullable: {str(nullable).lower()}  # review: {missing}"
    if seen.unique and not dtypes.is_float(seen.dtype):
        yield "    unique: true  # review: no value occurred twice"
    yield from _values(seen)


def _values(seen: Seen) -> Iterator[str]:
    if seen.values is not None:
        yield f"    # review: all {len(seen.values)} values that were seen"
        yield f"    isin: [{', '.join(scalar(value) for value in seen.values)}]"
    elif seen.low is None:
        return
    elif isinstance(seen.dtype, (pl.Date, pl.Datetime)):
        yield f"    # review: seen {seen.low} to {seen.high}; no bound, since times move on"
    elif seen.unique and seen.dtype.is_integer():
        yield f"    # review: seen {seen.low} to {seen.high}; no bound, since counters move on"
    elif isinstance(seen.dtype, pl.Decimal):
        yield f"    # review: seen {seen.low} to {seen.high}; give a range"
    elif seen.nans or seen.infinities:
        yield f"    # review: seen {seen.low:g} to {seen.high:g}, and NaN or infinite values, which no range allows"
    else:
        low, high = bounds(seen.low, seen.high)
        yield f"    # review: seen {seen.low:g} to {seen.high:g}"
        yield f"    in_range: {{min_value: {_number(low)}, max_value: {_number(high)}}}"


def bounds(low: float, high: float) -> tuple[float, float]:
    """The range with `MARGIN` of its width on both sides, rounded outward; no bound lies beyond zero that none passed.

    Whole numbers get whole bounds; 0 and 1 are truth values, and stay. Of a single value the width is its own size.
    """
    if isinstance(low, int) and isinstance(high, int) and (low, high) == (0, 1):
        return low, high
    width = (high - low) or abs(high) or 1
    most = [low - MARGIN * width, high + MARGIN * width]
    if isinstance(low, int) and isinstance(high, int):
        found: list[float] = [math.floor(most[0]), math.ceil(most[1])]
    else:
        step = 10.0 ** (math.floor(math.log10(width)) - 2) if math.isfinite(width) else 0.0
        found = [math.floor(most[0] / step) * step, math.ceil(most[1] / step) * step] if step else [low, high]
        found = [float(f"{each:.12g}") for each in found]
        if not all(map(math.isfinite, found)):
            found = [low, high]
    return (0 if low >= 0 > found[0] else found[0]), (0 if high <= 0 < found[1] else found[1])


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else str(yaml.safe_dump(value)).split("\n")[0]


def _type_name(dtype: pl.DataType) -> str:
    """The type as a schema file names it; empty where it has no name that leads back to it."""
    name = str(dtype)
    try:
        return name if dtypes.parse(name) == dtype else ""
    except (ValueError, pl.exceptions.PolarsError):
        return ""


def scalar(value: str) -> str:
    """A text as YAML, quoted: it may look like a number, a word that YAML knows, or a comment."""
    return str(yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf)).rstrip("\n")


def shown(text: str) -> str:
    """Text of others within a comment: on one line, and short."""
    plain = "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
    return plain if len(plain) <= SHOWN else plain[: SHOWN - 1] + "…"
