"""The labels of the pull request that a release comes from: they may raise its tier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipway.runner.context import Run
from slipway.runner.inputs import Secret


@dataclass(frozen=True)
class Labels:
    """names: every label of the pull requests. remarks: why there may be others."""

    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def of(run: Run, commit: str, token: Secret) -> Labels:
    """The labels of the run's own pull request, or else of those that brought the candidate's commit.

    Raises RemoteError where GitHub does not tell: a label that was not read must not lower a tier.
    """
    if run.pull_request:
        return Labels(_names(run.pull_request.get("labels")))
    if not (run.repository and token and commit):
        return Labels(remarks=("No labels were read: there is no pull request here, or no `github-token`.",))
    from slipway.github_api import client

    doing = f"list the pull requests of commit {commit[:12]}"
    with client.explained(doing, permission="pull-requests: read"), client.connect(token, run) as hub:
        found = hub.get_repo(run.repository).get_commit(commit).get_pulls()
        names = [label.name for each in found for label in each.labels]
    return Labels(tuple(dict.fromkeys(names)))


def _names(said: Any) -> tuple[str, ...]:
    return tuple(str(each.get("name")) for each in said or () if isinstance(each, dict))
