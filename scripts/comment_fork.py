"""Comment on a fork's pull request what its run reports, from a run of the base repository that has a token."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.report import Report, Subject, Verdict, combine, fork, untrusted
from slipway.runner import commands, context, outputs, stage
from slipway.runner.context import Run
from slipway.runner.errors import InputError
from slipway.runner.inputs import NO_SECRET, Secret

if TYPE_CHECKING:
    from github import Github

    from slipway.github_api.comments import Posted
    from slipway.github_api.fork_runs import ForkRun

PERMISSIONS = "actions: read\n    pull-requests: write"
ENTRIES = {
    "train/validate-data.json": "validate-data",
    "train/train-model.json": "train-model",
    "evaluate/evaluate-model.json": "evaluate-model",
}
"""What pipeline.yml uploads in a fork's run, and the stage of each report. Nothing else is read."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Comment on a fork's pull request what its run reports."""

    model: str
    workflow: str
    artifact: str = "slipway-fork-reports"
    comment_author: str = ""
    github_token: Secret = NO_SECRET


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the comment is. There is no `verdict`: what a fork's run reports is none."""

    action: str
    reported_verdict: Verdict | None = None
    pull_request: int | None = None
    comment_file: Path | None = None
    comment_url: str = ""
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What the run reports, and the comment's body. pull_request: a number that GitHub gave, not the run."""

    pull_request: int
    reports: list[Report]
    missing: list[str]
    body: str
    file: Path


def main(given: Inputs) -> None:
    """Find the pull request, read what the run uploaded, and bring the comment up to date."""
    from slipway.github_api import client
    from slipway.github_api.fork_runs import NothingToDoError, of_event

    run = Run.from_environ()
    if not re.fullmatch(r"\.github/workflows/[\w.-]+\.ya?ml", given.workflow):
        raise InputError(
            f"`workflow` must be a path such as `.github/workflows/model.yml`, not `{given.workflow}`.",
            fix="Name the file that calls pipeline.yml, not the workflow's title: a fork can add a file of that title.",
        )
    try:
        told = of_event(run, workflow=given.workflow)
        doing = f"comment on the pull request of run {told.id}"
        with client.explained(doing, permission=PERMISSIONS), client.connect(given.github_token, run) as hub:
            rendered = prepare(given, run, told, hub)
            posted = post(given, run, told, hub, rendered)
    except NothingToDoError as reason:
        commands.notice(f"No comment was posted: {reason}")
        outputs.publish(Outputs(action="nothing to do"))
        return
    commands.say(f"Comment {posted.action}: {posted.url}")
    publish(given, told, rendered, posted)


def prepare(given: Inputs, run: Run, told: ForkRun, hub: Github) -> Rendered:
    """Everything up to the comment's body. NothingToDoError says why there is none."""
    from slipway.github_api import artifacts, fork_runs

    repository = hub.get_repo(run.repository)
    finished = fork_runs.confirm(repository, told)
    pull = fork_runs.pull_request_of(repository, told)
    artifact = artifacts.find(hub, finished, given.artifact)
    if artifact is None:
        raise fork_runs.NothingToDoError(f"the run left no artifact {given.artifact}: it broke before its reports.")
    if artifact.expired:
        raise fork_runs.NothingToDoError(f"the run's artifact {given.artifact} has expired.")
    content = artifacts.fetch(hub, f"{run.api_url}/repos/{run.repository}", artifact)
    reports = untrusted.read_archive(content, ENTRIES, model=given.model)
    left = {report.stage for report in reports}
    missing = [name for name in ENTRIES.values() if name not in left]
    body = fork.body(
        given.model,
        reports,
        missing=missing,
        head_sha=told.head_sha,
        run_url=f"{run.server_url}/{run.repository}/actions/runs/{told.id}",
        stamp_line=fork.stamp(given.model, run_id=told.id, attempt=told.attempt, head_sha=told.head_sha),
    )
    file = context.report_file(given.model, "fork-comment").with_suffix(".md")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(body + "\n", encoding="utf-8")
    outputs.summarise(body)
    return Rendered(pull_request=pull.number, reports=reports, missing=missing, body=body, file=file)


def post(given: Inputs, run: Run, told: ForkRun, hub: Github, rendered: Rendered) -> Posted:
    """Write the comment, unless the pull request has moved on since it was looked at."""
    from slipway.github_api import client, comments, fork_runs

    author = client.login(hub, given.comment_author)
    repository = hub.get_repo(run.repository)
    fork_runs.confirm_head(repository, rendered.pull_request, told)
    issue = repository.get_issue(rendered.pull_request)
    return comments.post(issue, rendered.body, marker=fork.marker(given.model), author=author)


def publish(given: Inputs, told: ForkRun, rendered: Rendered, posted: Posted) -> None:
    """The outputs, and a report of our own that says whom it trusts: its verdict is never a pass."""
    digest = hashlib.sha256(rendered.file.read_bytes()).hexdigest()
    report = Report(
        stage="comment-fork",
        model=given.model,
        verdict=Verdict.INCONCLUSIVE,
        headline=f"The comment on the fork's pull request was {posted.action}. Nothing of the fork was judged.",
        subjects=(Subject(role="comment", name=posted.url, id=f"sha256:{digest}"),),
        provenance={"trust": "fork", "run": told.id, "attempt": told.attempt, "commit": told.head_sha},
        links={"comment": posted.url},
    )
    said = [report.verdict for report in rendered.reports] + [Verdict.INCONCLUSIVE for _ in rendered.missing]
    outputs.publish(
        Outputs(
            action=posted.action,
            reported_verdict=combine(said),
            pull_request=rendered.pull_request,
            comment_file=rendered.file,
            comment_url=posted.url,
            report=report.finished().write(context.report_file(given.model, "comment-fork")),
        )
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
