"""The profile of a table in Spark: each part is profiled where it lies, and the profiles add up."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from slipway.profiles import counting, document
from slipway.profiles.counting import of_batches
from slipway.profiles.profile import Profile, merge
from slipway.runner.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PACKAGE = Path(__file__).parents[1]
NEEDED = (
    "Spark's workers need the driver's version of Python, with numpy, polars, pyarrow and pydantic; and Java's memory "
    "does not suffice for many thousand columns: there polars reads them."
)


def of_table(frame: DataFrame, types: Mapping[str, pl.DataType]) -> Profile:
    """The profile of `frame`; each column is counted as of the type that polars has for it, in that order.

    Raises InputError where Spark cannot read the data, or its workers lack what a profile needs.
    """
    return merge([_nothing(types), *_parts(frame, types, "").values()])


def by_value(frame: DataFrame, types: Mapping[str, pl.DataType], column: str) -> tuple[Profile, ...]:
    """A profile for the rows of each value of `column`, as `counting.by_value` makes them. Raises as `of_table`."""
    return tuple(_parts(frame, types, column).values())


def _parts(frame: DataFrame, types: Mapping[str, pl.DataType], column: str) -> dict[str, Profile]:
    """The profiles by the value of `column`, as text; where it is empty there is one value."""
    # By their places: PySpark trips over names with dots and backticks.
    quoted = ("`" + name.replace("`", "``") + "`" for name in types)
    wanted = frame.select(*quoted).toDF(*(f"column_{at}" for at in range(len(types))))
    try:
        with tempfile.TemporaryDirectory() as folder:
            frame.sparkSession.addArtifacts(str(_package(Path(folder))), pyfile=True)
            found = wanted.mapInArrow(
                partial(_profiled, types=dict(types), column=column), "value string, profile string"
            ).collect()
    except Exception as error:  # Spark raises its own, and those of its workers
        # What stands last without an indent names the cause, in Java's traces as in Python's.
        said = [line for line in str(error).splitlines() if line[:1].strip()]
        raise InputError(
            "Spark cannot profile the data.", why=(said or ["no reason given"])[-1][:300], fix=NEEDED
        ) from error
    parts: dict[str, Profile] = {}
    for value, text in found:
        mine = document.read(text)
        parts[value] = merge([parts[value], mine]) if value in parts else mine
    return parts


def _profiled(batches: Iterable[Any], types: Mapping[str, pl.DataType], column: str) -> Iterator[Any]:
    """Runs in a worker: Arrow batches of one part of the table become a row with the profile of each value."""
    import pyarrow as pa

    def named(batch: Any) -> pl.DataFrame:
        frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
        return frame.rename(dict(zip(frame.columns, types, strict=True))).cast(pl.Schema(types))

    frames = map(named, batches)
    found = counting.by_value(frames, column) if column else {"": of_batches(frames)}
    for value, part in found.items():
        if part.rows:
            yield pa.RecordBatch.from_pydict({"value": [repr(value)], "profile": [document.text(part)]})


def _nothing(types: Mapping[str, pl.DataType]) -> Profile:
    """The profile of no row: a table may have none."""
    return of_batches([pl.DataFrame(schema=dict(types))])


def _package(folder: Path) -> Path:
    """This package as a file that Spark hands to its workers."""
    packed = folder / "slipway.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(PACKAGE.rglob("*.py")):
            archive.write(file, file.relative_to(PACKAGE.parent))
    return packed
