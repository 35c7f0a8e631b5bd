"""Post the stages' reports as one comment on the pull request, updated in place."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.report import Report, Subject, Verdict, comment
from slipway.runner import commands, context, outputs, stage
from slipway.runner.context import Run
from slipway.runner.errors import InputError
from slipway.runner.inputs import NO_SECRET, Secret, variable

if TYPE_CHECKING:
    from slipway.github_api.comments import Posted

PERMISSION = "pull-requests: write"
LARGEST_REPORT = 8 * 1024 * 1024
"""Bytes of one report. A comment shows less than a hundredth of that."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Post the stages' reports as one comment."""

    reports: tuple[str, ...]
    model: str = ""
    pull_request: int | None = None
    commit: str = ""
    comment_author: str = ""
    full_report: str = ""
    github_token: Secret = NO_SECRET


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where comment and page are, and the verdict over all reports."""

    verdict: Verdict
    comment_file: Path
    page: Path
    comment_url: str = ""
    action: str = ""
    report: Path | None = None


def main(given: Inputs) -> None:
    """Render the comment into a file in any case, then post it where there is a pull request and a token."""
    run = Run.from_environ()
    context.require_commit(given.commit)
    reports, missing = read_reports(given.reports)
    missing += ["A stage whose line in `reports` is empty"] * empty_lines()
    model = given.model or next((report.model for report in reports), "")
    if not model:
        raise InputError(
            f"None of the {len(given.reports)} reports exists, so there is nothing to post.",
            why=", ".join(given.reports),
            fix="Give the `report` outputs of the stages before this one, or name the `model`.",
        )
    number = given.pull_request or int(run.pull_request.get("number", 0))
    commit = given.commit or judged_commit(reports, run)
    body = render(model, reports, missing, given.full_report or run.url, run, commit, in_pull_request=bool(number))
    file = write(model, body)
    why_not = reason_not_to_post(number, given.github_token, run)
    posted: Posted | None = None
    verdict = comment.verdict_of(reports, missing)
    try:
        if why_not:
            commands.notice(f"No comment was posted: {why_not} The rendered comment is in {file}.")
        else:
            posted = post(given, run, number, model, body, file)
    finally:
        # After the comment, which people wait for.
        page = write_page(model, reports, missing, run, commit, in_pull_request=bool(number))
        said = Outputs(
            verdict=verdict,
            comment_file=file,
            page=page,
            comment_url=posted.url if posted else "",
            action=posted.action if posted else "written to a file",
            report=context.report_file(model, "post-report"),
        )
        own_report(model, said, missing).write(context.report_file(model, "post-report"))
        outputs.publish(said)


def own_report(model: str, said: Outputs, missing: list[str]) -> Report:
    """What the ledger records of the comment: whether it was posted, and what exactly it said."""
    digest = hashlib.sha256(said.comment_file.read_bytes()).hexdigest()
    return Report(
        stage="post-report",
        model=model,
        verdict=said.verdict,
        headline=f"The comment was {said.action}.",
        reasons=tuple(f"{name} left no report." for name in missing),
        subjects=(Subject(role="comment", name=said.comment_url or said.comment_file.name, id=f"sha256:{digest}"),),
        links={"comment": said.comment_url} if said.comment_url else {},
    ).finished()


def read_reports(paths: tuple[str, ...]) -> tuple[list[Report], list[str]]:
    """The reports that exist, and the names of the stages that left none."""
    reports, missing = [], []
    for path in map(Path, paths):
        if path.is_file():
            if path.stat().st_size > LARGEST_REPORT:
                raise InputError(f"{path} is larger than {LARGEST_REPORT:,} bytes, so it is not a report of Slipway.")
            reports.append(Report.read(path))
        else:
            missing.append(path.stem)
    models = sorted({report.model for report in reports})
    if len(models) > 1:
        raise InputError(
            f"The reports speak of {len(models)} models: {', '.join(models)}.",
            fix="Call post-report once for each model: each has a comment of its own.",
        )
    return reports, missing


def empty_lines() -> int:
    """Stages that were skipped: the output of a step that did not run is an empty line, which the typed input lacks."""
    return sum(not line.strip() for line in os.environ.get(variable("reports"), "").splitlines())


def judged_commit(reports: list[Report], run: Run) -> str:
    """The commit that people look at. A run that no pull request started may judge another commit than its own."""
    trained = next((str(each.provenance["commit"]) for each in reports if each.provenance.get("commit")), "")
    return run.head_sha if run.pull_request or not trained else trained


def render(
    model: str,
    reports: list[Report],
    missing: list[str],
    full_report: str,
    run: Run,
    commit: str,
    *,
    in_pull_request: bool,
) -> str:
    """The comment's body."""
    stamp = comment.stamp(model, run_id=run.run_id, attempt=run.attempt, head_sha=commit)
    return comment.body(
        model,
        reports,
        missing=missing,
        head_sha=commit,
        full_report=full_report,
        stamp_line=stamp,
        in_pull_request=in_pull_request,
    )


def write(model: str, body: str) -> Path:
    """The rendered comment beside the reports; the step summary shows it, too."""
    file = context.report_file(model, "comment").with_suffix(".md")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(body + "\n", encoding="utf-8")
    outputs.summarise(body)
    return file


def write_page(
    model: str, reports: list[Report], missing: list[str], run: Run, commit: str, *, in_pull_request: bool
) -> Path:
    """Everything that was found as one HTML page, beside the comment."""
    from slipway.report.page import Page, render  # here: only who has a model's reports pays for it

    shown = Page(
        model=model,
        reports=tuple(reports),
        missing=tuple(missing),
        head_sha=commit,
        run_page=run.url,
        in_pull_request=in_pull_request,
    )
    file = context.report_file(model, "report").with_suffix(".html")
    file.write_text(render(shown), encoding="utf-8")
    return file


def reason_not_to_post(number: int, token: Secret, run: Run) -> str:
    """Why there is nothing to post to, in one sentence; empty where there is."""
    if not run.repository:
        return "this is not a run of GitHub Actions."
    if not number:
        return f"the event `{run.event_name}` has no pull request, and `pull-request` was not given."
    return "" if token else "no `github-token` was given."


def post(given: Inputs, run: Run, number: int, model: str, body: str, file: Path) -> Posted | None:
    """Create or update the comment; None where a fork's token may not. RemoteError names what another token lacks."""
    from slipway.github_api import client, comments

    doing = f"write a comment on pull request #{number} (it is rendered in {file})"
    try:
        with (
            client.explained(doing, permission=PERMISSION, from_fork=has_fork_token(run, number)),
            client.connect(given.github_token, run) as hub,
        ):
            author = client.login(hub, given.comment_author)
            issue = hub.get_repo(run.repository).get_issue(number)
            posted = comments.post(issue, body, marker=comment.marker(model), author=author)
    except client.ReadOnlyForkError as refused:
        commands.warning(str(refused), title=refused.title)
        return None
    commands.say(f"Comment {posted.action}: {posted.url}")
    return posted


def has_fork_token(run: Run, number: int) -> bool:
    """Whether the run is a fork's own pull request, whose token may only read (`pull_request_target` has another)."""
    found = run.pull_request
    if run.event_name == "pull_request_target" or number != found.get("number"):
        return False
    # A fork that was deleted since has no repository.
    return ((found.get("head") or {}).get("repo") or {}).get("full_name") != run.repository


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
