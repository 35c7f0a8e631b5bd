"""Go back to a version that was live before, now: the button, a failed gate, or an emergency of drift."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slipway.deploying import announcing, telling
from slipway.deploying.case import Case, begun, opened, require_own_run
from slipway.deploying.record import Known, require_version
from slipway.deploying.telling import State
from slipway.policy.source import load
from slipway.report import Report, Verdict
from slipway.report.publishing import publish_with_pages
from slipway.runner import stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import GateError, InputError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret

STAGE = "rollback-model"
LONGEST_REASON = 1_000
ADVICE = "Find out what was wrong, and revert the change on the default branch, whose next push would release it again."


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Go back to an earlier version."""

    environment: str
    reason: str = ""
    model_version: str = ""
    evidence_report: Path | None = None
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
    """What is live now, and what was."""

    report: Path
    verdict: Verdict
    live: str = ""
    taken_back: str = ""
    url: str = ""


@dataclass(frozen=True)
class Asked:
    """Why, and by what: `person`, or the stage whose failing report is the evidence."""

    reason: str
    cause: str


def main(given: Inputs) -> None:
    """Make sure that the earlier version answers, record the rollback, and bring everything in line with it."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    path = given.report or report_file(sourced.policy.model, STAGE)
    report = begun(STAGE, sourced, given.environment)
    with tempfile.TemporaryDirectory(prefix="slipway-rollback-") as scratch:
        case: Case | None = None
        try:
            require_own_run(run)
            require_version(given.model_version)
            asked = why(given, sourced.policy.model)
            case = opened(run, sourced, given, report, Path(scratch))
            gone, known = roll_back(given, case, asked)
        except SlipwayError as failure:
            report = telling.interrupted(case, report, failure)
            last = case.releases.last if case else None
            live, url = (last.record.live, case.target.url) if case and last else ("", "")
            publish_with_pages(report, path, Outputs(report=path, verdict=report.verdict, live=live, url=url), run.url)
            raise
        report = told(case, known, gone, asked)
        report = announcing.with_evidence(case, known, report, gone)
        end = announcing.End(*ended(case, known, gone), report)
        report = announcing.end(case, known, end, given.github_token, given.comment_author, given.open_issue)
        said = Outputs(
            report=path, verdict=report.verdict, live=known.record.live, taken_back=gone, url=case.target.url
        )
        publish_with_pages(report, path, said, run.url)


def why(given: Inputs, model: str) -> Asked:
    """The reason in one line. InputError where nobody says why, or the evidence is none."""
    reason = " ".join(given.reason.split())[:LONGEST_REASON]
    if given.evidence_report is None:
        if not reason:
            raise InputError(
                "`reason` was not given.",
                why="Whoever reads the ledger or the issue later must learn why the version was taken back.",
                fix="Say it in a sentence, or give the failing report as `evidence-report`.",
            )
        return Asked(reason, "person")
    evidence = Report.read(given.evidence_report)
    if evidence.model != model:
        raise InputError(
            f"{given.evidence_report} is about `{evidence.model}`, not `{model}`.",
            fix="Give the report of a stage that looked at this model.",
        )
    if evidence.verdict is not Verdict.FAIL:
        raise GateError(
            f"{given.evidence_report} does not fail: the verdict of {evidence.stage} is {evidence.verdict.value}.",
            why="Nothing is taken back without a reason.",
            fix="To roll back all the same, leave `evidence-report` out and say the `reason`.",
        )
    return Asked(reason or f"{evidence.stage}: {evidence.headline}"[:LONGEST_REASON], evidence.stage)


def roll_back(given: Inputs, case: Case, asked: Asked) -> tuple[str, Known]:
    """The version that was taken back, and what is on record then."""
    known = case.releases.read()
    release, live = known.record.opened, known.record.live
    if release is None and not given.model_version and (before := known.gone_back):
        # Pressed twice, or asked by the same evidence every day: neither means one version further each time.
        case.remark(
            f"Entry {before.sequence} of the ledger went back to {version_or_nothing(live)} already. "
            "To go back further, give `model-version`."
        )
        return "", case.reconciler.run()
    to = goes_to(known, given.model_version, case.environment)
    gone = release.version if release else live
    if to == live and release is None:
        return "", case.reconciler.run()  # by an earlier run, which may not have come to its end
    # What cannot be brought up must not be promised; a version that is kept ready answers already.
    if to and not any(each.version == to and each.health == "ready" for each in case.target.state()):
        case.target.start(case.versions.servable(to))
    case.report = case.report.model_copy(
        update={
            "verdict": Verdict.PASS,
            "headline": f"Back from version {gone} to {version_or_nothing(to)}: {asked.reason}",
            "reasons": (asked.reason, *case.report.reasons),
        }
    )
    case.releases.roll_back(known, to, asked.cause, asked.reason, case.report)
    known = case.reconciler.run()
    if known.record.live != to:
        now = version_or_nothing(known.record.live)
        case.remark(f"This run went back to {version_or_nothing(to)}; another one has made {now} live since.")
    return gone, known


def version_or_nothing(version: str) -> str:
    """A version in words."""
    return f"version {version}" if version else "nothing"


def ended(case: Case, known: Known, gone: str) -> tuple[str, State]:
    """The version that GitHub is told of, and what became of it, also by an earlier attempt of this run; empty where
    nothing is news."""
    placed = known.gone_back
    if not gone and placed and placed.run.run_id == case.run.run_id:
        gone = str(placed.details.get("previous_version") or "")
    return (gone, "rolled-back") if gone else ("", telling.state_of(known.record, ""))


def goes_to(known: Known, version: str, environment: str) -> str:
    """The version to go back to: the one that is named, the one beside a release, or the one before the live one.

    InputError where there is none, or where the one that is named was never live there.
    """
    record = known.record
    if record.opened and not version:
        return record.opened.beside  # nothing at all, of a first release that never ended
    to = version or record.previous
    if not to:
        raise InputError(
            f"There is no earlier version in {environment} to go back to.",
            why="The ledger knows of none that was live there before.",
            fix="Release a version that works with deploy-model.",
        )
    if to not in known.lived:
        lived = ", ".join(sorted(known.lived, key=lambda each: (len(each), each)))
        raise InputError(
            f"Version {to} was never live in {environment}.",
            why="A rollback goes to what has worked there, so that nothing is served that nobody approved.",
            fix=f"Name one of: {lived or 'none'}. Another version is released with deploy-model.",
        )
    return to


def told(case: Case, known: Known, gone: str, asked: Asked) -> Report:
    """The report at the end."""
    live = known.record.live
    headline = f"Version {live} is live in {case.environment}" if live else f"Nothing is live in {case.environment}"
    by = f" by {case.run.actor}" if asked.cause == "person" and case.run.actor else ""
    headline += f" again; version {gone} was taken back{by}." if gone else " already."
    return case.report.model_copy(
        update={
            "verdict": Verdict.PASS,
            "headline": headline,
            "advice": ADVICE if gone else "",
            "reasons": case.report.reasons or (asked.reason,),
            "checks": case.checks,
            "tables": (telling.serving(case), *telling.steps(case)),
            "provenance": {**case.report.provenance, "target": case.target.shown, "cause": asked.cause},
        }
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
