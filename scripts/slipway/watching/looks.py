"""One look at a canary: read its state, observe, judge, and put the look on record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from slipway.canary import looking, telling
from slipway.canary.looking import CanaryState, Decision
from slipway.policy.canary import Canary, ObservationSource
from slipway.report import Report
from slipway.runner.errors import ConflictError, SlipwayError
from slipway.targets.protocol import Target
from slipway.watching import sources
from slipway.watching.record import Keeper, Kept, digest_of


@dataclass(frozen=True)
class Looked:
    """A look, and what became of its entry. remarks: what a reader must know beside the reasons."""

    state: CanaryState
    decision: Decision
    head: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Watch:
    """The looks at one canary beside one baseline. source: where what they answer is read. target: what serves them,
    where that is the source."""

    keeper: Keeper
    rules: Canary
    source: ObservationSource
    baseline: str
    target: Target | None = None

    @property
    def canary(self) -> str:
        """The canary's version."""
        return self.keeper.version

    def look(self, report: Report, *, begin_anew: bool = False) -> Looked:
        """Read the state, take the look, and record it with its report. A canary that is decided stays so.

        Raises ConflictError where rules or baseline are others than when it began, and as the ledger and the source do.
        """
        kept = self.keeper.read()
        asked = digest_of(self.rules)
        if begin_anew:
            kept = Kept(attempt=kept.attempt + bool(kept.state))
        elif kept.state and kept.rules != asked:
            raise ConflictError(
                "The policy's section `canary` is another than when the canary began.",
                why="What decides must be on record before the data are: rules that change on the way promise nothing.",
                fix="Restore it for as long as the canary lasts, or give `begin-anew: true` once, which forgets its "
                "looks.",
            )
        elif kept.state and kept.baseline != self.baseline:
            raise ConflictError(
                f"The canary began beside version {kept.baseline}, and is now beside {self.baseline}.",
                why="Evidence against one baseline says nothing of another.",
                fix="If another version was released meanwhile, begin against it: give `begin-anew: true` once.",
            )
        if kept.state and kept.state.is_final:
            receipt = self.keeper.ledger.deliver()
            if receipt.waiting:
                return unrecorded(kept.state, receipt.why_not)
            remark = "It was decided before; nothing was looked at."
            return Looked(kept.state, kept.state.decision, receipt.head, (remark,))
        state = self._observed(kept.state, begin_anew=begin_anew)
        return self._record(kept, state, asked, self.told(report, Looked(state, state.decision)))

    def _observed(self, state: CanaryState | None, *, begin_anew: bool) -> CanaryState:
        """The state after what is new of the two versions, from the canary's beginning on."""
        versions = {"canary": self.canary, "baseline": self.baseline}
        source = sources.find(self.source, **versions, target=self.target)
        found = source.observe(state.last.at if state and state.last else None)
        ours = [each for each in found if each.is_of(**versions) is not False]
        now = datetime.now(UTC)
        if state is None:
            # What was observed before may be of an earlier canary, unless it says of which.
            named = bool(ours) and all(each.is_of(**versions) for each in ours)
            state = looking.begin(self.rules, now, settle=begin_anew or not named)
        return looking.look_at_all(state, ours, self.rules, now)

    def _record(self, kept: Kept, state: CanaryState, asked: str, report: Report) -> Looked:
        """Append the look. Where it is not on record, nothing but a rollback follows from it.

        Raises ConflictError where the ledger was rewritten, and no harm is shown.
        """
        try:
            receipt = self.keeper.append(
                kept, state, baseline=self.baseline, rules=asked, report=report, now=datetime.now(UTC)
            )
            why = receipt.why_not if receipt.waiting else ""
            if not why:
                if any(entry.details.get("claim") == self.keeper.claim for entry in receipt.entries):
                    return Looked(state, state.decision, receipt.head)
                there = self.keeper.read().state or state
                remark = "Another run looked at the same time: its look counts, and this one does not."
                return Looked(there, there.decision, receipt.head, (remark,))
        except SlipwayError as failure:
            if isinstance(failure, ConflictError) and state.decision != "roll-back":
                raise
            why = f"{failure.what} {failure.why}".strip()
        return unrecorded(state, why)

    def told(self, report: Report, looked: Looked) -> Report:
        """The report on a look."""
        state = looked.state
        unknown = looked.decision != state.decision
        return report.model_copy(
            update={
                "verdict": telling.VERDICTS[looked.decision],
                "headline": "The look is not on record, so nothing follows from it."
                if unknown
                else telling.headline(state, self.rules, self.canary),
                "reasons": (*looked.remarks, *state.reasons, *report.reasons),
                "checks": telling.checks(state, self.rules),
                "tables": telling.tables(state, self.rules),
                "charts": telling.charts(state, self.rules),
                "advice": telling.ADVICE[looked.decision],
                "provenance": {
                    **report.provenance,
                    "looks": state.looks,
                    "stage": f"{state.stage + 1} of {len(self.rules.stages)}",
                    "began": state.began.isoformat(timespec="seconds"),
                    "last_observation": state.last.at.isoformat(timespec="seconds") if state.last else "none",
                },
            }
        )


def unrecorded(state: CanaryState, why: str) -> Looked:
    """A look that is not on record, so that others do not know of it."""
    remark = f"The look is not on record: {why} The job needs `permissions: {{contents: write}}` and `github-token`."
    decision: Decision = "roll-back" if state.decision == "roll-back" else "continue"
    return Looked(state, decision, remarks=(remark,))
