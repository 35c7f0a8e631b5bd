"""Counts of texts: each by name while they are few, in hashed buckets with an estimate of their number beyond that.

Both forms add up exactly, and which one a column has follows from its values alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slipway.profiles import histogram
from slipway.profiles.histogram import Histogram, Integers

NAMED = 512
"""Most different values that are counted by name."""

BUCKETS = 512
SMALLEST = 256
"""Smallest hashes that are kept for the number of different values: its standard error is 1 / sqrt(254), 6.3 %."""

LONGEST = 64
"""Characters of the longest value that is kept as it is."""

SHOWN = 56
"""Characters that are kept of a longer one; with a mark and eight hexadecimal digits it has more than `LONGEST`."""

CLASSES = ("lower", "upper", "digit", "space", "punctuation", "control", "beyond_ascii")
AT_ONCE = 512
"""Texts whose bytes are counted together."""

Hashes = NDArray[np.uint64]


def _classes_of_bytes() -> NDArray[np.int64]:
    """Place in `CLASSES` of every first byte of a character in UTF-8; -1 for the bytes that follow it."""
    of = np.full(256, -1)
    for code in range(128):
        sign = chr(code)
        tests = (sign.islower(), sign.isupper(), sign.isdigit(), sign.isspace(), sign.isprintable(), True)
        of[code] = tests.index(True)
    of[0xC0:] = CLASSES.index("beyond_ascii")
    return of


CLASS_OF_BYTE = _classes_of_bytes()


@dataclass(frozen=True, eq=False)
class Categories:
    """named: counts by value, None where there are too many. buckets, smallest: of all values, where there are.

    lengths: in characters. characters: how many of each of `CLASSES`.
    """

    named: Mapping[str, int] | None = field(default_factory=dict)
    buckets: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    smallest: Hashes = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    lengths: Histogram = histogram.EMPTY
    characters: Integers = field(default_factory=lambda: np.zeros(len(CLASSES), dtype=np.int64))

    @property
    def distinct(self) -> float:
        """How many different values there are: exact where they are named, else an estimate (`SMALLEST`).

        The (k - 1) / U estimate from the k-th smallest of uniform hashes, Bar-Yossef et al. (2002), unbiased by Beyer
        et al. (2007); corrected for values that share one of the 2**32 checksums.
        """
        if self.named is not None:
            return len(self.named)
        checksums = (SMALLEST - 1) / (float(self.smallest[-1]) / 2.0**64)
        return -(2.0**32) * math.log1p(-min(checksums / 2.0**32, 1 - 2.0**-32))

    @property
    def in_buckets(self) -> Integers:
        """Counts by bucket, also of named values, so that any two columns can be compared."""
        if self.named is None:
            return self.buckets
        hashes = _mixed(_checksum_of(label) for label in self.named)
        return _bucketed(hashes, np.fromiter(self.named.values(), np.int64, len(self.named)))


def of_texts(texts: Sequence[str], counts: Integers) -> Categories:
    """What `texts`, all different, are, of which each occurs `counts` times."""
    raw = [text.encode() for text in texts]
    lengths, characters = _facts(texts, raw, counts)
    if len(texts) > 2 * NAMED:
        hashes = _mixed(np.fromiter(map(zlib.crc32, raw), np.uint64, len(raw)))
        different = _different(hashes)
        # Values with different checksums have different names.
        if len(different) > NAMED:
            return Categories(None, _bucketed(hashes, counts), different[:SMALLEST], lengths, characters)
    named: dict[str, int] = {}
    for text, content, count in zip(texts, raw, counts.tolist(), strict=True):
        label = text if len(text) <= LONGEST else f"{text[:SHOWN]}…{zlib.crc32(content):08x}"
        named[label] = named.get(label, 0) + count
    return _fitting(Categories(named, lengths=lengths, characters=characters))


def merge(one: Categories, other: Categories) -> Categories:
    """What the texts of both are."""
    lengths = histogram.merge(one.lengths, other.lengths)
    characters = one.characters + other.characters
    if one.named is not None and other.named is not None:
        named = {label: one.named.get(label, 0) + other.named.get(label, 0) for label in {**one.named, **other.named}}
        return _fitting(Categories(named, lengths=lengths, characters=characters))
    smallest = np.union1d(_smallest(one), _smallest(other))[:SMALLEST]
    return Categories(None, one.in_buckets + other.in_buckets, smallest, lengths, characters)


def _fitting(found: Categories) -> Categories:
    """As it is, or in buckets where it has too many names."""
    if found.named is None or len(found.named) <= NAMED:
        return found
    return Categories(None, found.in_buckets, _smallest(found), found.lengths, found.characters)


def _smallest(found: Categories) -> Hashes:
    if found.named is None:
        return found.smallest
    return np.unique(_mixed(_checksum_of(label) for label in found.named))[:SMALLEST]


def _checksum_of(label: str) -> int:
    """The CRC-32 of the value that has this label; that of a long one is in its label."""
    return zlib.crc32(label.encode()) if len(label) <= LONGEST else int(label[-8:], 16)


def _mixed(checksums: Iterable[int] | Hashes) -> Hashes:
    """Checksums spread evenly over 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood 2014), one to one."""
    mixed = checksums if isinstance(checksums, np.ndarray) else np.fromiter(checksums, np.uint64)
    mixed = mixed + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: Hashes = mixed ^ (mixed >> np.uint64(31))
    return spread


def _different(hashes: Hashes) -> Hashes:
    """Each once, rising. `np.unique` hashes integers, which takes thirty times as long here."""
    rising = np.sort(hashes)
    once: Hashes = rising[np.concatenate([[True], rising[1:] != rising[:-1]])]
    return once


def _bucketed(hashes: Hashes, counts: Integers) -> Integers:
    buckets = np.zeros(BUCKETS, dtype=np.int64)
    np.add.at(buckets, hashes % np.uint64(BUCKETS), counts)
    return buckets


def _facts(texts: Sequence[str], raw: Sequence[bytes], counts: Integers) -> tuple[Histogram, Integers]:
    """Lengths and classes of characters."""
    lengths, where = np.unique(np.fromiter(map(len, texts), np.float64, len(texts)), return_inverse=True)
    how_often = np.zeros(len(lengths), dtype=np.int64)
    np.add.at(how_often, where, counts)
    of_bytes = np.zeros(256, dtype=np.int64)
    for start in range(0, len(raw), AT_ONCE):
        some = raw[start : start + AT_ONCE]
        sizes = np.fromiter(map(len, some), np.int64, len(some))
        content = np.frombuffer(b"".join(some), dtype=np.uint8)
        repeated = counts[start : start + AT_ONCE]
        # Sums of whole numbers below 2**53 are exact.
        weights = None if (repeated == 1).all() else np.repeat(repeated, sizes)
        of_bytes += np.bincount(content, weights=weights, minlength=256).astype(np.int64)
    classes = [int(of_bytes[place == CLASS_OF_BYTE].sum()) for place in range(len(CLASSES))]
    return histogram.of_values(lengths, how_often), np.array(classes, dtype=np.int64)
