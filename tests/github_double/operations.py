"""The operations that the double serves: the authenticated user, repositories, pull requests, comments, runs and how
they are started."""

from __future__ import annotations

import json
import re
from typing import Any

from github_double import bodies
from github_double.routes import Answer, Call, RefusedError, operation, page
from github_double.world import (
    Comment,
    Deployment,
    Environment,
    Issue,
    PullRequest,
    Repository,
    Status,
    Token,
    Workflow,
    WorkflowRun,
    World,
)

LONGEST_COMMENT = 65_536
LONGEST_TITLE = 256
LONGEST_STATUS = 140
LARGEST_PAYLOAD = 65_535
READ = ("issues=read", "pull_requests=read")
WRITE = ("issues=write", "pull_requests=write")


@operation("users/get-authenticated")
def get_authenticated_user(world: World, call: Call) -> Answer:
    if call.token is None:
        raise RefusedError(401, "Requires authentication")
    if call.token.installation:
        raise RefusedError(403, "Resource not accessible by integration")
    return Answer(200, bodies.authenticated_user(world, call.token.user))


@operation("repos/get", "metadata=read")
def get_repository(world: World, call: Call) -> Answer:
    return Answer(200, bodies.full_repository(world, repository_of(world, call)))


@operation("pulls/get", "pull_requests=read")
def get_pull_request(world: World, call: Call) -> Answer:
    found = _pull_request_of(world, repository_of(world, call), call.path["pull_number"])
    return Answer(200, bodies.full_pull_request(world, found))


@operation("pulls/list", "pull_requests=read")
def list_pull_requests(world: World, call: Call) -> Answer:
    repository, query = repository_of(world, call), call.query
    rows = [
        each
        for each in world.pull_requests.values()
        if each.repository == repository
        and query["state"] in (each.state, "all")
        and query.get("base") in (each.base.ref, None)
        # A head without an owner is no filter on GitHub either: everything is listed.
        and (":" not in query.get("head", "") or query["head"] == f"{each.head.owner.login}:{each.head.ref}")
    ]
    by_update = query["sort"] == "updated"
    newest_first = query.get("direction", "desc" if query["sort"] == "created" else "asc") == "desc"
    rows.sort(key=lambda each: each.updated if by_update else each.created, reverse=newest_first)
    return page(call, [bodies.pull_request(world, each) for each in rows])


@operation("pulls/create", "pull_requests=write")
def create_pull_request(world: World, call: Call) -> Answer:
    repository, said = repository_of(world, call), call.body
    if not world.workflows_may_open_pull_requests and _writer(call).installation:
        raise RefusedError(403, "GitHub Actions is not permitted to create or approve pull requests.")
    taken = [each for each in world.pull_requests.values() if each.repository == repository and each.state == "open"]
    if said["head"] in [each.head.ref for each in taken]:
        errors = [{"resource": "PullRequest", "code": "custom", "message": "A pull request already exists."}]
        raise RefusedError(422, "Validation Failed", errors=errors)
    made = world.pull_request(repository, branch=said["head"], author=_writer(call).user.login)
    made.base.ref, made.title, made.body = said["base"], said["title"], said.get("body") or ""
    body = bodies.full_pull_request(world, made)
    return Answer(201, body, {"Location": body["url"]})


@operation("pulls/update", "pull_requests=write")
def update_pull_request(world: World, call: Call) -> Answer:
    found = _pull_request_of(world, repository_of(world, call), call.path["pull_number"])
    found.title, found.body = call.body.get("title", found.title), call.body.get("body", found.body)
    found.updated = world.tick()
    return Answer(200, bodies.full_pull_request(world, found))


@operation("repos/list-pull-requests-associated-with-commit", "pull_requests=read")
def list_pull_requests_of_commit(world: World, call: Call) -> Answer:
    repository, sha = repository_of(world, call), call.path["commit_sha"]
    rows = [each for each in world.pull_requests.values() if each.repository == repository and sha in _commits_of(each)]
    return page(call, [bodies.pull_request(world, each) for each in rows])


@operation("repos/get-environment", "actions=read")
def get_environment(world: World, call: Call) -> Answer:
    return Answer(200, bodies.environment(world, _environment_of(world, call)))


@operation("repos/create-or-update-environment", "administration=write")
def put_environment(world: World, call: Call) -> Answer:
    repository, said = repository_of(world, call), call.body or {}
    name = call.path["environment_name"]
    if "can_admins_bypass" in said and not world.takes_admin_bypass:
        raise RefusedError(422, 'Invalid request.\n\n"can_admins_bypass" is not a permitted key.')
    found = world.environments.get((repository.full_name, name.lower())) or world.environment(repository, name)
    people = {each.id: each for each in world.users.values()} | {number: slug for slug, number in world.teams.items()}
    reviewers = said.get("reviewers") or []
    if any(each["id"] not in people for each in reviewers):
        raise RefusedError(422, "Validation Failed", errors=["Reviewers must have read access to the repository"])
    found.reviewers = tuple(people[each["id"]] for each in reviewers)
    found.prevents_self_review = bool(said.get("prevent_self_review"))
    found.admins_bypass = bool(said.get("can_admins_bypass", found.admins_bypass))
    found.wait_minutes = said.get("wait_timer") or 0
    custom = (said.get("deployment_branch_policy") or {}).get("custom_branch_policies")
    found.branches = (found.branches or {}) if custom else None
    return Answer(200, bodies.environment(world, found))


@operation("repos/list-deployment-branch-policies", "actions=read")
def list_branch_policies(world: World, call: Call) -> Answer:
    rows = [bodies.branch_policy(*each) for each in (_environment_of(world, call).branches or {}).items()]
    given = page(call, rows)
    return Answer(200, {"total_count": len(rows), "branch_policies": given.body}, given.headers)


@operation("repos/create-deployment-branch-policy", "administration=write")
def create_branch_policy(world: World, call: Call) -> Answer:
    found, name = _environment_of(world, call), call.body["name"]
    if found.branches is None:
        raise RefusedError(404, "Not Found")
    if name in found.branches.values():
        raise RefusedError(303, "Deployment branch policy already exists")
    number = world.new_id()
    found.branches[number] = name
    return Answer(200, bodies.branch_policy(number, name))


@operation("repos/delete-deployment-branch-policy", "administration=write")
def delete_branch_policy(world: World, call: Call) -> Answer:
    branches = _environment_of(world, call).branches or {}
    if branches.pop(call.path["branch_policy_id"], None) is None:
        raise RefusedError(404, "Not Found")
    return Answer(204)


@operation("actions/get-reviews-for-run", "actions=read")
def list_approvals(world: World, call: Call) -> Answer:
    return Answer(200, [bodies.approval(world, each) for each in world.approvals.get(call.path["run_id"], ())])


@operation("pulls/list-reviews", "pull_requests=read")
def list_reviews(world: World, call: Call) -> Answer:
    found = _pull_request_of(world, repository_of(world, call), call.path["pull_number"])
    said = world.reviews.get((found.repository.full_name, found.number), ())
    return page(call, [bodies.review(world, found, each) for each in said])


@operation("repos/list-deployments", "deployments=read")
def list_deployments(world: World, call: Call) -> Answer:
    repository, query = repository_of(world, call), call.query
    rows = [
        each
        for each in reversed(world.deployments)
        if each.repository == repository
        and query["sha"] in ("none", each.sha)
        and query["task"] in ("none", each.task)
        and query["environment"] in ("none", each.environment)
    ]
    return page(call, [bodies.deployment(world, each) for each in rows])


@operation("repos/create-deployment", "deployments=write")
def create_deployment(world: World, call: Call) -> Answer:
    repository, said = repository_of(world, call), call.body
    if not re.fullmatch(r"[0-9a-f]{40}", said["ref"]):
        raise RefusedError(422, f"No ref found for: {said['ref']}")
    if said.get("auto_merge", True) or said.get("required_contexts") != []:
        raise RefusedError(409, f"Conflict: Commit status checks failed for {said['ref']}.")
    made = Deployment(
        id=world.new_id(),
        repository=repository,
        run=0,
        sha=said["ref"],
        environment=said.get("environment", "production"),
        statuses=[],
        task=said.get("task", "deploy"),
        payload=said.get("payload", ""),
        description=said.get("description"),
        transient=said.get("transient_environment", False),
        production=said.get("production_environment", said.get("environment") == "production"),
        creator=_writer(call).user,
        created=world.tick(),
    )
    world.deployments.append(made)
    body = bodies.deployment(world, made)
    return Answer(201, body, {"Location": body["url"]})


@operation("repos/list-deployment-statuses", "deployments=read")
def list_deployment_statuses(world: World, call: Call) -> Answer:
    found = _deployment_of(world, call)
    newest_first = reversed(range(len(found.statuses)))
    return page(call, [bodies.deployment_status(world, found, place) for place in newest_first])


@operation("repos/create-deployment-status", "deployments=write")
def create_deployment_status(world: World, call: Call) -> Answer:
    found, said = _deployment_of(world, call), call.body
    if len(said.get("description", "")) > LONGEST_STATUS:
        raise _invalid("DeploymentStatus", f"description is too long (maximum is {LONGEST_STATUS} characters)")
    for name in ("log_url", "environment_url"):
        if not re.match(r"https?://|$", said.get(name, "")):
            raise _invalid("DeploymentStatus", f"{name} must use http(s) scheme")
    words = [said.get(name, "") for name in ("description", "log_url", "environment_url")]
    found.statuses.append(Status(said["state"], world.tick(), *words))
    if said["state"] == "success" and said.get("auto_inactive", True):
        for each in world.deployments:
            same = (each.repository, each.environment) == (found.repository, found.environment)
            shown = each.statuses and each.statuses[-1].state == "success"
            if same and shown and each.id < found.id and not each.transient and not each.production:
                each.statuses.append(Status("inactive", world.tick()))
    body = bodies.deployment_status(world, found, len(found.statuses) - 1)
    return Answer(201, body, {"Location": body["url"]})


@operation("repos/get-commit", "contents=read")
def get_commit(world: World, call: Call) -> Answer:
    repository, sha = repository_of(world, call), call.path["ref"]
    if sha not in world.authors:
        raise RefusedError(422, f"No commit found for SHA: {sha}")
    return Answer(200, bodies.commit(world, repository, sha))


@operation("users/get-by-username")
def get_user(world: World, call: Call) -> Answer:
    found = world.users.get(call.path["username"])
    if found is None:
        raise RefusedError(404, "Not Found")
    return Answer(200, bodies.authenticated_user(world, found))


@operation("teams/get-by-name", "members=read")
def get_team(world: World, call: Call) -> Answer:
    if call.path["team_slug"] not in world.teams:
        raise RefusedError(404, "Not Found")
    return Answer(200, bodies.team(world, call.path["team_slug"]))


@operation("issues/list-for-repo", *READ)
def list_issues(world: World, call: Call) -> Answer:
    repository, query = repository_of(world, call), call.query
    if "creator" in query and query["creator"] not in world.users:
        raise _invalid("Issue", f"The user {query['creator']} does not exist.")
    labels = set(filter(None, query.get("labels", "").split(",")))
    there: list[Issue | PullRequest] = [*world.issues.values(), *world.pull_requests.values()]
    rows = [
        each
        for each in there
        if each.repository == repository
        and query["state"] in (each.state, "all")
        and query.get("creator") in (each.author.login, None)
        and labels <= set(each.labels)
    ]
    # Newest first.
    return page(call, [bodies.issue(world, each) for each in sorted(rows, key=lambda row: row.number, reverse=True)])


@operation("issues/create", "issues=write")
def create_issue(world: World, call: Call) -> Answer:
    repository, said = repository_of(world, call), call.body
    if not world.has_issues:
        raise RefusedError(410, "Issues has been disabled in this repository.")
    labels = tuple(said.get("labels", ()))
    if labels and world.takes_labels == "no":
        raise RefusedError(403, "You do not have permission to create labels on this repository.")
    title, body = _title(said["title"]), _text(said.get("body", ""), "Issue")
    made = world.issue(repository, author=_writer(call).user.login, title=title, body=body)
    made.labels = labels if world.takes_labels == "yes" else ()
    shown = bodies.issue(world, made)
    return Answer(201, shown, {"Location": shown["url"]})


@operation("issues/update", "issues=write")
def update_issue(world: World, call: Call) -> Answer:
    found, said = _issue_of(world, repository_of(world, call), call.path["issue_number"]), call.body
    if not isinstance(found, Issue):
        raise RefusedError(404, "Not Found")
    found.title, found.body = _title(said.get("title", found.title)), _text(said.get("body", found.body), "Issue")
    if said.get("state", found.state) != found.state:
        found.state = said["state"]
        found.reason = said.get("state_reason") or ("completed" if found.state == "closed" else "reopened")
    found.updated = world.tick()
    return Answer(200, bodies.issue(world, found))


@operation("issues/list-comments", *READ)
def list_comments(world: World, call: Call) -> Answer:
    rows = world.comments_of(_issue_of(world, repository_of(world, call), call.path["issue_number"]))
    since = call.query.get("since")
    return page(call, [bodies.comment(world, each) for each in rows if since is None or each.updated >= since])


@operation("issues/create-comment", *WRITE)
def create_comment(world: World, call: Call) -> Answer:
    found = _issue_of(world, repository_of(world, call), call.path["issue_number"])
    comment = world.comment(found, _comment_body(call), author=_writer(call).user.login)
    body = bodies.comment(world, comment)
    return Answer(201, body, {"Location": body["url"]})


@operation("issues/get-comment", *READ)
def get_comment(world: World, call: Call) -> Answer:
    return Answer(200, bodies.comment(world, _comment_of(world, call)))


@operation("issues/update-comment", *WRITE)
def update_comment(world: World, call: Call) -> Answer:
    comment = _comment_of(world, call)
    comment.body, comment.updated = _comment_body(call), world.tick()
    return Answer(200, bodies.comment(world, comment))


@operation("issues/delete-comment", *WRITE)
def delete_comment(world: World, call: Call) -> Answer:
    del world.comments[_comment_of(world, call).id]
    return Answer(204)


@operation("actions/get-workflow-run", "actions=read")
def get_workflow_run(world: World, call: Call) -> Answer:
    return Answer(200, bodies.workflow_run(world, _run_of(world, call)))


@operation("actions/list-workflow-runs", "actions=read")
def list_workflow_runs(world: World, call: Call) -> Answer:
    workflow, query = _workflow_of(world, call), call.query
    rows = [
        each
        for each in reversed(world.runs.values())  # newest first
        if (each.repository, each.path) == (workflow.repository, workflow.path)
        and query.get("event") in (None, each.event)
        and query.get("status") in (None, each.status, each.conclusion)
    ]
    given = page(call, [bodies.workflow_run(world, each) for each in rows])
    return Answer(200, {"total_count": len(rows), "workflow_runs": given.body}, given.headers)


@operation("actions/create-workflow-dispatch", "actions=write")
def create_workflow_dispatch(world: World, call: Call) -> Answer:
    workflow, told = _workflow_of(world, call), call.body
    if "return_run_details" in told and not world.gives_run_details:
        raise RefusedError(422, 'Invalid request.\n\n"return_run_details" is not a permitted key.')
    if workflow.inputs is None:
        raise RefusedError(422, "Workflow does not have 'workflow_dispatch' trigger")
    if told["ref"] != workflow.repository.default_branch:
        raise RefusedError(422, f"No ref found for: {told['ref']}")
    if unexpected := sorted(told.get("inputs", {}).keys() - set(workflow.inputs)):
        raise RefusedError(422, f"Unexpected inputs provided: {json.dumps(unexpected)}")
    _refuse_large(told.get("inputs", {}), "inputs are too large.")
    run = world.start(workflow, "workflow_dispatch", told.get("inputs", {}))
    return Answer(200, bodies.run_details(world, run)) if told.get("return_run_details") else Answer(204)


@operation("repos/create-dispatch-event", "contents=write")
def create_dispatch_event(world: World, call: Call) -> Answer:
    repository, told = repository_of(world, call), call.body.get("client_payload", {})
    _refuse_large(told, "client_payload is too large.")
    for workflow in world.workflows.values():
        if (workflow.repository, workflow.event_type) == (repository, call.body["event_type"]):
            world.start(workflow, "repository_dispatch", told)
    return Answer(204)


@operation("actions/list-workflow-run-artifacts", "actions=read")
def list_artifacts(world: World, call: Call) -> Answer:
    run, name = _run_of(world, call), call.query.get("name")
    # Those of every attempt, newest first.
    rows = [each for each in world.artifacts.values() if each.run is run and name in (None, each.name)]
    given = page(call, [bodies.artifact(world, each) for each in reversed(rows)])
    return Answer(200, {"total_count": len(rows), "artifacts": given.body}, given.headers)


@operation("actions/download-artifact", "actions=read")
def download_artifact(world: World, call: Call) -> Answer:
    # Nobody downloads without a token that may, not even from a public repository.
    if call.token is None:
        raise RefusedError(401, "Requires authentication")
    if call.token.installation and "actions" not in call.token.permissions:
        raise RefusedError(403, "Resource not accessible by integration")
    found = world.artifacts.get(call.path["artifact_id"])
    if found is None or found.run.repository != repository_of(world, call):
        raise RefusedError(404, "Not Found")
    if found.expired:
        raise RefusedError(410, "Artifact has expired")
    return Answer(302, None, {"Location": f"{world.storage_url}/{found.id}.zip?sig=signed"})


def repository_of(world: World, call: Call) -> Repository:
    """The repository that the path names; a private one does not exist for strangers."""
    found = world.repositories.get("{owner}/{repo}".format(**call.path).lower())
    if found is None or (found.private and call.token is None):
        raise RefusedError(404, "Not Found")
    return found


def _pull_request_of(world: World, repository: Repository, number: int) -> PullRequest:
    found = world.pull_requests.get((repository.full_name, number))
    if found is None:
        raise RefusedError(404, "Not Found")
    return found


def _issue_of(world: World, repository: Repository, number: int) -> Issue | PullRequest:
    return world.issues.get((repository.full_name, number)) or _pull_request_of(world, repository, number)


def _deployment_of(world: World, call: Call) -> Deployment:
    repository, number = repository_of(world, call), call.path["deployment_id"]
    found = next((each for each in world.deployments if (each.repository, each.id) == (repository, number)), None)
    if found is None:
        raise RefusedError(404, "Not Found")
    return found


def _run_of(world: World, call: Call) -> WorkflowRun:
    found = world.runs.get(call.path["run_id"])
    if found is None or found.repository != repository_of(world, call):
        raise RefusedError(404, "Not Found")
    return found


def _workflow_of(world: World, call: Call) -> Workflow:
    found = world.workflows.get((repository_of(world, call).full_name, call.path["workflow_id"]))
    if found is None:
        raise RefusedError(404, "Not Found")
    return found


def _environment_of(world: World, call: Call) -> Environment:
    # GitHub does not tell capitals apart in the names of environments.
    found = world.environments.get((repository_of(world, call).full_name, call.path["environment_name"].lower()))
    if found is None:
        raise RefusedError(404, "Not Found")
    return found


def _commits_of(found: PullRequest) -> tuple[str, str]:
    return found.head.sha, found.merged_as


def _refuse_large(told: dict[str, Any], message: str) -> None:
    if len(json.dumps(told, ensure_ascii=False)) > LARGEST_PAYLOAD:
        raise RefusedError(422, message)


def _comment_of(world: World, call: Call) -> Comment:
    found = world.comments.get(call.path["comment_id"])
    if found is None or found.repository != repository_of(world, call):
        raise RefusedError(404, "Not Found")
    return found


def _comment_body(call: Call) -> str:
    body: str = call.body["body"]
    if not body.strip():
        raise _invalid("IssueComment", "Body cannot be blank")
    return _text(body, "IssueComment")


def _text(body: str | None, resource: str) -> str:
    if len(body or "") > LONGEST_COMMENT:
        raise _invalid(resource, f"Body is too long (maximum is {LONGEST_COMMENT} characters)")
    return body or ""


def _title(title: str) -> str:
    if len(title) > LONGEST_TITLE:
        raise _invalid("Issue", f"title is too long (maximum is {LONGEST_TITLE} characters)")
    return title


def _invalid(resource: str, message: str) -> RefusedError:
    problem: dict[str, Any] = {"resource": resource, "code": "unprocessable", "field": "data", "message": message}
    return RefusedError(422, "Validation Failed", errors=[problem])


def _writer(call: Call) -> Token:
    # Writes without a token are refused before a handler runs.
    assert call.token is not None
    return call.token
