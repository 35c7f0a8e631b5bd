"""Opens GitHub for a token, and turns its refusals into errors that say which permission is missing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from github import Auth, Github, GithubException, GithubRetry

from slipway.runner import commands
from slipway.runner.context import Run
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.inputs import Secret

ACTIONS_BOT = "github-actions[bot]"
INSTALLATION_TOKEN = "ghs_"  # noqa: S105 - what GITHUB_TOKEN and tokens of Apps start with
SECONDS_TO_ANSWER = 30
LONGEST_WAIT = 60
"""Seconds that a rate limit may hold the job at a time."""


class ReadOnlyForkError(RemoteError):
    """GitHub gives the workflows of a fork's pull request a token that may only read. Nobody did anything wrong."""


class Retry(GithubRetry):
    """Repeats what has the same effect twice (reads, edits, deletions), and whatever a rate limit kept from happening.

    By default PyGithub repeats a POST whose answer was lost, which writes a comment twice.
    """

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether an answer calls for another try; a 403 that is no rate limit is told apart after this."""
        return status_code in (403, 429) or super().is_retry(method, status_code, has_retry_after)


def connect(token: Secret, run: Run) -> Github:
    """A client for the server that the run belongs to (github.com or GitHub Enterprise Server)."""
    if not re.fullmatch(r"[!-~]+", token.reveal()):
        # requests would name the whole header in its error.
        raise InputError(
            "The token is not a token: it has spaces, line ends or other signs that none has.",
            fix="Give `github-token: ${{ github.token }}`.",
        )
    # PyGithub prints a line for every 403, which errors of ours explain better.
    logging.getLogger("github").setLevel(logging.ERROR)
    return Github(
        base_url=run.api_url,
        auth=Auth.Token(token.reveal()),
        lazy=True,
        per_page=100,
        timeout=SECONDS_TO_ANSWER,
        # PyGithub waits between calls by default, for the sake of long crawls; a stage makes a handful of calls.
        seconds_between_requests=None,
        seconds_between_writes=None,
        retry=Retry(
            total=3,
            backoff_factor=0.5,
            allowed_methods={"GET", "PATCH", "DELETE"},
            raise_on_status=False,
            max_rate_limit_wait=LONGEST_WAIT,
            retry_after_max=LONGEST_WAIT,
        ),
        user_agent="slipway",
    )


def login(client: Github, told: str = "") -> str:
    """Who the token writes as: what the caller told, else the token's user, else the Actions bot.

    Installation tokens, GITHUB_TOKEN among them, may not ask who they are (403).
    """
    if told:
        return told
    auth = client.requester.auth
    if auth and auth.token.startswith(INSTALLATION_TOKEN):
        return ACTIONS_BOT
    try:
        return client.get_user().login
    except GithubException as refused:
        if refused.status == 403 and not _is_limit(refused):
            return ACTIONS_BOT
        raise


def warn_of_author(writer: str, told: str, without: str) -> None:
    """Warn where the token writes as somebody else than the caller told: what it wrote is looked for by its author."""
    if writer.casefold() != told.casefold():
        commands.warning(
            f"The token writes as {writer}, not as {told}.\nWhat to do: set `comment-author: {writer}`. "
            f"Without it {without}."
        )


@contextmanager
def explained(doing: str, *, permission: str, from_fork: bool = False) -> Iterator[None]:
    """Turn GitHub's and the network's refusals into RemoteError.

    `doing` completes "GitHub refused to …"; `permission` is the line that the job's `permissions:` block needs.
    """
    try:
        yield
    except GithubException as error:
        raise _refusal(error, doing, permission, from_fork) from error
    except requests.RequestException as error:
        raise RemoteError(
            f"GitHub did not answer when asked to {doing}.",
            why=f"{type(error).__name__}: {error}"[:500],
            fix="Check that the runner reaches the API's address, and run the job again.",
        ) from error


def _refusal(error: GithubException, doing: str, permission: str, from_fork: bool) -> RemoteError:
    what, why = f"GitHub refused to {doing} ({error.status}).", _said(error)
    if _is_limit(error):
        why = why or "You have exceeded a rate limit."
        return RemoteError(what, why=why, fix="The token's rate limit is used up: run the job again later.")
    if error.status == 401:
        return RemoteError(
            f"GitHub refused to {doing}: the token is not valid.",
            why=why,
            fix="Give `github-token: ${{ github.token }}`; a token of your own may have expired.",
        )
    if error.status == 404:
        return RemoteError(
            what,
            why=why,
            fix="Check the number. A token that may not see a repository gets the same answer: the job then needs\n"
            f"  permissions:\n    {permission}",
        )
    if error.status != 403:
        return RemoteError(what, why=why, fix="Run the job again; if it persists, look at GitHub's status page.")
    if "locked" in why or "archived" in why:
        return RemoteError(what, why=why, fix="Unlock the conversation (or the repository), and run the job again.")
    if from_fork:
        return ReadOnlyForkError(
            what,
            why="The pull request comes from a fork, and GitHub gives its workflows a read-only token.",
            fix="Nothing is wrong in your setup: the rendered comment is in the run's summary "
            "(docs/post-report.md, Pull requests from forks), and comment-fork.yml can post it.",
        )
    return RemoteError(
        what,
        why=why,
        fix=f"Add to the job:\n  permissions:\n    {permission}\nIf it is there, an organisation's policy may make "
        "tokens read-only (Settings, Actions, Workflow permissions). Dependabot's runs have a read-only token unless "
        "their job has these lines.",
    )


def _is_limit(error: GithubException) -> bool:
    # After the last repetition the text is gone: PyGithub has read it to see whether it speaks of a limit.
    return error.status == 429 or (error.status == 403 and (not error.data or "rate limit" in _said(error).lower()))


def _said(error: GithubException) -> str:
    """What GitHub said, as text. What stands in front of its API answers with HTML pages."""
    data = error.data.decode(errors="replace") if isinstance(error.data, bytes) else error.data
    data = data if isinstance(data, dict) else {"data": data}
    details = [each.get("message") if isinstance(each, dict) else each for each in data.get("errors") or ()]
    said = [str(part) for part in (data.get("message") or data.get("data"), *details) if part]
    return " ".join(re.sub(r"<[^>]*>", " ", " ".join(said)).split())[:500]
