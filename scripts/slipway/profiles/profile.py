"""The profile of a dataset: for every column what its values are like, in a few kilobytes whatever the rows.

The profiles of the parts of a dataset add up to that of the whole. All counts, extremes, histograms and categories are
then exactly those of the whole; mean and sum of squares agree but for the rounding of floating-point sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Literal

import numpy as np

from slipway.profiles import categories, histogram
from slipway.profiles.categories import Categories
from slipway.profiles.histogram import Floats, Histogram, Integers
from slipway.runner.errors import InputError

Kind = Literal["number", "time", "category", "empty", "other"]
"""Times are microseconds since 1970 in UTC. `empty` has no type; of `other` types no value is looked at."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Moments:
    """Of finite values. mean and squares (the sum of squared deviations from it) are infinite or NaN where they are too
    great for a floating-point number."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def plus(self, other: Moments) -> Moments:
        """Of the values of both: Chan, Golub and LeVeque (1983)."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        apart, share = other.mean - self.mean, other.count / count
        squares = self.squares + other.squares + apart * apart * self.count * share
        return Moments(count, self.mean + apart * share, squares)

    @property
    def standard_deviation(self) -> float:
        """With n - 1; NaN below two values."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else math.nan


@dataclass(frozen=True, eq=False)
class Numbers:
    """Of the values of a numeric column that are not null. All but the first three are of the finite ones."""

    nans: int = 0
    negative_infinities: int = 0
    positive_infinities: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    moments: Moments = Moments()
    histogram: Histogram = histogram.EMPTY

    def plus(self, other: Numbers) -> Numbers:
        """Of the values of both."""
        return replace(
            self._beside(other, other.minimum, other.maximum, other.moments),
            histogram=histogram.merge(self.histogram, other.histogram),
        )

    def plus_values(self, values: Floats) -> Numbers:
        """With `values` counted, at least one, of which some may be infinite or NaN."""
        unusual = Numbers()
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(high - low):
            finite = np.isfinite(values)
            signs = values[~finite]
            nans, below, above = (int(np.count_nonzero(each)) for each in (np.isnan(signs), signs < 0, signs > 0))
            unusual = Numbers(nans, below, above)
            values = values[finite]
            if not len(values):
                return self.plus(unusual)
            low, high = float(values.min()), float(values.max())
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(values.mean())
            deviations = values - mean
            # Not `dot`: the threads that it may start cost more than they win, and their sums depend on their number.
            moments = Moments(len(values), mean, float(np.square(deviations, out=deviations).sum()))
        added = self._beside(unusual, low, high, moments)
        return replace(added, histogram=self.histogram.plus(values))

    def plus_counted(self, values: Floats, counts: Integers) -> Numbers:
        """With `values` counted, finite, rising and different, of which each occurs `counts` times."""
        count = int(counts.sum())
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float((values * counts).sum()) / count
            moments = Moments(count, mean, float((np.square(values - mean) * counts).sum()))
        added = self._beside(Numbers(), float(values[0]), float(values[-1]), moments)
        return replace(added, histogram=histogram.merge(self.histogram, histogram.of_values(values, counts)))

    def _beside(self, unusual: Numbers, minimum: float, maximum: float, moments: Moments) -> Numbers:
        return Numbers(
            self.nans + unusual.nans,
            self.negative_infinities + unusual.negative_infinities,
            self.positive_infinities + unusual.positive_infinities,
            min(self.minimum, minimum),
            max(self.maximum, maximum),
            self.moments.plus(moments),
        )


@dataclass(frozen=True, eq=False)
class Column:
    """One column. dtypes: of all parts, by polars' names. numbers or categories: as its kind has them."""

    kind: Kind
    dtypes: tuple[str, ...]
    rows: int = 0
    nulls: int = 0
    numbers: Numbers | None = None
    categories: Categories | None = None


@dataclass(frozen=True, eq=False)
class Profile:
    """A dataset. columns: by name."""

    rows: int
    columns: Mapping[str, Column]

    @property
    def texts(self) -> frozenset[str]:
        """Columns of text: what is held against them is read as text from a file without types, codes like `00123`."""
        return frozenset(
            name
            for name, column in self.columns.items()
            if column.kind == "category" and "Boolean" not in column.dtypes
        )


def merge(profiles: Iterable[Profile]) -> Profile:
    """The profile of a dataset from those of its parts.

    Raises InputError where the parts have different columns, or a column is of different kinds, or there is no part.
    """
    found = list(profiles)
    if not found:
        raise InputError("There is no profile to merge.", fix="Name the profiles of all parts.")
    return reduce(_two, found)


def moment(microseconds: float) -> datetime | None:
    """The time in UTC; None beyond the years that Python's dates have."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _two(one: Profile, other: Profile) -> Profile:
    if differing := set(one.columns) ^ set(other.columns):
        name = min(differing)
        raise InputError(
            f"The profiles are not of parts of one dataset: only one of them has the column `{name}`.",
            fix="Profile every part with the same columns.",
        )
    columns = {name: merge_columns(name, column, other.columns[name]) for name, column in one.columns.items()}
    return Profile(one.rows + other.rows, columns)


def merge_columns(name: str, one: Column, other: Column) -> Column:
    """The column of both parts. Raises InputError where it is of different kinds."""
    dtypes = tuple(sorted({*one.dtypes, *other.dtypes}))
    rows, nulls = one.rows + other.rows, one.nulls + other.nulls
    if "empty" in (one.kind, other.kind):
        known = other if one.kind == "empty" else one
        return Column(known.kind, dtypes, rows, nulls, known.numbers, known.categories)
    if one.kind != other.kind:
        raise InputError(
            f"The column `{name}` is {_said(one)} in one part and {_said(other)} in another.",
            fix="Write all parts with the same types, then profile them again.",
        )
    numbers = one.numbers.plus(other.numbers) if one.numbers and other.numbers else None
    texts = categories.merge(one.categories, other.categories) if one.categories and other.categories else None
    return Column(one.kind, dtypes, rows, nulls, numbers, texts)


def _said(column: Column) -> str:
    return f"{column.kind} ({', '.join(column.dtypes)})"
