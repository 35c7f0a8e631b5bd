"""What a decision rests on, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from slipway.report import Report, Verdict

SETTLING = timedelta(minutes=15)
"""GitHub may list a run late. So long after a dispatch it counts as in flight, and so long nobody concludes from a
missing run that none was started."""


@dataclass(frozen=True)
class Unknown:
    """What could not be found out, and why, in one sentence."""

    why: str


@dataclass(frozen=True)
class Retraining:
    """A retraining that was started, or may have been.

    state: `open` while only the intent is on record; `made`; `unknown` where it was never found out and counts as made.
    helped: whether an evaluation of what it trained passed. result: that evaluation, in words.
    """

    key: str
    at: datetime
    generation: int
    state: Literal["open", "made", "unknown"] = "made"
    run_id: int = 0
    url: str = ""
    helped: bool = False
    result: str = "no evaluation of it is on record"


@dataclass(frozen=True)
class Window:
    """An earlier drift report, by the rows that it judged.

    roles: what its failed checks are about; empty where the ledger does not say. production: the version that the rows
    were held against; empty where it is not told.
    """

    name: str
    verdict: Verdict
    roles: frozenset[str] = frozenset()
    production: str = ""


@dataclass(frozen=True)
class History:
    """What the ledger says of one model, oldest first.

    reviewed: when a person last looked: an approval, or an override.
    """

    retrainings: tuple[Retraining, ...] = ()
    windows: tuple[Window, ...] = ()
    reviewed: datetime | None = None


@dataclass(frozen=True)
class InFlight:
    """A run of the retraining workflow that has not ended. key: of its retraining; empty where its title has none."""

    run_id: int
    status: str
    url: str = ""
    key: str = ""


@dataclass(frozen=True)
class Facts:
    """All that a decision rests on.

    key: of this drift. window: identity of the rows that it judged. caused_by: generation of the retraining that
    started the run that asks; 0 for any other run.
    """

    model: str
    key: str
    window: str
    drift: Report
    validation: Report | None
    history: History | Unknown
    in_flight: tuple[InFlight, ...] | Unknown
    now: datetime
    caused_by: int = 0
