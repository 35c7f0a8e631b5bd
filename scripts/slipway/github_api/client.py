"""Opens GitHub for a token, and turns its refusals into errors that say which permission is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import github
import requests
from github import Auth, Github, GithubException, GithubRetry

from slipway.runner.context import Run
from slipway.runner.errors import RemoteError
from slipway.runner.inputs import Secret

ACTIONS_BOT = "github-actions[bot]"
SECONDS_TO_ANSWER = 30


def connect(token: Secret, run: Run) -> Github:
    """A client for the server that the run belongs to (github.com or GitHub Enterprise Server)."""
    return Github(
        base_url=run.api_url,
        auth=Auth.Token(token.reveal()),
        lazy=True,
        per_page=100,
        timeout=SECONDS_TO_ANSWER,
        # PyGithub waits between calls by default, for the sake of long crawls; a stage makes a handful of calls.
        seconds_between_requests=None,
        seconds_between_writes=None,
        # By default it repeats a POST whose answer was lost, which writes a comment twice. Only reads are repeated.
        retry=GithubRetry(
            total=3, backoff_factor=0.5, allowed_methods={"GET"}, raise_on_status=False, max_rate_limit_wait=60
        ),
        user_agent="slipway",
    )


def login(client: Github, told: str = "") -> str:
    """Who the token writes as: what the caller told, else the token's user, else the Actions bot.

    Installation tokens, GITHUB_TOKEN among them, may not ask who they are (403).
    """
    if told:
        return told
    try:
        return client.get_user().login
    except GithubException as refused:
        if refused.status in (401, 403):
            return ACTIONS_BOT
        raise


@contextmanager
def explained(doing: str, *, permission: str, from_fork: bool = False) -> Iterator[None]:
    """Turn GitHub's and the network's refusals into RemoteError.

    `doing` completes "GitHub refused to …"; `permission` is the line that the job's `permissions:` block needs.
    """
    try:
        yield
    except github.BadCredentialsException as error:
        raise RemoteError(
            f"GitHub refused to {doing}: the token is not valid.",
            why=_said(error),
            fix="Give `github-token: ${{ github.token }}`.",
        ) from error
    except GithubException as error:
        raise _refusal(error, doing, permission, from_fork) from error
    except requests.RequestException as error:
        raise RemoteError(
            f"GitHub did not answer when asked to {doing}.",
            why=f"{type(error).__name__}: {error}"[:500],
            fix="Check that the runner reaches the API's address, and run the job again.",
        ) from error


def _refusal(error: GithubException, doing: str, permission: str, from_fork: bool) -> RemoteError:
    what = f"GitHub refused to {doing} ({error.status})."
    if error.status == 403 and "rate limit" in _said(error).lower():
        return RemoteError(what, why=_said(error), fix="The token's rate limit is used up: run the job again later.")
    if error.status in (403, 404) and from_fork:
        return RemoteError(
            what,
            why="The pull request comes from a fork, and GitHub gives its workflows a read-only token.",
            fix="Nothing is wrong in your setup: the rendered comment is in the run's summary. Comments on pull "
            "requests from forks need a second workflow, started by `workflow_run` (docs/post-report.md).",
        )
    if error.status in (403, 404):
        return RemoteError(
            what,
            why=_said(error),
            fix=f"Add to the job:\n  permissions:\n    {permission}\nIf it is there, an organisation's policy may "
            "make tokens read-only (Settings, Actions, Workflow permissions), and Dependabot's runs always have a "
            "read-only token.",
        )
    return RemoteError(what, why=_said(error), fix="Run the job again; if it persists, look at GitHub's status page.")


def _said(error: GithubException) -> str:
    data = error.data
    return str(data.get("message", data)) if isinstance(data, dict) else str(data)
