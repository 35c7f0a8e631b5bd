"""Starts the workflow that retrains, and finds its runs again by the key that they show in their title."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from github import GithubException
from github.Repository import Repository
from github.Workflow import Workflow
from github.WorkflowRun import WorkflowRun

from slipway.github_api import client
from slipway.governor.facts import InFlight
from slipway.governor.keys import in_title
from slipway.runner.errors import RemoteError

NOT_ENDED = ("requested", "pending", "queued", "waiting", "in_progress")
"""States of a run that has not ended: https://docs.github.com/rest/actions/workflow-runs. They are asked for one after
the other, in the order of a run's life: one that moves on meanwhile is seen all the same."""

PAUSES = (1.0, 2.0, 4.0)
"""Seconds between looks for a run that was just started: GitHub lists it after a moment."""

LISTING = "actions: read"
NOT_KNOWN_THERE = "return_run_details"
"""What a GitHub Enterprise Server of before 2026 names that does not know it yet."""


class RefusedError(RemoteError):
    """GitHub said no: nothing was started."""


class UnsureError(RemoteError):
    """GitHub's answer was lost, or was an error of its own: something may have been started."""


@dataclass(frozen=True)
class Started:
    """The run that was started; `run_id` is 0 where GitHub did not say."""

    run_id: int = 0
    url: str = ""


def in_flight(repository: Repository, workflow: str) -> tuple[InFlight, ...]:
    """The runs of a workflow that have not ended, whoever started them. RemoteError where GitHub does not tell."""
    with _explained(f"list the runs of {workflow}", workflow, LISTING):
        found = repository.get_workflow(workflow)
        runs = {run.id: run for status in NOT_ENDED for run in found.get_runs(status=status)}
        return tuple(InFlight(run.id, run.status, run.html_url, in_title(run.display_title)) for run in runs.values())


def runs_since(repository: Repository, workflow: str, event: str, since: datetime) -> dict[int, tuple[str, str]]:
    """Runs of a workflow by one event that began since a moment: page and key by their ids.

    RemoteError where GitHub does not tell.
    """
    with _explained(f"list the runs of {workflow}", workflow, LISTING):
        found: dict[int, tuple[str, str]] = {}
        for run in repository.get_workflow(workflow).get_runs(event=event):  # the newest come first
            if run.created_at < since:
                break
            found[run.id] = (run.html_url, in_title(run.display_title))
        return found


def started(repository: Repository, workflow: str, event: str, key: str, since: datetime) -> Started | None:
    """The run that shows a key in its title, after a few looks; None where there is none."""
    for pause in (*PAUSES, 0.0):
        for run_id, (url, shown) in runs_since(repository, workflow, event, since).items():
            if shown == key:
                return Started(run_id, url)
        time.sleep(pause)
    return None


def default_branch(repository: Repository) -> str:
    """The branch that is retrained where none is named. RemoteError where GitHub does not tell."""
    with client.explained("tell the default branch", permission="contents: read"):
        return repository.default_branch


def by_workflow(repository: Repository, workflow: str, branch: str, inputs: Mapping[str, str]) -> Started:
    """Send `workflow_dispatch`, and give the run that it started.

    Raises:
        RefusedError: nothing was started.
        UnsureError: something may have been started.
    """
    with _certain(f"start the workflow {workflow}", workflow, "actions: write"):
        found = repository.get_workflow(workflow)
        try:
            run = _dispatched(found, branch, inputs, details=True)
        except GithubException as refused:
            if refused.status not in (400, 422) or NOT_KNOWN_THERE not in str(refused.data):
                raise
            run = _dispatched(found, branch, inputs, details=False)
        return Started(run.id, run.html_url) if isinstance(run, WorkflowRun) else Started()


def by_repository(repository: Repository, workflow: str, event_type: str, payload: Mapping[str, Any]) -> Started:
    """Send `repository_dispatch`, which says nothing of the run that it starts.

    Raises RefusedError and UnsureError as `by_workflow` does.
    """
    with _certain(f"send the event {event_type}", workflow, "contents: write"):
        said = {"event_type": event_type, "client_payload": dict(payload)}
        # PyGithub's own method does not tell one refusal from another.
        repository.requester.requestJsonAndCheck("POST", f"{repository.url}/dispatches", input=said)
        return Started()


def _dispatched(workflow: Workflow, branch: str, inputs: Mapping[str, str], *, details: bool) -> object:
    if details:
        return workflow.create_dispatch(branch, dict(inputs), throw=True, return_run_details=True)
    return workflow.create_dispatch(branch, dict(inputs), throw=True)


@contextmanager
def _certain(doing: str, workflow: str, permission: str) -> Iterator[None]:
    """Tell what certainly started nothing from what may have."""
    try:
        with _explained(doing, workflow, permission):
            yield
    except RemoteError as failure:
        cause = failure.__cause__
        # 408: GitHub gave up waiting, and may have read it all. Whatever else is 4xx was refused.
        refused = isinstance(cause, GithubException) and 400 <= cause.status < 500 and cause.status != 408
        kind = RefusedError if refused else UnsureError
        raise kind(failure.what, why=failure.why, fix=failure.fix) from cause


@contextmanager
def _explained(doing: str, workflow: str, permission: str) -> Iterator[None]:
    try:
        with client.explained(doing, permission=permission):
            yield
    except RemoteError as failure:
        status = failure.__cause__.status if isinstance(failure.__cause__, GithubException) else 0
        if status not in (404, 422):
            raise
        fix = (
            f"Check that .github/workflows/{workflow} is on the default branch, and that the job has\n"
            f"  permissions:\n    {permission}"
        )
        if status == 422:
            fix = (
                f".github/workflows/{workflow} must be enabled, on that branch, and declare the trigger with the "
                "inputs `reason`, `key` and `payload` (docs/dispatch-retraining.md, The workflow that retrains)."
            )
        raise RemoteError(failure.what, why=failure.why, fix=fix) from failure.__cause__
