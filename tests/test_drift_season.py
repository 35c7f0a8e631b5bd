"""Which rows of the reference lie in the season of the current data."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from slipway.drift import season
from slipway.policy.drift import Season
from slipway.runner.errors import InputError

YEARS = pl.LazyFrame({"day": [date(2021, 1, 1) + timedelta(days=n) for n in range(3 * 365)]})


def kept(first: date, last: date, days: int) -> list[date]:
    by = Season(column="day", days=days)
    window = season.window_of(pl.LazyFrame({"day": [last, first, None]}), by)
    found: list[date] = season.matched(YEARS, by, window).collect()["day"].to_list()
    return found


def test_matched__is_the_same_month_of_every_year_and_the_days_around_it() -> None:
    found = kept(date(2024, 7, 1), date(2024, 7, 31), 10)
    # 2024 has a February 29: its July begins a day later in the year.
    assert {each.year for each in found} == {2021, 2022, 2023}
    in_2022 = [each for each in found if each.year == 2022]
    assert (in_2022[0], in_2022[-1], len(in_2022)) == (date(2022, 6, 22), date(2022, 8, 11), 51)


def test_matched__reaches_over_the_end_of_the_year() -> None:
    found = kept(date(2022, 12, 20), date(2023, 1, 5), 5)
    in_2022 = {each for each in found if each.year == 2022}
    assert {date(2022, 12, 15), date(2022, 12, 31), date(2022, 1, 1), date(2022, 1, 9)} <= in_2022
    assert not {date(2022, 12, 14), date(2022, 1, 12), date(2022, 7, 1)} & in_2022


def test_matched__by_a_window_of_a_year_is_everything() -> None:
    assert len(kept(date(2022, 3, 1), date(2023, 2, 27), 5)) == 3 * 365


def test_window_of__takes_times_too() -> None:
    frame = pl.LazyFrame({"day": [datetime(2024, 7, 1, 23, 59), datetime(2024, 7, 2, 0, 1)]})
    window = season.window_of(frame, Season(column="day", days=3))
    assert (window.start, window.length) == (180, 7)
    assert window.in_words == "July 1 to July 2, and 3 days before and after"


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pl.LazyFrame({"x": [1]}), "is not there in the current data"),
        (pl.LazyFrame({"day": ["2024-07-01"]}), "is of the type String"),
        (pl.LazyFrame({"day": pl.Series([None], dtype=pl.Date)}), "is empty"),
    ],
)
def test_window_of__refuses_what_has_no_season(frame: pl.LazyFrame, says: str) -> None:
    with pytest.raises(InputError, match=says):
        season.window_of(frame, Season(column="day"))
