"""A canary in the ledger: its looks are entries, each with the state after it as evidence.

The identity of a look follows from the canary and its number. So of two runs that look at the same time one is
recorded, and the other finds that it is the other's.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import ValidationError

from slipway.canary.looking import CanaryState
from slipway.ledger import drafting
from slipway.ledger.placing import Canaries
from slipway.ledger.store import Ledger, Receipt
from slipway.ledger.verification import BadEntry, Record, records
from slipway.policy.canary import Canary
from slipway.report import Report
from slipway.runner.context import Run
from slipway.runner.errors import ConflictError, RemoteError

STATE_FILE = "state.json"


@dataclass(frozen=True)
class Kept:
    """A canary as the ledger has it. attempt: counts the canaries of one version, from 1; looks: its entries."""

    attempt: int = 1
    looks: int = 0
    state: CanaryState | None = None
    rules: str = ""
    baseline: str = ""


@dataclass
class Keeper:
    """Reads and writes the looks at one version of a model."""

    ledger: Ledger
    run: Run
    model: str
    version: str
    claim: str = field(default_factory=lambda: secrets.token_hex(8))

    def read(self) -> Kept:
        """The newest canary of the version.

        Raises:
            RemoteError: the upstream cannot be reached, so others may have looked meanwhile.
            ConflictError: the ledger was altered, or holds a state of another version of Slipway.
        """
        commits = self.ledger.commits()
        if self.ledger.unreachable:
            raise RemoteError(
                f"The ledger of {self.ledger.place.shown} cannot be read, and the canary's state lies in it.",
                why=self.ledger.unreachable,
                fix="Run the job again when it can be reached. The canary stays as it is.",
            )
        newest: Record | None = None
        looks, canaries = 0, Canaries()
        try:
            for each in records(self.ledger.git, commits):
                said = each.entry
                if (said.model, said.model_version) != (self.model, self.version):
                    continue
                before = canaries.current(self.version)
                if not canaries.count(said):
                    continue
                if canaries.current(self.version) != before:
                    # It is released once more, or looked at anew: what was seen before is of an earlier canary.
                    newest, looks = None, 0
                if said.event == "look":
                    newest, looks = each, looks + 1
        except BadEntry as bad:
            raise ConflictError(
                f"The ledger of {self.ledger.place.shown} was altered. {bad}.",
                fix="Find out who and why: `command: verify` of audit-trail.",
            ) from bad
        attempt = canaries.current(self.version)
        if newest is None:
            return Kept(attempt=attempt)
        details = newest.entry.details
        return Kept(
            attempt=attempt,
            looks=looks,
            state=self._state(newest),
            rules=str(details.get("rules") or ""),
            baseline=str(details.get("baseline") or ""),
        )

    def _state(self, found: Record) -> CanaryState:
        try:
            raw = self.ledger.git.run("cat-file", "blob", found.files[STATE_FILE])
            return CanaryState.model_validate_json(raw)
        except (KeyError, ValidationError) as error:
            raise ConflictError(
                f"Entry {found.entry.sequence} of the ledger holds no state of a canary that can be read.",
                why="Another version of Slipway has looked, or somebody else has written it.",
                fix="Look with the version that began the canary, or give `begin-anew: true`.",
            ) from error

    def append(
        self, kept: Kept, state: CanaryState, *, baseline: str, rules: str, report: Report, now: datetime
    ) -> Receipt:
        """Write the next look, with the state after it and its report. Raises as `Ledger.append` does."""
        details = {
            "attempt": kept.attempt,
            "look": kept.looks + 1,
            "decision": state.decision,
            "stage": state.stage,
            "baseline": baseline,
            "rules": rules,
            "claim": self.claim,
        }
        said = {
            "model": self.model,
            "model_version": self.version,
            "verdict": report.verdict.value,
            "reasons": report.reasons,
            "subjects": [subject.model_dump() for subject in report.subjects],
            "details": details,
        }
        key = (self.model, self.version, kept.attempt, kept.looks + 1)
        # What a chart shows stands in the state already.
        bare = report.model_copy(update={"charts": ()}).finished()
        files = {
            STATE_FILE: state.model_dump_json().encode(),
            drafting.REPORT_FILE: bare.model_dump_json().encode(),
        }
        draft = drafting.of_event("look", report.headline, self.run, occurred_at=now, files=files, key=key, said=said)
        return self.ledger.append([draft])


def digest_of(rules: Canary) -> str:
    """Of all that decides: where observations come from may change while a canary runs, what is asked of it may not."""
    said = rules.model_dump(mode="json", exclude={"observations", "on_inconclusive"})
    return "sha256:" + hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
