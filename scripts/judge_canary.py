"""Take one look at a canary and say what is to be done: continue, advance, promote, roll back, or ask a person."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from slipway.canary import looking, telling
from slipway.canary.looking import CanaryState, Decision
from slipway.ledger import place
from slipway.ledger.store import Ledger
from slipway.policy import Canary, SourcedPolicy, load
from slipway.policy.canary import ObservationSource
from slipway.report import Report, Subject, Verdict, enforce
from slipway.report.page import Page, render
from slipway.report.publishing import publish
from slipway.runner import commands, stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import ConflictError, InputError, PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret
from slipway.watching import sources
from slipway.watching.record import Keeper, Kept, digest_of

STAGE = "judge-canary"
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}")
"""What a version may be called: it becomes part of queries."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Take one look at a canary."""

    canary_version: str
    baseline_version: str
    policy: Path = Path("slipway.yml")
    begin_anew: bool = False
    remote: str = ""
    github_token: Secret = NO_SECRET
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What is to be done."""

    report: Path
    verdict: Verdict
    decision: Decision = "continue"
    share: float | None = None
    canary_stage: int | None = None
    page: Path | None = None
    head: str = ""


@dataclass(frozen=True)
class Looked:
    """A look, and what became of its entry. remarks: what a reader must know beside the reasons."""

    state: CanaryState
    decision: Decision
    head: str = ""
    remarks: tuple[str, ...] = ()


def main(given: Inputs) -> None:
    """Look, record, report. The step succeeds whatever is decided, so that a next one can act."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    rules, source = section(sourced)
    model = sourced.policy.model
    path = given.report or report_file(model, STAGE)
    report = begun(given, sourced)
    try:
        check(given, run)
        keeper = Keeper(
            Ledger(place.find(run, remote=given.remote, token=given.github_token)), run, model, given.canary_version
        )
        looked = look(keeper, given, rules, source, report)
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=report.provenance)
        publish(report, path, Outputs(report=path, verdict=report.verdict))
        raise
    report = told(report, looked, rules, given)
    page = path.with_suffix(".html")
    page.parent.mkdir(parents=True, exist_ok=True)
    shown = Page(model=model, reports=(report.finished(),), run_page=run.url, in_pull_request=False)
    page.write_text(render(shown), encoding="utf-8")
    unknown = looked.decision != looked.state.decision
    said = Outputs(
        report=path,
        verdict=report.verdict,
        decision=looked.decision,
        share=None if unknown else telling.share_of(looked.state, rules),
        canary_stage=None if unknown else looked.state.stage + 1,
        page=page,
        head=looked.head,
    )
    publish(report, path, said)
    for remark in looked.remarks:
        commands.warning(remark, title="Canary")
    if looked.decision == "roll-back":
        commands.error(report.headline, title="Canary")
    if looked.decision == "inconclusive":
        enforce(report, on_inconclusive=rules.on_inconclusive, fix="Promote it or roll it back by hand.")


def section(sourced: SourcedPolicy) -> tuple[Canary, ObservationSource]:
    """The policy's section `canary`, with its source of observations."""
    rules = sourced.policy.canary
    if rules is None or rules.observations is None:
        missing = "canary" if rules is None else "canary.observations"
        raise PolicyError(
            f"{sourced.path} has no section `{missing}`.",
            fix="Add it; docs/judge-canary.md has examples of each source.",
            file=str(sourced.path),
        )
    return rules, rules.observations


def check(given: Inputs, run: Run) -> None:
    """Raises InputError where nobody may look, or the versions are none."""
    if run.pull_request:
        raise InputError(
            "A pull request's run does not look at a canary.",
            why="It would let a change record looks, and run the policy's command, that nobody has reviewed.",
            fix="Run it on a schedule.",
        )
    for name, version in (("canary-version", given.canary_version), ("baseline-version", given.baseline_version)):
        if not VERSION.fullmatch(version):
            raise InputError(
                f"`{name}` must be letters, digits, `_`, `.`, `+` and `-`, not `{version}`.",
                fix="Give the version's number in the registry.",
            )
    if given.canary_version == given.baseline_version:
        raise ConflictError(
            f"Canary and baseline are both version {given.canary_version}: a version is not held against itself.",
            fix="Give the version that serves the rest of the traffic as `baseline-version`.",
        )


def look(keeper: Keeper, given: Inputs, rules: Canary, source: ObservationSource, report: Report) -> Looked:
    """Read the state, take the look, and record it. A canary that is decided stays so."""
    kept = keeper.read()
    asked = digest_of(rules)
    if given.begin_anew:
        kept = Kept(attempt=kept.attempt + bool(kept.state))
    elif kept.state and kept.rules != asked:
        raise ConflictError(
            "The policy's section `canary` is another than when the canary began.",
            why="What decides must be on record before the data are: rules that change on the way promise nothing.",
            fix="Restore it for as long as the canary lasts, or give `begin-anew: true` once, which forgets its looks.",
        )
    elif kept.state and kept.baseline != given.baseline_version:
        raise ConflictError(
            f"The canary began beside version {kept.baseline}, and is now beside {given.baseline_version}.",
            why="Evidence against one baseline says nothing of another.",
            fix="If another version was released meanwhile, begin against it: give `begin-anew: true` once.",
        )
    if kept.state and kept.state.is_final:
        receipt = keeper.ledger.deliver()
        if receipt.waiting:
            return unrecorded(kept.state, receipt.why_not)
        return Looked(kept.state, kept.state.decision, receipt.head, ("It was decided before; nothing was looked at.",))
    state = observed(kept.state, given, rules, source)
    shown = told(report, Looked(state, state.decision), rules, given)
    return record(keeper, kept, state, given.baseline_version, asked, shown)


def observed(state: CanaryState | None, given: Inputs, rules: Canary, source: ObservationSource) -> CanaryState:
    """The state after what is new of the two versions, from the canary's beginning on."""
    versions = {"canary": given.canary_version, "baseline": given.baseline_version}
    found = sources.find(source, **versions).observe(state.last.at if state and state.last else None)
    ours = [each for each in found if each.is_of(**versions) is not False]
    now = datetime.now(UTC)
    if state is None:
        # What was observed before may be of an earlier canary, unless it says of which.
        named = bool(ours) and all(each.is_of(**versions) for each in ours)
        state = looking.begin(rules, now, settle=given.begin_anew or not named)
    return looking.look_at_all(state, ours, rules, now)


def record(keeper: Keeper, kept: Kept, state: CanaryState, baseline: str, rules: str, report: Report) -> Looked:
    """Append the look. Where it is not on record, nothing but a rollback follows from it.

    Raises ConflictError where the ledger was rewritten, and no harm is shown.
    """
    try:
        receipt = keeper.append(kept, state, baseline=baseline, rules=rules, report=report, now=datetime.now(UTC))
        why = receipt.why_not if receipt.waiting else ""
        if not why:
            if any(entry.details.get("claim") == keeper.claim for entry in receipt.entries):
                return Looked(state, state.decision, receipt.head)
            there = keeper.read().state or state
            remark = "Another run looked at the same time: its look counts, and this one does not."
            return Looked(there, there.decision, receipt.head, (remark,))
    except SlipwayError as failure:
        if isinstance(failure, ConflictError) and state.decision != "roll-back":
            raise
        why = f"{failure.what} {failure.why}".strip()
    return unrecorded(state, why)


def unrecorded(state: CanaryState, why: str) -> Looked:
    """A look that is not on record, so that others do not know of it."""
    remark = f"The look is not on record: {why} The job needs `permissions: {{contents: write}}` and `github-token`."
    decision: Decision = "roll-back" if state.decision == "roll-back" else "continue"
    return Looked(state, decision, remarks=(remark,))


def begun(given: Inputs, sourced: SourcedPolicy) -> Report:
    """The report before the look."""
    return Report(
        stage=STAGE,
        model=sourced.policy.model,
        verdict=Verdict.INCONCLUSIVE,
        reasons=sourced.remarks,
        subjects=(
            Subject(role="candidate", name=given.canary_version, id=""),
            Subject(role="production", name=given.baseline_version, id=""),
            Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest),
        ),
        provenance={**sourced.provenance, "canary": given.canary_version, "baseline": given.baseline_version},
    )


def told(report: Report, looked: Looked, rules: Canary, given: Inputs) -> Report:
    """The report on a look."""
    state = looked.state
    unknown = looked.decision != state.decision
    return report.model_copy(
        update={
            "verdict": telling.VERDICTS[looked.decision],
            "headline": "The look is not on record, so nothing follows from it."
            if unknown
            else telling.headline(state, rules, given.canary_version),
            "reasons": (*looked.remarks, *state.reasons, *report.reasons),
            "checks": telling.checks(state, rules),
            "tables": telling.tables(state, rules),
            "charts": telling.charts(state, rules),
            "advice": telling.ADVICE[looked.decision],
            "provenance": {
                **report.provenance,
                "looks": state.looks,
                "stage": f"{state.stage + 1} of {len(rules.stages)}",
                "began": state.began.isoformat(timespec="seconds"),
                "last_observation": state.last.at.isoformat(timespec="seconds") if state.last else "none",
            },
        }
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
