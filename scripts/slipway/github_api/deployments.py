"""A release shown as a GitHub Deployment with its statuses. It shows what the ledger says, and decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from github import GithubException
from github.Repository import Repository

from slipway.github_api import client
from slipway.runner.context import Run

TASK = "slipway"
"""What sets our deployments apart from those that GitHub makes for every job with an environment (`deploy`)."""

KEY, MODEL = "slipway", "model"
"""Fields of the payload: by which a deployment is found again, and of which model it is."""

PERMISSION = "deployments: write"
LONGEST_DESCRIPTION = 140
PAGE = 100
EARLIER = 10
"""How many earlier deployments of the model are looked at for the one that was live: each look is a request."""

Status = Literal["in_progress", "success", "failure", "inactive", "error"]
Told = dict[str, Any]


def begin(
    repository: Repository,
    run: Run,
    *,
    environment: str,
    key: str,
    description: str,
    production: bool,
    payload: Mapping[str, str],
) -> int:
    """The id of the deployment of `key`: found among the environment's newest, else made of the run's commit.

    payload: what the deployment carries besides the key; its `model` tells deployments of several models apart.
    RemoteError where GitHub refuses. Repeated, it makes nothing, also where the answer to an earlier try was lost.
    """
    said = {
        "ref": run.sha,
        "task": TASK,
        # GitHub would merge the default branch into the commit, or wait for every status of it.
        "auto_merge": False,
        "required_contexts": [],
        "payload": {**payload, KEY: key},
        "environment": environment,
        "description": _short(description),
        "transient_environment": False,
        "production_environment": production,
    }
    with client.explained(f"show a deployment to {environment}", permission=PERMISSION):
        found = _find(repository, environment, key)
        if found is not None:
            return found
        try:
            return _make(repository, said)
        except (GithubException, requests.RequestException) as error:
            _require_lost(error)
            found = _find(repository, environment, key)
            return found if found is not None else _make(repository, said)


def tell(
    repository: Repository,
    number: int,
    *,
    state: Status,
    description: str,
    log_url: str,
    environment_url: str = "",
    first: bool = False,
) -> None:
    """Give a deployment a status, unless its newest one says the same. RemoteError where GitHub refuses.

    first: only where it has none yet.
    An address that no browser opens, or that holds a password, is left out. After a `success` the model's earlier
    deployment to the environment becomes inactive.
    """
    said: Told = {
        "state": state,
        "description": _short(description),
        "log_url": _address(log_url),
        "environment_url": _address(environment_url),
        # GitHub would take down every model's deployment to the environment, and none of a production environment.
        "auto_inactive": False,
    }
    with client.explained(f"give deployment {number} the status {state}", permission=PERMISSION):
        newest = _newest(repository, number)
        if newest and first:
            return
        if newest is None or not _same(newest, said):
            try:
                newest = _add(repository, number, said)
            except (GithubException, requests.RequestException) as error:
                _require_lost(error)
                newest = _newest(repository, number)
                if newest is None or not _same(newest, said):
                    newest = _add(repository, number, said)
        if state == "success":
            _retire(repository, number, str(newest["environment"]), said["log_url"])


def _find(repository: Repository, environment: str, key: str) -> int | None:
    """The oldest one, so that two runs that raced agree from then on."""
    found = [int(each["id"]) for each in _listed(repository, environment) if _payload(each).get(KEY) == key]
    return min(found, default=None)


def _listed(repository: Repository, environment: str) -> list[Told]:
    """The newest of our deployments to an environment, newest first."""
    # Not PyGithub's: it asks for formats of a preview that ended, and for each deployment again.
    asked = {"environment": environment, "task": TASK, "per_page": str(PAGE)}
    _, said = repository.requester.requestJsonAndCheck("GET", f"{repository.url}/deployments", parameters=asked)
    return sorted(said or (), key=lambda each: int(each["id"]), reverse=True)


def _make(repository: Repository, said: Told) -> int:
    _, made = repository.requester.requestJsonAndCheck("POST", f"{repository.url}/deployments", input=said)
    return int(made["id"])


def _statuses(repository: Repository, number: int) -> list[Told]:
    """The statuses of a deployment, newest first."""
    path = f"{repository.url}/deployments/{number}/statuses?per_page={PAGE}"
    _, said = repository.requester.requestJsonAndCheck("GET", path)
    return sorted(said or (), key=lambda each: int(each["id"]), reverse=True)


def _newest(repository: Repository, number: int) -> Told | None:
    return next(iter(_statuses(repository, number)), None)


def _add(repository: Repository, number: int, said: Told) -> Told:
    path = f"{repository.url}/deployments/{number}/statuses"
    _, added = repository.requester.requestJsonAndCheck("POST", path, input=said)
    return dict(added)


def _same(newest: Told, said: Told) -> bool:
    # A later run that only finds the same is no news, though its log is another.
    return all((newest.get(name) or "") == said[name] for name in ("state", "description", "environment_url"))


def _retire(repository: Repository, number: int, environment: str, log_url: str) -> None:
    """Make the deployment inactive that was live before. A later try ends what this one did not."""
    listed = {int(each["id"]): _payload(each).get(MODEL) for each in _listed(repository, environment)}
    earlier = [each for each, model in listed.items() if each < number and model == listed.get(number)]
    for each in earlier[:EARLIER]:
        states = [str(status["state"]) for status in _statuses(repository, each)]
        if states[:1] == ["success"]:
            said = {"state": "inactive", "description": "A later one is live.", "log_url": log_url}
            _add(repository, each, {**said, "auto_inactive": False})
        # What was live before that one became inactive when it went live.
        if "success" in states:
            return


def _payload(told: Told) -> Mapping[str, Any]:
    """A deployment's payload: anybody may have given one, as an object or as its text."""
    payload = told.get("payload")
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return {}
    return payload if isinstance(payload, dict) else {}


def _require_lost(error: Exception) -> None:
    """Raise a refusal again; what is no refusal may have been done, and only its answer was lost."""
    if isinstance(error, GithubException) and error.status < 500:
        raise error


def _short(text: str) -> str:
    """One line of as many characters as GitHub takes."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_DESCRIPTION else f"{line[: LONGEST_DESCRIPTION - 1]}…"


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    except ValueError:
        return ""
    return url if usable and not any(sign.isspace() for sign in url) else ""
