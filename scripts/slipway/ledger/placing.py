"""Which version an environment has, entry by entry.

Two runs may write about one release at the same moment. What comes too late places nothing: the promotion of a release
that was taken back meanwhile, and a rollback that no person asked for, of a version that has no requests any more. So a
person's rollback wins, whichever entry comes last.
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
    live = ""
    for entry in entries:
        if entry.model == model and entry.event in PLACING and entry.details.get("environment") == environment:
            if _is_late(entry, opened, live):
                continue
            if only_began(entry):
                opened = entry
            else:
                opened, live = None, entry.model_version
        yield entry


def only_began(entry: Entry) -> bool:
    """Whether a release began by it, whose promotion or rollback is an entry of its own."""
    return entry.event == "deployment" and "rollout" in entry.details


def is_automatic(entry: Entry) -> bool:
    """Whether it is a rollback that nobody asked for."""
    return entry.event == "rollback" and entry.details.get("cause") in AUTOMATIC


def _is_late(entry: Entry, opened: Entry | None, live: str) -> bool:
    if entry.event == "promotion" and "release" in entry.details:
        return opened is None or opened.sequence != entry.details["release"]
    # By its version, not its release: what another run has just promoted is taken back all the same.
    there = {live, *([opened.model_version] if opened else [])}
    return is_automatic(entry) and entry.details.get("previous_version") not in there
