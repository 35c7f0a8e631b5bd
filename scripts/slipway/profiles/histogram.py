"""Histograms that need no edges beforehand, are as fine as the data allow, and add up exactly.

The bits of a floating-point number, read as an integer with those of negative numbers turned round, are in the order of
the numbers. A bin is all numbers whose keys begin with the same bits: the more bits, the finer. A histogram keeps as
many leading bits as leave at most `BINS` bins that hold something, so it is exact where there are no more different
values than that. How many bits that are follows from the values alone: more values can only need coarser bins, and
coarser bins are unions of finer ones. Therefore the histograms of the parts of a dataset give the histogram of the
whole, bit by bit, in whatever order they are added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 1536
"""Most bins that a histogram keeps."""

ALL_BUT_SIGN = np.int64(2**63 - 1)
GREATEST = np.finfo(np.float64).max
FIRST_ROWS = 8192
"""Values that tell how coarse the bins must be at least, before many are counted."""

ROOM = 8
"""A table of counts may have as many times more cells than there are values; beyond it sorting is cheaper."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of finite numbers by the leading bits of their keys.

    shift: how many bits of the key are left out; 0 means that every value is a bin of its own.
    prefixes: the bins that hold something, rising. counts: how many values each holds.
    """

    shift: int
    prefixes: Integers
    counts: Integers

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def exact(self) -> bool:
        """Whether every bin is a single value."""
        return self.shift == 0

    @property
    def lower(self) -> Floats:
        """The least number that belongs to each bin."""
        # The outermost bins may reach into the keys of infinity and NaN, which are not counted here.
        least = values_of(self.prefixes << self.shift)
        return np.where(np.isfinite(least), least, -GREATEST)

    @property
    def upper(self) -> Floats:
        """The greatest number that belongs to each bin: the bin holds both ends."""
        greatest = values_of((self.prefixes << self.shift) | ((1 << self.shift) - 1))
        return np.where(np.isfinite(greatest), greatest, GREATEST)

    def coarsened(self, shift: int) -> Histogram:
        """The same counts in bins of `shift`, which must not be finer."""
        return Histogram(shift, *_summed(self.prefixes >> (shift - self.shift), self.counts)) if len(self) else EMPTY

    def plus(self, values: Floats) -> Histogram:
        """With `values` counted, which must be finite."""
        found = self
        if not len(self) and len(values) > FIRST_ROWS:
            found, values = self.plus(values[:FIRST_ROWS]), values[FIRST_ROWS:]
        if not len(values):
            return found
        keys = keys_of(values)
        keys >>= found.shift
        prefixes, counts = _counted(keys)
        return merge(found, Histogram(found.shift, prefixes, counts))

    def __len__(self) -> int:
        return len(self.prefixes)


EMPTY = Histogram(0, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def of_values(values: Floats, counts: Integers) -> Histogram:
    """The histogram of `values`, different and finite, of which each occurs `counts` times."""
    keys = keys_of(values)
    order = np.argsort(keys)
    return _fitting(0, keys[order], counts[order])


def merge(one: Histogram, other: Histogram) -> Histogram:
    """The histogram of all values of both."""
    if not len(one) or not len(other):
        return _fitting(*_parts(one if len(one) else other))
    shift = max(one.shift, other.shift)
    prefixes = np.concatenate([each.prefixes >> (shift - each.shift) for each in (one, other)])
    counts = np.concatenate([one.counts, other.counts])
    order = np.argsort(prefixes, kind="stable")
    return _fitting(shift, *_summed(prefixes[order], counts[order]))


def keys_of(values: Floats) -> Integers:
    """Integers in the order of the numbers, in an array of their own; both zeros have the same."""
    return _folded((values + 0.0).view(np.int64))


def values_of(keys: Integers) -> Floats:
    """The numbers with these keys."""
    return _folded(keys).view(np.float64)


def _folded(bits: Integers) -> Integers:
    """Sign and magnitude as two's complement, or back."""
    folded: Integers = bits >> 63
    folded &= ALL_BUT_SIGN
    folded ^= bits
    return folded


def _parts(histogram: Histogram) -> tuple[int, Integers, Integers]:
    return histogram.shift, histogram.prefixes, histogram.counts


def _fitting(shift: int, prefixes: Integers, counts: Integers) -> Histogram:
    """The finest histogram of these counts that has no more than `BINS` bins."""
    more = 0
    while _different(prefixes >> more) > BINS:
        more += 1
    return Histogram(shift + more, *(_summed(prefixes >> more, counts) if more else (prefixes, counts)))


def _different(rising: Integers) -> int:
    return int(np.count_nonzero(rising[1:] != rising[:-1])) + 1


def _summed(rising: Integers, counts: Integers) -> tuple[Integers, Integers]:
    """Each prefix once, with the sum of its counts."""
    starts = np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))
    return rising[starts], np.add.reduceat(counts, starts)


def _counted(prefixes: Integers) -> tuple[Integers, Integers]:
    """Each prefix once, rising, and how often it occurs. The given array is used up."""
    low, high = int(prefixes.min()), int(prefixes.max())
    if high - low < ROOM * len(prefixes):
        prefixes -= low
        table = np.bincount(prefixes)
        found = np.flatnonzero(table > 0)  # of truth values it is seven times as fast as of counts
        return found + low, table[found]
    found, counts = np.unique(prefixes, return_counts=True)
    return found, counts.astype(np.int64)
