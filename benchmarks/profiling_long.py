"""A profile of 105M rows in 20 partitions against one of a tenth of them in 2: time and memory of whole processes.

The data, about 3 GB, lie below the temporary folder while this runs. It takes minutes, so it is not among what
`make benchmark` runs.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from profiling import OURS, ROW_GROUP, process
from timing import Ratio

ROWS, PARTITIONS, FEW = 40 * ROW_GROUP, 20, 2
NEEDED = 8 * 2**30

BARE = """
import sys, pyarrow.parquet as pq
from pathlib import Path
for file in sorted(Path(sys.argv[1]).glob("*.parquet")):
    for batch in pq.ParquetFile(file).iter_batches(131072): pass
"""


def measure() -> Iterator[Ratio]:
    """Ten times the rows, in time and in memory; and the whole against a bare read of it."""
    with tempfile.TemporaryDirectory() as scratch:
        if shutil.disk_usage(scratch).free < NEEDED:
            sys.exit("Less than 8 GB are free for the data.")
        few, many = (Path(scratch) / name for name in ("few", "many"))
        few.mkdir()
        many.mkdir()
        for part in range(PARTITIONS):
            file = write(many / f"part-{part:02}.parquet", part)
            if part < FEW:
                os.link(file, few / file.name)
        (short, short_memory), (long, long_memory) = (process(OURS, [folder]) for folder in (few, many))
        bare, _ = process(BARE, [many])
        name, times = f"profile of {ROWS * PARTITIONS:,} rows x 5, against", PARTITIONS // FEW
        yield Ratio(f"{name} a tenth of them: time", long, short, long / short, times)
        yield Ratio("the same: peak memory", long_memory, short_memory, long_memory / short_memory, 1.2, "MB")
        yield Ratio(f"{name} a bare read with pyarrow", long, bare, long / bare, 2.5)


def write(file: Path, seed: int) -> Path:
    """Two numbers, one of them with nulls, a whole number, a category and a time."""
    random = np.random.default_rng(seed)
    levels = pa.array([f"level {level}" for level in range(200)])
    with pq.ParquetWriter(file, SCHEMA) as writer:
        rows = 10 * ROW_GROUP
        for _ in range(ROWS // rows):
            columns = [
                pa.array(random.normal(size=rows)),
                pa.array(random.lognormal(size=rows), mask=random.random(rows) < 0.02),
                pa.array(random.integers(0, 5_000, rows)),
                pa.DictionaryArray.from_arrays(pa.array(random.integers(0, 200, rows, np.int32)), levels).cast(
                    "string"
                ),
                pa.array(1_700_000_000_000_000 + random.integers(0, 90 * 86_400_000_000, rows), TIME),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=ROW_GROUP)
    return file


TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema([("x", pa.float64()), ("y", pa.float64()), ("n", pa.int64()), ("kind", pa.string()), ("time", TIME)])

if __name__ == "__main__":
    for ratio in measure():
        print(ratio.row(), flush=True)
