"""The ledger as a whole, read again and again while it grows."""

from __future__ import annotations

from dataclasses import dataclass, field

from slipway.ledger.entries import Entry
from slipway.ledger.store import Ledger
from slipway.ledger.verification import BadEntry, Record, records
from slipway.runner.errors import ConflictError, RemoteError


@dataclass
class Reading:
    """The ledger as it was last read, every entry verified; reading it again verifies what is new."""

    ledger: Ledger
    known: list[Record] = field(default_factory=list, repr=False)
    """What was read last."""

    def entries(self) -> list[Entry]:
        """Every entry, after a look upstream.

        Raises:
            RemoteError: the upstream cannot be reached, so others may have written what we do not see.
            ConflictError: the branch was rewritten, or an entry was altered.
        """
        commits = self.ledger.commits()
        if self.ledger.unreachable:
            raise RemoteError(
                f"The ledger of {self.ledger.place.shown} cannot be read.",
                why=self.ledger.unreachable,
                fix="Run the job again when it can be reached.",
            )
        seen = [each.commit for each in self.known]
        if commits[: len(seen)] != seen:
            self.known = []
        last = self.known[-1] if self.known else None
        new = commits[len(self.known) :]
        try:
            self.known += records(self.ledger.git, new, after=(last.commit, last.entry) if last else None)
        except BadEntry as bad:
            raise ConflictError(
                f"The ledger of {self.ledger.place.shown} was altered. {bad}.",
                fix="Find out who and why: `command: verify` of audit-trail.",
            ) from bad
        return [each.entry for each in self.known]
