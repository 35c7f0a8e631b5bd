"""Profiles: exact counts, and the parts of a dataset add up to the whole."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.profiles import categories, histogram, merge, of_batches, of_frame, read, text
from slipway.profiles import document as written
from slipway.profiles.categories import BUCKETS, CLASSES, LONGEST, NAMED, Categories
from slipway.profiles.histogram import BINS, Histogram
from slipway.profiles.profile import Column, Numbers, Profile, moment
from slipway.runner.errors import InputError

FLOATS = st.one_of(
    st.floats(width=64),
    st.floats(-1e3, 1e3, width=64).map(lambda value: round(value, 1)),
    st.integers(-5, 5).map(float),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308]),
)
TEXTS = st.one_of(st.sampled_from(["", "a", "b", "é", "x" * LONGEST, "x" * (LONGEST + 1)]), st.text(max_size=80))
ROWS = st.lists(st.tuples(st.none() | FLOATS, st.none() | TEXTS, st.none() | st.integers(-(2**62), 2**62)), max_size=30)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so low that small examples go beyond them."""
    lower_limits(monkeypatch)


def lower_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "BINS", 4)
    monkeypatch.setattr(histogram, "FIRST_ROWS", 3)
    monkeypatch.setattr(categories, "NAMED", 3)
    monkeypatch.setattr(categories, "SMALLEST", 2)
    monkeypatch.setattr(categories, "AT_ONCE", 2)


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"x": pl.Float64, "word": pl.String, "n": pl.Int64}, orient="row")


def profile(*parts: pl.DataFrame) -> Profile:
    return of_batches(parts)


def numbers(values: list[Any], dtype: pl.DataType | None = None) -> Numbers:
    found = profile(pl.DataFrame({"x": pl.Series(values, dtype=dtype or pl.Float64)})).columns["x"].numbers
    assert found is not None
    return found


def words(values: list[Any], dtype: Any = pl.String) -> Categories:
    found = profile(pl.DataFrame({"x": pl.Series(values, dtype=dtype)})).columns["x"].categories
    assert found is not None
    return found


def facts(column: Column) -> tuple[Any, ...]:
    """All of a column that must be equal to the last bit."""
    found: tuple[Any, ...] = (column.kind, column.dtypes, column.rows, column.nulls)
    if column.numbers:
        n = column.numbers
        found += (n.nans, n.negative_infinities, n.positive_infinities, n.minimum, n.maximum, n.moments.count)
        found += bins(n.histogram)
    if column.categories:
        c = column.categories
        found += (c.named, c.buckets.tolist(), c.smallest.tolist(), c.characters.tolist(), *bins(c.lengths))
    return found


def bins(found: Histogram) -> tuple[Any, ...]:
    return found.shift, found.prefixes.tolist(), found.counts.tolist()


def assert_same(one: Profile, other: Profile) -> None:
    assert one.rows == other.rows
    assert {name: facts(each) for name, each in one.columns.items()} == {
        name: facts(each) for name, each in other.columns.items()
    }
    for name, column in one.columns.items():
        if column.numbers is None:
            continue
        mine, theirs = column.numbers.moments, other.columns[name].numbers.moments  # type: ignore[union-attr]
        largest = max(abs(column.numbers.minimum), abs(column.numbers.maximum)) if mine.count else 0.0
        if largest < 1e150:
            # Near the smallest floating-point numbers there are no nine digits.
            smallest = 1e-300
            assert mine.mean == pytest.approx(theirs.mean, rel=1e-9, abs=1e-9 * largest + smallest)
            assert mine.squares == pytest.approx(
                theirs.squares, rel=1e-9, abs=1e-9 * largest**2 * mine.count + smallest
            )


# Parts and whole


@pytest.mark.parametrize("limits", ["as they are", "low"])
@settings(max_examples=150)
@given(one=ROWS, two=ROWS, three=ROWS)
def test_merge__parts_give_the_whole_in_any_order(limits: str, one: Any, two: Any, three: Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        if limits == "low":
            lower_limits(monkeypatch)
        whole = profile(frame([*one, *two, *three]))
        a, b, c = (profile(frame(rows)) for rows in (one, two, three))
        assert_same(merge([a, b, c]), whole)
        assert_same(merge([c, a, b]), whole)
        assert_same(merge([a, merge([b, c])]), whole)
        assert_same(profile(frame(one), frame(two), frame(three)), whole)


def test_merge__of_many_rows_of_every_kind_of_distribution() -> None:
    random = np.random.default_rng(5)
    made = {
        "normal": random.normal(size=60_000),
        "far_from_zero": 300 + random.gamma(2, 5, 60_000),
        "heavy": random.standard_cauchy(60_000),
        "mostly_zero": np.where(random.random(60_000) < 0.9, 0.0, random.lognormal(size=60_000)),
        "cents": np.round(random.normal(size=60_000), 2),
        "whole": np.floor(random.normal(0, 1e4, size=60_000)),
        "counted": random.integers(0, 3_000, 60_000),
        "id": np.char.add("user ", random.integers(0, 10**6, 60_000).astype(str)),
        "level": random.choice(["a", "b", "c"], 60_000),
    }
    whole = pl.DataFrame(made)
    pieces = [whole[start : start + size] for start, size in ((0, 10), (10, 20_000), (20_010, 39_990))]
    at_once = of_frame(whole.lazy())
    assert_same(at_once, merge(profile(piece) for piece in reversed(pieces)))
    assert_same(at_once, profile(*(whole[start : start + 777] for start in range(0, 60_000, 777))))
    for column in at_once.columns.values():
        if column.numbers:
            found = column.numbers.histogram
            assert BINS / 2 < len(found) <= BINS or found.exact


def test_merge__an_empty_profile_changes_nothing() -> None:
    some = profile(frame([(1.5, "a", 3), (None, None, None)]))
    assert_same(merge([some, profile(frame([]))]), some)
    assert_same(merge([profile(frame([])), some]), some)


def test_merge__a_part_without_type_takes_that_of_the_others() -> None:
    merged = merge([profile(pl.DataFrame({"x": [None, None]})), profile(pl.DataFrame({"x": [1.0]}))])
    assert (merged.columns["x"].kind, merged.columns["x"].rows, merged.columns["x"].nulls) == ("number", 3, 2)
    assert merged.columns["x"].dtypes == ("Float64", "Null")


def test_merge__refuses_other_columns_kinds_and_nothing() -> None:
    one = profile(pl.DataFrame({"x": [1]}))
    with pytest.raises(InputError, match="only one of them has the column `y`"):
        merge([one, profile(pl.DataFrame({"x": [1], "y": [1]}))])
    with pytest.raises(InputError, match=r"`x` is number \(Int64\) in one part and category \(String\) in another"):
        merge([one, profile(pl.DataFrame({"x": ["1"]}))])
    with pytest.raises(InputError, match="no profile to merge"):
        merge([])
    with pytest.raises(InputError, match="do not have the same columns"):
        profile(pl.DataFrame({"x": [1]}), pl.DataFrame({"y": [1]}))


# Numbers


def test_numbers__moments_are_numpys() -> None:
    values = np.random.default_rng(1).normal(1e6, 2.0, 50_000)
    found = numbers(list(values))
    assert found.moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.moments.standard_deviation == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert statistics.NormalDist.from_samples(values[:100]).stdev == pytest.approx(
        numbers(list(values[:100])).moments.standard_deviation, rel=1e-9
    )


def test_numbers__infinite_nan_and_null_are_counted_apart() -> None:
    column = profile(pl.DataFrame({"x": [1.0, None, math.nan, math.inf, -math.inf, math.inf, 3.0]})).columns["x"]
    found = column.numbers
    assert found is not None
    assert (column.rows, column.nulls) == (7, 1)
    assert (found.nans, found.negative_infinities, found.positive_infinities) == (1, 1, 2)
    assert (found.minimum, found.maximum, found.moments.mean, found.moments.count) == (1.0, 3.0, 2.0, 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (0, math.inf, -math.inf)),
        ([None, None], (0, math.inf, -math.inf)),
        ([math.nan], (0, math.inf, -math.inf)),
        ([7.5], (1, 7.5, 7.5)),
        ([2.0] * 9, (9, 2.0, 2.0)),
        ([-0.0, 0.0], (2, 0.0, 0.0)),
    ],
)
def test_numbers__of_columns_with_next_to_nothing(values: list[Any], expected: tuple[int, float, float]) -> None:
    found = numbers(values)
    assert (found.moments.count, found.minimum, found.maximum) == expected
    assert len(found.histogram) == min(1, expected[0])


def test_numbers__too_great_for_their_moments() -> None:
    whole = profile(pl.DataFrame({"x": [1.7e308, 1.7e308, -1.7e308]}))
    found = whole.columns["x"].numbers
    assert found is not None
    assert not math.isfinite(found.moments.squares)
    assert found.histogram.counts.tolist() == [1, 2]
    assert text(read(text(whole))) == text(whole)


@pytest.mark.parametrize(
    ("series", "kind", "values"),
    [
        (pl.Series([1, 200], dtype=pl.UInt8), "number", [1, 200]),
        (pl.Series([2**63, 1], dtype=pl.UInt64), "number", [1, 2.0**63]),
        (pl.Series([2**53 + 1], dtype=pl.Int64), "number", [2.0**53]),
        (pl.Series([-(2**63)], dtype=pl.Int64), "number", [-(2.0**63)]),
        (pl.Series([0.1], dtype=pl.Float32), "number", [float(np.float32(0.1))]),
        (pl.Series([Decimal("1.25"), Decimal("-3.50")]), "number", [-3.5, 1.25]),
        (pl.Series([timedelta(seconds=2)]), "number", [2e6]),
        (pl.Series([time(0, 0, 1)]), "number", [1e6]),
        (pl.Series([date(1970, 1, 3)]), "time", [2 * 86_400e6]),
        (pl.Series([datetime(1970, 1, 1, 0, 0, 1)], dtype=pl.Datetime("ms")), "time", [1e6]),
        (pl.Series([datetime(1970, 1, 1, tzinfo=UTC)]).dt.convert_time_zone("Asia/Tokyo"), "time", [0.0]),
    ],
)
def test_numbers__of_every_type(series: pl.Series, kind: str, values: list[float]) -> None:
    column = profile(pl.DataFrame({"x": series})).columns["x"]
    assert column.numbers is not None
    assert (column.kind, column.numbers.histogram.lower.tolist()) == (kind, values)


def test_times__of_several_zones_are_of_one_clock() -> None:
    moments = pl.Series([datetime(2026, 7, 1, 12, tzinfo=UTC)])
    parts = [profile(pl.DataFrame({"t": moments.dt.convert_time_zone(zone)})) for zone in ("UTC", "America/New_York")]
    column = merge(parts).columns["t"]
    assert len(column.dtypes) == 2
    assert column.numbers is not None
    assert column.numbers.histogram.counts.tolist() == [2]
    assert moment(column.numbers.minimum) == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert moment(1e30) is None


# Histograms


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_keys__are_in_the_order_of_the_numbers_and_lead_back(values: list[float]) -> None:
    array = np.sort(np.array(values) + 0.0)
    keys = histogram.keys_of(array)
    assert ((keys[1:] > keys[:-1]) == (array[1:] > array[:-1])).all()
    assert ((keys[1:] == keys[:-1]) == (array[1:] == array[:-1])).all()
    assert histogram.values_of(keys).tolist() == array.tolist()


def test_histogram__is_exact_up_to_its_limit_and_no_finer_than_it_must_beyond() -> None:
    values = np.random.default_rng(2).normal(size=BINS)
    exact = histogram.EMPTY.plus(values)
    assert exact.exact
    assert exact.lower.tolist() == sorted(values)
    beyond = exact.plus(np.array([17.0]))
    assert not beyond.exact
    assert len(beyond) <= BINS
    finer = np.unique(histogram.keys_of(np.append(values, 17.0)) >> (beyond.shift - 1))
    assert len(finer) > BINS


def test_histogram__bins_hold_what_lies_between_their_ends() -> None:
    values = np.random.default_rng(3).standard_cauchy(200_000)
    found = histogram.EMPTY.plus(values)
    assert found.total == len(values)
    inside = [
        np.count_nonzero((values >= low) & (values <= high)) for low, high in zip(found.lower, found.upper, strict=True)
    ]
    assert inside == found.counts.tolist()
    coarse = found.coarsened(found.shift + 3)
    assert coarse.total == len(values)
    assert set(coarse.prefixes) == set(found.prefixes >> 3)


def test_histogram__of_the_widest_range_has_finite_ends(few: None) -> None:
    values = np.array([-1.7e308, -1.0, 0.0, 1e-300, 5.0, 1.7e308])
    found = histogram.EMPTY.plus(values)
    assert np.isfinite(found.lower).all() and np.isfinite(found.upper).all()
    assert found.total == 6


# Categories


def test_categories__named_with_lengths_and_classes_of_characters() -> None:
    found = words(["Ab1 ", "Ab1 ", "é!", "", None, "\t\x00"])
    assert found.named == {"Ab1 ": 2, "é!": 1, "": 1, "\t\x00": 1}
    assert found.distinct == 4
    expected = {"lower": 2, "upper": 2, "digit": 2, "space": 3, "punctuation": 1, "control": 1, "beyond_ascii": 1}
    assert dict(zip(CLASSES, found.characters.tolist(), strict=True)) == expected
    assert dict(zip(found.lengths.lower.tolist(), found.lengths.counts.tolist(), strict=True)) == {0: 1, 2: 2, 4: 2}


def test_categories__of_booleans_and_enumerations() -> None:
    assert words([True, False, None, True], pl.Boolean).named == {"true": 2, "false": 1}
    assert words(["b", "a"], pl.Enum(["a", "b", "c"])).named == {"a": 1, "b": 1}
    assert words(["b", "b"], pl.Categorical).named == {"b": 2}


def test_categories__beyond_the_limit_are_buckets_without_any_value_in_clear() -> None:
    at_limit = words([f"user {number}" for number in range(NAMED)])
    assert at_limit.named is not None
    many = profile(pl.DataFrame({"x": [f"user {number}" for number in range(NAMED + 1)]}))
    assert "user" not in text(many)
    found = many.columns["x"].categories
    assert found is not None
    assert found.named is None
    assert len(found.buckets) == BUCKETS
    assert found.buckets.sum() == NAMED + 1


@pytest.mark.parametrize("distinct", [5_000, 300_000])
def test_categories__number_of_different_values(distinct: int) -> None:
    found = words([f"{number:x}" for number in range(distinct)] * 2)
    assert found.distinct == pytest.approx(distinct, rel=4 * 0.063)
    expected = 2 * distinct / BUCKETS
    chi_square = float(((found.buckets - expected) ** 2 / expected).sum()) / 2  # every value comes twice
    assert abs(chi_square - (BUCKETS - 1)) < 5 * math.sqrt(2 * BUCKETS), "values are spread evenly over the buckets"


def test_categories__long_values_are_shortened_and_told_apart() -> None:
    start = "s" * 1_000
    found = words([start + "a", start + "a", start + "b"])
    assert found.named is not None
    assert sorted(found.named.values()) == [1, 2]
    assert {len(label) for label in found.named} == {LONGEST + 1}


def test_categories__nested_and_binary_columns_are_only_counted() -> None:
    data = pl.DataFrame({"list": [[1], None], "raw": [b"a", b"b"], "pair": [{"a": 1}, {"a": 2}], "none": [None, None]})
    found = profile(data).columns
    assert {name: (each.kind, each.dtypes, each.nulls) for name, each in found.items()} == {
        "list": ("other", ("List",), 1),
        "raw": ("other", ("Binary",), 0),
        "pair": ("other", ("Struct",), 0),
        "none": ("empty", ("Null",), 2),
    }
    assert text(read(text(profile(data)))) == text(profile(data))


# Files


@pytest.mark.parametrize("rows", [0, 1, 3_000])
def test_of_frame__without_rows_with_one_and_of_chosen_columns(rows: int) -> None:
    data = pl.DataFrame({"a": range(rows), "b": range(rows)}, schema={"a": pl.Int64, "b": pl.Float64})
    found = of_frame(data.lazy(), ["b"])
    assert (found.rows, list(found.columns), found.columns["b"].rows) == (rows, ["b"], rows)
    assert (of_frame(data.lazy(), []).rows, of_frame(data.lazy(), in_strips=False).rows) == (rows, rows)


def test_of_frame__in_strips_is_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    data = pl.DataFrame({f"x{number}": random.normal(size=2_000) for number in range(700)})
    data.write_parquet(tmp_path / "wide.parquet", row_group_size=500)
    scanned = pl.scan_parquet(tmp_path / "wide.parquet")
    assert_same(of_frame(scanned), of_frame(scanned, in_strips=False))
    assert list(of_frame(scanned).columns) == data.columns


# The document


@settings(max_examples=60)
@given(ROWS)
def test_document__comes_back_as_it_was(rows: Any) -> None:
    found = profile(frame(rows))
    assert text(read(text(found))) == text(found)
    assert_same(read(text(found).encode()), found)


def test_document__beyond_all_limits_is_small_and_comes_back() -> None:
    random = np.random.default_rng(6)
    size = 100_000
    many = {
        "x": random.normal(size=size),
        "heavy": random.standard_cauchy(size),
        "id": random.integers(0, 2**60, size),
        "name": random.integers(0, 2**60, size).astype(str),
        "negative": -random.lognormal(size=size),
    }
    found = of_frame(pl.DataFrame(many).lazy())
    assert text(read(text(found))) == text(found)
    assert max(map(len, text(found).splitlines())) < 12_000


def document(**change: Any) -> str:
    said = json.loads(text(profile(pl.DataFrame({"x": [1.0, 2.0, None], "w": ["a", "b", "b"]}))))
    return json.dumps({**said, **change})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "has no version of the format"),
        (document(schema_version=2), "has version 2 of the format; this Slipway reads version 1"),
        (document(schema_version=True), "has version True"),
        (document(surprise=1), "is damaged"),
        (document(rows=4), "column `x`: its counts are not those of 4 rows"),
        (document(rows=-1), "is damaged"),
        (document().replace('"counts": [1, 1]', '"counts": [1, 0]', 1), "is damaged"),
        (document().replace('"counts": [1, 1]', '"counts": [2]', 1), "one count for each bin"),
        (document().replace("[1.0, 2.0]", "[2.0, 1.0]", 1), "a histogram's values rise"),
        (document().replace('"shift": 0', '"shift": 1', 1), "`values` where its shift is 0"),
        (document().replace('"kind": "number"', '"kind": "other"', 1), "has other parts than these"),
        (document().replace('"named"', '"nomed"', 1), "is damaged"),
        (document().replace('"b": 2', '"b": 3', 1), "`lengths` counts as many"),
        (document().replace("1.0,", "NaN,", 1), "is damaged"),
    ],
)
def test_read__refuses_what_is_not_a_profile_of_this_version(content: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(content, name="old.json")
    assert message in str(caught.value)
    assert "old.json" in str(caught.value)
    assert caught.value.fix


def test_read__refuses_bins_beyond_64_bits() -> None:
    histogram_of = {"shift": 40, "bins": [2**23, 1], "counts": [1, 1]}
    said = json.loads(document())
    said["columns"]["x"]["numbers"]["histogram"] = histogram_of
    with pytest.raises(InputError, match="within 64 bits"):
        read(json.dumps(said))


def outcome(reader: Callable[[], Profile]) -> str:
    """The profile that was read, as text, or all that the error says."""
    try:
        return text(reader())
    except InputError as error:
        return f"{error.what} {error.why} {error.fix}"


WRITTEN = text(
    profile(
        pl.DataFrame(
            {
                "x": [1.0, 2.0, None, math.nan],
                "w": ["a", "b", "b", None],
                "é \u2026": [1, 2, 3, 4],
                "none": [None] * 4,
                "list": [[1]] * 4,
            }
        )
    )
)
FRAGMENTS = (
    *('"', "{", "}", ",", "[", "]", ",\n", "\n", "}}\n", ":", " ", "\\", "\\ud800", "\x00", "\ufeff", "é", "/*x*/"),
    *("0", "1", "-1", "9", "1.0", "true", "null", "NaN", "Infinity", "1e999", "9223372036854775808", "1" * 400),
    *('"x":', '"rows":4,', '"columns":{', '"kind":"other",', '"surprise":1,', "{}", '"a":{},', "[" * 300),
)


@st.composite
def tampered(draw: st.DrawFn) -> str:
    """What `text` wrote, with parts of it taken out, put in, replaced, repeated or exchanged."""
    content = WRITTEN
    lines = content.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        stop = start + draw(st.sampled_from([0, 0, 1, 2, 5, 30]))
        put = draw(st.sampled_from([*FRAGMENTS, content[start:stop] * 2, "", *lines]))
        content = content[:start] + put + content[stop:]
    return content


@settings(max_examples=300)
@given(st.one_of(tampered(), st.permutations(WRITTEN.split("\n")).map("\n".join)))
def test_read__says_of_what_was_altered_the_same_as_of_the_whole(content: str) -> None:
    expected = outcome(lambda: written._whole(content, "a.json"))
    assert outcome(lambda: read(content, name="a.json")) == expected
    assert outcome(lambda: read(content.encode(), name="a.json")) == outcome(
        lambda: written._whole(content.encode(), "a.json")
    )


@pytest.mark.parametrize(
    "altered",
    [
        WRITTEN.replace('"rows":4', '"rows":04'),
        WRITTEN.replace('"rows":4', '"rows":9223372036854775808'),
        WRITTEN.replace('"rows":4', '"rows":4.0'),
        WRITTEN.replace('"schema_version":1', '"schema_version":true'),
        WRITTEN.replace('"schema_version":1', '"schema_version":1,"schema_version":2'),
        WRITTEN.replace('},\n"w"', '}},\n"surprise":{"w"'),
        WRITTEN.replace('},\n"w"', '},\n,\n"w"'),
        WRITTEN.replace('},\n"w"', '},\n\n"w"'),
        WRITTEN.replace('"nulls":1', '"nulls":2', 1),
        WRITTEN.replace("\n}}\n", ",\n}}\n"),
        WRITTEN.replace("\n}}\n", '\n},"surprise":1}\n'),
        WRITTEN.replace("\n}}\n", "\n}}}\n"),
        WRITTEN + " ",
        WRITTEN + "{}",
        WRITTEN.encode("utf-16"),
        "\ufeff" + WRITTEN,
        WRITTEN.encode().replace("é".encode(), b"\xe9"),
        WRITTEN.replace("é", "\ud800"),
        WRITTEN.replace("é", "\\ud800"),
        text(profile(pl.DataFrame(schema={}))),
    ],
    ids=str,
)
def test_read__of_a_profile_in_disorder_is_as_of_the_whole(altered: str | bytes) -> None:
    assert outcome(lambda: read(altered)) == outcome(lambda: written._whole(altered, "profile.json"))


def test_read__what_was_written_is_never_held_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON and as checked values 10,000 columns take twenty times the memory of their text."""
    expected = outcome(lambda: written._whole(WRITTEN, "profile.json"))
    monkeypatch.delattr(written, "_whole")
    assert outcome(lambda: read(WRITTEN)) == expected == WRITTEN
    assert outcome(lambda: read(WRITTEN.encode())) == WRITTEN
