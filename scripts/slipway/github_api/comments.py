"""One sticky comment per pull request and model: found by marker and author, updated in place, safe against races."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

import requests
from github import GithubException, UnknownObjectException
from github.Issue import Issue
from github.IssueComment import IssueComment

from slipway.github_api import client

RUN = re.compile(r"<!-- slipway:(?:fork-)?report model=[0-9a-f]+ run=([0-9]{1,19})\.([0-9]{1,9}) ")


@dataclass(frozen=True)
class Posted:
    """What became of a comment: created, updated, unchanged, or left alone because a newer run has written it."""

    url: str
    action: str


def post(issue: Issue, body: str, *, marker: str, author: str) -> Posted:
    """Bring the pull request's comment whose last line starts with `marker` to `body`, which ends with such a line.

    Only a comment of `author` counts: anybody can write a comment with our marker in it. Where two runs race, the
    newer run's text stays, in the oldest comment, and the other comment is deleted. What no look can see is an older
    run's edit on its way at the same moment as ours: GitHub has no conditional edit.
    """
    mine = _find(issue, marker, author)
    if mine:
        return _settle(mine, body)
    created = _create(issue, body, marker, author)
    writer = created.user.login
    client.warn_of_author(
        writer, author, "every run posts a new comment before it finds the old one, and everybody is notified again"
    )
    # Another run may have created its own between our look and our creation; both runs look again and agree.
    mine = _find(issue, marker, writer)
    return _settle(mine, body) if len(mine) > 1 else Posted(created.html_url, "created")


def _create(issue: Issue, body: str, marker: str, author: str) -> IssueComment:
    """Create the comment once, even where GitHub did the work and its answer was lost on the way."""
    try:
        return issue.create_comment(body)
    except (GithubException, requests.RequestException) as error:
        if isinstance(error, GithubException) and error.status < 500:
            raise
        written = [comment for comment in _find(issue, marker, author) if comment.body == body]
        return written[0] if written else issue.create_comment(body)


def _settle(mine: list[IssueComment], body: str) -> Posted:
    """Keep the oldest comment with the newest run's text, and delete the others."""
    kept, *others = sorted(mine, key=lambda comment: comment.id)
    newest = max([body, *(comment.body for comment in mine)], key=_run)
    changed = kept.body != newest
    if changed:
        kept.edit(newest)
    for other in others:
        _delete(other)
    if _run(newest) > _run(body):
        return Posted(kept.html_url, "left to a newer run")
    return Posted(kept.html_url, "updated" if changed else "unchanged")


def _delete(comment: IssueComment) -> None:
    with contextlib.suppress(UnknownObjectException):  # the run that raced with us may have deleted it already
        comment.delete()


def _find(issue: Issue, marker: str, author: str) -> list[IssueComment]:
    """Our comments, over all pages. A deleted account's comment has no author."""
    return [
        comment
        for comment in issue.get_comments()
        if getattr(comment.user, "login", "").casefold() == author.casefold()
        and last_line(comment.body).startswith(marker)
    ]


def last_line(body: str) -> str:
    """The hidden line. It is the last one; what stands above it can hold somebody's text that looks like it."""
    return (body or "").rstrip().rpartition("\n")[2]


def _run(body: str) -> tuple[int, int]:
    """Run and attempt that wrote a body; run ids only grow."""
    found = RUN.match(last_line(body))
    return (int(found[1]), int(found[2])) if found else (0, 0)
