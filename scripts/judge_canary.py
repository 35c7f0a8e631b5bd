"""Take one look at a canary and say what is to be done: continue, advance, promote, roll back, or ask a person."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from slipway.canary import telling
from slipway.canary.looking import Decision
from slipway.ledger import place
from slipway.ledger.store import Ledger
from slipway.policy.canary import Canary, ObservationSource
from slipway.policy.source import SourcedPolicy, load
from slipway.report import Report, Subject, Verdict, enforce
from slipway.report.page import Page, render
from slipway.report.publishing import publish
from slipway.runner import commands, stage
from slipway.runner.context import Run, report_file, require_default_branch
from slipway.runner.errors import ConflictError, InputError, PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret
from slipway.watching import sources
from slipway.watching.looks import Watch
from slipway.watching.record import Keeper

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
        watch = Watch(keeper, rules, source, given.baseline_version, sources.target_of(sourced.policy))
        looked = watch.look(report, begin_anew=given.begin_anew)
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=report.provenance)
        publish(report, path, Outputs(report=path, verdict=report.verdict))
        raise
    report = watch.told(report, looked)
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
    require_default_branch(run)
    for name, version in (("canary-version", given.canary_version), ("baseline-version", given.baseline_version)):
        if not VERSION.fullmatch(version):
            raise InputError(
                f"`{name}` must be letters, digits, `_`, `.`, `+` and `-`, not `{version[:100]}`.",
                fix="Give the version's number in the registry.",
            )
    if given.canary_version == given.baseline_version:
        raise ConflictError(
            f"Canary and baseline are both version {given.canary_version}: a version is not held against itself.",
            fix="Give the version that serves the rest of the traffic as `baseline-version`.",
        )


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


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
