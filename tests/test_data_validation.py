"""Each check's verdict, count and examples, computed by hand; and the silent passes of pandera and polars, sprung."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pandera.config import CONFIG, config_context

from slipway.data import dtypes, pandera_objects, reading
from slipway.data.schema import read
from slipway.data.validation import validate
from slipway.report import Check, Verdict
from slipway.runner.errors import InputError

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
NAN = math.nan
NOW = datetime(2024, 1, 10, 12, tzinfo=UTC)


def judged(schema: str, data: Mapping[str, Sequence[Any]] | pl.DataFrame, **options: Any) -> dict[str, Check]:
    frame = pl.DataFrame(data, strict=False).lazy()
    checks = validate(read(schema, file="schema.yml"), frame, **{"now": NOW, **options})
    found = {check.name: check for check in checks}
    assert len(found) == len(checks)
    return found


def outcome(check: Check) -> tuple[Verdict, int | None, tuple[str, ...]]:
    return check.verdict, check.count, check.examples


def test_every_declared_check_is_listed_with_counts_and_first_examples() -> None:
    found = judged(
        """
        columns:
          n: {dtype: Int64, gt: 1, checks: {le: 100}, unique: true}
          s: {dtype: String, nullable: true, isin: [x, y], str_length: {max_value: 1}}
        """,
        {"n": [1, 2, 2, None, 0], "s": ["x", "yy", None, "z", "y"]},
        examples=1,
    )
    assert {name: outcome(check) for name, check in found.items()} == {
        "n: type Int64": (PASS, None, ()),
        "n: no missing values": (FAIL, 1, ("row 3: missing",)),
        "n: unique": (FAIL, 2, ("row 1: 2",)),
        "n: greater_than(1)": (FAIL, 2, ("row 0: 1",)),
        "n: less_than_or_equal_to(100)": (PASS, 0, ()),
        "s: type String": (PASS, None, ()),
        "s: isin(['x', 'y'])": (FAIL, 2, ("row 1: 'yy'",)),
        "s: str_length(max_value=1)": (FAIL, 1, ("row 1: 'yy'",)),
    }
    assert found["n: greater_than(1)"].detail == "2 of 5 rows (40.0 %) violate it"


@pytest.mark.parametrize(
    ("check", "values", "violating"),
    [
        ("eq: 2", [1, 2, None], 1),
        ("ne: 2", [1, 2, None], 1),
        ("gt: 2", [1, 2, 3], 2),
        ("ge: 2", [1, 2, 3], 1),
        ("lt: 2", [1, 2, 3], 2),
        ("le: 2", [1, 2, 3], 1),
        ("in_range: {min_value: 1, max_value: 3}", [0, 1, 3, 4], 2),
        ("in_range: {min_value: 1, max_value: 3, include_min: false, include_max: false}", [0, 1, 2, 3, 4], 4),
        ("isin: [1, 2]", [1, 2, 3, None], 1),
        ("notin: [1, 2]", [1, 2, 3, None], 2),
        ("unique_values_eq: [1, 2]", [1, 2, 2, 3, None], 1),
        ("gt: {value: 0, ignore_na: false}", [1, None], 1),
    ],
)
def test_checks_on_numbers(check: str, values: list[int | None], violating: int) -> None:
    found = judged(f"columns: {{n: {{dtype: Int64, nullable: true, {check}}}}}", {"n": values})
    result = list(found.values())[-1]
    assert (result.verdict, result.count) == (FAIL, violating)
    assert len(result.examples) == min(3, violating)


@pytest.mark.parametrize(
    ("check", "values", "violating"),
    [
        ("str_matches: 'b+'", ["b", "ab", None], 1),
        ("str_contains: 'b+'", ["b", "ab", "c", None], 1),
        ("str_startswith: a", ["ab", "ba"], 1),
        ("str_endswith: a", ["ab", "ba"], 1),
        ("str_length: 2", ["ab", "a", "é"], 2),
        ("str_length: {min_value: 1, max_value: 2}", ["ab", "", "abc"], 2),
    ],
)
def test_checks_on_text(check: str, values: list[str | None], violating: int) -> None:
    found = judged(f"columns: {{s: {{dtype: String, nullable: true, {check}}}}}", {"s": values})
    assert (list(found.values())[-1].verdict, list(found.values())[-1].count) == (FAIL, violating)


def test_values_that_never_occur_fail_unique_values_eq() -> None:
    check = judged("columns: {n: {unique_values_eq: [1, 2, 3]}}", {"n": [1, 1]})["n: unique_values_eq([1, 2, 3])"]
    assert (check.verdict, check.count, check.detail) == (FAIL, 0, "2 of the values never occur")
    assert (
        judged("columns: {n: {unique_values_eq: [1, 2]}}", {"n": [2, 1, 1]})["n: unique_values_eq([1, 2])"].verdict
        is PASS
    )


def test_lazy_frames_are_checked_to_the_last_value_unlike_panderas_default() -> None:
    text = "columns: {n: {dtype: Int64, gt: 0}}"
    bad = pl.LazyFrame({"n": [1, -1]})
    pandera_objects.schema(read(text, file="s")).validate(bad, lazy=True).collect()  # passes: the trap
    assert judged(text, bad.collect())["n: greater_than(0)"].verdict is FAIL


def test_panderas_environment_variables_switch_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CONFIG, "validation_enabled", False)
    with config_context(validation_enabled=False, validation_depth="SCHEMA_ONLY"):
        assert judged("columns: {n: {gt: 0}}", {"n": [-1]})["n: greater_than(0)"].verdict is FAIL


@pytest.mark.parametrize("check", ["gt: 0", "ge: 0", "lt: 9", "le: 9", "in_range: {min_value: 0, max_value: 9}"])
def test_nan_violates_every_range_although_polars_ranks_it_above_all_numbers(check: str) -> None:
    found = judged(f"columns: {{x: {{dtype: Float64, nullable: true, {check}}}}}", {"x": [1.0, NAN, None]})
    assert outcome(list(found.values())[-1]) == (FAIL, 1, ("row 1: nan",))


def test_nan_is_a_missing_value() -> None:
    found = judged(
        "columns: {x: {dtype: Float64}}\nslipway: {missing: {y: 0.5}}",
        {"x": [1.0, NAN, None], "y": [NAN, NAN, 1.0]},
    )
    assert outcome(found["x: no missing values"]) == (FAIL, 2, ("row 1: nan", "row 2: missing"))
    assert outcome(found["y: at most 0.5 missing"])[:2] == (FAIL, 2)


def test_an_absent_column_fails_and_its_checks_are_not_passes() -> None:
    found = judged("columns: {distnce: {dtype: Int64, gt: 0, unique: true}, b: {}}", {"distance": [1], "b": [1]})
    assert found["distnce: present"].verdict is FAIL
    assert found["distnce: present"].detail == "the data have no column `distnce`; the nearest is `distance`"
    assert found["distnce: greater_than(0)"].verdict is INCONCLUSIVE
    assert found["distnce: unique"].verdict is INCONCLUSIVE
    assert found["b: present"].verdict is PASS


def test_an_optional_column_may_be_absent_but_is_checked_where_it_is_there() -> None:
    text = "columns: {a: {required: false, gt: 0}}"
    assert [check.verdict for check in judged(text, {"b": [1]}).values()] == [PASS]
    assert judged(text, {"a": [0]})["a: greater_than(0)"].verdict is FAIL


@pytest.mark.parametrize(
    "text",
    [
        "unique: [a, q]",
        "slipway: {missing: {q: 0.1}}",
        "slipway: {compare: [q > a]}",
        "slipway: {freshness: {column: q, max_age_days: 1}}",
    ],
)
def test_any_rule_about_an_absent_column_fails_and_names_it(text: str) -> None:
    (check,) = judged(text, {"a": [1]}).values()
    assert (check.verdict, check.detail) == (FAIL, "the data have no column `q`")


def test_a_wrong_type_fails_and_checks_that_it_makes_impossible_are_inconclusive() -> None:
    found = judged(
        "columns: {a: {dtype: Int64, gt: 0}, b: {dtype: Date, gt: 2024-01-01}}",
        {"a": ["1", "x", None, "3"], "b": [1, 2, 3, 4]},
    )
    kind = found["a: type Int64"]
    assert outcome(kind) == (FAIL, 1, ("row 1: 'x'",))
    assert kind.detail == "found String; 1 of 4 rows (25.0 %) cannot be read as Int64"
    assert found["a: greater_than(0)"].verdict is INCONCLUSIVE
    assert (found["b: type Date"].verdict, found["b: type Date"].detail) == (FAIL, "found Int64")
    assert found["b: greater_than(2024-01-01)"].verdict is INCONCLUSIVE


def test_a_check_that_polars_refuses_for_the_type_is_inconclusive() -> None:
    found = judged("columns: {a: {gt: 0}, b: {gt: 0}}", {"a": ["x"], "b": [0]})
    assert found["a: greater_than(0)"].verdict is INCONCLUSIVE
    assert "cannot compare string" in found["a: greater_than(0)"].detail
    assert found["b: greater_than(0)"].verdict is FAIL


def test_a_check_that_breaks_on_the_values_is_inconclusive_and_the_others_are_judged() -> None:
    rule = "CAST(s AS INT) > 0"
    found = judged(f"columns: {{n: {{gt: 0}}}}\nslipway: {{compare: ['{rule}']}}", {"s": ["1", "x"], "n": [1, 0]})
    assert found[f"rule {rule}"].verdict is INCONCLUSIVE
    assert "not run: " in found[f"rule {rule}"].detail
    assert outcome(found["n: greater_than(0)"])[:2] == (FAIL, 1)
    hidden = judged(f"slipway: {{compare: ['{rule}']}}", {"s": ["1", "secret"]}, examples=0)
    assert "secret" not in hidden[f"rule {rule}"].detail


def test_coerce_judges_the_converted_values_and_counts_what_does_not_convert() -> None:
    found = judged(
        "columns: {n: {dtype: Int64, coerce: true, gt: 1}, d: {dtype: Date, coerce: true, ge: 2024-01-01}}",
        {"n": ["1", "x", None, "3"], "d": ["2024-02-30", "2023-12-31", "2024-01-01", "2024-01-02"]},
    )
    assert outcome(found["n: type Int64"]) == (FAIL, 1, ("row 1: 'x'",))
    assert outcome(found["n: no missing values"]) == (FAIL, 1, ("row 2: missing",))
    assert outcome(found["n: greater_than(1)"]) == (FAIL, 1, ("row 0: 1",))
    assert outcome(found["d: type Date"]) == (FAIL, 1, ("row 0: '2024-02-30'",))
    assert outcome(found["d: greater_than_or_equal_to(2024-01-01)"]) == (FAIL, 1, ("row 1: 2023-12-31",))


def test_a_type_that_never_converts_fails() -> None:
    check = judged("coerce: true\ncolumns: {a: {dtype: 'List(Int64)'}}", {"a": [datetime(2024, 1, 1)]})[
        "a: type List(Int64)"
    ]
    assert (check.verdict, check.detail.startswith("found Datetime")) == (FAIL, True)


def test_times_are_compared_in_the_columns_own_zone() -> None:
    frame = pl.DataFrame({"t": [datetime(2024, 1, 1, 11), datetime(2024, 1, 1, 13)]}).select(
        pl.col("t").dt.replace_time_zone("Europe/Berlin")
    )
    kind = "Datetime(time_unit='us', time_zone='Europe/Berlin')"
    text = f'columns: {{t: {{dtype: "{kind}", gt: "2024-01-01 12:00:00"}}}}'
    assert list(judged(text, frame).values())[-1].count == 1
    aware = text.replace("12:00:00", "12:00:00+00:00")  # 13:00 in Berlin
    assert list(judged(aware, frame).values())[-1].count == 2


@pytest.mark.parametrize(
    ("dtype", "bound", "values"),
    [
        ("Date", '"2024-01-01"', [date(2024, 1, 1), date(2024, 1, 2)]),
        ("Datetime", "2024-01-01", [datetime(2024, 1, 1), datetime(2024, 1, 1, 1)]),
        ("Datetime", "2024-01-01T01:00:00+01:00", [datetime(2024, 1, 1), datetime(2024, 1, 1, 1)]),
        ("Time", '"10:30:00"', [time(10, 30), time(10, 31)]),
        ("Duration", "1000000000", [timedelta(seconds=1), timedelta(seconds=2)]),
        ("Decimal(precision=10, scale=2)", "1.5", [Decimal("1.50"), Decimal("1.51")]),
        ("Boolean", "false", [False, True]),
    ],
)
def test_bounds_are_read_as_values_of_the_columns_type(dtype: str, bound: str, values: list[Any]) -> None:
    frame = pl.DataFrame({"c": pl.Series(values, dtype=dtypes.parse(dtype))})
    found = judged(f"columns: {{c: {{dtype: '{dtype}', gt: {bound}}}}}", frame)
    assert [check.verdict for check in found.values()] == [PASS, PASS, FAIL]
    assert list(found.values())[-1].count == 1


def test_coerce_to_a_type_that_the_values_never_have_says_so() -> None:
    check = judged("columns: {a: {dtype: Boolean, coerce: true}}", {"a": ["true"]})["a: type Boolean"]
    assert (check.verdict, check.detail) == (FAIL, "found String, which does not convert")
    times = judged("columns: {a: {dtype: Time, coerce: true}}", {"a": ["10:00:00", "25:00:00"]})["a: type Time"]
    assert outcome(times) == (FAIL, 1, ("row 1: '25:00:00'",))
    moments = judged("columns: {a: {dtype: datetime, coerce: true}}", {"a": ["2024-01-01T10:00:00", "soon"]})
    assert outcome(moments["a: type Datetime(time_unit='us', time_zone=None)"]) == (FAIL, 1, ("row 1: 'soon'",))


def test_strict_and_ordered() -> None:
    found = judged("strict: true\nordered: true\ncolumns: {a: {}, b: {}}", {"b": [1], "a": [1], "c": [1]})
    assert (found["no other columns"].verdict, found["no other columns"].detail) == (
        FAIL,
        "the schema does not declare c",
    )
    assert found["column order"].verdict is FAIL
    found = judged("strict: true\nordered: true\ncolumns: {a: {}, b: {}}", {"a": [1], "b": [1]})
    assert {check.verdict for check in found.values()} == {PASS}
    assert "no other columns" not in judged("strict: filter\ncolumns: {a: {}}", {"a": [1], "c": [1]})


def test_unique_together_and_checks_of_all_columns() -> None:
    found = judged("unique: [a, b]\nchecks: {gt: 0}", {"a": [1, 1, 1], "b": [2, 2, 0]})
    assert outcome(found["a, b: unique together"]) == (FAIL, 2, ("row 0: a=1, b=2", "row 1: a=1, b=2"))
    assert outcome(found["all columns: greater_than(0)"]) == (FAIL, 1, ("row 2: a=1, b=0",))


def test_patterns_rule_each_matching_column_but_none_that_is_named() -> None:
    pattern = "regex: true, gt: 0"
    text = f"columns: {{'x_.*': {{{pattern}}}, x_named: {{}}, 'q.*': {{{pattern}}}, '.*_a': {{regex: true, lt: 9}}}}"
    frame = pl.LazyFrame({"x_a": [0, 9], "x_b": [1, 1], "x_named": [-5, -5]})
    found = {check.name: check for check in validate(read(text, file="s"), frame)}
    assert {name: check.verdict for name, check in found.items() if "than" in name} == {
        "q.*: greater_than(0)": INCONCLUSIVE,
        "x_a: greater_than(0)": FAIL,
        "x_b: greater_than(0)": PASS,
        "x_a: less_than(9)": FAIL,
    }
    assert found["q.*: present"].verdict is FAIL


def test_rules_between_columns_follow_sql() -> None:
    found = judged(
        "slipway: {compare: ['low <= high', {rule: \"kind = 'a' OR low > 0\", name: positive, description: why}]}",
        {"low": [1.0, 3.0, None, NAN], "high": [2.0, 2.0, 2.0, 2.0], "kind": ["a", "b", "b", "a"]},
    )
    check = found["rule low <= high"]
    assert outcome(check) == (FAIL, 1, ("row 1: low=3.0, high=2.0",))
    assert check.values == {"unknown": 2}  # a null and a NaN: neither true nor false, so no violation
    assert (found["positive"].verdict, found["positive"].count) == (PASS, 0)
    assert found["positive"].detail.startswith("why; ")


def test_a_rule_that_nothing_is_known_about_is_inconclusive() -> None:
    (check,) = judged("slipway: {compare: [a > b]}", {"a": [None, None], "b": [1, 2]}).values()
    assert check.verdict is INCONCLUSIVE


@pytest.mark.parametrize("rule", ["SUM(a) > 0", "a + 1", "a = 'x'"])
def test_a_rule_that_is_no_condition_on_rows_is_inconclusive(rule: str) -> None:
    (check,) = judged(f'slipway: {{compare: ["{rule}"]}}', {"a": [1, 2]}).values()
    assert check.verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("newest", "verdict"),
    [
        (date(2024, 1, 10), PASS),
        (date(2024, 1, 7), PASS),
        (date(2024, 1, 6), FAIL),
        (date(2024, 1, 11), PASS),  # a clock ahead of UTC
        (date(2024, 1, 12), FAIL),
        (datetime(2024, 1, 7, 12), PASS),
        (datetime(2024, 1, 7, 11, 59), FAIL),
        (datetime(2024, 1, 11, 12, 1), FAIL),
        (datetime(2024, 1, 7, 12, tzinfo=UTC), PASS),
        (datetime(2024, 1, 7, 11, tzinfo=UTC), FAIL),
    ],
)
def test_freshness(newest: date, verdict: Verdict) -> None:
    data = {"t": [newest - timedelta(days=100), newest, None]}
    (check,) = judged("slipway: {freshness: {column: t, max_age_days: 3}}", data).values()
    assert check.verdict is verdict


def test_freshness_counts_from_as_of_where_it_is_given() -> None:
    text = "slipway: {freshness: {column: t, max_age_days: 3, as_of: 2013-01-04}}"
    assert next(iter(judged(text, {"t": [date(2013, 1, 1)]}).values())).verdict is PASS
    for moment in ("2013-01-04T00:00:00", "2013-01-04T01:00:00+01:00"):
        exact = text.replace("2013-01-04", moment)
        assert next(iter(judged(exact, {"t": [datetime(2013, 1, 1)]}).values())).verdict is PASS
        assert next(iter(judged(exact, {"t": [datetime(2012, 12, 31, 23)]}).values())).verdict is FAIL
    (check,) = judged(text, {"t": [date(2013, 1, 1), date(2199, 1, 1)]}).values()
    assert outcome(check) == (FAIL, 1, ("row 1: 2199-01-01",))


def test_freshness_of_nothing_or_of_text_is_inconclusive() -> None:
    text = "slipway: {freshness: {column: t, max_age_days: 3}}"
    for data in ({"t": pl.Series([None], dtype=pl.Date)}, {"t": ["2024-01-10"]}):
        (check,) = judged(text, pl.DataFrame(data)).values()
        assert check.verdict is INCONCLUSIVE


def test_rows_and_missing_shares() -> None:
    data = {"a": [1, None, None, 4]}
    found = judged("slipway: {rows: {min: 4, max: 4}, missing: {a: 0.5}}", data)
    assert [check.verdict for check in found.values()] == [PASS, PASS]
    found = judged("slipway: {rows: {min: 5}, missing: {a: 0.49}}", data)
    assert [check.verdict for check in found.values()] == [FAIL, FAIL]
    assert found["rows: at least 5"].detail == "4 rows"
    assert outcome(found["a: at most 0.49 missing"])[:2] == (FAIL, 2)


def test_a_warning_is_shown_and_fails_nothing() -> None:
    text = "columns: {a: {gt: {value: 0, raise_warning: true, error: be positive, name: sign}}}"
    check = judged(text, {"a": [0, 1]})["a: sign"]
    assert (check.verdict, check.count) == (PASS, 1)
    assert check.detail == "warning only: be positive: 1 of 2 rows (50.0 %) violate it"


def test_examples_can_be_forbidden_and_limited() -> None:
    text = "columns: {a: {gt: 0, lt: {value: -9, n_failure_cases: 1}}}"
    found = judged(text, {"a": [0] * 9}, examples=0)
    assert {check.examples for check in found.values()} == {()}
    assert not any("0" in check.examples for check in found.values())
    found = judged(text, {"a": [0] * 9}, examples=5)
    assert [len(check.examples) for check in found.values()][-2:] == [5, 1]
    long = judged("columns: {a: {str_length: 1}}", {"a": ["x" * 500]})
    assert len(long["a: str_length(1)"].examples[0]) < 80


def test_no_rows_are_never_a_pass() -> None:
    found = judged("columns: {a: {gt: 0}}", pl.DataFrame(schema={"a": pl.Int64}))
    assert found["a: greater_than(0)"].verdict is INCONCLUSIVE


def test_a_damaged_page_is_an_input_error_not_a_verdict(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": range(50_000)}).write_parquet(path, compression="uncompressed")
    content = bytearray(path.read_bytes())
    content[10:40] = b"\xff" * 30
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="cannot be read"), reading.unreadable(path):
        validate(read("columns: {a: {gt: 0}}", file="s"), reading.scan(path))


def test_a_wide_frame_is_checked_in_one_scan() -> None:
    scans = 0

    def source(columns: Any, predicate: Any, rows: Any, batch: Any) -> Any:
        nonlocal scans
        scans += 1
        yield pl.DataFrame({f"c{n}": [1, 2] for n in range(30)}).select(columns or pl.all())

    from polars.io.plugins import register_io_source

    frame = register_io_source(source, schema={f"c{n}": pl.Int64() for n in range(30)})
    text = "columns:\n" + "".join(f"  c{n}: {{dtype: Int64, gt: 0, lt: 9}}\n" for n in range(30))
    checks = validate(read(text, file="s"), frame)
    assert {check.verdict for check in checks} == {PASS}
    assert (len(checks), scans) == (120, 1)


def calls(schema: str, frame: pl.DataFrame) -> int:
    """Calls of Python functions, generators resumed among them, that a validation makes."""
    made, declared = 0, read(schema, file="schema.yml")

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal made
        made += event == "call"

    sys.setprofile(count)
    try:
        validate(declared, frame.lazy(), now=NOW)
    finally:
        sys.setprofile(None)
    return made


def test_a_wide_frame_costs_in_proportion_to_its_columns() -> None:
    def wide(columns: int) -> int:
        names = [f"c{number}" for number in range(columns)]
        schema = "columns:\n" + "".join(f"  {name}: {{}}\n" for name in names)
        return calls(schema, pl.DataFrame({name: [1] for name in names}))

    assert wide(600) < 2.2 * wide(300)


def test_the_nearest_name_is_looked_for_only_while_few_columns_are_absent() -> None:
    names = [f"column_{number:02}" for number in range(40)]
    schema = "columns:\n" + "".join(f"  {name}: {{}}\n" for name in names)
    found = judged(schema, {f"{name}x": [1] for name in names})
    told = [check.detail for check in found.values() if check.detail.startswith("the data have no column")]
    assert len(told) == 40
    assert told[0] == "the data have no column `column_00`; the nearest is `column_00x`"
    assert sum("nearest" in each for each in told) == 20
