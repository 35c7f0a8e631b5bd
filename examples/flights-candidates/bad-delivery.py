"""Damage a month of flights the way deliveries are damaged: `bad-delivery.py GOOD.parquet BAD.parquet`.

schema.yml refuses the result five times over.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl


def main(good: Path, bad: Path) -> None:
    flights = pl.read_parquet(good)
    row = pl.int_range(pl.len())
    damaged = flights.with_columns(
        # A join in the supplier's export lost every fiftieth aircraft.
        tailnum=pl.when(row % 50 != 0).then("tailnum"),
        # An unsigned field was read as a signed one.
        distance=pl.when(pl.col("dest") == "SFO").then(-pl.col("distance")).otherwise("distance"),
        # A fourth airport has joined, and nobody said so.
        origin=pl.when(row % 400 == 7).then(pl.lit("HPN")).otherwise("origin"),
        # A gauge that reports its failure as a number. (The package itself has these miles per hour, once.)
        wind_speed=pl.when((pl.col("origin") == "EWR") & (pl.col("hour") == 5)).then(1048.4).otherwise("wind_speed"),
    )
    # And the last day was sent twice.
    last_day = damaged.filter(pl.col("date") == pl.col("date").max())
    pl.concat([damaged, last_day]).write_parquet(bad)
    print(f"{bad}: {flights.height} flights became {damaged.height + last_day.height}.")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
