"""The next step of a release. Each run asks again after every step, with what is then on record and really served.

The order is the safety: nothing has traffic that has not answered the golden test, traffic moves before the ledger says
that it has, and of every two moments between which a run may be killed the next run finds the way from what it sees.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Rollout = Literal["at_once", "canary"]
Decision = Literal["continue", "promote", "hold", "roll-back"]
"""What the newest look, or a person, says of a canary; `hold` is for a person to decide."""

Cause = Literal["harm", "golden", "not ready", "unhealthy"]
"""Why a version is taken back without anybody asking for it."""

NEAR = 1e-6


class Seen(Protocol):
    """A version as its target shows it."""

    @property
    def version(self) -> str:
        """As in the registry."""

    @property
    def share(self) -> float:
        """Of the requests, 0 to 1."""

    @property
    def health(self) -> Literal["ready", "starting", "failed"]:
        """Whether it answers."""


@dataclass(frozen=True)
class Opened:
    """A release that has begun and not ended.

    number: of its entry in the ledger. beside: the version that was live then, empty where there was none. share: the
    canary's, of the requests, by the newest look.
    """

    number: int
    version: str
    beside: str
    rollout: Rollout
    share: float = 0.0
    decision: Decision = "continue"


@dataclass(frozen=True)
class OnRecord:
    """What the ledger says of an environment.

    live: the version that answers there; while a canary runs, the one beside it. Empty where there is none.
    previous: what a rollback goes back to; empty where there is nothing.
    """

    live: str = ""
    previous: str = ""
    opened: Opened | None = None


@dataclass(frozen=True)
class Start:
    """Bring a version up, without traffic."""

    version: str


@dataclass(frozen=True)
class Try:
    """Hold a version that has no traffic yet to its golden predictions."""

    version: str


@dataclass(frozen=True)
class Shift:
    """Set the traffic: version to share of the requests."""

    shares: Mapping[str, float]


@dataclass(frozen=True)
class Promote:
    """Record that the release has all requests: from here on its version is the live one."""

    version: str


@dataclass(frozen=True)
class Revert:
    """Record that the release was taken back, and why."""

    version: str
    cause: Cause


@dataclass(frozen=True)
class Fail:
    """Take the release back from now on: its version does not answer any more."""

    version: str
    cause: Cause


@dataclass(frozen=True)
class Point:
    """Let the registry's alias of the environment name the live version."""

    version: str


@dataclass(frozen=True)
class Stop:
    """Take a version away that nothing needs any more."""

    version: str


Step = Start | Try | Shift | Promote | Revert | Fail | Point | Stop


def shares_of(record: OnRecord, cause: Cause | None = None) -> dict[str, float]:
    """Who shall answer which share of the requests. cause: what this run has found against the release."""
    opened = record.opened
    if opened is None:
        return {record.live: 1.0} if record.live else {}
    if cause or opened.decision == "roll-back":
        return {opened.beside: 1.0} if opened.beside else {}
    if opened.rollout == "at_once" or opened.decision == "promote" or not opened.beside:
        return {opened.version: 1.0}
    return {opened.beside: 1.0 - opened.share, opened.version: opened.share}


def next_step(
    record: OnRecord,
    found: Sequence[Seen],
    *,
    started: Collection[str] = (),
    tried: Collection[str] = (),
    cause: Cause | None = None,
    pointed: str | None = None,
    keep_previous: bool = True,
) -> Step | None:
    """What to do next; None where all is as it should be, which of a canary means: until the next look.

    found: what the target serves. started, tried: versions that this run has brought up, and that have passed their
    golden test in it. cause: why this run takes the release back. pointed: where the registry's alias points as this
    run has seen it; None where it has not looked.
    """
    there = {each.version: each for each in found}
    opened = record.opened
    wanted = shares_of(record, cause)
    if (step := _answering(opened, wanted, there, started)) is not None:
        return step
    if opened and opened.version in wanted and not there[opened.version].share and opened.version not in tried:
        return Try(opened.version)
    if _differ(wanted, there):
        return Shift(wanted)
    if opened:
        if cause or opened.decision == "roll-back":
            return Revert(opened.version, cause or "harm")
        return Promote(opened.version) if set(wanted) == {opened.version} else None
    if record.live and pointed != record.live:
        return Point(record.live)
    kept = {record.live, record.previous if keep_previous else ""}
    surplus = sorted(version for version in there if version not in kept)
    return Stop(surplus[0]) if surplus else None


def _answering(
    opened: Opened | None, wanted: Mapping[str, float], there: Mapping[str, Seen], started: Collection[str]
) -> Step | None:
    """Whoever is to have requests must answer: first who has them already, then the release's version."""
    release = opened.version if opened else ""
    for version in sorted(wanted, key=lambda each: each == release):
        seen = there.get(version)
        if seen is not None and seen.health == "ready":
            continue
        # One that had requests and fails beside one that answers is its own fault; where both fail, the place's.
        if opened and version == release and seen is not None and seen.health == "failed" and seen.share:
            beside = there.get(opened.beside)
            if beside is not None and beside.health == "ready" and beside.version not in started:
                return Fail(version, "unhealthy")
        return Start(version)
    return None


def _differ(wanted: Mapping[str, float], there: Mapping[str, Seen]) -> bool:
    set_now = {version: seen.share for version, seen in there.items() if seen.share}
    return any(abs(wanted.get(each, 0.0) - set_now.get(each, 0.0)) > NEAR for each in {*wanted, *set_now})
