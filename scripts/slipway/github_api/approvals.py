"""What GitHub tells of approvals: of a run's environments, of a pull request's reviews; and who made the change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from github.Repository import Repository

from slipway.approval.judging import MACHINES, NOBODY, Approval, State
from slipway.github_api import client
from slipway.runner.context import Run

WAITING = "waiting"
OF_REVIEWS: dict[str, State] = {
    "APPROVED": "approved",
    "CHANGES_REQUESTED": "changes requested",
    "DISMISSED": "dismissed",
    "COMMENTED": "commented",
    "PENDING": "pending",
}


def of_environment(repository: Repository, run: Run, environment: str) -> tuple[Approval, ...]:
    """What people said of this run's use of an environment, with the interval in which they did.

    RemoteError where GitHub does not tell.
    """
    path = f"{repository.url}/actions/runs/{run.run_id}/approvals"
    with client.explained(f"list the approvals of run {run.run_id}", permission="actions: read"):
        _, said = repository.requester.requestJsonAndCheck("GET", path)
    after, before, sources = _waited(repository, run, environment)
    found = []
    for each in said or ():
        names = [str(one.get("name", "")).lower() for one in each.get("environments") or ()]
        if environment.lower() not in names:
            continue
        login, number = _account(each, "user")
        found.append(
            Approval(
                login=login or NOBODY,
                id=number,
                state=each.get("state"),
                comment=str(each.get("comment") or ""),
                after=after,
                before=before,
                sources=sources,
            )
        )
    return tuple(found)


def _waited(
    repository: Repository, run: Run, environment: str
) -> tuple[datetime | None, datetime | None, tuple[str, str]]:
    """From when the run's job waited for the environment, and when it went on; None for what no status tells."""
    with client.explained(f"list the deployments to {environment}", permission="deployments: read"):
        for deployment in repository.get_deployments(sha=run.sha, environment=environment):
            statuses = sorted(deployment.get_statuses(), key=lambda each: each.created_at)
            if not any(f"/actions/runs/{run.run_id}/" in f"{_address(each)}/" for each in statuses):
                continue
            waiting = [each.created_at for each in statuses if each.state == WAITING]
            gone_on = [each.created_at for each in statuses if each.state != WAITING]
            after = waiting[-1] if waiting else None
            before = next((each for each in gone_on if after is None or each >= after), None)
            return after, before, ("deployment status `waiting`", "the deployment status after it")
    return None, None, ("", "")


def _address(status: Any) -> str:
    return str(status.raw_data.get("log_url") or status.target_url or "")


def of_reviews(repository: Repository, number: int) -> tuple[Approval, ...]:
    """The newest word of each reviewer of a pull request. RemoteError where GitHub does not tell."""
    newest: dict[int, Approval] = {}
    with client.explained(f"list the reviews of pull request #{number}", permission="pull-requests: read"):
        for each in repository.get_pull(number).get_reviews():
            state = OF_REVIEWS.get(each.state, "pending")
            user = _account(each.raw_data, "user")
            known = newest.get(user[1])
            # A comment after an approval does not take it back.
            if known and state in ("commented", "pending"):
                continue
            newest[user[1]] = Approval(
                login=user[0] or NOBODY,
                id=user[1],
                state=state,
                comment=each.body or "",
                after=each.submitted_at,
                before=each.submitted_at,
                sources=("the review's `submitted_at`", ""),
                commit=each.commit_id or "",
            )
    return tuple(newest.values())


def involved(repository: Repository, run: Run, commit: str) -> dict[str, str]:
    """What each person has to do with a change, by login in lower case. RemoteError where GitHub does not tell."""
    found: dict[str, str] = {}
    for login, what in _people(repository, run, commit):
        found.setdefault(login.lower(), what)
    found.pop("", None)
    return found


def _account(said: dict[str, Any], role: str) -> tuple[str, int]:
    """Login and id; nothing for an account that was deleted, or an address that belongs to none."""
    user = said.get(role) or {}
    return str(user.get("login") or ""), int(user.get("id") or 0)


def _people(repository: Repository, run: Run, commit: str) -> Iterator[tuple[str, str]]:
    with client.explained(f"read who made commit {commit[:12]}", permission="pull-requests: read"):
        made = repository.get_commit(commit)
        for each in made.get_pulls():
            yield _account(each.raw_data, "user")[0], f"author of pull request #{each.number}"
        for role in ("committer", "author"):
            login, _ = _account(made.raw_data, role)
            if login not in MACHINES:
                yield login, f"{role} of {commit[:12]}"
    yield run.actor, "who the run acts for"
    yield run.triggering_actor, "who started the run"
