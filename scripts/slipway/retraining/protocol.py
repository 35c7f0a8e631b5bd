"""From a decision to one dispatch: at most one for each drift, whoever is killed, repeated or raced with.

1. Intents that others left open are settled by the runs that there are (`governor.settling`).
2. All rules are asked. A hold is recorded, and that is all.
3. The intent is written. Its identity follows from the drift, so of two runs with the same drift one finds that it is
   the other's; its place in the ledger orders two runs with different drifts.
4. The ledger is read again, and the rules are asked again by what stands before the intent. Of two that raced exactly
   one is first; the other withdraws.
5. The dispatch is sent, and its end is written.

Who is killed before 3 has done nothing. Between 3 and the end the intent is open: no other retraining of the model is
started, and the next run settles it. A dispatch is sent again only where it is certain that the first one was not made.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from slipway.governor import payload, settling
from slipway.governor.decision import Decision, decide
from slipway.governor.facts import Facts, InFlight, Unknown
from slipway.governor.facts import Retraining as Past
from slipway.governor.payload import Cause, Payload
from slipway.ledger.drafting import Drafted
from slipway.ledger.entries import Entry
from slipway.ledger.store import Ledger, Receipt
from slipway.policy.retraining import Retraining as Policy
from slipway.report import Report, Subject, Verdict
from slipway.retraining import record
from slipway.retraining.record import Intent, Reading, Scribe
from slipway.runner.context import Run
from slipway.runner.errors import RemoteError, SlipwayError

if TYPE_CHECKING:
    from github.Repository import Repository

    from slipway.github_api.dispatches import Started

LEASE = timedelta(minutes=5)
"""So long after its intent a dispatch may be sent: much sooner than anybody concludes that it was not (`SETTLING`)."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What one run of the governor is about. files: evidence of the decision, contents by name.

    drift_digest: SHA-256 of the drift report. data: versions of datasets by name. subjects: for the ledger.
    """

    run: Run
    policy: Policy
    model: str
    key: str
    window: str
    drift: Report
    drift_digest: str
    validation: Report | None
    dry_run: bool
    caused_by: int
    data: Mapping[str, str]
    subjects: tuple[Subject, ...]
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Taken:
    """What was decided and done. started: the run of the retraining, this one's or an earlier one's of the same drift.

    remarks: what a reader must know beside the decision. failure: raised once the report is written.
    """

    decision: Decision
    dispatched: bool = False
    run_id: int = 0
    url: str = ""
    head: str = ""
    remarks: tuple[str, ...] = ()
    failure: SlipwayError | None = None


@dataclass
class Governor:
    """One run of the governor. ledger, repository: why not, where they cannot be used."""

    case: Case
    ledger: Ledger | Unknown
    repository: Repository | Unknown
    remarks: list[str] = field(default_factory=list)
    _reading: Reading | None = None

    def act(self) -> Taken:
        """Decide, record, and start a retraining where every rule lets it go."""
        entries = self._entries()
        if not (isinstance(entries, Unknown) or self.case.dry_run) and self._settle(entries):
            entries = self._entries()
        decision = decide(self._facts(entries), self.case.policy)
        if self.case.dry_run or decision.action == "hold" or isinstance(entries, Unknown):
            return self._recorded(decision, entries)
        return self._start(decision, entries)

    # What is known.

    def _entries(self) -> list[Entry] | Unknown:
        if isinstance(self.ledger, Unknown):
            return self.ledger
        self._reading = self._reading or Reading(self.ledger)
        try:
            return self._reading.entries()
        except SlipwayError as failure:
            return Unknown(" ".join(filter(None, (failure.what, failure.why))))

    def _facts(self, entries: list[Entry] | Unknown) -> Facts:
        case = self.case
        history = entries if isinstance(entries, Unknown) else record.history(entries, case.model)
        return Facts(
            model=case.model,
            key=case.key,
            window=case.window,
            drift=case.drift,
            validation=case.validation,
            history=history,
            in_flight=self._in_flight(),
            now=utc_now(),
            caused_by=case.caused_by,
        )

    def _in_flight(self) -> tuple[InFlight, ...] | Unknown:
        if isinstance(self.repository, Unknown):
            return self.repository
        from slipway.github_api import dispatches

        try:
            runs = dispatches.in_flight(self.repository, self.case.policy.workflow)
        except RemoteError as failure:
            return Unknown(" ".join(str(failure).split()))
        # Drift may be looked for in the workflow that retrains; a retraining that asks is in flight all the same.
        return tuple(each for each in runs if each.run_id != self.case.run.run_id or self.case.caused_by)

    # Intents that others left open.

    def _settle(self, entries: list[Entry]) -> bool:
        """Write how open intents ended, as far as that can be said. Returns whether anything was written."""
        still_open = [intent for intent, step, _ in record.intents(entries, self.case.model) if step is None]
        if not still_open or isinstance(self.repository, Unknown) or isinstance(self.ledger, Unknown):
            return False
        from slipway.github_api import dispatches

        policy, drafts = self.case.policy, []
        try:
            since = settling.looked_at_from(min(each.at for each in still_open))
            runs = dispatches.runs_since(self.repository, policy.workflow, policy.event, since)
        except RemoteError as failure:
            self.remarks.append(f"An earlier retraining could not be settled: {failure.what} {failure.why}".strip())
            return False
        for intent in still_open:
            if end := settling.settle(intent.key, intent.at, runs, utc_now()):
                drafts.append(self._scribe.settled(intent, end, utc_now()))
                self.remarks.append(f"The retraining intended on {intent.at:%Y-%m-%d %H:%M} UTC: {end.sentence}")
        if drafts:
            self._append(drafts, "how an earlier retraining ended")
        return bool(drafts)

    # A decision that nothing follows from.

    def _recorded(self, decision: Decision, entries: list[Entry] | Unknown) -> Taken:
        """Record a hold, or a dry run."""
        draft = self._scribe.decided("dry run" if self.case.dry_run else "held", decision, utc_now())
        receipt = self._append([draft], "the decision")
        if receipt is None or receipt.waiting:
            decision = replace(decision, verdict=Verdict.INCONCLUSIVE)  # what is not on record was not decided
        same = None
        if not isinstance(entries, Unknown) and decision.deciding and decision.deciding.rule == "duplicate":
            made = record.history(entries, self.case.model).retrainings
            same = next((each for each in reversed(made) if each.key == self.case.key), None)
        return self._taken(decision, receipt, same)

    # A retraining.

    def _start(self, decision: Decision, entries: list[Entry]) -> Taken:
        case = self.case
        attempt = 1 + sum(intent.key == case.key for intent, *_ in record.intents(entries, case.model))
        claim = f"{case.run.run_id}.{case.run.attempt}.{secrets.token_hex(8)}"
        draft = self._scribe.intent(attempt, claim, decision, utc_now())
        said = self._payload(decision, entries, draft[0].id)
        branch = case.policy.ref or self._default_branch()
        receipt = self._append([draft], "the intent")
        if receipt is None or receipt.waiting:
            # If it reaches the ledger later, this follows it.
            mine = Intent(case.key, attempt, utc_now(), decision.generation, claim, 0)
            self._append([self._scribe.end("withdrawn", mine, "It could not be recorded.", utc_now())], "")
            return self._taken(decision.stopped("on record", "Only what is on record is started."), receipt)
        return self._confirm(decision, claim, said, branch)

    def _confirm(self, decision: Decision, claim: str, said: Payload, branch: str) -> Taken:
        """Read the ledger again. Go on where our intent is the first, and the rules still let it go."""
        entries = self._entries()
        if isinstance(entries, Unknown):
            return self._taken(decision.stopped("on record", f"The ledger was not read again: {entries.why}"), None)
        mine = next((each for each, *_ in record.intents(entries, self.case.model) if each.claim == claim), None)
        if mine is None:  # the same drift, delivered twice at the same moment
            again = decide(self._facts(entries), self.case.policy)
            if again.action == "dispatch":
                again = again.stopped("on record", "Another run meant the same retraining, and did not start it.")
            return self._recorded(again, entries)
        again = decide(self._facts(entries[: mine.sequence]), self.case.policy)
        if utc_now() - mine.at > LEASE:
            again = again.stopped("on record", "The run was held up for minutes after its intent.")
        if again.action == "hold":
            end = self._scribe.end("withdrawn", mine, again.sentence, utc_now())
            return self._taken(again, self._append([end], "that it was withdrawn"))
        return self._send(again, mine, said, branch)

    def _send(self, decision: Decision, mine: Intent, said: Payload, branch: str) -> Taken:
        from slipway.github_api import dispatches

        policy = self.case.policy
        try:
            if policy.event == "workflow_dispatch":
                inputs = payload.as_inputs(said)
                started = dispatches.by_workflow(self._hub, policy.workflow, branch, inputs)
            else:
                told = payload.encoded(said)
                started = dispatches.by_repository(self._hub, policy.workflow, policy.event_type, told)
        except dispatches.RefusedError as refused:
            receipt = self._append([self._scribe.end("refused", mine, refused.what, utc_now())], "the refusal")
            return self._taken(decision.stopped("dispatch", refused.what), receipt, failure=refused)
        except dispatches.UnsureError as unsure:
            found = self._found(mine)
            if found is None:
                fix = "The next run of this stage finds out whether a retraining was started; it starts none before."
                failure = RemoteError(unsure.what, why=unsure.why, fix=fix)
                return self._taken(decision.stopped("dispatch", unsure.what), None, failure=failure)
            started = found
        if not started.run_id:
            started = self._found(mine) or started
        end = self._scribe.end("made", mine, "GitHub started it.", utc_now(), run_id=started.run_id, url=started.url)
        receipt = self._append([end], "that a retraining was started")
        return replace(self._taken(decision, receipt, started), dispatched=True)

    def _found(self, mine: Intent) -> Started | None:
        from slipway.github_api import dispatches

        policy, since = self.case.policy, settling.looked_at_from(mine.at)
        try:
            return dispatches.started(self._hub, policy.workflow, policy.event, mine.key, since)
        except RemoteError as failure:
            self.remarks.append(f"The run could not be looked up. {failure.what} {failure.why}".strip())
            return None

    def _payload(self, decision: Decision, entries: list[Entry], decision_id: str) -> Payload:
        case = self.case
        cause = Cause(
            report=case.drift_digest,
            window=case.window[:500],
            entry=record.entry_of_report(entries, case.drift_digest),
            run=case.run.url,
        )
        said = Payload(
            model=case.model,
            key=case.key,
            generation=decision.generation,
            reason=decision.rulings[0].because[:1_000],
            cause=cause,
            data=dict(case.data),
            decision=decision_id,
            requested_at=utc_now(),
        )
        payload.encoded(said)  # before anything is written: it may be too large
        return said

    def _default_branch(self) -> str:
        from slipway.github_api import dispatches

        return dispatches.default_branch(self._hub) if self.case.policy.event == "workflow_dispatch" else ""

    @property
    def _hub(self) -> Repository:
        # Where GitHub cannot be asked whether a run is in flight, nothing is started.
        assert not isinstance(self.repository, Unknown), "the rule `in flight` was answered"
        return self.repository

    # What is written.

    @property
    def _scribe(self) -> Scribe:
        case = self.case
        return Scribe(case.run, case.model, case.key, case.subjects, case.files)

    def _append(self, drafts: list[Drafted], what: str) -> Receipt | None:
        """Write entries; None where the ledger does not take them. What was not delivered becomes a remark."""
        if isinstance(self.ledger, Unknown):
            return None
        try:
            receipt = self.ledger.append(drafts)
        except SlipwayError as failure:
            self.remarks.append(f"The ledger did not take {what}. {failure.what} {failure.why}".strip())
            return None
        if receipt.waiting and what:
            self.remarks.append(
                f"The ledger of {self.ledger.place.shown} did not take {what}. {receipt.why_not} The job needs "
                "`permissions: {contents: write}` and `github-token`."
            )
        return receipt

    def _taken(
        self,
        decision: Decision,
        receipt: Receipt | None,
        run: Started | Past | None = None,
        *,
        failure: SlipwayError | None = None,
    ) -> Taken:
        return Taken(
            decision,
            run_id=run.run_id if run else 0,
            url=run.url if run else "",
            head=receipt.head if receipt else "",
            remarks=tuple(self.remarks),
            failure=failure,
        )


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)
