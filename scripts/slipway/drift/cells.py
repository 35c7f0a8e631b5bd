"""Two columns as counts over the same cells, which every distance and test of shares is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slipway.profiles import Column
from slipway.profiles.categories import Categories
from slipway.profiles.histogram import Histogram, Integers
from slipway.runner.errors import InputError

CELLS = 10
"""Cells of a numeric column: each holds about a tenth of the reference."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Counts of both columns, cell by cell."""

    reference: Integers
    current: Integers


def of(reference: Column, current: Column, count: int = CELLS) -> Cells:
    """The cells of two columns of one kind: values by name or bucket, or `count` quantiles of the reference.

    Nulls, NaN and infinities are in no cell: they are facts of their own. Raises InputError where the kinds differ, are
    not compared, or a column has no value.
    """
    if reference.numbers is not None and current.numbers is not None and reference.kind == current.kind:
        cells = quantiles(reference.numbers.histogram, current.numbers.histogram, count)
    elif reference.categories is not None and current.categories is not None:
        cells = categories(reference.categories, current.categories)
    else:
        raise InputError(
            f"A column of kind {reference.kind} and one of kind {current.kind} cannot be compared.",
            fix="Write both datasets with the same types.",
        )
    if not cells.reference.sum() or not cells.current.sum():
        raise InputError("A column without any value cannot be compared.", fix="Look at its nulls instead.")
    return cells


def of_parts(reference: Column, current: Column, parts: Sequence[Column], count: int = CELLS) -> Integers:
    """The cells of `of`, for each part of the current column alone: shape (parts, cells). They add up to the whole."""
    if reference.numbers is not None and current.numbers is not None:
        one, other = together(reference.numbers.histogram, current.numbers.histogram)
        starts = _starts(one, count)
        rows = []
        for part in parts:
            counts = np.zeros(len(other), dtype=np.int64)
            if part.numbers is not None and len(part.numbers.histogram):
                mine = part.numbers.histogram.coarsened(other.shift)
                counts[np.searchsorted(other.prefixes, mine.prefixes)] = mine.counts
            rows.append(np.add.reduceat(counts, starts))
        return np.array(rows)
    before, now = reference.categories or Categories(), current.categories or Categories()
    found = [part.categories or Categories() for part in parts]
    if before.named is None or now.named is None:
        some = (before.in_buckets + now.in_buckets) > 0
        return np.array([each.in_buckets[some] for each in found])
    names = sorted({**before.named, **now.named})
    return np.array([[(each.named or {}).get(name, 0) for name in names] for each in found], dtype=np.int64)


def labels(reference: Column, current: Column, count: int = CELLS) -> tuple[str, ...]:
    """What the cells of `of` hold, for people: ranges, or values; nothing where values are in hashed buckets."""
    if reference.numbers is not None and current.numbers is not None:
        one, _ = together(reference.numbers.histogram, current.numbers.histogram)
        starts = _starts(one, count)
        ends = np.append(starts[1:], len(one)) - 1
        return tuple(f"{one.lower[start]:.4g} to {one.upper[end]:.4g}" for start, end in zip(starts, ends, strict=True))
    before, now = reference.categories or Categories(), current.categories or Categories()
    return () if before.named is None or now.named is None else tuple(sorted({**before.named, **now.named}))


def together(reference: Histogram, current: Histogram) -> tuple[Histogram, Histogram]:
    """Both in the same bins: all that either has, in the width of the coarser one. Bins may be empty here."""
    shift = max(reference.shift, current.shift)
    both = [each.coarsened(shift) for each in (reference, current)]
    prefixes = np.union1d(both[0].prefixes, both[1].prefixes)
    counts = [np.zeros(len(prefixes), dtype=np.int64) for _ in both]
    for each, into in zip(both, counts, strict=True):
        into[np.searchsorted(prefixes, each.prefixes)] = each.counts
    return Histogram(shift, prefixes, counts[0]), Histogram(shift, prefixes, counts[1])


def quantiles(reference: Histogram, current: Histogram, count: int) -> Cells:
    """Cells that end where the reference has about 1 / count, 2 / count, … of its values; the outer ones are open.

    A value that repeats is in one cell, so there may be fewer. Both columns are counted exactly in every cell.
    """
    one, other = together(reference, current)
    if not one.total or not other.total:
        return Cells(one.counts, other.counts)
    starts = _starts(one, count)
    return Cells(np.add.reduceat(one.counts, starts), np.add.reduceat(other.counts, starts))


def _starts(reference: Histogram, count: int) -> Integers:
    """The bins with which the cells begin."""
    before = (np.cumsum(reference.counts) - reference.counts / 2) / reference.total
    cell = np.minimum((before * count).astype(np.int64), count - 1)
    return np.flatnonzero(np.concatenate([[True], cell[1:] != cell[:-1]]))


def categories(reference: Categories, current: Categories) -> Cells:
    """One cell for each value, or for each bucket where either column has too many values to name them."""
    if reference.named is None or current.named is None:
        one, other = reference.in_buckets, current.in_buckets
        some = (one + other) > 0
        return Cells(one[some], other[some])
    names = sorted({**reference.named, **current.named})
    both = [np.array([each.get(name, 0) for name in names], np.int64) for each in (reference.named, current.named)]
    return Cells(both[0], both[1])
