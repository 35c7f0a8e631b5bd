"""Whether a version was taken back from production: what failed there is released again by a person, not by a push."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.ledger.entries import Entry
from slipway.ledger.placing import PLACING, in_force, only_began
from slipway.release.differences import Difference


def from_production(entries: Iterable[Entry], model: str, version: str, environment: str) -> list[Difference]:
    """A difference where the version was taken back from the environment and has not been live there since.

    A training that is reused gives the same version again: without this the next push would release it once more, at
    whatever tier its differences have.
    """
    taken: Entry | None = None
    for entry in in_force(entries, model, environment):
        placed = entry.event in PLACING and entry.details.get("environment") == environment and not only_began(entry)
        if entry.model != model or not placed:
            continue
        if entry.event == "rollback" and entry.details.get("previous_version") == version:
            taken = entry
        elif entry.model_version == version:
            taken = None
    if taken is None:
        return []
    cause = str(taken.details.get("reason") or taken.details.get("cause") or "no cause is on record")
    return [Difference("taken_back", f"entry {taken.sequence} of the ledger", "", cause)]
