"""One streaming pass over a dataset: profiles are made batch by batch, so memory does not grow with the rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.profiles import categories
from slipway.profiles.categories import Categories
from slipway.profiles.histogram import ROOM
from slipway.profiles.profile import Column, Kind, Numbers, Profile, merge, merge_columns
from slipway.runner.errors import InputError

COLUMNS_AT_ONCE, STRIPS = 8, 40
"""Columns that are read together: polars decodes whole row groups, so a file is read in strips of some columns, which
halves the memory. A strip opens the file anew, so there are at most so many."""

ROWS_AT_ONCE, CELLS_AT_ONCE = 131_072, 2**22

THREADS = 2
"""Columns that are counted at the same time. NumPy and polars let other threads run; more of them than two wait for
Python itself."""

MOST_VALUES = 2_000
"""Values of one column that are told apart: each has a profile of its own."""

WHOLE = 2.0**53
"""Below this every whole number is a floating-point number."""


def of_frame(frame: pl.LazyFrame, columns: Collection[str] | None = None, *, in_strips: bool = True) -> Profile:
    """The profile of `frame`, of all columns or of `columns`, in the order of the frame.

    in_strips: some columns at a time, which suits a format that keeps columns apart; a text file would be parsed anew
    for every strip. Polars' own exceptions come through where a file is damaged.
    """
    schema = frame.collect_schema()
    names = [name for name in schema if columns is None or name in columns]
    if not names:
        return Profile(int(frame.select(pl.len()).collect(engine="streaming").item()), {})
    width = max(COLUMNS_AT_ONCE, math.ceil(len(names) / STRIPS)) if in_strips else len(names)
    rows_at_once = max(1024, min(ROWS_AT_ONCE, CELLS_AT_ONCE // width))
    rows, found = 0, dict[str, Column]()
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(names), width):
            strip = frame.select(names[start : start + width])
            # Without a row there would be no batch to tell the columns.
            nothing = pl.DataFrame(schema=strip.collect_schema())
            batches = strip.collect_batches(chunk_size=rows_at_once, engine="streaming")
            part = of_batches(itertools.chain([nothing], batches), pool)
            rows, found = part.rows, {**found, **part.columns}
    return Profile(rows, found)


def of_batches(batches: Iterable[pl.DataFrame], pool: Executor | None = None) -> Profile:
    """The profile of batches that have the same columns, such as the answer to a query.

    pool: threads that count several columns at once; a column is one thread's, so that no number depends on them.

    Raises InputError where a column is of different kinds in two of them, or a batch has other columns.
    """
    rows, columns = 0, dict[str, Column]()
    for batch in batches:
        if columns and columns.keys() != set(batch.columns):
            raise InputError(
                "The parts of the data do not have the same columns.", fix="Name the columns in the query."
            )
        known = [columns.get(name) for name in batch.columns]
        columns.update(zip(batch.columns, (pool.map if pool else map)(_plus, known, batch), strict=True))
        rows += batch.height
    return Profile(rows, columns)


def by_value(batches: Iterable[pl.DataFrame], column: str) -> dict[Any, Profile]:
    """A profile for the rows of each value of `column`; those without a value are one of their own (None).

    It stops, with more than MOST_VALUES profiles, where there are more values than that.
    """
    found: dict[Any, Profile] = {}
    for batch in batches:
        for part in batch.partition_by(column):
            value = part.item(0, column)
            if isinstance(value, float) and math.isnan(value):
                value = None  # NaN is not equal to itself: every batch would have a profile of its own
            mine = of_batches([part])
            found[value] = merge([found[value], mine]) if value in found else mine
            if len(found) > MOST_VALUES:
                return found
    return found


def kind_of(dtype: pl.DataType) -> Kind:
    """What is counted of a column of this type."""
    if dtype.is_numeric() or isinstance(dtype, (pl.Duration, pl.Time)):
        return "number"
    if isinstance(dtype, (pl.Date, pl.Datetime)):
        return "time"
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum, pl.Boolean)):
        return "category"
    return "empty" if isinstance(dtype, pl.Null) else "other"


def _plus(known: Column | None, series: pl.Series) -> Column:
    """The column with a batch of it counted."""
    kind, dtype = kind_of(series.dtype), _called(series.dtype)
    fresh = Column(
        kind,
        (dtype,),
        numbers=Numbers() if kind in ("number", "time") else None,
        categories=Categories() if kind == "category" else None,
    )
    before = fresh if known is None else merge_columns(series.name, known, fresh)
    column = replace(before, rows=before.rows + len(series), nulls=before.nulls + series.null_count())
    values = series.drop_nulls() if series.null_count() else series
    if not len(values):
        return column
    if column.numbers is not None:
        return replace(column, numbers=_plus_numbers(column.numbers, _as_numbers(values)))
    if column.categories is not None:
        return replace(column, categories=categories.merge(column.categories, _as_categories(values)))
    return column


def _as_numbers(series: pl.Series) -> NDArray[np.generic]:
    """Floats, or integers as they are. Times in microseconds since 1970 in UTC; those without a zone count as UTC."""
    dtype = series.dtype
    if isinstance(dtype, (pl.Date, pl.Datetime)):
        series = series.cast(pl.Datetime("us")) if isinstance(dtype, pl.Date) else series.dt.cast_time_unit("us")
        return series.to_physical().to_numpy()
    if isinstance(dtype, pl.Duration):
        return series.dt.total_microseconds().to_numpy()
    if isinstance(dtype, pl.Time):
        return series.to_physical().to_numpy() / 1000
    if dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128, pl.UInt64):
        return series.to_numpy()
    return series.cast(pl.Float64).to_numpy()


def _plus_numbers(numbers: Numbers, values: NDArray[np.generic]) -> Numbers:
    """Whole numbers close to each other are counted in a table; a histogram that is still exact would sort them."""
    floats = values.astype(np.float64, copy=False)
    integers = values is not floats
    if integers or numbers.histogram.exact:
        low, high = float(floats.min()), float(floats.max())
        if high - low < ROOM * len(floats) and max(-low, high) < WHOLE:
            whole = values.astype(np.int64)
            if integers or (whole == floats).all():
                whole -= int(low)
                table = np.bincount(whole)
                found = np.flatnonzero(table > 0)
                return numbers.plus_counted((found + int(low)).astype(np.float64), table[found])
    return numbers.plus_values(floats)


def _as_categories(series: pl.Series) -> Categories:
    counted = series.value_counts(name="count")
    counts = counted["count"].cast(pl.Int64).to_numpy()
    return categories.of_texts(counted[series.name].cast(pl.String).to_list(), counts)


def _called(dtype: pl.DataType) -> str:
    """The type's name; that of a nested one or an enumeration without its parts."""
    return str(dtype.base_type()) if dtype.is_nested() or isinstance(dtype, pl.Enum) else str(dtype)
