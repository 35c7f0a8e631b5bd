"""The part of the reference that lies in the same season as the current data: July is held against earlier Julys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from slipway.policy.drift import Season
from slipway.runner.errors import InputError

YEAR = 366
"""Days of a year that are told apart; in other years the last one is missing."""


@dataclass(frozen=True)
class Window:
    """Days of any year: from the day `start` of the year (1 is January 1) on, `length` days more."""

    start: int
    length: int
    in_words: str


def window_of(current: pl.LazyFrame, season: Season) -> Window:
    """The season of the current data, with `season.days` more on both sides.

    Raises InputError where they have no such column, it holds no times, or it is empty.
    """
    _require(current, season, "current data")
    column = pl.col(season.column)
    first, last = current.select(column.min().alias("a"), column.max().alias("b")).collect(engine="streaming").row(0)
    if first is None:
        raise InputError(f"`{season.column}`, which `drift.season` names, is empty in the current data.")
    days = [each.date() if isinstance(each, datetime) else each for each in (first, last)]
    shown = f"{_day(days[0])} to {_day(days[1])}, and {season.days} days before and after"
    return Window(days[0].timetuple().tm_yday - season.days, (days[1] - days[0]).days + 2 * season.days, shown)


def matched(reference: pl.LazyFrame, season: Season, window: Window) -> pl.LazyFrame:
    """The rows of the reference in the same season of any year. Raises InputError as `window_of` does."""
    _require(reference, season, "reference")
    if window.length >= YEAR - 1:
        return reference
    day = pl.col(season.column).dt.ordinal_day().cast(pl.Int32)
    return reference.filter((day - window.start) % YEAR <= window.length)  # it may reach over the end of the year


def _require(frame: pl.LazyFrame, season: Season, what: str) -> None:
    dtype = frame.collect_schema().get(season.column)
    if dtype is None or not isinstance(dtype, (pl.Date, pl.Datetime)):
        found = "is not there" if dtype is None else f"is of the type {dtype}"
        raise InputError(
            f"`{season.column}`, which `drift.season` names, {found} in the {what}.",
            fix="Name a column of dates or times that both have.",
        )


def _day(day: date) -> str:
    return f"{day:%B} {day.day}"
