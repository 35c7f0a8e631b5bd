"""Rows divided by the values of a column: what slices, fairness and the search for the worst slice have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from itertools import count, pairwise
from math import floor, log10
from typing import Any

import numpy as np
import polars as pl

from slipway.evaluation.outcomes import Booleans, Floats, Integers, Outcome, Text
from slipway.evaluation.sampling import Sampling
from slipway.runner.errors import InputError

MIN_CLUSTERS = 10
"""With fewer clusters their variance is hardly known, whatever the number of rows in them."""

LONGEST = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Grouping:
    """Every row in one group, or in none. name: of the column or columns. labels: of groups.

    codes: (rows,) positions in the labels; -1 for a row that is in no group.
    """

    name: str
    labels: tuple[str, ...]
    codes: Integers

    @property
    def sizes(self) -> Integers:
        """(groups,) rows of each group."""
        return np.bincount(self.codes + 1, minlength=len(self.labels) + 1)[1:]

    def members(self) -> list[Integers]:
        """The rows of each group, in the order of the data."""
        order = np.argsort(self.codes, kind="stable")  # rows in no group come first
        return np.split(order, len(order) - np.cumsum(self.sizes[::-1])[::-1])[1:]


def group(values: pl.Series, *, bins: int, at_most: int | None = None) -> Grouping:
    """A column's groups: its values; a number's quantile ranges where it has more than `bins` values; a date's months.

    Missing values (NaN, too) are a group. With `at_most`, the rarest values share a group so that there are no more.
    Raises InputError for a column of nested values.
    """
    if not can_group(values.dtype):
        raise InputError(
            f"The column `{values.name}` is {values.dtype}, whose values are no groups.",
            fix="Name a column of text, numbers, dates or true/false in the policy.",
        )
    if values.dtype.is_numeric():
        return _group_numbers(values, bins)
    if values.dtype in (pl.Date, pl.Datetime):
        values = values.dt.strftime("%Y-%m")
    counts = values.cast(pl.String).drop_nulls().value_counts(sort=True)
    known = sorted(counts[values.name].to_list()) if at_most is None else _most_frequent(counts, values.name, at_most)
    codes = values.cast(pl.String).cast(pl.Enum(known), strict=False).to_physical().cast(pl.Int64)
    labels = [f"{values.name} = {text}" for text in _texts(known)]
    rarer = counts.height - len(known)
    if rarer:
        is_rarer = codes.is_null() & values.is_not_null()
        codes = pl.select(pl.when(is_rarer).then(len(labels)).otherwise(codes)).to_series()
        labels.append(f"{values.name} is one of {rarer:,} rarer values")
    return _with_missing(values.name, labels, codes)


def can_group(kind: pl.DataType) -> bool:
    """Whether a column of that type has values that can be groups."""
    known = kind in (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Date, pl.Datetime)
    return known or kind.is_numeric()


def cross(groupings: Sequence[Grouping]) -> Grouping:
    """The groups of several columns at once, those that occur."""
    return reduce(_cross_two, groupings)


def take(outcome: Outcome, rows: Booleans | Integers) -> Outcome:
    """The outcome on some of its rows."""
    if isinstance(outcome, Text):
        return replace(outcome, scores={name: scores[rows] for name, scores in outcome.scores.items()})
    held = {each.name: getattr(outcome, each.name) for each in fields(outcome)}
    arrays: dict[str, Any] = {name: value[rows] for name, value in held.items() if isinstance(value, np.ndarray)}
    return replace(outcome, **arrays)


def take_sampling(sampling: Sampling, rows: Booleans | Integers) -> Sampling:
    """The sampling of some of the rows, their clusters numbered anew without gaps."""
    if sampling.clusters is None:
        return replace(sampling, rows=len(np.arange(sampling.rows)[rows]))
    clusters = np.unique(sampling.clusters[rows], return_inverse=True)[1].astype(np.int64)
    return replace(sampling, rows=len(clusters), clusters=clusters)


def too_small(sampling: Sampling, min_rows: int) -> str:
    """Why so few rows or clusters are not judged; empty where they are enough."""
    if sampling.rows < min_rows:
        return f"{sampling.rows:,} rows, and the policy asks for {min_rows:,}"
    if sampling.clusters is not None and sampling.units < MIN_CLUSTERS:
        return f"{sampling.units} clusters, and an interval needs {MIN_CLUSTERS}"
    return ""


def _group_numbers(values: pl.Series, bins: int) -> Grouping:
    name = values.name
    numbers = values.cast(pl.Float64).fill_nan(None)
    present = numbers.drop_nulls().to_numpy()
    known = np.unique(present)
    if len(known) <= bins:
        codes = pl.Series(np.searchsorted(known, numbers.fill_null(0).to_numpy()), dtype=pl.Int64)
        labels = [f"{name} = {text}" for text in _numbers(known)]
    else:
        # Edges are values of the data, so that they read well and infinity does no harm. The last range needs rows.
        edges = np.unique(np.quantile(present, np.arange(1, bins) / bins, method="inverted_cdf"))
        edges = edges[edges < known[-1]]
        codes = pl.Series(np.searchsorted(edges, numbers.fill_null(0).to_numpy()), dtype=pl.Int64)
        labels = _ranges(name, _numbers(edges))
    codes = pl.select(pl.when(numbers.is_not_null()).then(codes)).to_series()
    return _with_missing(name, labels, codes)


def _with_missing(name: str, labels: list[str], codes: pl.Series) -> Grouping:
    if codes.null_count():
        codes, labels = codes.fill_null(len(labels)), [*labels, f"{name} is missing"]
    return Grouping(name, tuple(labels), codes.to_numpy().astype(np.int64))


def _most_frequent(counts: pl.DataFrame, name: str, at_most: int) -> list[str]:
    kept = counts.height if counts.height <= at_most else at_most - 1
    ordered = counts.sort(["count", name], descending=[True, False])  # ties by name: the same data, the same groups
    return sorted(ordered[name].head(kept).to_list())


def _cross_two(one: Grouping, other: Grouping) -> Grouping:
    both, codes = np.unique(one.codes * len(other.labels) + other.codes, return_inverse=True)
    first, second = np.divmod(both, len(other.labels))
    labels = tuple(f"{one.labels[i]} and {other.labels[j]}" for i, j in zip(first, second, strict=True))
    return Grouping(f"{one.name} and {other.name}", labels, codes.astype(np.int64))


def _ranges(name: str, edges: list[str]) -> list[str]:
    if not edges:
        return [f"all values of {name}"]
    between = [f"{low} < {name} ≤ {high}" for low, high in pairwise(edges)]
    return [f"{name} ≤ {edges[0]}", *between, f"{name} > {edges[-1]}"]


def _numbers(values: Floats) -> list[str]:
    """Each as short as tells them apart."""
    whole = all(value == np.rint(value) and abs(value) < 1e15 for value in values)
    short = [f"{value:.0f}" if whole else _digits(value) for value in values]
    return short if len(set(short)) == len(short) else [repr(float(value)) for value in values]


def _digits(value: float) -> str:
    """Four significant digits, without an exponent where people read the number as well."""
    if not 1e-4 <= abs(value) < 1e15:
        return f"{value:.4g}"
    text = f"{value:.{max(0, 3 - floor(log10(abs(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _texts(values: Sequence[str]) -> list[str]:
    """Each as short as it is shown; numbered where two would look alike."""
    shown: dict[str, None] = {}
    for value in values:
        text = _shown(value)
        numbered = (f"{text} ({number})" for number in count(2))
        shown[text if text not in shown else next(each for each in numbered if each not in shown)] = None
    return list(shown)


def _shown(value: str) -> str:
    if not value.strip():
        return f"“{value[:LONGEST]}”"
    return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
