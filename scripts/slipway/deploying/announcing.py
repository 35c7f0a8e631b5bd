"""Tells GitHub: a deployment with its statuses, and an issue where a version was taken back.

Neither decides anything: the ledger says what is so. Where GitHub does not take the news, the report says that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from slipway.canary import telling as canary_telling
from slipway.deploying.case import Case
from slipway.deploying.record import Known
from slipway.deploying.telling import State
from slipway.ledger.entries import Entry
from slipway.policy.deployment import PRODUCTION
from slipway.report import Report, fitting, markdown
from slipway.runner.errors import SlipwayError
from slipway.runner.inputs import Secret
from slipway.watching.record import Keeper

if TYPE_CHECKING:
    from github.Repository import Repository

Status = Literal["in_progress", "success", "failure", "inactive", "error"]
STATES: dict[State, Status] = {
    "live": "success",
    "canary": "in_progress",
    "waiting": "in_progress",
    "rolled-back": "failure",
    "none": "inactive",
}


def begin(case: Case, known: Known, token: Secret) -> None:
    """Show that a release is under way."""
    release = known.record.opened
    if release is None:
        return
    with _told(case, "show the deployment", token) as repository:
        if repository is not None:
            assert known.begun is not None
            said = f"Version {release.version} is being released."
            _tell(case, repository, known.begun, "in_progress", said, first=True)


@dataclass(frozen=True)
class End:
    """What a run came to. version: the one that it was about; report: without what GitHub answers."""

    version: str
    state: State
    report: Report


def end(case: Case, known: Known, came: End, token: Secret, author: str, open_issue: bool) -> Report:
    """Show what the release came to, and open, bring up to date or close the issue; the report with its links."""
    report, links = came.report, {}
    if statuses := _statuses(case, known, came):
        with _told(case, "show the deployment's end", token) as repository:
            if repository is not None:
                for entry, status, said in statuses:
                    _tell(case, repository, entry, status, said)
    # After a rollback what is live says nothing of what was wrong: that is mended when a release goes live.
    is_mended = came.state == "live" and known.placed is not None and known.placed.event == "promotion"
    if open_issue and (came.state == "rolled-back" or is_mended):
        with _told(case, "tell in an issue what happened", token) as repository:
            if repository is not None:
                links = _issue(case, repository, came.state, report, token, author)
    return report.model_copy(update={"links": {**report.links, **links}, "reasons": (*report.reasons, *case.remarks)})


def _statuses(case: Case, known: Known, came: End) -> list[tuple[Entry, Status, str]]:
    """The releases whose deployments have another state by now: entry, state, and what is said of it."""
    own = case.releases.begun_with(came.version) if came.version else None
    newest = known.begun
    found: list[tuple[Entry, Status, str]] = []
    # What was live before the newest release says nothing new: its deployment ended when that one's began.
    if own is not None and (came.state == "rolled-back" or own == newest):
        found.append((own, STATES[came.state], came.report.headline))
    if came.state == "rolled-back" and newest is not None and newest.model_version == known.record.live:
        found.append((newest, STATES["live"], f"Version {known.record.live} is live again."))
    return found


def with_evidence(case: Case, known: Known, report: Report, version: str) -> Report:
    """The report with what the looks at a version have found, where it was a canary."""
    if not version or case.canary is None or known.begun is None or known.begun.details.get("rollout") != "canary":
        return report
    try:
        state = Keeper(case.ledger, case.run, case.model, version).read().state
    except SlipwayError:
        state = None
    if state is None:
        return report
    return report.model_copy(
        update={
            "checks": (*report.checks, *canary_telling.checks(state, case.canary)),
            "tables": (*report.tables, *canary_telling.tables(state, case.canary)),
            "charts": canary_telling.charts(state, case.canary),
            "reasons": (*state.reasons, *report.reasons),
        }
    )


def marker(model: str, environment: str) -> str:
    """The hidden line by which the issue of an environment is found again."""
    name = hashlib.sha256(f"{model}\0{environment}".encode()).hexdigest()[:16]
    return f"<!-- slipway:rollback environment={name} -->"


def _tell(case: Case, repository: Repository, entry: Entry, status: Status, said: str, *, first: bool = False) -> None:
    """Give the deployment of a release, which began with the entry, its state. first: where it has none yet."""
    from slipway.github_api import deployments

    number = deployments.begin(
        repository,
        case.run,
        environment=case.environment,
        key=f"{case.model}/{case.environment}/{entry.sequence}",
        description=f"{case.model} version {entry.model_version}",
        production=case.environment == PRODUCTION,
        payload={"model": case.model, "version": entry.model_version, "model_digest": entry.model_digest},
    )
    deployments.tell(
        repository,
        number,
        state=status,
        description=said,
        log_url=case.run.url,
        environment_url=case.target.url,
        first=first,
    )


def _issue(
    case: Case, repository: Repository, state: State, report: Report, token: Secret, author: str
) -> dict[str, str]:
    from slipway.github_api import client, issues

    hidden = marker(case.model, case.environment)
    with client.connect(token, case.run) as hub, client.explained("ask who the token is", permission="issues: write"):
        writer = client.login(hub, author)
    if state == "live":
        issues.close(repository, marker=hidden, author=writer, why=report.headline)
        return {}
    title = f"{case.model}: a release to {case.environment} was taken back"
    body = issue_body(report, case.run.url, hidden)
    return {"issue": issues.report(repository, marker=hidden, title=title, body=body, author=writer)}


def issue_body(report: Report, run: str, hidden: str) -> str:
    """What happened and the evidence, within GitHub's limit. run: the run's address; hidden: the last line."""
    because = "\n\n".join(filter(None, [markdown.prose(report.headline), markdown.bullets(report.reasons)]))
    sections = [
        fitting.text("what happened", 0, because),
        *([fitting.text("what to do next", 0, f"**Next:** {markdown.prose(report.advice)}")] if report.advice else []),
        *(fitting.text(each.title, 1, markdown.table_section(each)) for each in markdown.tables_of(report)),
        *(fitting.text(each.title, 2, markdown.chart_section(each)) for each in report.charts),
        fitting.text("provenance", 3, markdown.provenance([report])),
    ]
    return fitting.fit(sections, end=f"{markdown.link('The run', run)}\n\n{hidden}", full_report=run)


@contextmanager
def _told(case: Case, doing: str, token: Secret) -> Iterator[Repository | None]:
    """The repository on GitHub; None outside of a workflow or without a token. What fails is remarked on, no more."""
    if not (case.run.repository and token):
        yield None
        return
    from slipway.github_api import client

    try:
        with client.connect(token, case.run) as hub:
            yield hub.get_repo(case.run.repository)
    except SlipwayError as failure:
        case.remark(f"GitHub could not {doing}: {failure.what} {failure.fix}".strip())
