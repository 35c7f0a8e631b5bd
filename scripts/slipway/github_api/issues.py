"""One open issue for one cause: found by marker and author, brought up to date in place, closed when it is mended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import requests
from github import GithubException
from github.Repository import Repository

from slipway.github_api import client, comments
from slipway.report.markdown import prose
from slipway.runner.errors import RemoteError

PERMISSION = "issues: write"
LONGEST_TITLE = 256
PAGE = 100
AGAIN = "It happened again: the text above tells of the newest time, and its history of the earlier ones."

Told = dict[str, Any]


def report(
    repository: Repository,
    *,
    marker: str,
    title: str,
    body: str,
    author: str,
    label: str = "slipway-rollback",
    news: str = AGAIN,
) -> str:
    """The address of the open issue of `author` whose body ends with the hidden line `marker`, with this text.

    Opened where there is none. Where its text changes, a comment says `news` (a plain sentence): nobody is told of an
    edit. Of two runs that race, the older issue stays. RemoteError where GitHub refuses. body: Markdown that ends
    with `marker`.
    """
    said: Told = {"title": _short(title), "body": body}
    with _explained("open an issue"):
        mine = _open(repository, marker, author)
        if mine:
            _update(repository, mine[0], said, news, author)
            return _alone(repository, mine, author)
        made = _make(repository, {**said, "labels": [label]}, marker, author)
        writer = str(made["user"]["login"])
        client.warn_of_author(writer, author, "every run opens a new issue before it finds the old one")
        # Another run may have opened its own between our look and ours; both runs look again and agree.
        mine = _open(repository, marker, writer) or [made]
        if mine[0]["number"] != made["number"]:
            _update(repository, mine[0], said, news, writer)
        return _alone(repository, mine, writer)


def close(repository: Repository, *, marker: str, author: str, why: str) -> str | None:
    """Close the issue with a comment; its address, or None where none is open. why: a plain sentence.

    RemoteError where GitHub refuses.
    """
    with _explained("close an issue"):
        mine = _open(repository, marker, author)
        for each in mine:
            _say(repository, each, prose(why), author, about=why)
            _edit(repository, each, {"state": "closed", "state_reason": "completed"})
        return str(mine[0]["html_url"]) if mine else None


def _update(repository: Repository, issue: Told, said: Told, news: str, author: str) -> None:
    if issue["body"] != said["body"]:
        # First: a run that dies between the two says it when it runs again, and says it once.
        _say(repository, issue, prose(news), author, about=said["body"])
    if (issue["title"], issue["body"]) != (said["title"], said["body"]):
        _edit(repository, issue, said)


def _alone(repository: Repository, mine: list[Told], author: str) -> str:
    """Close all but the oldest; the address of that."""
    kept, *others = mine
    for each in others:
        _say(repository, each, f"Told in #{kept['number']}.", author, about="told elsewhere")
        _edit(repository, each, {"state": "closed", "state_reason": "not_planned"})
    return str(kept["html_url"])


def _open(repository: Repository, marker: str, author: str) -> list[Told]:
    """Our open issues, the oldest first.

    Not found by their label: GitHub leaves out, without a word, those that a token may not give.
    """
    found = [
        each
        for each in _of_author(repository, author)
        if "pull_request" not in each
        and str((each.get("user") or {}).get("login", "")).casefold() == author.casefold()
        and comments.last_line(str(each.get("body") or "")) == marker
    ]
    return sorted(found, key=lambda each: int(each["number"]))


def _of_author(repository: Repository, author: str) -> Iterator[Told]:
    for page in count(1):
        asked = {"state": "open", "creator": author, "per_page": str(PAGE), "page": str(page)}
        try:
            # Not PyGithub's: to see whether one is a pull request it asks for each of them again.
            _, said = repository.requester.requestJsonAndCheck("GET", f"{repository.url}/issues", parameters=asked)
        except GithubException as refused:
            # What GitHub says of an account that does not exist.
            if refused.status == 422:
                return
            raise
        yield from said
        if len(said) < PAGE:
            return


def _make(repository: Repository, said: Told, marker: str, author: str) -> Told:
    """Open the issue once, even where GitHub did the work and its answer was lost on the way."""
    try:
        return _post(repository, said)
    except (GithubException, requests.RequestException) as error:
        if isinstance(error, GithubException) and error.status < 500:
            raise
        written = [each for each in _open(repository, marker, author) if each["body"] == said["body"]]
        return written[0] if written else _post(repository, said)


def _post(repository: Repository, said: Told) -> Told:
    try:
        _, made = repository.requester.requestJsonAndCheck("POST", f"{repository.url}/issues", input=said)
        return dict(made)
    except GithubException as refused:
        if "labels" not in said or refused.status not in (403, 422) or "label" not in str(refused.data).lower():
            raise
        # The label is for people who look for such issues: nobody goes untold for lack of it.
        return _post(repository, {"title": said["title"], "body": said["body"]})


def _edit(repository: Repository, issue: Told, said: Told) -> None:
    repository.requester.requestJsonAndCheck("PATCH", f"{repository.url}/issues/{issue['number']}", input=said)


def _say(repository: Repository, issue: Told, text: str, author: str, *, about: str) -> None:
    """Comment on what happened (Markdown), once about a cause."""
    stamp = f"<!-- slipway:issue about={hashlib.sha256(about.encode()).hexdigest()[:16]} -->"
    shown = repository.get_issue(int(issue["number"]))
    comments.post(shown, f"{text}\n\n{stamp}", marker=stamp, author=author)


def _short(title: str) -> str:
    """One line of as many characters as GitHub takes."""
    line = " ".join(title.split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        with client.explained(doing, permission=PERMISSION):
            yield
    except RemoteError as failure:
        if not isinstance(failure.__cause__, GithubException) or failure.__cause__.status != 410:
            raise
        fix = "Switch issues on (Settings, General, Features), or set `open-issue: false`."
        raise RemoteError(failure.what, why=failure.why, fix=fix) from failure.__cause__
