"""The script that profiles files and the answers to queries, as a person runs it and as train-model does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import profile_data
from profile_data import Inputs, main
from slipway import profiles
from slipway.runner.errors import InputError, RemoteError


@pytest.fixture
def data() -> pl.DataFrame:
    return pl.DataFrame({"x": [1.5, None, 3.0], "word": ["a", "b", "a"], "day": ["2026-01-01"] * 3}).with_columns(
        pl.col("day").str.to_date()
    )


def profiled(folder: Path, data: str = "", **given: Any) -> profiles.Profile:
    main(Inputs(data=data, profile=folder / "made" / "profile.json", **given))
    return profiles.read((folder / "made" / "profile.json").read_bytes())


@pytest.mark.parametrize("ending", ["parquet", "csv", "arrow", "ndjson"])
def test_profile__of_every_format_is_the_same(tmp_path: Path, data: pl.DataFrame, ending: str) -> None:
    file = str(tmp_path / f"data.{ending}")
    write: dict[str, Callable[..., object]] = {
        "parquet": data.write_parquet,
        "csv": data.write_csv,
        "arrow": data.write_ipc,
        "ndjson": data.write_ndjson,
    }
    write[ending](file)
    found = profiled(tmp_path, file)
    kinds = {name: (column.kind, column.nulls) for name, column in found.columns.items()}
    # JSON lines keep dates as text.
    assert kinds == {
        "x": ("number", 1),
        "word": ("category", 0),
        "day": ("category" if ending == "ndjson" else "time", 0),
    }
    assert found.columns["x"].numbers is not None
    assert found.columns["x"].numbers.histogram.lower.tolist() == [1.5, 3.0]


def test_profile__of_clusters_is_one_of_each_value(tmp_path: Path, data: pl.DataFrame) -> None:
    data.write_parquet(tmp_path / "data.parquet")
    file = tmp_path / "profiles.jsonl"
    main(Inputs(data=str(tmp_path / "data.parquet"), columns="x", cluster="word", profile=file))
    parts = profiles.read_lines(file.read_text())
    assert sorted((part.rows, list(part.columns)) for part in parts) == [(1, ["x", "word"]), (2, ["x", "word"])]
    whole = profiles.of_frame(data.lazy(), ["x", "word"])
    assert profiles.text(profiles.merge(parts)) == profiles.text(whole)
    with pytest.raises(InputError, match="have no column `day of year`"):
        main(Inputs(data=str(tmp_path / "data.parquet"), cluster="day of year", profile=file))
    with pytest.raises(InputError, match="`cluster` was given with a query"):
        main(Inputs(query="select 1", cluster="word", profile=file))


def test_profile__of_partitions_adds_up(tmp_path: Path, data: pl.DataFrame) -> None:
    for part in range(3):
        data.write_parquet(tmp_path / f"part-{part}.parquet")
    whole = profiled(tmp_path, str(tmp_path / "part-*.parquet"))
    part_profile = profiled(tmp_path, str(tmp_path / "part-0.parquet"))
    assert profiles.text(profiles.merge([part_profile] * 3)) == profiles.text(whole)


def test_profile__of_chosen_columns(tmp_path: Path, data: pl.DataFrame) -> None:
    data.write_csv(tmp_path / "data.csv")
    found = profiled(tmp_path, str(tmp_path / "data.csv"), columns="word\nabsent\n")
    assert list(found.columns) == ["word"]


def test_profile__of_columns_that_a_schema_has_as_text(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("zip,gone,n\n01234,,1\n1234,,2\n")
    (tmp_path / "schema.yml").write_text("columns: {zip: {dtype: String}, gone: {dtype: Float64}, n: {}}\n")
    found = profiled(tmp_path, str(tmp_path / "data.csv"), schema=tmp_path / "schema.yml")
    kinds = {name: (column.kind, column.nulls) for name, column in found.columns.items()}
    assert kinds == {"zip": ("category", 0), "gone": ("number", 2), "n": ("number", 0)}
    assert found.columns["zip"].categories is not None
    assert found.columns["zip"].categories.named == {"01234": 1, "1234": 1}
    without = profiled(tmp_path, str(tmp_path / "data.csv"))
    assert [column.kind for column in without.columns.values()] == ["number", "empty", "number"]
    with pytest.raises(InputError, match="`schema` was given with a query"):
        main(Inputs(query="select 1", schema=tmp_path / "schema.yml", profile=tmp_path / "p.json"))


def test_profile__of_a_truncated_file_is_an_error_and_leaves_none(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pl.DataFrame({"x": range(100_000)}).write_parquet(whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:50_000])
    with pytest.raises(InputError, match="cannot be read"):
        profiled(tmp_path, str(tmp_path / "cut.parquet"))
    assert not (tmp_path / "made").exists()


def test_profile__of_a_file_damaged_inside(tmp_path: Path) -> None:
    file = tmp_path / "data.parquet"
    pl.DataFrame({"x": [str(number) for number in range(50_000)]}).write_parquet(file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[1_000:3_000] = bytes(2_000)
    file.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        profiled(tmp_path, str(file))


@pytest.mark.parametrize(("data", "query"), [("", ""), ("a.csv", "select 1")])
def test_profile__of_one_thing(tmp_path: Path, data: str, query: str) -> None:
    with pytest.raises(InputError, match="Exactly one"):
        profiled(tmp_path, data, query=query)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "store.db") as store:
        store.execute("create table flights (delay real, carrier text)")
        store.executemany("insert into flights values (?, ?)", [(n / 4, "ab"[n % 2]) for n in range(1_000)])
        store.execute("insert into flights values (null, null)")
    store.close()
    monkeypatch.setenv(profile_data.DATABASE, f"sqlite:///{tmp_path / 'store.db'}")


def test_query__is_fetched_in_pieces(tmp_path: Path, database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_data, "ROWS_AT_ONCE", 64)
    found = profiled(tmp_path, query="select * from flights")
    assert found.rows == 1_001
    assert found.columns["carrier"].categories is not None
    assert found.columns["carrier"].categories.named == {"a": 500, "b": 500}
    assert found.columns["delay"].nulls == 1
    assert list(profiled(tmp_path, query="select * from flights", columns="delay").columns) == ["delay"]


def test_query__that_fails_or_has_no_answer(tmp_path: Path, database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemoteError, match="did not answer the query") as refused:
        profiled(tmp_path, query="select * from arrivals")
    assert "no such table: arrivals" in refused.value.why
    with pytest.raises(InputError, match="no row"):
        profiled(tmp_path, query="select * from flights where delay > 1e9")
    monkeypatch.setenv(profile_data.DATABASE, "nonsense://me:pass123@host/x")
    with pytest.raises(RemoteError) as unknown:
        profiled(tmp_path, query="select 1")
    assert "pass123" not in str(unknown.value)
    monkeypatch.delenv(profile_data.DATABASE)
    with pytest.raises(InputError, match="names no database"):
        profiled(tmp_path, query="select 1")
