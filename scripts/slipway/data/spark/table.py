"""A dataset as Spark reads it: parquet, with the types that polars would find in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from slipway.data.reading import find_files
from slipway.data.spark.expressions import quoted
from slipway.data.spark.session import first_line, functions_for
from slipway.runner.errors import InputError, PolicyError, SlipwayError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEMES = {"s3": "s3a", "gs": "gs", "lakefs": "lakefs"}
"""What a store's address starts with, for Slipway and for Spark's own file systems."""

PATTERN_SIGNS = frozenset("*?[]{}\\")
FILE = "slipway file"
PLACE = "slipway row in file"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows in Spark, and the types that the plan is made for."""

    name: str
    frame: DataFrame
    types: Mapping[str, pl.DataType]
    uncarried: Mapping[str, str] = field(default_factory=dict)
    """Columns that Spark holds as something else, with the reason."""


def of_files(session: SparkSession, place: str, types: Mapping[str, pl.DataType]) -> Table:
    """The table of the files at `place`, which this machine sees, too. types: what polars finds in them."""
    files = find_files(place)
    for file in files:
        if not file.name.lower().endswith((".parquet", ".pq")):
            raise PolicyError(
                f"The dataset {place} is not parquet, and Spark is to read it.",
                why="CSV and JSON lines carry no types, and each engine guesses others.",
                fix="Write it as parquet, or leave `engine: spark` out.",
            )
        if set(str(file.resolve())) & PATTERN_SIGNS:
            raise InputError(f"Spark would take the name {file} for a pattern.", fix="Rename it.")
    return _read(session, [f"file://{file.resolve()}" for file in files], place, _base(files[0]), types)


def _base(file: Path) -> str:
    """The folder above those that carry columns in their names; empty where there are none."""
    for folder in reversed(file.parents):
        if "=" in folder.name:
            return f"file://{folder.parent.resolve()}"
    return ""


def of_address(session: SparkSession, address: str) -> Table:
    """The table at an address of a store, which Spark reads by itself."""
    scheme, _, rest = address.partition("://")
    if "?" in rest or scheme not in SCHEMES:
        raise PolicyError(
            f"Spark cannot read the dataset {address}.",
            why="It reads what a bucket holds now, and not an earlier version of it."
            if scheme in SCHEMES
            else f"`engine: spark` knows {', '.join(f'`{each}://`' for each in SCHEMES)} and local paths.",
            fix="Name the folder without a version, a lakeFS commit, or leave `engine: spark` out.",
        )
    return _read(session, [f"{SCHEMES[scheme]}://{rest}"], address, "", None)


def _read(
    session: SparkSession, paths: list[str], name: str, base: str, types: Mapping[str, pl.DataType] | None
) -> Table:
    reader = session.read.option("mergeSchema", "true")
    if base:
        reader = reader.option("basePath", base)
    try:
        frame = reader.parquet(*paths)
        found = _types_of(frame)
    except Exception as error:  # Spark raises its own, and those of its file systems
        raise InputError(f"Spark cannot read {name}.", why=first_line(error)) from error
    if types is None:
        return Table(name=name, frame=frame, types=found)
    if set(types) != set(found):
        odd = sorted(set(types) ^ set(found))[0]
        raise InputError(f"Spark and polars do not find the same columns in {name}: `{odd}` is one of one only.")
    uncarried = {
        name: f"the column `{name}` is {dtype}, which Spark reads as {found[name]}"
        for name, dtype in types.items()
        if not _carries(found[name], dtype)
    }
    return Table(name=name, frame=frame, types=types, uncarried=uncarried)


def _types_of(frame: DataFrame) -> dict[str, pl.DataType]:
    from pyspark.sql.pandas.types import to_arrow_schema

    empty = to_arrow_schema(frame.schema, timezone="UTC").empty_table()
    return dict(pl.DataFrame(pl.from_arrow(empty)).schema)


def _carries(spark: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether Spark's type holds the values of polars' type as they are."""
    if spark == wanted:
        return True
    if wanted.is_integer():
        return spark.is_integer() or spark == pl.Decimal(20, 0)
    if isinstance(wanted, pl.Categorical | pl.Enum):
        return spark == pl.String
    if isinstance(wanted, pl.Datetime) and isinstance(spark, pl.Datetime):
        return wanted.time_unit != "ns" and (wanted.time_zone is None) == (spark.time_zone is None)
    return False


def numbered(table: Table, columns: Sequence[str]) -> DataFrame:
    """These columns, with the file that each row is from and its place in there."""
    f = functions_for(table.frame)
    hidden = [f.col("_metadata.file_path").alias(FILE), f.col("_metadata.row_index").alias(PLACE)]
    return table.frame.select(*hidden, *(f.col(quoted(name)) for name in columns))


@contextmanager
def reading(table: Table) -> Iterator[None]:
    """Turn what Spark raises while it reads into an InputError."""
    try:
        yield
    except SlipwayError:
        raise
    except Exception as error:  # Spark raises its own, those of its file systems, and gRPC's
        raise InputError(f"Spark cannot read {table.name}.", why=first_line(error)) from error
