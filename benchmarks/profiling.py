"""Profiles of two files of 1M rows x 30 columns against bare reads of them, as whole processes; length and width."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from timing import Ratio

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
ROWS, ROW_GROUP, TIMES_LONGER = 1_000_000, 131_072, 10
RUNS = 3
MEMORY_BUDGET_MB = 320

OURS = f"""
import sys; sys.path.insert(0, {str(SCRIPTS)!r})
import polars as pl
from slipway import profiles
for file in sys.argv[1:]:
    profiles.text(profiles.of_frame(pl.scan_parquet(file)))
"""
POLARS = "import sys, polars as pl\nfor file in sys.argv[1:]: pl.read_parquet(file)"
PYARROW = """
import sys, pyarrow.parquet as pq
for file in sys.argv[1:]:
    for batch in pq.ParquetFile(file).iter_batches(131072): pass
"""


def measure() -> Iterator[Ratio]:
    """Time against two bare reads, peak memory, and whether ten times the rows or columns take ten times as long."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        two = [write(folder / f"{seed}.parquet", seed) for seed in (1, 2)]
        (ours, memory), (polars, _), (pyarrow, _) = in_turn((OURS, two), (POLARS, two), (PYARROW, two))
        name = f"profiles of two files of {ROWS:,} rows x 30, against reading them with"
        yield Ratio(f"{name} polars", ours, polars, ours / polars, 2.5)
        yield Ratio(f"{name} pyarrow", ours, pyarrow, ours / pyarrow, 2.5)
        yield Ratio("the same: peak memory", memory, MEMORY_BUDGET_MB, memory / MEMORY_BUDGET_MB, 1.0, "MB")
        long = repeated(two[0], folder / "long.parquet")
        (short_time, short_memory), (long_time, long_memory) = in_turn((OURS, two[:1]), (OURS, [long]))
        name = f"{TIMES_LONGER} times the rows"
        yield Ratio(f"{name}: time", long_time, short_time, long_time / short_time, TIMES_LONGER)
        yield Ratio(f"{name}: peak memory", long_memory, short_memory, long_memory / short_memory, 1.5, "MB")
        few, many = (wide(folder / f"{columns}.parquet", columns) for columns in (1_000, 10_000))
        (few_time, _), (many_time, _) = in_turn((OURS, [few]), (OURS, [many]))
        yield Ratio("10,000 columns against 1,000: time", many_time, few_time, many_time / few_time, 10)


def in_turn(*programs: tuple[str, list[Path]] | tuple[str, list[Path], str]) -> list[tuple[float, float]]:
    """Median seconds and peak memory (MB) of programs that are run in turn, so that all meet the same machine.

    programs: each its text, its files, and the Python that runs it where that is not this one.
    """
    runs = [[process(*program) for program in programs] for _ in range(RUNS)]
    return [
        (statistics.median(t for t, _ in each), statistics.median(m for _, m in each))
        for each in zip(*runs, strict=True)
    ]


def process(program: str, files: list[Path], python: str = sys.executable) -> tuple[float, float]:
    """Seconds and peak memory in MB of one Python process."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # What `wait4` tells of a child's memory starts with that of the process it was forked from.
    program += "\nprint(open('/proc/self/status').read())"
    started = time.perf_counter()
    done = subprocess.run(
        [python, "-c", program, *map(str, files)], env=environ, check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    return seconds, int(peak) / 1024


def write(file: Path, seed: int) -> Path:
    """Twenty columns of numbers with heavy tails and nulls, eight of 3 to 500 categories, a boolean and a time."""
    random = np.random.default_rng(seed)
    made: dict[str, pa.Array] = {}
    for number in range(20):
        values = (
            random.normal(size=ROWS),
            random.lognormal(size=ROWS),
            random.standard_t(2, ROWS),
            random.integers(0, 5_000, ROWS).astype(float),
            280 + random.gamma(2, 5, ROWS),
        )[number % 5]
        made[f"number {number}"] = pa.array(values, mask=random.random(ROWS) < 0.02 if number % 2 else None)
    for levels in (3, 5, 10, 20, 50, 100, 250, 500):
        shares = np.random.default_rng(levels).dirichlet(np.full(levels, 2.0))
        codes = pa.array(random.choice(levels, ROWS, p=shares).astype(np.int32))
        names = [f"level {level}" for level in range(levels)]
        made[f"category {levels}"] = pa.DictionaryArray.from_arrays(codes, names).cast(pa.string())
    made["flag"] = pa.array(random.random(ROWS) < 0.3)
    ticks = 1_700_000_000_000_000 + random.integers(0, 90 * 86_400_000_000, ROWS)
    made["time"] = pa.array(ticks, type=pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(made), file, row_group_size=ROW_GROUP)
    return file


def repeated(file: Path, longer: Path) -> Path:
    """The same rows several times."""
    source = pq.ParquetFile(file)
    with pq.ParquetWriter(longer, source.schema_arrow) as writer:
        for _ in range(TIMES_LONGER):
            for batch in source.iter_batches(ROW_GROUP):
                writer.write_batch(batch)
    return longer


def wide(file: Path, columns: int) -> Path:
    """Few rows of many columns."""
    random = np.random.default_rng(columns)
    pq.write_table(pa.table({f"x{number}": random.normal(size=2_000) for number in range(columns)}), file)
    return file


if __name__ == "__main__":
    for ratio in measure():
        print(ratio.row(), flush=True)
