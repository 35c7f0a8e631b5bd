"""Make a branch and a pull request from what a refresh of the data changed, with the drift that it answers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.ledger import drafting, place
from slipway.ledger.git import Git, GitError
from slipway.ledger.store import Ledger
from slipway.policy.source import SourcedPolicy, load
from slipway.report import Report, Subject, Verdict
from slipway.report.publishing import publish
from slipway.retraining import change, envelope, proposal, record, request
from slipway.retraining.change import Commit
from slipway.retraining.envelope import Placed
from slipway.retraining.request import Request
from slipway.runner import commands, stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import ConflictError, InputError, RemoteError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret
from slipway.training import repository

if TYPE_CHECKING:
    from github.PullRequest import PullRequest

STAGE = "propose-retraining"
REFRESHED = "refresh-data"
BRANCH = "slipway/retrain-"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Propose a retraining on refreshed data."""

    refresh_report: Path
    policy: Path = Path("slipway.yml")
    base: str = ""
    remote: str = ""
    github_token: Secret = NO_SECRET
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The branch that is to be judged, and whether a person must decide."""

    report: Path
    verdict: Verdict
    branch: str = ""
    commit: str = ""
    pull_request: int | None = None
    pull_request_url: str = ""
    inside_envelope: bool = False
    body: Path | None = None


@dataclass(frozen=True)
class Evidence:
    """The drift report that the retraining answers, and its number in the ledger, where they are known."""

    drift: Report | None = None
    entry: int | None = None
    remark: str = ""


def main(given: Inputs) -> None:
    """Commit, push and open; a failure leaves a report, and at most a branch."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    model = sourced.policy.model
    path = given.report or report_file(model, STAGE)
    report = Report(
        stage=STAGE,
        model=model,
        verdict=Verdict.INCONCLUSIVE,
        subjects=(Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest),),
        provenance=dict(sourced.provenance),
    )
    try:
        asked = request.of_run(run, model)
        base, patch, refreshed = refreshed_change(given, sourced)
        when = asked.payload.requested_at if asked.payload else refreshed.started
        made = change.committed(patch, base=base, message=proposal.message(model, asked), when=when)
        require_own_judges(sourced, made, base)
        placed = placed_of(sourced, made, base, asked)
        evidence = found_evidence(given, run, asked)
        text = proposal.body(
            model, asked, made.changed, placed, drift=evidence.drift, entry=evidence.entry, run_url=run.url
        )
        body = path.with_name("retraining.md")
        body.parent.mkdir(parents=True, exist_ok=True)
        body.write_text(text, encoding="utf-8")
        branch = BRANCH + asked.name
        push(given, run, made.id, branch)
        opened = open_pull_request(given, run, branch, proposal.title(model), text)
        report = told(report, asked, made, placed, evidence, branch, opened.html_url if opened else "")
        said = Outputs(
            report=path,
            verdict=report.verdict,
            branch=branch,
            commit=made.id,
            pull_request=opened.number if opened else None,
            pull_request_url=opened.html_url if opened else "",
            inside_envelope=placed.inside,
            body=body,
        )
    except SlipwayError as failure:
        failed = report.after_failure(failure, provenance=report.provenance)
        publish(failed, path, Outputs(report=path, verdict=failed.verdict))
        raise
    publish(report, path, said)


def refreshed_change(given: Inputs, sourced: SourcedPolicy) -> tuple[str, bytes, Report]:
    """The commit that was refreshed, the patch, and the report of the refresh. InputError where they do not belong."""
    refreshed = Report.read(given.refresh_report)
    if refreshed.stage != REFRESHED or refreshed.model != sourced.policy.model:
        raise InputError(
            f"{given.refresh_report} is a report of {refreshed.stage} on `{refreshed.model}`.",
            why=f"One of {REFRESHED} on `{sourced.policy.model}` is expected.",
            fix="Give the `report` output of refresh-data.",
        )
    if refreshed.verdict is not Verdict.PASS or change.PATCH not in refreshed.attachments:
        raise InputError(
            "The refresh did not succeed, so there is nothing to propose.",
            why=refreshed.headline,
            fix="See the step refresh-data.",
        )
    patch = drafting.attached(given.refresh_report, change.PATCH, refreshed.attachments[change.PATCH])
    base, here = str(refreshed.provenance.get("commit")), repository.look().commit
    if base != here:
        raise InputError(
            f"The data were refreshed on commit {base[:12]}, and {here[:12]} is checked out.",
            fix="Give actions/checkout `ref:` with the `commit` output of refresh-data.",
        )
    return base, patch, refreshed


def require_own_judges(sourced: SourcedPolicy, made: Commit, base: str) -> None:
    """Refuse a change of what judges the retraining."""
    policy = os.path.normpath(sourced.path)
    before = change.text_at(base, policy)
    if before is None:
        raise InputError(
            f"The commit {base[:12]} has no policy at {policy}.", fix="Give its path from the repository's root."
        )
    envelope.require_own_judges(before, change.text_at(made.tree, policy), made.changed, policy)


def placed_of(sourced: SourcedPolicy, made: Commit, base: str, asked: Request) -> Placed:
    """Whether the change is inside of the declared envelope."""
    declared = sourced.policy.retraining.envelope if sourced.policy.retraining else None
    outside = change.outside(made, base, declared.paths) if declared else ()
    return envelope.place(declared, outside, asked.generation)


def found_evidence(given: Inputs, run: Run, asked: Request) -> Evidence:
    """The drift report, from the ledger. The pull request is opened without it where the ledger cannot be read."""
    if asked.payload is None:
        return Evidence()
    digest = asked.payload.cause.report
    try:
        reading = record.Reading(Ledger(place.find(run, remote=given.remote, token=given.github_token)))
        found = reading.drift_report(asked.payload.model, digest)
    except SlipwayError as failure:
        return Evidence(remark=f"The drift report is not shown: {failure.what}")
    if found is None:
        return Evidence(remark=f"{digest[:19]}… is no drift report on `{asked.payload.model}` in the ledger.")
    return Evidence(*found)


def push(given: Inputs, run: Run, commit: str, branch: str) -> None:
    """Push the commit as a new branch; nothing is done where it is there already. Never by force."""
    there = place.find(run, remote=given.remote, token=given.github_token)
    git = Git(repository.git_folder(), there.settings)
    try:
        tip = git.line("ls-remote", "--", there.upstream, f"refs/heads/{branch}").partition("\t")[0]
        if tip == commit:
            commands.say(f"The branch {branch} is there already.")
            return
        if tip:
            raise ConflictError(
                f"The branch {branch} of {there.shown} holds another retraining ({tip[:12]}).",
                why="The refresh was run again, and brought other data.",
                fix="Delete the branch (its pull request closes), and run the job again.",
            )
        git.run("push", "--porcelain", "--no-verify", "--", there.upstream, f"{commit}:refs/heads/{branch}")
    except GitError as error:
        raise RemoteError(
            f"The branch {branch} could not be pushed to {there.shown}.",
            why=" ".join(error.said.split())[:500],
            fix="The job needs\n  permissions:\n    contents: write\nand rules for branches must let it create "
            f"`{BRANCH}*`.",
        ) from error


def open_pull_request(given: Inputs, run: Run, branch: str, title: str, body: str) -> PullRequest | None:
    """The pull request; None outside of GitHub Actions or without a token, where the branch is all there is."""
    if not (run.repository and given.github_token):
        commands.notice(f"No pull request was opened, since there is no `github-token`. The branch is {branch}.")
        return None
    from slipway.github_api import client, dispatches, pulls

    with client.connect(given.github_token, run) as hub:
        there = hub.get_repo(run.repository)
        base = given.base or dispatches.default_branch(there)
        return pulls.open_for(there, branch, base=base, title=title, body=body)


def told(
    report: Report, asked: Request, made: Commit, placed: Placed, evidence: Evidence, branch: str, url: str
) -> Report:
    """The report on what is proposed."""
    which = "inside of the declared envelope" if placed.inside else "for a person to decide"
    return report.model_copy(
        update={
            "verdict": Verdict.PASS,
            "headline": f"A retraining on new data is proposed as the branch `{branch}`, {which}.",
            "reasons": (*placed.reasons, *filter(None, (evidence.remark,))),
            "tables": (proposal.files(made.changed),),
            "subjects": (*report.subjects, Subject(role="commit", name=branch, id=made.id)),
            "links": {"pull request": url} if url else {},
            "provenance": {
                **report.provenance,
                "commit": made.id,
                "retraining": asked.name,
                "generation": asked.generation,
                "inside_envelope": placed.inside,
                "envelope": placed.id or "none",
            },
        }
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
