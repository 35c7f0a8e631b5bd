"""What became of an intent whose run died, or whose answer was lost: found out from the runs that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from slipway.governor.facts import SETTLING

SKEW = timedelta(minutes=10)
"""How far the clocks of runner and GitHub may be apart."""


@dataclass(frozen=True)
class Settled:
    """How it ended, in one word of the ledger's and in a sentence."""

    step: Literal["made", "unsent", "unknown"]
    sentence: str
    run_id: int = 0
    url: str = ""


def looked_at_from(intended: datetime) -> datetime:
    """From when on runs must be listed in order to settle an intent."""
    return intended - SKEW


def settle(key: str, intended: datetime, runs: Mapping[int, tuple[str, str]], now: datetime) -> Settled | None:
    """How an intent ended; None while that cannot be said.

    runs: page and key (empty where the title shows none) of each run that began since `looked_at_from(intended)`.
    """
    for run_id, (url, shown) in runs.items():
        if shown == key:
            return Settled("made", f"Its run {run_id} was found.", run_id, url)
    if now - intended < SETTLING:
        return None
    if nameless := [run_id for run_id, (_, shown) in runs.items() if not shown]:
        return Settled(
            "unknown",
            f"Whether run {nameless[0]} is its own cannot be told, since its title shows no key; it counts as started.",
        )
    return Settled(
        "unsent", f"There is no run that it could have started, {SETTLING.seconds // 60} minutes and more on."
    )
