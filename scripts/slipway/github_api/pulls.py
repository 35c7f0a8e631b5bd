"""Opens a pull request from a branch, or finds the one that is open already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from github import GithubException

from slipway.github_api import client
from slipway.runner.errors import RemoteError

if TYPE_CHECKING:
    from github.PullRequest import PullRequest
    from github.Repository import Repository

PERMISSION = "pull-requests: write"
NOT_ALLOWED = "not permitted to create"
"""Part of what GitHub says where the repository's settings forbid it."""


def open_for(repository: Repository, branch: str, *, base: str, title: str, body: str) -> PullRequest:
    """The open pull request of a branch, with this text; made where there is none.

    Raises RemoteError where GitHub refuses, with the setting that must be changed where it is one.
    """
    with client.explained("look for the pull request", permission=PERMISSION):
        owner = repository.full_name.partition("/")[0]
        found = next(iter(repository.get_pulls(state="open", head=f"{owner}:{branch}")), None)
        if found is not None:
            found.edit(title=title, body=body)
            return found
    try:
        with client.explained("open a pull request", permission=PERMISSION):
            return repository.create_pull(base=base, head=branch, title=title, body=body)
    except RemoteError as refused:
        cause = refused.__cause__
        if isinstance(cause, GithubException) and NOT_ALLOWED in str(cause.data):
            raise RemoteError(
                refused.what,
                why=refused.why,
                fix="Allow it: Settings, Actions, General, “Allow GitHub Actions to create and approve pull requests” "
                f"(of the organisation, too). The branch `{branch}` is there: run the job again, or open it by hand.",
            ) from cause
        raise
