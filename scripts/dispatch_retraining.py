"""Decide whether drift sets off a retraining, record why, and start it: at most once for each drift."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slipway.governor import keys, payload
from slipway.governor.facts import Unknown
from slipway.ledger import place
from slipway.ledger.store import Ledger
from slipway.policy.retraining import Retraining
from slipway.policy.source import SourcedPolicy, load
from slipway.report import Report, Subject, Verdict, enforce
from slipway.report.publishing import publish
from slipway.retraining.protocol import Case, Governor, Taken
from slipway.runner import commands, stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import InputError, PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret

if TYPE_CHECKING:
    from github.Repository import Repository

STAGE = "dispatch-retraining"
UNDECIDED = "See what the rule that is not known asks for. Nothing was started, and nothing is until it is known."


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Decide whether drift sets off a retraining, and start it."""

    drift_report: Path
    validation_report: Path | None = None
    policy: Path = Path("slipway.yml")
    dry_run: bool = False
    remote: str = ""
    github_token: Secret = NO_SECRET
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What was decided, and the run of the retraining."""

    report: Path
    verdict: Verdict
    decision: Literal["dispatch", "hold"] = "hold"
    rule: str = ""
    dispatched: bool = False
    run_id: int | None = None
    run_url: str = ""
    head: str = ""


def main(given: Inputs) -> None:
    """Decide and act, report, then let a failure or an open question decide how the step ends."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    case = read(given, sourced, run)
    path = given.report or report_file(case.model, STAGE)
    report = begun(case, sourced)
    try:
        with github(given.github_token, run) as repository:
            taken = Governor(case, ledger(given, run), repository).act()
    except SlipwayError as failure:
        failed = report.after_failure(failure, provenance=report.provenance)
        publish(failed, path, Outputs(report=path, verdict=failed.verdict))
        raise
    report = told(report, case, taken)
    said = Outputs(
        report=path,
        verdict=report.verdict,
        decision=taken.decision.action,
        rule=taken.decision.deciding.rule if taken.decision.deciding else "",
        dispatched=taken.dispatched,
        run_id=taken.run_id or None,
        run_url=taken.url,
        head=taken.head,
    )
    publish(report, path, said)
    for remark in taken.remarks:
        commands.warning(remark, title="Retraining")
    if taken.failure:
        raise taken.failure
    enforce(report, on_inconclusive=case.policy.on_inconclusive, fix=UNDECIDED)


def read(given: Inputs, sourced: SourcedPolicy, run: Run) -> Case:
    """The reports that the decision rests on. InputError where they are not what they should be."""
    policy, model = section(sourced), sourced.policy.model
    if run.pull_request and not (given.dry_run or policy.dry_run):
        raise InputError(
            "A pull request's run starts no retraining.",
            why="It would let a change set off work that nobody has reviewed.",
            fix="Give `dry-run: true`, or run it on a schedule.",
        )
    drift, raw = report_of(given.drift_report, "detect-drift", model)
    files = {"drift.json": raw}
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    subjects = [
        Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest),
        Subject(role="drift report", name=keys.window_of(drift) or given.drift_report.name, id=digest),
    ]
    validation = None
    if given.validation_report:
        validation, files["validation.json"] = report_of(given.validation_report, "validate-data", "")
    versions = [each for report in (drift, validation) if report for each in report.subjects if each.role == "data"]
    return Case(
        run=run,
        policy=policy,
        model=model,
        key=keys.key_of(model, drift),
        window=keys.window_of(drift) or digest,
        drift=drift,
        drift_digest=digest,
        validation=validation,
        dry_run=given.dry_run or policy.dry_run,
        caused_by=payload.generation_of(run),
        data={each.name: each.id for each in versions},
        subjects=(*subjects, *dict.fromkeys(versions)),
        files=files,
    )


def section(sourced: SourcedPolicy) -> Retraining:
    """The policy's section `retraining`."""
    if sourced.policy.retraining is None:
        raise PolicyError(
            f"{sourced.path} has no section `retraining`, so nothing says what drift may set off.",
            fix="Add it: `retraining: {workflow: retrain.yml}` has a default for everything else (docs/policy.md).",
            file=str(sourced.path),
        )
    return sourced.policy.retraining


def report_of(path: Path, stage_name: str, model: str) -> tuple[Report, bytes]:
    """A stage's report and its bytes. model: of which it must be, where not empty: one dataset may serve several."""
    report = Report.read(path)
    if report.stage != stage_name or (model and report.model != model):
        wanted = f"{stage_name} on `{model}`" if model else stage_name
        raise InputError(
            f"{path} is a report of {report.stage} on `{report.model}`, and one of {wanted} is expected.",
            fix="Give the `report` output of that stage.",
        )
    return report, path.read_bytes()


@contextmanager
def github(token: Secret, run: Run) -> Iterator[Repository | Unknown]:
    """The repository on GitHub, or why it cannot be asked."""
    if not (run.repository and token):
        yield Unknown("no `github-token` was given." if run.repository else "this is not a run of GitHub Actions.")
        return
    from slipway.github_api import client

    with client.connect(token, run) as hub:
        yield hub.get_repo(run.repository)


def ledger(given: Inputs, run: Run) -> Ledger | Unknown:
    """The ledger, or why there is none."""
    try:
        return Ledger(place.find(run, remote=given.remote, token=given.github_token))
    except InputError as failure:
        return Unknown(" ".join(filter(None, (failure.what, failure.why))))


def begun(case: Case, sourced: SourcedPolicy) -> Report:
    """The report, before anything was decided."""
    facts = {"key": case.key, "window": case.window, "drift_report": case.drift_digest}
    return Report(
        stage=STAGE,
        model=case.model,
        verdict=Verdict.INCONCLUSIVE,
        reasons=sourced.remarks,
        provenance={**sourced.provenance, **facts},
        subjects=case.subjects,
    )


def told(report: Report, case: Case, taken: Taken) -> Report:
    """The report on what was decided and done."""
    decision = taken.decision
    headline = f"Dry run, nothing was started. {decision.sentence}" if case.dry_run else decision.sentence
    if taken.dispatched:
        which = f"run {taken.run_id}" if taken.run_id else f"an event for {case.policy.workflow}"
        headline = f"Retraining {decision.generation} was started as {which}. {decision.rulings[0].because}"
    return report.model_copy(
        update={
            "verdict": decision.verdict,
            "headline": headline,
            "reasons": (*taken.remarks, *decision.reasons, *report.reasons),
            "checks": decision.checks,
            "tables": (decision.table,),
            "provenance": {**report.provenance, "generation": decision.generation, "dry_run": case.dry_run},
            "links": {"retraining": taken.url} if taken.url else {},
        }
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
