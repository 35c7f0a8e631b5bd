"""Which pull request a fork's finished run belongs to: found by asking GitHub, never by asking the run.

The event names no pull request (`workflow_run.pull_requests` is empty for forks), and what the run uploads may name
any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from github.PullRequest import PullRequest
from github.Repository import Repository

from slipway.runner.context import Run
from slipway.runner.errors import InputError

CONCLUSIONS = ("success", "failure")
"""A run that was cancelled or skipped has nothing to tell; one that a gate failed has."""


class NothingToDoError(Exception):
    """The run has no pull request to comment on, for a reason that is part of normal life."""


@dataclass(frozen=True, kw_only=True)
class ForkRun:
    """A finished run of a fork's pull request, as GitHub's event tells it. id, attempt: of that run, not of ours."""

    id: int
    attempt: int
    head_sha: str
    head_branch: str
    head_owner: str
    head_repository_id: int
    repository_id: int


def of_event(run: Run, *, workflow: str) -> ForkRun:
    """The run that set off this one.

    workflow: path of the file that must have made it, such as `.github/workflows/model.yml`. A fork may add another
    file of the same name. Raises NothingToDoError where it is no fork's pull request's, InputError for another event.
    """
    told = run.event.get("workflow_run")
    if run.event_name != "workflow_run" or not isinstance(told, dict):
        raise InputError(
            f"The event is `{run.event_name}`, and this stage works on `workflow_run` only.",
            why="Only such a run has a token that may write, while the fork's own has not.",
            fix="Call it from a workflow with `on: workflow_run` (docs/comment-fork.md).",
        )
    here = run.event.get("repository") or {}
    if (told.get("repository") or {}).get("id") != here.get("id") or here.get("full_name") != run.repository:
        raise NothingToDoError("the run belongs to another repository.")
    if told.get("event") != "pull_request":
        raise NothingToDoError(f"the run was set off by `{told.get('event')}`, not by a pull request.")
    if told.get("conclusion") not in CONCLUSIONS:
        raise NothingToDoError(f"the run ended as `{told.get('conclusion')}`.")
    # GitHub writes the branch behind the path of a workflow that an organisation requires.
    path = str(told.get("path") or "").partition("@")[0]
    if path != workflow:
        raise NothingToDoError(f"the run is of the file {path[:100]!a}, and {workflow} was expected.")
    head = told.get("head_repository")
    if not isinstance(head, dict):
        raise NothingToDoError("the fork was deleted.")
    if head["id"] == here["id"]:
        raise NothingToDoError("the pull request is of this repository itself, and its own run may comment.")
    return ForkRun(
        id=int(told["id"]),
        attempt=int(told["run_attempt"]),
        head_sha=str(told["head_sha"]),
        head_branch=str(told["head_branch"]),
        head_owner=str(head["owner"]["login"]),
        head_repository_id=int(head["id"]),
        repository_id=int(here["id"]),
    )


def confirm(repository: Repository, told: ForkRun) -> Any:
    """The run as the API has it now. Raises NothingToDoError where it was started again since, or differs."""
    found = repository.get_workflow_run(told.id)
    if found.run_attempt != told.attempt or found.status != "completed":
        raise NothingToDoError("the run was started again, and its next attempt will be told of.")
    # A fork that was deleted since has no repository.
    head = found.raw_data.get("head_repository") or {}
    same = (found.event, found.head_sha, head.get("id"), found.repository.id)
    if same != ("pull_request", told.head_sha, told.head_repository_id, told.repository_id):
        raise NothingToDoError("GitHub's API tells of another run than the event does.")
    return found


def pull_request_of(repository: Repository, told: ForkRun) -> PullRequest:
    """The one open pull request to this repository from the run's branch, while its head is what the run worked on.

    Raises NothingToDoError where there is none, where there are several, and where the head has moved.
    """
    # The filter takes the fork's owner and branch; commit and repositories are compared here.
    opened = repository.get_pulls(state="open", head=f"{told.head_owner}:{told.head_branch}")
    ours = [pull for pull in opened if _joins(pull, told)]
    if not ours:
        raise NothingToDoError("no open pull request to this repository comes from the run's branch.")
    current = [pull for pull in ours if pull.head.sha == told.head_sha]
    if not current:
        raise NothingToDoError("the pull request has moved on since: the run of its newest commit will be told of.")
    if len(current) > 1:
        numbers = ", ".join(f"#{pull.number}" for pull in current)
        raise NothingToDoError(f"the branch has {len(current)} open pull requests ({numbers}), and one is expected.")
    return current[0]


def confirm_head(repository: Repository, number: int, told: ForkRun) -> None:
    """Look once more, right before writing. Raises NothingToDoError where the pull request moved on or was closed."""
    pull = repository.get_pull(number)
    if pull.state != "open" or not _joins(pull, told) or pull.head.sha != told.head_sha:
        raise NothingToDoError(f"pull request #{number} has moved on or was closed in the meantime.")


def _joins(pull: PullRequest, told: ForkRun) -> bool:
    """Whether a pull request would bring the run's repository into ours. A deleted fork has none."""
    head = pull.head.raw_data.get("repo") or {}
    return (head.get("id"), pull.base.repo.id) == (told.head_repository_id, told.repository_id)
