"""Which version an environment has, entry by entry.

Two runs may write about one release at the same moment, and what a machine could not write waits there. What comes too
late places nothing: the promotion of a release that was taken back meanwhile, and a rollback that no person asked for,
of a release that has no requests any more. So a person's rollback wins, whichever entry comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from slipway.ledger.entries import Entry
from slipway.rollout.steps import Cause

PLACING = ("promotion", "deployment", "rollback")
"""Events after which another version is live in an environment."""

AUTOMATIC = frozenset(get_args(Cause))
"""Causes of rollbacks that nobody asked for."""


def in_force(entries: Iterable[Entry], model: str, environment: str) -> Iterator[Entry]:
    """The entries, without those that came too late to place a version of the model in the environment."""
    opened: Entry | None = None
    placed: Entry | None = None
    for entry in entries:
        if entry.model == model and entry.event in PLACING and entry.details.get("environment") == environment:
            if _is_late(entry, opened, placed):
                continue
            if only_began(entry):
                opened = entry
            else:
                opened, placed = None, entry
        yield entry


class Canaries:
    """Which canary each look belongs to; the canaries of one version are counted from 1, here for one model.

    A release by canary begins another one, whether anything was seen of the one before or not. So does a look whose
    `attempt` is higher. What is of an earlier one came late: it waited on a machine that could not write it. A look
    that does not say of which it is counts for the newest.
    """

    def __init__(self) -> None:
        self._current: dict[str, int] = {}

    def count(self, entry: Entry) -> bool:
        """Take the next entry of the model into account; False for a look of an earlier canary."""
        version = entry.model_version
        if only_began(entry) and entry.details["rollout"] == "canary":
            self._current[version] = self._current.get(version, 0) + 1
        if entry.event != "look":
            return True
        said = entry.details.get("attempt")
        attempt = said if isinstance(said, int) else self.current(version)
        if attempt < self.current(version):
            return False
        self._current[version] = attempt
        return True

    def current(self, version: str) -> int:
        """The number of the version's newest canary."""
        return self._current.get(version, 1)


def only_began(entry: Entry) -> bool:
    """Whether a release began by it, whose promotion or rollback is an entry of its own."""
    return entry.event == "deployment" and "rollout" in entry.details


def is_automatic(entry: Entry) -> bool:
    """Whether it is a rollback that nobody asked for."""
    return entry.event == "rollback" and entry.details.get("cause") in AUTOMATIC


def _is_late(entry: Entry, opened: Entry | None, placed: Entry | None) -> bool:
    """opened: by which the open release began; placed: by which the live version is live."""
    release, begun = entry.details.get("release"), opened.sequence if opened else None
    if entry.event == "promotion" and release is not None:
        return release != begun
    if not is_automatic(entry):
        return False
    if release is None:
        there = {each.model_version for each in (opened, placed) if each}
        return entry.details.get("previous_version") not in there
    # Of the release that another run has just promoted, too: it is taken back all the same.
    promoted = placed.details.get("release") if placed and placed.event == "promotion" else None
    return release not in (begun, promoted)
