"""Bring a version to an environment, or go on with what has begun there: start, test, shift traffic, promote."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from slipway.deploying import announcing, beginning, telling
from slipway.deploying.case import Case, begun, opened, require_own_run
from slipway.deploying.record import Known, require_version
from slipway.deploying.telling import Shown, State
from slipway.policy.canary import Canary, ObservationSource
from slipway.policy.source import load
from slipway.report import Report, Subject, Verdict, enforce
from slipway.report.publishing import publish_with_pages
from slipway.rollout.steps import Opened
from slipway.runner import stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import GateError, InputError, PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret
from slipway.watching import sources
from slipway.watching.looks import Watch
from slipway.watching.record import Keeper

STAGE = "deploy-model"
LONGEST_WATCH = 350.0
"""Minutes; a job ends after 360: https://docs.github.com/actions/reference/limits"""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Bring an environment to what is on record."""

    environment: str
    model_version: str = ""
    promote: bool = False
    reason: str = ""
    watch_minutes: float = 0
    look_seconds: float = 60
    policy: Path = Path("slipway.yml")
    tracking_uri: str = ""
    remote: str = ""
    github_token: Secret = NO_SECRET
    registry_token: Secret = NO_SECRET
    open_issue: bool = True
    comment_author: str = ""
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What is served there now."""

    report: Path
    verdict: Verdict
    state: Shown = "unknown"
    live: str = ""
    canary: str = ""
    share: float | None = None
    url: str = ""


def main(given: Inputs) -> None:
    """Begin the release that is asked for, take every step that can be taken now, and say what is served."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    path = given.report or report_file(sourced.policy.model, STAGE)
    report = begun(STAGE, sourced, given.environment)
    with tempfile.TemporaryDirectory(prefix="slipway-deploy-") as scratch:
        case: Case | None = None
        try:
            require_inputs(given, run)
            case = opened(run, sourced, given, report, Path(scratch))
            known, version = deploy(given, case)
        except SlipwayError as failure:
            report = telling.interrupted(case, report, failure)
            publish_with_pages(report, path, on_record(case, path, report.verdict), run.url)
            raise
        finish(given, case, known, version, path)


def require_inputs(given: Inputs, run: Run) -> None:
    """Raises InputError."""
    require_own_run(run)
    require_version(given.model_version)
    if given.promote and (given.model_version or not given.reason.strip()):
        raise InputError(
            "`promote` needs a `reason`, and no `model-version`.",
            why="A person answers for it, and it is about the canary that waits.",
            fix="Give both, as inputs of a workflow that is started by hand.",
        )
    if not 0 <= given.watch_minutes <= LONGEST_WATCH or not 0 < given.look_seconds <= 3_600:
        raise InputError(
            f"`watch-minutes` must lie between 0 and {LONGEST_WATCH:g}, `look-seconds` between 0 and 3,600.",
            fix="A canary that lasts longer is looked at by canary.yml, on a schedule.",
        )


def deploy(given: Inputs, case: Case) -> tuple[Known, str]:
    """What is on record in the end, and the version that the run was about; empty where nothing was released yet."""
    watched = observed(case) if given.watch_minutes else None
    known = beginning.begin(case, given.model_version) if given.model_version else case.releases.read()
    if given.promote:
        known = promote(given, case, known)
    require_rules(case, known)
    release = known.record.opened
    version = given.model_version or (release.version if release else known.record.live)
    announcing.begin(case, known, given.github_token)
    known = case.reconciler.run()
    if watched:
        known = watch(given, case, known, *watched)
    return known, version


def observed(case: Case) -> tuple[Canary, ObservationSource]:
    """What a canary is watched by. PolicyError where nothing says so; nothing has begun then."""
    if case.canary is None or case.canary.observations is None:
        raise PolicyError(
            f"{case.sourced.path} has no `canary.observations`, so there is nothing to watch.",
            fix="Add it (docs/judge-canary.md), or leave `watch-minutes` out.",
            file=str(case.sourced.path),
        )
    return case.canary, case.canary.observations


def require_rules(case: Case, known: Known) -> None:
    """PolicyError where a canary is under way, and nothing says any more which share it has."""
    release = known.record.opened
    if release and release.rollout == "canary" and release.decision in ("continue", "hold") and case.canary is None:
        raise PolicyError(
            f"{case.sourced.path} has no section `canary` any more, and version {release.version} is one.",
            why=f"Its release began with entry {release.number} of the ledger. What is served stays as it is.",
            fix="Restore the section until the canary has ended, or take it back with rollback-model.",
            file=str(case.sourced.path),
        )


def promote(given: Inputs, case: Case, known: Known) -> Known:
    """Let a person decide for a canary that waits for one."""
    held = beginning.require_held(known, case.environment)
    said = {"headline": f"Version {held.version} is promoted by hand: {given.reason.strip()}"}
    case.report = case.report.model_copy(update=said)
    case.releases.override(held, given.reason.strip(), case.report)
    return case.releases.read()


def watch(given: Inputs, case: Case, known: Known, rules: Canary, source: ObservationSource) -> Known:
    """Look at the canary again and again, and follow each look, until it is decided or the time is over."""
    until = time.monotonic() + 60 * given.watch_minutes
    while (release := known.record.opened) and release.rollout == "canary" and release.decision != "hold":
        if time.monotonic() + given.look_seconds > until:
            break
        time.sleep(given.look_seconds)
        keeper = Keeper(case.ledger, case.run, case.model, release.version)
        target = sources.target_of(case.sourced.policy)
        looker = Watch(keeper, rules, source, release.beside, target)
        looked = looker.look(looks_at(case, release))
        case.remark(*looked.remarks)
        if looked.decision == "roll-back":
            case.reconciler.accuse(release, "harm")
        known = case.reconciler.run()
    return known


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


def finish(given: Inputs, case: Case, known: Known, version: str, path: Path) -> None:
    """Report, outputs, GitHub's deployment, and an issue where a release was taken back. Then the step's end."""
    report = announcing.with_evidence(case, known, telling.told(case, known, version), version)
    state = telling.state_of(known.record, version)
    release = known.record.opened
    told = announcing.End(version, state, report)
    report = announcing.end(case, known, told, given.github_token, given.comment_author, given.open_issue)
    publish_with_pages(
        report,
        path,
        Outputs(
            report=path,
            verdict=report.verdict,
            state=state,
            live=known.record.live,
            canary=release.version if release else "",
            share=release.share if release and release.rollout == "canary" else None,
            url=case.target.url,
        ),
        case.run.url,
    )
    close(report, case, state)


def on_record(case: Case | None, path: Path, verdict: Verdict) -> Outputs:
    """The outputs of a run that an error ended: what the ledger said last of the environment, where it was read."""
    known = case.releases.last if case else None
    if case is None or known is None:
        return Outputs(report=path, verdict=verdict)
    release = known.record.opened
    return Outputs(
        report=path,
        verdict=verdict,
        state=telling.state_of(known.record, ""),
        live=known.record.live,
        canary=release.version if release else "",
        share=telling.served_share(case, release.version) if release and release.rollout == "canary" else None,
        url=case.target.url,
    )


def close(report: Report, case: Case, state: State) -> None:
    """GateError where the release was taken back; what waits for a person ends as the policy says."""
    if state == "rolled-back":
        why = [each.detail for each in case.checks if each.verdict is Verdict.FAIL]
        raise GateError(report.headline, why="\n".join(why[:5]), fix=report.advice)
    if state == "waiting":
        rule = case.canary.on_inconclusive if case.canary else "warn"
        enforce(report, on_inconclusive=rule, fix=report.advice)


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
