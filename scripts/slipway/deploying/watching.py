"""A canary that one job watches: look again and again, and follow each look, until it is decided or the time is over.

A look that fails loses nothing but time. What is observed counts from the last look on record on, so the next one sees
what this one would have seen, and evidence that is valid at every look is valid at a later one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from slipway.deploying.case import Case
from slipway.deploying.record import Known
from slipway.policy.canary import Canary, ObservationSource
from slipway.report import Column, Report, Subject, Table
from slipway.rollout.steps import Opened
from slipway.runner import commands
from slipway.runner.errors import InputError, RemoteError
from slipway.watching import sources
from slipway.watching.looks import Watch
from slipway.watching.record import Keeper

MOST_FAILED = 5
"""Looks in a row that may fail; a canary that nobody can see is not watched."""

MOST_SHOWN = 50
"""Failed looks in a report, the newest."""


@dataclass
class Watching:
    """The looks of one job. failed: time and failure of each that did not succeed."""

    case: Case
    rules: Canary
    source: ObservationSource
    looks: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    in_a_row: int = 0

    def watch(self, known: Known, *, minutes: float, seconds: float) -> Known:
        """Look each so many seconds; what is on record in the end.

        Raises RemoteError or InputError where looks failed `MOST_FAILED` times in a row, or not one succeeded.
        """
        until = time.monotonic() + 60 * minutes
        before = self.case.report.tables
        failure: RemoteError | InputError | None = None
        while (release := known.record.opened) and release.rollout == "canary" and release.decision != "hold":
            if time.monotonic() + seconds > until:
                break
            time.sleep(seconds)
            self.looks += 1
            try:
                known = self._look(release)
                self.in_a_row = 0
            except (RemoteError, InputError) as failed:
                failure, known = failed, self.case.releases.last or known
                self._missed(failed)
                tables = (*before, self.table)
                self.case.report = self.case.report.model_copy(update={"tables": tables})
                # What a release still needs that has ended is of no look: its own end says what is missing.
                if self.in_a_row == MOST_FAILED or known.record.opened is None:
                    raise
        if failure and len(self.failed) == self.looks:
            raise failure
        if self.failed:
            self.case.remark(
                f"{len(self.failed)} of {self.looks} looks at the canary failed; what was served meanwhile counts in "
                "the look after."
            )
        return known

    def _look(self, release: Opened) -> Known:
        """Take one look and follow it; what is on record then."""
        case = self.case
        keeper = Keeper(case.ledger, case.run, case.model, release.version)
        target = sources.target_of(case.sourced.policy)
        looked = Watch(keeper, self.rules, self.source, release.beside, target).look(looks_at(case, release))
        case.remark(*looked.remarks)
        if looked.decision == "roll-back":
            case.reconciler.accuse(release, "harm")
        return case.reconciler.run()

    def _missed(self, failure: RemoteError | InputError) -> None:
        self.in_a_row += 1
        said = f"{failure.what} {failure.why}".strip()[:500]
        self.failed.append((f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", said))
        commands.say(f"Look {self.looks} failed, {self.in_a_row} of at most {MOST_FAILED} in a row: {said}")

    @property
    def table(self) -> Table:
        """The failed looks, for people."""
        shown = tuple(self.failed[-MOST_SHOWN:])
        note = f"The newest {len(shown)} of {len(self.failed)}." if len(shown) < len(self.failed) else ""
        columns = (Column(name="time (UTC)"), Column(name="what failed"))
        return Table(title="Looks that failed", columns=columns, rows=shown, note=note)


def looks_at(case: Case, release: Opened) -> Report:
    """The report before a look: what it is about."""
    subjects = (
        Subject(role="candidate", name=release.version, id=""),
        Subject(role="production", name=release.beside, id=""),
    )
    about = {"canary": release.version, "baseline": release.beside}
    return case.report.model_copy(
        update={
            "subjects": (*subjects, *(each for each in case.report.subjects if each.role == "policy")),
            "provenance": {**case.report.provenance, **about},
        }
    )
