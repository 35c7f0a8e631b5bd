"""What GitHub tells of approvals: of a run's environments, of a pull request's reviews; and who made the change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from github.NamedUser import NamedUser
from github.Repository import Repository

from slipway.approval.judging import MACHINES, NOBODY, Approval, State
from slipway.github_api import client, deployments
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
        named = (one for one in each.get("environments") or () if _same(one.get("name"), environment))
        approved = next(named, None)
        if approved is None:
            continue
        user = each.get("user") or {}
        found.append(
            Approval(
                login=str(user.get("login") or NOBODY),
                id=int(user.get("id") or 0),
                state=each.get("state"),
                comment=str(each.get("comment") or ""),
                after=after,
                before=before,
                sources=sources,
                environment=str(approved["name"]),
                environment_id=int(approved.get("id") or 0),
            )
        )
    return tuple(found)


def _same(name: object, environment: str) -> bool:
    """Whether GitHub takes both names for one environment."""
    return str(name or "").lower() == environment.lower()


def _waited(
    repository: Repository, run: Run, environment: str
) -> tuple[datetime | None, datetime | None, tuple[str, str]]:
    """From when the run's job waited for the environment, and when it went on; None for what no status tells."""
    with client.explained(f"list the deployments to {environment}", permission="deployments: read"):
        for deployment in repository.get_deployments(sha=run.sha, environment=environment):
            if deployment.task == deployments.TASK:  # deploy-model shows it; no job has waited for it
                continue
            # Not PyGithub's statuses: they lack the address of the log, and ask for each of them again.
            _, said = repository.requester.requestJsonAndCheck("GET", f"{deployment.statuses_url}?per_page=100")
            if not any(f"/actions/runs/{run.run_id}/" in f"{_address(each)}/" for each in said or ()):
                continue
            statuses = sorted((_moment(each["created_at"]), str(each["state"])) for each in said)
            waiting = [moment for moment, state in statuses if state == WAITING]
            gone_on = [moment for moment, state in statuses if state != WAITING]
            after = waiting[-1] if waiting else None
            before = next((each for each in gone_on if after is None or each >= after), None)
            return after, before, ("deployment status `waiting`", "the deployment status after it")
    return None, None, ("", "")


def _address(status: Mapping[str, Any]) -> str:
    return str(status.get("log_url") or status.get("target_url") or "")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def of_reviews(repository: Repository, number: int) -> tuple[Approval, ...]:
    """The newest word of each reviewer of a pull request. RemoteError where GitHub does not tell."""
    newest: dict[int, Approval] = {}
    with client.explained(f"list the reviews of pull request #{number}", permission="pull-requests: read"):
        for each in repository.get_pull(number).get_reviews():
            state = OF_REVIEWS.get(each.state, "pending")
            login, number_of = _account(each.user)
            known = newest.get(number_of)
            # A comment after an approval does not take it back.
            if known and state in ("commented", "pending"):
                continue
            newest[number_of] = Approval(
                login=login or NOBODY,
                id=number_of,
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


def _account(user: NamedUser | None) -> tuple[str, int]:
    """Login and id; nothing for an account that was deleted, or an address that belongs to none."""
    return (user.login, user.id) if user is not None else ("", 0)


def _people(repository: Repository, run: Run, commit: str) -> Iterator[tuple[str, str]]:
    with client.explained(f"read who made commit {commit[:12]}", permission="pull-requests: read"):
        made = repository.get_commit(commit)
        for each in made.get_pulls():
            yield _account(each.user)[0], f"author of pull request #{each.number}"
        for role, account in (("committer", made.committer), ("author", made.author)):
            login, _ = _account(account)
            if login not in MACHINES:
                yield login, f"{role} of {commit[:12]}"
    yield run.actor, "who the run acts for"
    yield run.triggering_actor, "who started the run"
