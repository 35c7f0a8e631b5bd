"""The JSON bodies of GitHub's answers, built from the state of the double."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from urllib.parse import quote

from github_double.world import (
    Artifact,
    Comment,
    Deployment,
    Environment,
    Issue,
    PullRequest,
    Repository,
    Review,
    Side,
    User,
    WorkflowRun,
    World,
)

Body = dict[str, Any]

_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_LINKS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}
_NO_REACTIONS = dict.fromkeys(("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"), 0)


def user(world: World, shown: User) -> Body:
    """An account as it appears inside other objects."""
    # GitHub writes `github-actions%5Bbot%5D` there.
    url = f"{world.api_url}/users/{quote(shown.login)}"
    return {
        "login": shown.login,
        "id": shown.id,
        "node_id": _node_id(shown.kind, shown.id),
        "avatar_url": f"{world.html_url}/avatars/u/{shown.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{world.html_url}/{shown.login.replace('[bot]', '')}",
        "type": shown.kind,
        "user_view_type": "public",
        "site_admin": False,
        **{name: url + suffix for name, suffix in _USER_LINKS.items()},
    }


def authenticated_user(world: World, shown: User) -> Body:
    """An account as it sees itself."""
    texts = dict.fromkeys(("name", "company", "email", "hireable", "bio", "location"), None)
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    times = dict.fromkeys(("created_at", "updated_at"), "2020-01-01T00:00:00Z")
    return {**user(world, shown), "blog": "", "twitter_username": None, **texts, **counts, **times}


def repository(world: World, shown: Repository) -> Body:
    """A repository as it appears in both sides of a pull request."""
    url = f"{world.api_url}/repos/{shown.full_name}"
    html_url = f"{world.html_url}/{shown.full_name}"
    on = dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_downloads", "allow_forking"), True)
    off = dict.fromkeys(
        ("has_pages", "has_discussions", "archived", "disabled", "is_template", "web_commit_signoff_required"), False
    )
    none = dict.fromkeys(("description", "homepage", "language", "mirror_url", "license"), None)
    counts = ("forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count", "watchers")
    times = dict.fromkeys(("created_at", "updated_at", "pushed_at"), "2020-01-01T00:00:00Z")
    return {
        "id": shown.id,
        "node_id": _node_id("Repository", shown.id),
        "name": shown.name,
        "full_name": shown.full_name,
        "owner": user(world, shown.owner),
        "private": shown.private,
        "visibility": "private" if shown.private else "public",
        "fork": shown.fork,
        "default_branch": shown.default_branch,
        "url": url,
        "html_url": html_url,
        "clone_url": f"{html_url}.git",
        "git_url": f"{html_url}.git".replace("http://", "git://"),
        "ssh_url": f"ssh://git@{html_url.removeprefix('http://')}.git",
        "svn_url": html_url,
        "topics": [],
        **on,
        **off,
        **none,
        **dict.fromkeys((*counts, "watchers_count"), 0),
        **times,
        **{name: url + suffix for name, suffix in _REPOSITORY_LINKS.items()},
    }


def full_repository(world: World, shown: Repository) -> Body:
    """A repository asked for by its name."""
    return {**repository(world, shown), "network_count": 0, "subscribers_count": 0}


def pull_request(world: World, shown: PullRequest) -> Body:
    """A pull request as it appears in a list."""
    url = f"{world.api_url}/repos/{shown.repository.full_name}/pulls/{shown.number}"
    html_url = f"{world.html_url}/{shown.repository.full_name}/pull/{shown.number}"
    issue_url = url.replace("/pulls/", "/issues/")
    links = {
        "self": url,
        "html": html_url,
        "issue": issue_url,
        "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{world.api_url}/repos/{shown.repository.full_name}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{world.api_url}/repos/{shown.repository.full_name}/statuses/{shown.head.sha}",
    }
    closed = _time(shown.updated) if shown.state == "closed" else None
    none = dict.fromkeys(("merged_at", "merge_commit_sha", "assignee", "milestone", "auto_merge"), None)
    return {
        "id": shown.id,
        "node_id": _node_id("PullRequest", shown.id),
        "number": shown.number,
        "state": shown.state,
        "locked": False,
        "active_lock_reason": None,
        "draft": False,
        "title": shown.title,
        "body": shown.body or None,
        "user": user(world, shown.author),
        "author_association": "CONTRIBUTOR",
        "head": _side(world, shown.head),
        "base": _side(world, shown.base),
        "created_at": _time(shown.created),
        "updated_at": _time(shown.updated),
        "closed_at": closed,
        "labels": [_label(world, shown.repository, name) for name in shown.labels],
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        **none,
        "url": url,
        "html_url": html_url,
        "diff_url": f"{html_url}.diff",
        "patch_url": f"{html_url}.patch",
        **{f"{name}_url": href for name, href in links.items() if name not in ("self", "html")},
        "_links": {name: {"href": href} for name, href in links.items()},
    }


def full_pull_request(world: World, shown: PullRequest) -> Body:
    """A pull request asked for by its number."""
    return {
        **pull_request(world, shown),
        "merged": False,
        "mergeable": True,
        "rebaseable": True,
        "mergeable_state": "clean",
        "merged_by": None,
        "comments": len(world.comments_of(shown)),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": 1,
        "additions": 1,
        "deletions": 1,
        "changed_files": 1,
    }


def issue(world: World, shown: Issue | PullRequest) -> Body:
    """An issue, or a pull request as it appears among them."""
    repository_url = f"{world.api_url}/repos/{shown.repository.full_name}"
    url = f"{repository_url}/issues/{shown.number}"
    pulls = {}
    if isinstance(shown, PullRequest):
        whole = pull_request(world, shown)
        named = {name: whole[name] for name in ("url", "html_url", "diff_url", "patch_url", "merged_at")}
        pulls = {"pull_request": named, "draft": False}
    none = dict.fromkeys(("assignee", "milestone", "active_lock_reason", "performed_via_github_app"), None)
    return {
        "id": shown.id,
        "node_id": _node_id("Issue", shown.id),
        "number": shown.number,
        "title": shown.title,
        "body": shown.body or None,
        "user": user(world, shown.author),
        "author_association": "NONE" if shown.author.kind == "Bot" else "CONTRIBUTOR",
        "state": shown.state,
        "state_reason": shown.reason if isinstance(shown, Issue) else None,
        "locked": False,
        "labels": [_label(world, shown.repository, name) for name in shown.labels],
        "assignees": [],
        "comments": len(world.comments_of(shown)),
        "created_at": _time(shown.created),
        "updated_at": _time(shown.updated),
        "closed_at": _time(shown.updated) if shown.state == "closed" else None,
        **none,
        **pulls,
        "url": url,
        "html_url": f"{world.html_url}/{shown.repository.full_name}/{'pull' if pulls else 'issues'}/{shown.number}",
        "repository_url": repository_url,
        "labels_url": f"{url}/labels{{/name}}",
        **{f"{name}_url": f"{url}/{name}" for name in ("comments", "events", "timeline")},
        "reactions": {"url": f"{url}/reactions", "total_count": 0, **_NO_REACTIONS},
    }


def comment(world: World, shown: Comment) -> Body:
    """A comment on a pull request or an issue."""
    issues = f"{world.api_url}/repos/{shown.repository.full_name}/issues"
    url = f"{issues}/comments/{shown.id}"
    kind = "issues" if (shown.repository.full_name, shown.number) in world.issues else "pull"
    page = f"{world.html_url}/{shown.repository.full_name}/{kind}/{shown.number}"
    return {
        "id": shown.id,
        "node_id": _node_id("IssueComment", shown.id),
        "url": url,
        "html_url": f"{page}#issuecomment-{shown.id}",
        "issue_url": f"{issues}/{shown.number}",
        "user": user(world, shown.author),
        "author_association": "NONE" if shown.author.kind == "Bot" else "CONTRIBUTOR",
        "body": shown.body,
        "created_at": _time(shown.created),
        "updated_at": _time(shown.updated),
        "performed_via_github_app": None,
        "reactions": {"url": f"{url}/reactions", "total_count": 0, **_NO_REACTIONS},
    }


def workflow_run(world: World, shown: WorkflowRun) -> Body:
    """A workflow run, as the API and the event `workflow_run` tell of it."""
    url = f"{world.api_url}/repos/{shown.repository.full_name}/actions/runs/{shown.id}"
    html_url = f"{world.html_url}/{shown.repository.full_name}"
    times = ("created_at", "run_started_at", "updated_at")
    person = {"name": shown.head.owner.login, "email": f"{shown.head.owner.login}@example.invalid"}
    return {
        "id": shown.id,
        "node_id": _node_id("WorkflowRun", shown.id),
        "name": "Model",
        "display_title": shown.title,
        "path": shown.path,
        "event": shown.event,
        "status": shown.status,
        "conclusion": shown.conclusion,
        "run_number": 1,
        "run_attempt": shown.attempt,
        "workflow_id": 1,
        "workflow_url": f"{world.api_url}/repos/{shown.repository.full_name}/actions/workflows/1",
        "head_branch": shown.head.ref,
        "head_sha": shown.head.sha,
        "head_commit": {
            "id": shown.head.sha,
            "tree_id": shown.head.sha,
            "message": "Train",
            "timestamp": _time(shown.started),
            "author": person,
            "committer": person,
        },
        "head_repository": minimal_repository(world, shown.head.repository) if shown.head.repository else None,
        "repository": minimal_repository(world, shown.repository),
        # GitHub tells of no pull request that comes from a fork.
        "pull_requests": [],
        "actor": user(world, shown.head.owner),
        "triggering_actor": user(world, shown.head.owner),
        "check_suite_id": shown.id,
        "check_suite_node_id": _node_id("CheckSuite", shown.id),
        "check_suite_url": f"{world.api_url}/repos/{shown.repository.full_name}/check-suites/{shown.id}",
        "previous_attempt_url": None,
        "referenced_workflows": [],
        "url": url,
        "html_url": f"{html_url}/actions/runs/{shown.id}",
        **dict.fromkeys(times, _time(shown.started)),
        **{f"{name}_url": f"{url}/{name}" for name in ("jobs", "logs", "artifacts", "cancel", "rerun")},
    }


def run_details(world: World, shown: WorkflowRun) -> Body:
    """What a dispatch tells of the run that it started."""
    whole = workflow_run(world, shown)
    return {"workflow_run_id": shown.id, "run_url": whole["url"], "html_url": whole["html_url"]}


def artifact(world: World, shown: Artifact) -> Body:
    """An artifact of a run."""
    url = f"{world.api_url}/repos/{shown.run.repository.full_name}/actions/artifacts/{shown.id}"
    repository = shown.run.head.repository
    return {
        "id": shown.id,
        "node_id": _node_id("Artifact", shown.id),
        "name": shown.name,
        "size_in_bytes": shown.size,
        "digest": shown.digest,
        "expired": shown.expired,
        "url": url,
        "archive_download_url": f"{url}/zip",
        "created_at": _time(shown.created),
        "updated_at": _time(shown.created),
        "expires_at": "2026-12-31T00:00:00Z",
        "workflow_run": {
            "id": shown.run.id,
            "repository_id": shown.run.repository.id,
            "head_repository_id": repository.id if repository else shown.run.repository.id,
            "head_branch": shown.run.head.ref,
            "head_sha": shown.run.head.sha,
        },
    }


def minimal_repository(world: World, shown: Repository) -> Body:
    """A repository as it appears in a run."""
    links = ("id", "node_id", "name", "full_name", "owner", "private", "html_url", "description", "fork", "url")
    whole = repository(world, shown)
    return {name: whole[name] for name in (*links, *_REPOSITORY_LINKS)}


def environment(world: World, shown: Environment) -> Body:
    """An environment with its protection rules."""
    rules: list[Body] = []
    if shown.wait_minutes:
        rules.append({"type": "wait_timer", "wait_timer": shown.wait_minutes})
    if shown.reviewers:
        people = [
            {"type": "Team", "reviewer": _team(world, each)}
            if isinstance(each, str)
            else {"type": "User", "reviewer": user(world, each)}
            for each in shown.reviewers
        ]
        prevents = shown.prevents_self_review
        rules.append({"type": "required_reviewers", "prevent_self_review": prevents, "reviewers": people})
    custom = shown.branches is not None
    if custom:
        rules.append({"type": "branch_policy"})
    url = f"{world.api_url}/repos/{shown.repository.full_name}/environments/{quote(shown.name)}"
    return {
        "id": shown.id,
        "node_id": _node_id("Environment", shown.id),
        "name": shown.name,
        "url": url,
        "html_url": f"{world.html_url}/{shown.repository.full_name}/deployments/activity_log",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "can_admins_bypass": shown.admins_bypass,
        "protection_rules": [
            {"id": shown.id + 1 + place, "node_id": _node_id("GateRule", shown.id + 1 + place), **each}
            for place, each in enumerate(rules)
        ],
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True} if custom else None,
    }


def approval(world: World, shown: Review) -> Body:
    """What somebody said of a run's environment: GitHub tells no time of it, but the environment's own."""
    assert shown.environment is not None
    whole = environment(world, shown.environment)
    named = {name: whole[name] for name in ("id", "node_id", "name", "url", "html_url", "created_at", "updated_at")}
    return {
        "environments": [named],
        "state": shown.state,
        "user": user(world, shown.user),
        "comment": shown.comment,
    }


def review(world: World, found: PullRequest, shown: Review) -> Body:
    """What somebody said of a pull request."""
    url = f"{world.api_url}/repos/{found.repository.full_name}/pulls/{found.number}"
    html = f"{world.html_url}/{found.repository.full_name}/pull/{found.number}#pullrequestreview-{shown.id}"
    return {
        "id": shown.id,
        "node_id": _node_id("PullRequestReview", shown.id),
        "user": user(world, shown.user),
        "body": shown.comment,
        "state": shown.state,
        "html_url": html,
        "pull_request_url": url,
        "_links": {"html": {"href": html}, "pull_request": {"href": url}},
        "submitted_at": _time(shown.submitted),
        "commit_id": shown.commit,
        "author_association": "MEMBER",
    }


def deployment(world: World, shown: Deployment) -> Body:
    """A job's use of an environment, or what somebody made through the API."""
    repository_url = f"{world.api_url}/repos/{shown.repository.full_name}"
    url = f"{repository_url}/deployments/{shown.id}"
    created = shown.created or shown.statuses[0].moment
    return {
        "url": url,
        "id": shown.id,
        "node_id": _node_id("Deployment", shown.id),
        "sha": shown.sha,
        "ref": shown.sha if shown.created else "main",
        "task": shown.task,
        "payload": shown.payload,
        "original_environment": shown.environment,
        "environment": shown.environment,
        "description": shown.description,
        "creator": user(world, shown.creator or world.users["github-actions[bot]"]),
        "created_at": _time(created),
        "updated_at": _time(shown.statuses[-1].moment if shown.statuses else created),
        "statuses_url": f"{url}/statuses",
        "repository_url": repository_url,
        "transient_environment": shown.transient,
        "production_environment": shown.production,
    }


def deployment_status(world: World, shown: Deployment, place: int) -> Body:
    """One of its states."""
    status = shown.statuses[place]
    whole, number = deployment(world, shown), shown.id + 1 + place
    job = f"{world.html_url}/{shown.repository.full_name}/actions/runs/{shown.run}/job/1" if shown.run else ""
    log = status.log_url or job
    return {
        "url": f"{whole['statuses_url']}/{number}",
        "id": number,
        "node_id": _node_id("DeploymentStatus", number),
        "state": status.state,
        "creator": whole["creator"],
        "description": status.description,
        "environment": shown.environment,
        "target_url": log,
        "log_url": log,
        "environment_url": status.environment_url,
        "created_at": _time(status.moment),
        "updated_at": _time(status.moment),
        "deployment_url": whole["url"],
        "repository_url": whole["repository_url"],
    }


def commit(world: World, shown: Repository, sha: str) -> Body:
    """A commit with its author and committer."""
    author, committer = world.authors[sha]
    api = f"{world.api_url}/repos/{shown.full_name}"
    html = f"{world.html_url}/{shown.full_name}/commit/{sha}"
    person = {"name": "Somebody", "email": "somebody@example.invalid", "date": "2026-01-01T00:00:00Z"}
    tree = {"sha": sha, "url": f"{api}/git/trees/{sha}"}
    return {
        "url": f"{api}/commits/{sha}",
        "sha": sha,
        "node_id": _node_id("Commit", int(sha[:8], 16)),
        "html_url": html,
        "comments_url": f"{api}/commits/{sha}/comments",
        "commit": {
            "url": f"{api}/git/commits/{sha}",
            "author": person,
            "committer": person,
            "message": "Change",
            "comment_count": 0,
            "tree": tree,
        },
        "author": user(world, author),
        "committer": user(world, committer),
        "parents": [],
    }


def branch_policy(number: int, name: str) -> Body:
    """A pattern of branches that may deploy."""
    return {"id": number, "node_id": _node_id("DeploymentBranchPolicy", number), "name": name, "type": "branch"}


def team(world: World, slug: str) -> Body:
    """A team of the organisation, as it is asked for by name."""
    owner = next(iter(world.repositories.values())).owner
    url = f"{world.api_url}/orgs/{owner.login}"
    then = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    organization = {
        **{name: user(world, owner)[name] for name in ("login", "id", "node_id", "avatar_url", "html_url")},
        "url": url,
        **{f"{name}_url": f"{url}/{name}" for name in ("repos", "events", "hooks", "issues")},
        **{f"{name}_url": f"{url}/{name}{{/member}}" for name in ("members", "public_members")},
        "description": None,
        "has_organization_projects": True,
        "has_repository_projects": True,
        **dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0),
        **then,
        "archived_at": None,
        "type": "Organization",
    }
    return {**_team(world, slug), "members_count": 1, "repos_count": 1, **then, "organization": organization}


def _team(world: World, slug: str) -> Body:
    number = world.teams[slug]
    url = f"{world.api_url}/organizations/1/team/{number}"
    return {
        "id": number,
        "node_id": _node_id("Team", number),
        "url": url,
        "html_url": f"{world.html_url}/orgs/octo/teams/{slug}",
        "name": slug,
        "slug": slug,
        "type": "organization",
        "description": None,
        "privacy": "closed",
        "notification_setting": "notifications_enabled",
        "permission": "pull",
        "members_url": f"{url}/members{{/member}}",
        "repositories_url": f"{url}/repos",
        "parent": None,
    }


def _label(world: World, repository: Repository, name: str) -> Body:
    number = sum(name.encode())
    url = f"{world.api_url}/repos/{repository.full_name}/labels/{quote(name)}"
    said = {"id": number, "node_id": _node_id("Label", number), "url": url, "name": name}
    return {**said, "color": "ededed", "default": False, "description": ""}


def _side(world: World, shown: Side) -> Body:
    return {
        "label": f"{shown.owner.login}:{shown.ref}",
        "ref": shown.ref,
        "sha": shown.sha,
        "user": user(world, shown.owner),
        "repo": repository(world, shown.repository) if shown.repository else None,
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _node_id(kind: str, number: int) -> str:
    return base64.b64encode(f"{kind}{number}".encode()).decode()
