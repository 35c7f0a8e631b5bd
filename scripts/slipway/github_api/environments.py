"""GitHub Environments: how one is protected, what of it is not as the policy says, and how to mend it.

An environment that does not exist is created without any protection by the first job that names it, so its absence is
never taken for "nothing to check": https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from github import GithubException
from github.Repository import Repository

from slipway.github_api import client
from slipway.policy.release import Environment

READING = "actions: read"


@dataclass(frozen=True)
class Protection:
    """How an environment is protected. exists: False where GitHub has none of that name, and the rest is empty.

    reviewers: logins and `team/<slug>`. branches: patterns; None where every branch may deploy, or every protected one.
    """

    exists: bool
    reviewers: tuple[str, ...] = ()
    prevents_self_review: bool = False
    admins_bypass: bool = True
    branches: tuple[str, ...] | None = None
    wait_minutes: int = 0
    id: int = 0


@dataclass(frozen=True)
class Finding:
    """One rule of the policy and whether the environment has it."""

    name: str
    holds: bool
    detail: str


def look(repository: Repository, name: str) -> Protection:
    """How an environment is protected. RemoteError where GitHub does not tell."""
    path = f"{repository.url}/environments/{quote(name, safe='')}"
    with client.explained(f"show the environment {name}", permission=READING):
        try:
            _, said = repository.requester.requestJsonAndCheck("GET", path)
        except GithubException as error:
            if error.status == 404:
                return Protection(exists=False)
            raise
        rules = {str(each.get("type")): each for each in said.get("protection_rules") or ()}
        review = rules.get("required_reviewers", {})
        custom = (said.get("deployment_branch_policy") or {}).get("custom_branch_policies")
        return Protection(
            exists=True,
            reviewers=tuple(sorted(_reviewer(each) for each in review.get("reviewers") or ())),
            prevents_self_review=bool(review.get("prevent_self_review")),
            # A server that does not say it does not have the switch: administrators may pass.
            admins_bypass=bool(said.get("can_admins_bypass", True)),
            branches=_branches(repository, path) if custom else None,
            wait_minutes=int(rules.get("wait_timer", {}).get("wait_timer") or 0),
            id=int(said.get("id") or 0),
        )


def _reviewer(said: Mapping[str, Any]) -> str:
    who = said.get("reviewer") or {}
    return f"team/{who.get('slug')}" if said.get("type") == "Team" else str(who.get("login"))


def _branches(repository: Repository, path: str) -> tuple[str, ...]:
    names: list[str] = []
    page = 1
    while True:
        address = f"{path}/deployment-branch-policies?per_page=100&page={page}"
        _, said = repository.requester.requestJsonAndCheck("GET", address)
        found = [str(each.get("name")) for each in said.get("branch_policies") or ()]
        names += found
        if not found or len(names) >= int(said.get("total_count") or 0):
            return tuple(sorted(names))
        page += 1


def audit(wanted: Environment, found: Protection) -> tuple[Finding, ...]:
    """Every rule that the policy wants of the environment."""
    if not found.exists:
        return (Finding("exists", holds=False, detail=f"GitHub has no environment `{wanted.name}`."),)
    checks = [Finding("exists", holds=True, detail=f"`{wanted.name}`")]
    lacking = sorted(set(wanted.reviewers) - set(found.reviewers))
    others = sorted(set(found.reviewers) - set(wanted.reviewers))
    shown = ", ".join(found.reviewers) or "nobody"
    told = [f"{', '.join(lacking)} cannot approve"] * bool(lacking) + [f"{', '.join(others)} can"] * bool(others)
    detail = f"{shown}; by the policy {', and '.join(told)}" if told else shown
    checks.append(Finding("reviewers", holds=not told, detail=detail))
    if wanted.reviewers and not wanted.self_review:
        said = (
            "whoever started the run may not approve it" if found.prevents_self_review else "anybody, also for itself"
        )
        checks.append(Finding("self-review", holds=found.prevents_self_review, detail=said))
    if not wanted.admin_bypass:
        said = "administrators may pass without approval" if found.admins_bypass else "administrators wait, too"
        checks.append(Finding("administrators", holds=not found.admins_bypass, detail=said))
    if found.branches is None:
        checks.append(Finding("branches", holds=False, detail="not restricted to selected branches"))
    else:
        same = set(found.branches) == set(wanted.branches)
        said = ", ".join(found.branches) or "none"
        also = "" if same else f"; by the policy {', '.join(wanted.branches)}"
        checks.append(Finding("branches", holds=same, detail=said + also))
    if wanted.wait_minutes:
        waits = found.wait_minutes >= wanted.wait_minutes
        said = f"{found.wait_minutes} minutes" + ("" if waits else f"; by the policy {wanted.wait_minutes}")
        checks.append(Finding("wait", holds=waits, detail=said))
    return tuple(checks)


def body(wanted: Environment, ids: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    """What `PUT /repos/{owner}/{repo}/environments/{name}` takes. ids: kind and id of each reviewer."""
    return {
        "wait_timer": wanted.wait_minutes,
        "prevent_self_review": bool(wanted.reviewers) and not wanted.self_review,
        "can_admins_bypass": wanted.admin_bypass,
        "reviewers": [{"type": ids[each][0], "id": ids[each][1]} for each in wanted.reviewers] or None,
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
    }


def set_up(repository: Repository, wanted: Environment) -> Protection:
    """Create the environment, or make it what the policy says; how it is protected then. Repeated, it changes nothing.

    Raises RemoteError where GitHub refuses, among others because a reviewer may not read the repository.
    """
    path = f"{repository.url}/environments/{quote(wanted.name, safe='')}"
    with client.explained(f"set up the environment {wanted.name}", permission="administration: write"):
        ids = {each: _id(repository, each) for each in wanted.reviewers}
        said = body(wanted, ids)
        try:
            repository.requester.requestJsonAndCheck("PUT", path, input=said)
        except GithubException as error:
            if error.status != 422:
                raise
            # GitHub tells `can_admins_bypass` and takes it from Terraform, but does not describe it: a server may
            # refuse it, and then only a person can flip that switch.
            del said["can_admins_bypass"]
            repository.requester.requestJsonAndCheck("PUT", path, input=said)
        _, rules = repository.requester.requestJsonAndCheck("GET", f"{path}/deployment-branch-policies?per_page=100")
        there = {str(each["name"]): int(each["id"]) for each in rules.get("branch_policies") or ()}
        for name in wanted.branches:
            if name not in there:
                made = {"name": name, "type": "branch"}
                repository.requester.requestJsonAndCheck("POST", f"{path}/deployment-branch-policies", input=made)
        for name, number in there.items():
            if name not in wanted.branches:
                repository.requester.requestJsonAndCheck("DELETE", f"{path}/deployment-branch-policies/{number}")
    return look(repository, wanted.name)


def _id(repository: Repository, reviewer: str) -> tuple[str, int]:
    kind, _, slug = reviewer.rpartition("/")
    api = repository.url.rpartition("/repos/")[0]
    owner = repository.full_name.partition("/")[0]
    address = f"{api}/orgs/{owner}/teams/{slug}" if kind else f"{api}/users/{reviewer}"
    _, said = repository.requester.requestJsonAndCheck("GET", address)
    return ("Team" if kind else "User"), int(said["id"])


def repair(repository: str, server_url: str, wanted: Environment) -> str:
    """How to make the environment what the policy says, in Markdown: by hand, by `gh`, by Terraform."""
    owner = repository.partition("/")[0]
    path = f"repos/{repository}/environments/{quote(wanted.name, safe='')}"
    lines = [
        f"# The environment `{wanted.name}`",
        "",
        f"By hand: {server_url}/{repository}/settings/environments",
        "",
        "With `gh` (as an administrator of the repository):",
        "",
        "```bash",
        *_gh(path, owner, wanted),
        "```",
        "",
        "With Terraform:",
        "",
        "```hcl",
        *_terraform(repository, wanted),
        "```",
        "",
    ]
    return "\n".join(lines)


def _gh(path: str, owner: str, wanted: Environment) -> Iterator[str]:
    ids = {each: ("Team" if each.startswith("team/") else "User", place) for place, each in enumerate(wanted.reviewers)}
    said = json.dumps(body(wanted, ids), indent=2)
    for place, each in enumerate(wanted.reviewers):
        slug = each.removeprefix("team/")
        address = f"orgs/{owner}/teams/{slug}" if each.startswith("team/") else f"users/{slug}"
        yield f'id{place}="$(gh api {shlex.quote(address)} --jq .id)"'
        said = said.replace(f'"id": {place}\n', f'"id": $id{place}\n', 1)
    yield f"gh api --method PUT {shlex.quote(path)} --input - <<EOF"
    yield from said.splitlines()
    yield "EOF"
    for name in wanted.branches:
        address, said = shlex.quote(f"{path}/deployment-branch-policies"), shlex.quote(f"name={name}")
        yield f"gh api --method POST {address} -f {said}"


def _terraform(repository: str, wanted: Environment) -> Iterator[str]:
    name, which = repository.partition("/")[2], wanted.name.replace(".", "_")
    users = [each for each in wanted.reviewers if not each.startswith("team/")]
    teams = [each.removeprefix("team/") for each in wanted.reviewers if each.startswith("team/")]
    for each in users:
        yield f'data "github_user" "{each}" {{ username = "{each}" }}'
    for each in teams:
        yield f'data "github_team" "{each}" {{ slug = "{each}" }}'
    yield f'resource "github_repository_environment" "{which}" {{'
    yield f'  repository          = "{name}"'
    yield f'  environment         = "{wanted.name}"'
    yield f"  wait_timer          = {wanted.wait_minutes}"
    yield f"  prevent_self_review = {str(bool(wanted.reviewers) and not wanted.self_review).lower()}"
    yield f"  can_admins_bypass   = {str(wanted.admin_bypass).lower()}"
    if wanted.reviewers:
        yield "  reviewers {"
        if users:
            yield f"    users = [{', '.join(f'data.github_user.{each}.id' for each in users)}]"
        if teams:
            yield f"    teams = [{', '.join(f'data.github_team.{each}.id' for each in teams)}]"
        yield "  }"
    yield "  deployment_branch_policy {"
    yield "    protected_branches     = false"
    yield "    custom_branch_policies = true"
    yield "  }"
    yield "}"
    for place, pattern in enumerate(wanted.branches):
        yield f'resource "github_repository_environment_deployment_policy" "{which}_{place}" {{'
        yield f'  repository     = "{name}"'
        yield f"  environment    = github_repository_environment.{which}.environment"
        yield f"  branch_pattern = {json.dumps(pattern).replace(chr(36) + chr(123), chr(36) * 2 + chr(123))}"
        yield "}"
