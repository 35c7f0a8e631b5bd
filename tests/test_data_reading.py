"""Every way in which data are not there, not readable or not one dataset is an InputError that says what to do."""

from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from slipway.data import reading
from slipway.data.types import Types
from slipway.runner.errors import InputError

SCRIPTS = Path(__file__).parents[1] / "scripts"
FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})


def refusal(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        reading.scan(path)
    assert caught.value.what
    assert caught.value.fix or caught.value.why
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["f.parquet", "f.csv", "f.CSV", "f.csv.gz", "f.arrow", "f.feather", "f.ndjson", "f.jsonl"]
)
def test_reads_each_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    kind = name.lower().split(".", 1)[1]
    if kind == "csv.gz":
        path.write_bytes(gzip.compress(FRAME.write_csv().encode()))
    elif kind == "csv":
        FRAME.write_csv(path)
    elif kind == "parquet":
        FRAME.write_parquet(path)
    elif kind in ("arrow", "feather"):
        FRAME.write_ipc(path)
    else:
        FRAME.write_ndjson(path)
    assert reading.scan(path).collect().equals(FRAME)


def test_folder_and_glob_are_read_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, name in ((3, "c"), (1, "a"), (2, "in/b")):
        pl.DataFrame({"n": [number]}).write_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".hidden.parquet").touch()
    assert reading.scan(tmp_path).collect()["n"].to_list() == [1, 3, 2]
    assert reading.scan(f"{tmp_path}/*.parquet").collect()["n"].to_list() == [1, 3]
    assert reading.scan(f"{tmp_path}/**/*.parquet").collect()["n"].to_list() == [1, 3, 2]


def test_relative_globs_start_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FRAME.write_parquet(tmp_path / "x.parquet")
    monkeypatch.chdir(tmp_path)
    assert reading.find_files("*.parquet") == [Path("x.parquet")]


def test_partition_columns_come_from_the_folders_names(tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"day={day}").mkdir()
        pl.DataFrame({"a": [day * 10]}).write_parquet(tmp_path / f"day={day}" / "part.parquet")
    assert reading.scan(tmp_path).collect().to_dict(as_series=False) == {"a": [10, 20], "day": [1, 2]}


def test_nothing_there(tmp_path: Path) -> None:
    assert "There are no data at" in refusal(tmp_path / "nothing.parquet")
    assert "There are no data at" in refusal(tmp_path / "*.csv")
    assert "The folder holds no data file" in refusal(tmp_path)
    assert "not on this machine" in refusal("s3://bucket/x.parquet")


def test_empty_file_and_file_without_rows(tmp_path: Path) -> None:
    (tmp_path / "e.csv").touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / "e.csv")
    (tmp_path / "h.csv").write_text("a,b\n")
    assert "has no rows" in refusal(tmp_path / "h.csv")
    FRAME.clear().write_parquet(tmp_path / "z.parquet")
    assert "has no rows" in refusal(tmp_path / "z.parquet")


def test_unknown_extension(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_text("x")
    assert "extension that Slipway does not read" in refusal(tmp_path / "x.xlsx")


def test_truncated_and_corrupt_files(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refusal(path)
    path.write_text("this is no parquet")
    assert "cannot be read" in refusal(path)
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(FRAME.write_csv().encode())[:-10])
    assert "cannot be read" in refusal(packed)
    lines = tmp_path / "t.ndjson"
    lines.write_text('{"a": 1}\n{"a":')
    assert "cannot be read" in refusal(lines)


def test_wrong_encoding_and_ragged_rows_say_how_to_mend_them(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("a\ncafé\n".encode("latin-1"))
    assert "Save the file as UTF-8" in refusal(tmp_path / "l.csv")
    (tmp_path / "r.csv").write_text("a,b\n1,2\n1,2,3\n")
    assert "too many fields" in refusal(tmp_path / "r.csv")
    (tmp_path / "d.csv").write_text("a,a\n1,2\n")
    assert "two columns called `a`" in refusal(tmp_path / "d.csv")


def test_files_of_one_dataset_must_agree(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1], "b": [1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"a": [1], "c": [1]}).write_parquet(tmp_path / "2.parquet")
    said = refusal(tmp_path)
    assert "do not have the same columns" in said
    assert "2.parquet lacks b" in said
    assert "2.parquet has c besides" in said
    pl.DataFrame({"b": [1], "a": ["x"]}).write_parquet(tmp_path / "2.parquet")
    assert "`a` is Int64 in the one and String in the other" in refusal(tmp_path)
    FRAME.write_csv(tmp_path / "3.csv")
    assert "mixes csv and parquet files" in refusal(tmp_path)


def test_the_order_of_columns_may_differ_between_files(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("b,a\ny,2.5\n")
    assert reading.scan(tmp_path).collect().to_dict(as_series=False) == {"a": [1.0, 2.5], "b": ["x", "y"]}


def test_csv_dates_are_dates_and_declared_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("day,zip,n\n2024-01-31,00123,1\n2024-02-01,99999,2\n")
    schema = reading.scan(path, text_columns={"zip", "no such column"}).collect_schema()
    assert schema == pl.Schema({"day": pl.Date, "zip": pl.String, "n": pl.Int64})


@pytest.mark.parametrize("dtype", [pl.String(), pl.Categorical(), pl.Enum(["00123", "99999"])])
def test_what_is_declared_as_text_is_read_as_text(tmp_path: Path, dtype: pl.DataType) -> None:
    path = tmp_path / "x.csv"
    path.write_text("day,zip,n\n2024-01-31,00123,1\n2024-02-01,99999,2\n")
    found = reading.scan(path, types=Types({"zip": dtype, "n": pl.Float64(), "no such column": pl.String()}))
    # The type of numbers is what is there: it is for validate-data to say that it is another one.
    assert found.collect_schema() == pl.Schema({"day": pl.Date, "zip": pl.String, "n": pl.Int64})
    assert found.collect()["zip"].to_list() == ["00123", "99999"]


def test_columns_are_declared_by_pattern_too(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("code_a,code_b,code_n,empty_c,number\n00123,7,00123,,1\n99999,8,99999,,2\n")
    types = Types({"code_n": None}, {"code_.*": pl.String(), "empty_.": pl.Float64(), "numb": pl.String()})
    schema = reading.scan(path, types=types).collect_schema()
    assert schema == pl.Schema(
        {"code_a": pl.String, "code_b": pl.String, "code_n": pl.Int64, "empty_c": pl.Float64, "number": pl.Int64}
    )


def test_codes_are_whole_numbers_with_a_zero_before_them(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(
        "zip,n,share,day,late,word\n12345,0,0.5,2024-01-31,7,a\n23456,10,00.5,2024-02-01,,b\n"
    )
    (tmp_path / "2.csv").write_text(
        'zip,n,share,day,late,word\n"01234",-5,1.5,2024-01-31,0,c\n,105,0.5,2024-02-01,08,d\n'
    )
    assert reading.codes(tmp_path) == {"zip", "late"}
    assert reading.codes(tmp_path / "1.csv") == set()
    FRAME.write_parquet(tmp_path / "x.parquet")
    assert reading.codes(tmp_path / "x.parquet") == set()
    with pytest.raises(InputError, match="no data"):
        reading.codes(tmp_path / "none.csv")


def test_a_late_value_of_another_type_makes_its_column_text_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * (reading.ROWS_TO_INFER + 1) + "x,3\n")
    frame = reading.scan(path)
    assert frame.collect_schema() == pl.Schema({"a": pl.String, "b": pl.Int64})
    assert frame.collect()["a"].to_list()[-1] == "x"
    lines = tmp_path / "x.ndjson"
    lines.write_text('{"a": 1}\n' * (reading.ROWS_TO_INFER + 1) + '{"a": "x"}\n')
    assert reading.scan(lines).collect_schema() == pl.Schema({"a": pl.String})


def test_reading_needs_polars_only() -> None:
    program = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import slipway.data.reading; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"pandera", "pandas", "pydantic"} & set(done.stdout.split())


def test_a_csv_file_without_a_value_in_a_column_takes_its_type_from_the_others(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("n,day,s\n")  # a day on which nothing happened
    (tmp_path / "2.csv").write_text("n,day,s\n1,2026-01-02,x\n")
    (tmp_path / "3.csv").write_text("n,day,s\n,,\n")
    found = reading.scan(tmp_path)
    assert dict(found.collect_schema()) == {"n": pl.Int64, "day": pl.Date, "s": pl.String}
    assert found.collect().rows() == [(1, date(2026, 1, 2), "x"), (None, None, None)]


def test_a_column_without_any_value_has_no_type_but_the_one_that_is_declared(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("n,s,other\n1,,\n2,,\n")
    assert dict(reading.scan(path).collect_schema()) == {"n": pl.Int64, "s": pl.Null, "other": pl.Null}
    found = reading.scan(
        path, text_columns=["s"], types=Types({"s": pl.String(), "n": pl.Float64(), "other": pl.Date()})
    )
    assert dict(found.collect_schema()) == {"n": pl.Int64, "s": pl.String, "other": pl.Date}
    assert found.collect().height == 2


def test_codes_stay_as_they_are_where_only_some_files_look_like_numbers(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("code,at\n00123,2026-01-02T10:00:00\n")
    (tmp_path / "2.csv").write_text("code,at\nA12,2026-01-02T10:00:00Z\n")
    found = reading.scan(tmp_path).collect()
    assert found["code"].to_list() == ["00123", "A12"]
    assert found["at"].to_list() == ["2026-01-02T10:00:00", "2026-01-02T10:00:00Z"]  # two zones are none


def test_the_type_of_a_column_that_begins_empty_is_that_of_its_later_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ROWS_TO_INFER", 2)
    path = tmp_path / "x.csv"
    path.write_text("n,s\n,\n,\n3,\n4.5,b\n")
    found = reading.scan(path).collect()
    assert found["n"].to_list() == [None, None, 3.0, 4.5]
    assert found["s"].to_list() == [None, None, None, "b"]


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.ndjson"])
def test_a_column_that_is_called_like_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"^a.*$": [1], "ab": [2], "^c": [3]})
    getattr(frame, f"write_{name.partition('.')[2]}")(tmp_path / name)
    assert "The data have a column called `^a.*$`" in refusal(tmp_path / name)


def test_json_lines_whose_types_do_not_fit_together_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.ndjson").write_text('{"a": {"b": 1}}\n')
    (tmp_path / "2.ndjson").write_text('{"a": [1]}\n')
    assert "cannot be read" in refusal(tmp_path)
