"""What an observation adds to those before it: nothing counts twice, and nothing that cannot be compared counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from slipway.canary.observations import Arm, Categories, Histogram, Observation, Scores

SKEW = 0.02
"""Part of an interval by which its beginnings in the two arms may differ: their requests must be of the same time."""

T = TypeVar("T")


@dataclass(frozen=True)
class Increment:
    """What both arms have answered from `start` to `end`, and nobody has counted yet."""

    start: datetime
    end: datetime
    canary: Arm
    baseline: Arm

    @property
    def minutes(self) -> float:
        """Its length."""
        return (self.end - self.start) / timedelta(minutes=1)


@dataclass(frozen=True)
class Skipped:
    """Why an observation adds nothing.

    lost: requests were answered that nobody will count. keeps: the observation before stays the one to go on from.
    """

    why: str
    lost: bool = False
    keeps: bool = False


class _BackwardsError(Exception):
    """A counter is lower than it was."""


def since_last(last: Observation | None, now: Observation) -> Increment | Skipped:
    """What `now` adds. Counters that keep their `since` are subtracted, a new interval is taken as it is."""
    if last is not None and now.at <= last.at:
        return Skipped(f"The observation of {_moment(now.at)} was looked at already, or came too late.", keeps=True)
    if last is not None and not now.begins_after(last.at) and last.share != now.share:
        return Skipped("The traffic was changed within the interval: it counts from here.")
    if last is None and not (now.canary.since and now.baseline.since):
        return Skipped("The counters count from here.")
    try:
        starts, arms = zip(
            *(_added(name, getattr(last, name, None), getattr(now, name), last) for name in ("canary", "baseline")),
            strict=True,
        )
    except _BackwardsError as problem:
        return Skipped(f"{problem} What was answered since the last look is lost.", lost=True)
    start = max(starts)
    if abs(starts[0] - starts[1]) > SKEW * (now.at - min(starts)):
        if last is None:
            return Skipped("The counters of the two versions began at different times: they count from here.")
        names = "canary" if starts[0] > starts[1] else "baseline"
        return Skipped(
            f"The counters of the {names} began anew at {_moment(start)}, so the two versions cannot be compared since "
            "the last look, which is lost.",
            lost=True,
        )
    return Increment(start, now.at, *arms)


def _added(name: str, before: Arm | None, now: Arm, last: Observation | None) -> tuple[datetime, Arm]:
    """From when on the arm's counts are new, and these counts."""
    if now.since and (before is None or last is None or now.since >= last.at):
        return now.since, now
    assert before is not None, "counters of unknown age were left out"
    assert last is not None, "so there is one before"
    if now.since != before.since:
        began = f"they began {_moment(now.since)}" if now.since else "when they began is no longer said"
        raise _BackwardsError(f"The counts of the {name} overlap with those before: {began}.")
    return last.at, _subtracted(name, before, now)


def _subtracted(name: str, before: Arm, now: Arm) -> Arm:
    less = _Subtraction(name)
    predictions: Any = less.both("predictions", before.predictions, now.predictions, less.cells)
    try:
        return Arm(
            version=now.version,
            since=now.since,
            requests=less.whole("requests", before.requests, now.requests),
            errors=less.both("errors", before.errors, now.errors, less.whole),
            latency=less.both("latency", before.latency, now.latency, less.cells),
            predictions=predictions,
            outcomes={
                key: found
                for key, scores in now.outcomes.items()
                if (found := less.both(f"outcome {key}", before.outcomes.get(key), scores, less.cells)) is not None
            },
        )
    except ValueError as error:  # more errors than requests have come
        raise _BackwardsError(f"The counters of the {name} do not go together.") from error


@dataclass(frozen=True)
class _Subtraction:
    arm: str

    def whole(self, what: str, before: int, now: int) -> int:
        if now < before:
            raise _BackwardsError(
                f"The counter `{what}` of the {self.arm} went back from {before:,} to {now:,}: it was restarted."
            )
        return now - before

    def both(self, what: str, before: Any, now: T | None, subtract: Callable[[str, Any, T], T]) -> T | None:
        """None where one of them was not measured: then the difference was not, either."""
        return None if before is None or now is None else subtract(what, before, now)

    def cells(self, what: str, before: Any, now: Any) -> Any:
        """The difference of two histograms, categories or scores."""
        old, new = _by_cell(before), _by_cell(now)
        if type(before) is not type(now) or (isinstance(now, Histogram) and old.keys() != new.keys()):
            raise _BackwardsError(f"The cells of `{what}` of the {self.arm} are others than before.")
        names = dict.fromkeys((*old, *new))
        added = {cell: self.whole(f"{what}, cell {cell}", old.get(cell, 0), new.get(cell, 0)) for cell in names}
        # What had not occurred yet had no counter.
        if isinstance(now, Categories):
            return Categories(categories={str(cell): count for cell, count in added.items()})
        if isinstance(now, Scores):
            return Scores(values=tuple(sorted(added)), counts=tuple(count for _, count in sorted(added.items())))
        return now.model_copy(update={"counts": tuple(added.values())})


def _by_cell(said: Histogram | Categories | Scores) -> dict[Any, int]:
    if isinstance(said, Categories):
        return said.categories
    ends = (*said.bounds, float("inf")) if isinstance(said, Histogram) else said.values
    return dict(zip(ends, said.counts, strict=True))


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
