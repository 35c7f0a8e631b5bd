"""The schema file is read strictly: what pandera would drop without a word is an error with a line here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandera.polars as pa
import polars as pl
import pytest

from slipway.data import dtypes, pandera_objects
from slipway.data.schema import Schema, read
from slipway.runner.errors import PolicyError

SCRIPTS = Path(__file__).parents[1] / "scripts"

EVERY_CHECK = pa.DataFrameSchema(
    {
        "a": pa.Column(
            pl.Int64,
            [
                pa.Check.in_range(0, 5),
                pa.Check.greater_than(1, raise_warning=True),
                pa.Check.less_than(9),
                pa.Check.less_than_or_equal_to(8),
                pa.Check.greater_than_or_equal_to(0),
                pa.Check.not_equal_to(3),
            ],
            title="a title",
            unique=True,
        ),
        "b": pa.Column(pl.String, pa.Check.isin(["x", "y"]), nullable=True),
        "c": pa.Column(pl.Float64, [pa.Check.gt(0), pa.Check.gt(1)], coerce=True),
        "d": pa.Column(pl.Datetime("us"), required=False),
        "e": pa.Column(pl.Enum(["p", "q"])),
        "f": pa.Column(pl.List(pl.Int64)),
        "g.*": pa.Column(pl.Decimal(10, 2), regex=True),
        "h": pa.Column(
            pl.String,
            [
                pa.Check.str_matches("a+"),
                pa.Check.str_contains("b"),
                pa.Check.str_startswith("a"),
                pa.Check.str_endswith("b"),
                pa.Check.str_length(1, 3),
                pa.Check.unique_values_eq(["ab"]),
                pa.Check.notin(["z"], error="no z", name="not z", n_failure_cases=2, ignore_na=False),
            ],
        ),
    },
    unique=["a", "b"],
    strict=True,
    ordered=True,
    name="all of it",
)


def refusal(text: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        read(text, file="schema.yml")
    assert caught.value.file == "schema.yml"
    return caught.value


def titles(schema: Schema, column: str) -> list[str]:
    assert schema.columns is not None
    return [rule.title() for rule in schema.columns[column].rules]


@pytest.mark.parametrize("minimal", [True, False])
def test_a_file_written_by_pandera_is_read_as_pandera_meant_it(minimal: bool) -> None:
    text = EVERY_CHECK.to_yaml(minimal=minimal)
    assert text
    again = pandera_objects.schema(read(text, file="schema.yml"))
    assert set(again.columns) == set(EVERY_CHECK.columns)
    for name, column in EVERY_CHECK.columns.items():
        mine = again.columns[name]
        assert mine.dtype.type == column.dtype.type
        facts = ("nullable", "unique", "coerce", "required", "regex", "title")
        assert [getattr(mine, fact) for fact in facts] == [getattr(column, fact) for fact in facts]
        assert sorted(map(repr, mine.checks)) == sorted(map(repr, column.checks))
        warned = {check.name: (check.raise_warning, check.ignore_na, check.n_failure_cases) for check in mine.checks}
        assert warned == {c.name: (c.raise_warning, c.ignore_na, c.n_failure_cases) for c in column.checks}
    assert (again.strict, again.ordered, again.unique) == (True, True, [["a", "b"]])


def test_a_file_written_by_pandera_for_pandas_is_read() -> None:
    text = """
        schema_type: dataframe
        version: 0.35.0
        columns:
          a:
            dtype: int64
            in_range: {min_value: 0, max_value: 5, include_min: true, include_max: true}
            greater_than: {min_value: 1, raise_warning: true}
          b: {dtype: "string[pyarrow]"}
          c: {dtype: object}
          d: {dtype: "datetime64[ns, UTC]", greater_than: "2020-01-01 00:00:00"}
          e: {dtype: "timedelta64[ns]", greater_than: 1000}
          f: {dtype: category}
          g: {dtype: boolean}
        index: null
    """
    schema = read(text, file="schema.yml")
    assert schema.columns is not None
    assert [column.polars_type for column in schema.columns.values()] == [
        pl.Int64(), pl.String(), pl.String(), pl.Datetime("ns", "UTC"), pl.Duration("ns"), pl.Categorical(),
        pl.Boolean(),
    ]  # fmt: skip


def test_works_without_pandas_where_panderas_own_reader_does_not() -> None:
    program = f"""
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
sys.meta_path.insert(0, Hidden())
sys.path.insert(0, {str(SCRIPTS)!r})
import pandera.polars as pa
text = "columns: {{a: {{dtype: Int64, checks: {{gt: 0}}}}}}"
try:
    pa.DataFrameSchema.from_yaml(text)
except ModuleNotFoundError:
    print("pandera needs pandas")
import polars as pl
from slipway.data import schema, validation
print([c.verdict for c in validation.validate(schema.read(text, file="s"), pl.LazyFrame({{"a": [1, 0]}}))][-1])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["pandera needs pandas", "fail"], done.stderr


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("strickt: true\n", 1, "did you mean `strict`?"),
        ("columns:\n  a:\n    dtype: Int64\n    nulable: true\n", 4, "did you mean `nullable`?"),
        (
            "columns:\n  a:\n    dtype: Int64\n    in_rnge: {min_value: 0, max_value: 1}\n",
            4,
            "did you mean `in_range`?",
        ),
        ("columns:\n  a:\n    checks:\n      gtt: 5\n", 4, "did you mean `gt`?"),
        ("columns:\n  a:\n    checks:\n    - value: 1\n      options: {check_name: isn}\n", 4, "did you mean `isin`?"),
        ("columns:\n  a:\n    gt: {value: 1, raise_warnin: true}\n", 3, "did you mean `raise_warning`?"),
        ("columns:\n  a:\n    gt: {value: 1, options: {raise_warning: true}}\n", 3, "pandera ignores them"),
        ("columns:\n  a:\n    dtype: Int46\n", 3, "`Int46` is not a known type; did you mean `Int64`?"),
        ("columns:\n  a:\n    dtype: Enum\n", 3, "needs its parts"),
        ("columns:\n  a:\n    dtype: __import__('os')\n", 3, "is not a known type"),
        ("columns:\n  a:\n    dtype: Int64\n    gt: x\n", 4, "cannot be checked on Int64: cannot compare string"),
        ("columns:\n  a:\n    dtype: String\n    isin: [yes, no]\n", 4, "cannot be checked on String"),
        ("columns:\n  a:\n    dtype: String\n    str_matches: '(?!a)b'\n", 4, "regex parse error"),
        ("columns:\n  a:\n    dtype: Int64\n    str_length: 3\n", 4, "cannot be checked on Int64"),
        ("columns:\n  a:\n    in_range: {min_value: 5, max_value: 1}\n", 3, "empty interval"),
        ("columns:\n  a:\n    in_range: {min_value: 5}\n", 3, "`columns.a.in_range.max_value` is required"),
        ("columns:\n  a:\n    in_range: 5\n", 3, "takes named arguments"),
        ("columns:\n  a:\n    isin: []\n", 3, "at least 1 entry"),
        ("columns:\n  a:\n    gt: .nan\n", 3, "must be one number"),
        ("columns:\n  a:\n    gt:\n", 3, "has no value, so it would check nothing"),
        ("columns:\n  a:\n    gt: {value: 1, groupby: b}\n", 3, "checks by group cannot be expressed"),
        ("columns:\n  a:\n    gt: {value: 1, min_value: 2}\n", 3, "are the same: keep one"),
        ("columns:\n  a:\n    str_length: {}\n", 3, "needs `min_value`, `max_value` or `exact_value`"),
        ("columns:\n  a:\n    checks: 5\n", 3, "must be a mapping"),
        ("columns:\n  a:\n    checks:\n    - value: 1\n", 4, "needs `options: {check_name: ...}`"),
        ("columns:\n  a:\n    checks:\n    - {vlue: 1, options: {check_name: gt}}\n", 4, "did you mean `value`?"),
        ("columns:\n  a:\n    checks:\n      gt: {error: x, value: 1, options: {error: y}}\n", 3, "keep one"),
        ("checks: {unique_values_eq: [1]}\n", 1, "is about one column"),
        ("columns:\n  a: {default: 3}\n", 2, "would change the data"),
        ("add_missing_columns: true\n", 1, "would change the data"),
        ("index:\n- dtype: int64\n", 1, "files have no index"),
        ("dtype: Int64\n", 1, "give each column its `dtype`"),
        ("schema_type: ibis_table\n", 1, "polars_dataframe"),
        ("slipway:\n  fresness: {column: a, max_age_days: 3}\n", 2, "did you mean `freshness`?"),
        ("slipway:\n  rows: {min: 5, max: 1}\n", 2, "nothing could pass"),
        ("slipway:\n  rows: {}\n", 2, "give `min`, `max` or both"),
        ("slipway:\n  compare:\n  - a <\n", 3, "is not an SQL condition"),
        ("slipway:\n  compare:\n  - 1 = 1\n", 3, "names no column"),
        ("columns: {a: {dtype: Int64}}\nslipway:\n  compare:\n  - SUM(a) > 1\n", 4, "true or false for each row"),
        ("columns: {a: {dtype: Int64}}\nslipway:\n  compare:\n  - a + 1\n", 4, "true or false for each row"),
        ("columns: {a: {dtype: Int64}}\nslipway:\n  compare:\n  - a = 'x'\n", 4, "cannot be evaluated"),
        ("columns: {a: {dtype: Int64}}\nslipway:\n  missing: {a: 0.1}\n", 3, "is not `nullable`"),
        ("slipway:\n  missing: {a: 1.5}\n", 2, "must be at most 1"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_line_and_nearest_name(text: str, line: int, said: str) -> None:
    error = refusal(text)
    assert said in str(error)
    assert error.line == line


def test_pandera_itself_drops_the_misspelt_keys_that_are_errors_here() -> None:
    text = "columns:\n  a:\n    dtype: Int64\n    in_rnge: {min_value: 0, max_value: 1}\n"
    assert pa.DataFrameSchema.from_yaml(text).columns["a"].checks == []
    assert "in_range" in str(refusal(text))


def test_options_are_read_wherever_pandera_reads_them() -> None:
    beside = read("columns: {a: {gt: {value: 0, raise_warning: true}}}", file="s")
    under = read("columns: {a: {checks: {gt: {value: 0, options: {raise_warning: true}}}}}", file="s")
    listed = read(
        "columns: {a: {checks: [{value: 0, options: {check_name: greater_than, raise_warning: true}}]}}", file="s"
    )
    for schema in (beside, under, listed):
        assert schema.columns is not None
        (rule,) = schema.columns["a"].rules
        assert (rule.check, rule.arguments(), rule.raise_warning) == ("greater_than", {"min_value": 0}, True)


def test_two_checks_of_one_name_are_both_kept() -> None:
    text = "columns: {a: {checks: [{value: 0, options: {check_name: gt}}, {value: 5, options: {check_name: gt}}]}}"
    assert titles(read(text, file="s"), "a") == ["greater_than(0)", "greater_than(5)"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Int64", pl.Int64()),
        ("int64", pl.Int64()),
        ("int", pl.Int64()),
        ("str", pl.String()),
        ("datetime", pl.Datetime("us")),
        ("Datetime(time_unit='ns', time_zone='UTC')", pl.Datetime("ns", "UTC")),
        ("List(Int64)", pl.List(pl.Int64())),
        ("Enum(categories=['a', 'b'])", pl.Enum(["a", "b"])),
        ("Decimal(precision=10, scale=2)", pl.Decimal(10, 2)),
        ("Struct({'x': Int64, 'y': List(String)})", pl.Struct({"x": pl.Int64(), "y": pl.List(pl.String())})),
    ],
)
def test_types_by_name(text: str, meant: pl.DataType) -> None:
    assert dtypes.parse(text) == meant


def test_every_type_reads_back_from_what_polars_prints() -> None:
    for dtype in dtypes.NAMED.values():
        assert dtypes.parse(str(dtype)) == dtype
