"""Profiles as JSON, read strictly: a profile that was altered or is of an unknown version says nothing."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from slipway.profiles import categories, histogram
from slipway.profiles.categories import BUCKETS, CLASSES, NAMED, SMALLEST, Categories
from slipway.profiles.histogram import BINS, Histogram
from slipway.profiles.profile import Column, Kind, Moments, Numbers, Profile
from slipway.runner.errors import InputError

SCHEMA_VERSION: Literal[1] = 1
"""A field that may be missing is added without a new version; any other change takes one, and so does another way to
count: profiles of two ways do not add up."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
HAS: dict[Kind, tuple[bool, bool]] = {
    "number": (True, False),
    "time": (True, False),
    "category": (False, True),
    "empty": (False, False),
    "other": (False, False),
}
"""Whether a column of the kind has numbers, and whether categories."""


class Said(BaseModel):
    """Frozen, strict, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SaidHistogram(Said):
    """values: where every bin is one. bins: else; the first prefix, then the distance of each to the one before."""

    shift: Annotated[int, Field(ge=0, le=63)]
    values: list[FiniteFloat] | None = None
    bins: list[int] | None = None
    counts: Annotated[list[Annotated[int, Field(ge=1, lt=2**63)]], Field(max_length=BINS)]

    @classmethod
    def of(cls, found: Histogram) -> Self:
        """As it is written."""
        counts = found.counts.tolist()
        if found.exact:
            return cls(shift=0, values=found.lower.tolist(), counts=counts)
        return cls(shift=found.shift, bins=np.diff(found.prefixes, prepend=0).tolist(), counts=counts)

    @model_validator(mode="after")
    def _bins_rise(self) -> Self:
        places = self.values if self.shift == 0 else self.bins
        if places is None or (self.values is None) == (self.bins is None):
            raise ValueError("a histogram has `values` where its shift is 0, and else `bins`")
        rising = places if self.bins is None else [1, *places[1:]]
        if len(places) != len(self.counts) or (self.bins is not None and min(rising) < 1):
            raise ValueError("a histogram has one count for each bin, and its bins rise")
        if self.bins and not -(2**63) <= self.bins[0] << self.shift <= sum(self.bins) << self.shift < 2**63:
            raise ValueError("a histogram's bins are within 64 bits")
        if self.values is not None and any(a >= b for a, b in itertools.pairwise(places)):
            raise ValueError("a histogram's values rise")
        return self

    def value(self) -> Histogram:
        """As it is counted with."""
        counts = np.array(self.counts, dtype=np.int64)
        if self.values is not None:
            return Histogram(0, histogram.keys_of(np.array(self.values, dtype=np.float64)), counts)
        return Histogram(self.shift, np.cumsum(np.array(self.bins, dtype=np.int64)), counts)


class SaidNumbers(Said):
    """minimum, maximum: absent where there is no finite value. mean, squares: also where they are too great."""

    nans: Count
    negative_infinities: Count
    positive_infinities: Count
    minimum: FiniteFloat | None = None
    maximum: FiniteFloat | None = None
    mean: FiniteFloat | None = None
    squares: Annotated[FiniteFloat, Field(ge=0)] | None = None
    histogram: SaidHistogram

    @classmethod
    def of(cls, found: Numbers) -> Self:
        """As it is written."""
        extremes, moments = (found.minimum, found.maximum), (found.moments.mean, found.moments.squares)
        minimum, maximum, mean, squares = (
            each if found.moments.count and math.isfinite(each) else None for each in (*extremes, *moments)
        )
        return cls(
            nans=found.nans,
            negative_infinities=found.negative_infinities,
            positive_infinities=found.positive_infinities,
            minimum=minimum,
            maximum=maximum,
            mean=mean,
            squares=squares,
            histogram=SaidHistogram.of(found.histogram),
        )

    def value(self) -> Numbers:
        """As it is counted with."""
        found = self.histogram.value()
        count = found.total
        mean, squares = (math.nan if each is None else each for each in (self.mean, self.squares))
        return Numbers(
            self.nans,
            self.negative_infinities,
            self.positive_infinities,
            math.inf if self.minimum is None else self.minimum,
            -math.inf if self.maximum is None else self.maximum,
            Moments(count, mean, squares) if count else Moments(),
            found,
        )

    @property
    def total(self) -> int:
        """Values that are not null."""
        unusual = self.nans + self.negative_infinities + self.positive_infinities
        return unusual + sum(self.histogram.counts)


class SaidCategories(Said):
    """named, or buckets with the smallest hashes (hexadecimal)."""

    named: Annotated[dict[str, Annotated[int, Field(ge=1)]], Field(max_length=NAMED)] | None = None
    buckets: Annotated[list[Count], Field(min_length=BUCKETS, max_length=BUCKETS)] | None = None
    smallest: Annotated[list[Hash], Field(min_length=SMALLEST, max_length=SMALLEST)] | None = None
    lengths: SaidHistogram
    characters: dict[str, Count]

    @classmethod
    def of(cls, found: Categories) -> Self:
        """As it is written."""
        few = found.named is not None
        return cls(
            named=dict(sorted(found.named.items())) if found.named is not None else None,
            buckets=None if few else found.buckets.tolist(),
            smallest=None if few else [f"{each:016x}" for each in found.smallest.tolist()],
            lengths=SaidHistogram.of(found.lengths),
            characters=dict(zip(CLASSES, found.characters.tolist(), strict=True)),
        )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.named is None) != (self.buckets is not None and self.smallest is not None):
            raise ValueError("categories are `named`, or have `buckets` and `smallest`")
        if self.smallest is not None and self.smallest != sorted(set(self.smallest)):
            raise ValueError("`smallest` rises")
        if tuple(self.characters) != CLASSES:
            raise ValueError(f"`characters` has {', '.join(CLASSES)}")
        if sum(self.lengths.counts) != self.total:
            raise ValueError("`lengths` counts as many values as the categories do")
        return self

    def value(self) -> Categories:
        """As it is counted with."""
        characters = np.array(list(self.characters.values()), dtype=np.int64)
        lengths = self.lengths.value()
        if self.named is not None:
            return Categories(self.named, lengths=lengths, characters=characters)
        smallest = np.array([int(each, 16) for each in self.smallest or ()], dtype=np.uint64)
        return categories.Categories(None, np.array(self.buckets, dtype=np.int64), smallest, lengths, characters)

    @property
    def total(self) -> int:
        """Values that are not null."""
        return sum(self.named.values()) if self.named is not None else sum(self.buckets or ())


class SaidColumn(Said):
    """One column."""

    kind: Kind
    dtypes: list[str]
    nulls: Count
    numbers: SaidNumbers | None = None
    categories: SaidCategories | None = None

    @classmethod
    def of(cls, found: Column) -> Self:
        """As it is written."""
        return cls(
            kind=found.kind,
            dtypes=list(found.dtypes),
            nulls=found.nulls,
            numbers=SaidNumbers.of(found.numbers) if found.numbers else None,
            categories=SaidCategories.of(found.categories) if found.categories else None,
        )

    @model_validator(mode="after")
    def _as_its_kind_has_it(self) -> Self:
        if HAS[self.kind] != (self.numbers is not None, self.categories is not None):
            raise ValueError(f"a column of kind `{self.kind}` has other parts than these")
        return self

    def value(self, rows: int) -> Column:
        """As it is counted with."""
        numbers = self.numbers.value() if self.numbers else None
        texts = self.categories.value() if self.categories else None
        return Column(self.kind, tuple(self.dtypes), rows, self.nulls, numbers, texts)


class SaidProfile(Said):
    """A profile as it is written."""

    schema_version: Literal[1]
    rows: Count
    columns: dict[str, SaidColumn]

    @model_validator(mode="after")
    def _every_row_is_counted(self) -> Self:
        for name, column in self.columns.items():
            values = column.numbers or column.categories
            if column.nulls > self.rows or (values and values.total + column.nulls != self.rows):
                raise ValueError(f"column `{name}`: its counts are not those of {self.rows} rows")
        return self


def text(profile: Profile) -> str:
    """The profile as JSON, on one line for each column. Equal profiles give equal text."""
    columns = ",\n".join(
        f"{json.dumps(name, ensure_ascii=False)}:{SaidColumn.of(column).model_dump_json(exclude_none=True)}"
        for name, column in profile.columns.items()
    )
    return f'{{"schema_version":{SCHEMA_VERSION},"rows":{profile.rows},"columns":{{\n{columns}\n}}}}\n'


def lines(found: Iterable[Profile]) -> str:
    """Several profiles, each on one line: names and values hold no line break in JSON."""
    return "".join(text(each).replace("\n", "") + "\n" for each in found)


def read_lines(content: str) -> tuple[Profile, ...]:
    """The profiles that `lines` wrote."""
    return tuple(read(line) for line in content.split("\n") if line)


def read(content: str | bytes, *, name: str = "profile.json") -> Profile:
    """The profile in a file's content. Raises InputError where it is none, or of another version."""
    fix = "Profile the data again with this version of Slipway, or take the file that the training left."
    try:
        given: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The profile {name} is not JSON.", why=str(error)[:200], fix=fix) from error
    version = given.get("schema_version") if isinstance(given, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        said = f"version {version!r}"[:60] if version is not None else "no version"
        raise InputError(
            f"The profile {name} has {said} of the format; this Slipway reads version {SCHEMA_VERSION}.", fix=fix
        )
    try:
        said_profile = SaidProfile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise InputError(f"The profile {name} is damaged.", why=f"{place}: {first['msg']}"[:300], fix=fix) from error
    return Profile(
        said_profile.rows, {name: each.value(said_profile.rows) for name, each in said_profile.columns.items()}
    )
