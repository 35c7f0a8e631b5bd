"""Profiles as JSON, read strictly: a profile that was altered or is of an unknown version says nothing."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, model_validator

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

    def counts_all_of(self, rows: int) -> bool:
        """Whether each of so many rows is a null or one of the values, as far as values are counted."""
        values = self.numbers or self.categories
        return self.nulls <= rows and (values is None or values.total + self.nulls == rows)

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
            if not column.counts_all_of(self.rows):
                raise ValueError(f"column `{name}`: its counts are not those of {self.rows} rows")
        return self


SOME_COLUMNS = TypeAdapter(dict[str, SaidColumn])
ROWS = TypeAdapter(Count)
BEGINNING = re.compile(rb'\{"schema_version":%d,"rows":([0-9]+),"columns":\{\n' % SCHEMA_VERSION)
BETWEEN, END = b",\n", b"\n}}\n"
"""How `text` writes what stands around the columns. No line ends within a JSON string, so that these separate them."""


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
    try:
        return _column_by_column(content if isinstance(content, bytes) else content.encode())
    except ValueError:
        # It is formatted anew, or damaged: then the whole says first what is wrong.
        pass
    return _whole(content, name)


def _column_by_column(content: bytes) -> Profile:
    """The profile that `text` wrote, in a few times the memory of its columns.

    Read as a whole, 10,000 columns take twenty times the memory of their text. What stands between two separators is
    held to the same types, as an object of its own: if it is one, the whole is well-formed JSON, too.

    Raises ValueError where the text is another one, or damaged.
    """
    beginning = BEGINNING.match(content)
    if beginning is None or not content.endswith(END):
        raise ValueError("it is written in another way")
    rows = ROWS.validate_json(beginning[1])
    columns: dict[str, Column] = {}
    place, end = beginning.end(), len(content) - len(END)
    while place <= end:
        found = content.find(BETWEEN, place, end)
        until = end if found < 0 else found
        some = SOME_COLUMNS.validate_json(b"{%b}" % content[place:until])
        if not some or not all(column.counts_all_of(rows) for column in some.values()):
            raise ValueError("a column does not count all rows, or there is none")
        columns |= {name: column.value(rows) for name, column in some.items()}
        place = until + len(BETWEEN)
    return Profile(rows, columns)


def _whole(content: str | bytes, name: str) -> Profile:
    fix = "Profile the data again with this version of Slipway, or take the file that the training left."
    try:
        given: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The profile {name} is not JSON.", why=str(error)[:200], fix=fix) from error
    version = given.get("schema_version") if isinstance(given, dict) else None
    del given  # it is as large as what is made of it next
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
