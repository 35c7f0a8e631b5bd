"""The double behaves like GitHub where our stages can tell, and notices when it or its client does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from github import Auth, Github

from github_double import bodies
from github_double.description import Request, committed_description
from github_double.emulator import Emulator, missing
from github_double.routes import OPERATIONS, Answer, Call, Operation
from github_double.server import DescriptionError, GitHubDouble
from github_double.subset import COMMITTED, rendered, subset
from github_double.world import PullRequest, Repository, Workflow, World

COMMENTS = "/repos/octocat/models/issues/1/comments"
BASE = "http://127.0.0.1"

Send = Callable[..., requests.Response]


@pytest.fixture
def repository(hub: GitHubDouble) -> Repository:
    return hub.world.repository("octocat/models")


@pytest.fixture
def pull_request(hub: GitHubDouble, repository: Repository) -> PullRequest:
    return hub.world.pull_request(repository)


@pytest.fixture
def send(hub: GitHubDouble) -> Iterator[Send]:
    """Send a plain request, without a client library between the test and the wire."""
    with requests.Session() as session:

        def request(method: str, path: str, token: str = "", **given: Any) -> requests.Response:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return session.request(method, hub.base_url + path, headers=headers, timeout=10, **given)

        yield request


@pytest.mark.usefixtures("pull_request")
def test_only_the_described_operations_are_served(hub: GitHubDouble, send: Send) -> None:
    answer = send("GET", "/repos/octocat/models/issues/1/reactions")

    assert (answer.status_code, answer.json()["message"]) == (404, "Not Found")
    assert hub.violations == [
        "request of GET /repos/octocat/models/issues/1/reactions: "
        "GET /repos/octocat/models/issues/1/reactions is not in openapi.json"
    ]
    hub.violations.clear()


def test_every_handler_has_its_operation_in_the_description() -> None:
    document = json.loads(COMMITTED.read_text(encoding="utf-8"))
    described = {row["operationId"] for item in document["paths"].values() for row in item.values()}

    assert described == set(OPERATIONS)


def test_a_base_url_without_its_path_is_noticed(hub: GitHubDouble) -> None:
    assert requests.get(f"{hub.html_url}/user", timeout=10).status_code == 404
    assert "outside of /api/v3" in hub.violations[0]
    hub.violations.clear()


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("", (30, {"next": 2, "last": 5})),
        ("?page=2", (30, {"prev": 1, "first": 1, "next": 3, "last": 5})),
        ("?page=5", (10, {"prev": 4, "first": 1})),
        ("?page=6", (0, {"prev": 5, "first": 1})),
        ("?per_page=100", (100, {"next": 2, "last": 2})),
        ("?per_page=1000", (100, {"next": 2, "last": 2})),
        ("?per_page=100&page=2", (30, {"prev": 1, "first": 1})),
    ],
)
def test_lists_come_in_pages(
    hub: GitHubDouble, pull_request: PullRequest, send: Send, query: str, page: tuple[int, dict[str, int]]
) -> None:
    for number in range(130):
        hub.world.comment(pull_request, f"comment {number}")

    answer = send("GET", COMMENTS + query)

    links = {rel: int(link["url"].rpartition("page=")[2]) for rel, link in answer.links.items()}
    assert (len(answer.json()), links) == page
    assert all(link["url"].startswith(hub.base_url) for link in answer.links.values())


def test_a_short_list_has_no_links(hub: GitHubDouble, pull_request: PullRequest, send: Send) -> None:
    hub.world.comment(pull_request, "alone")

    assert "Link" not in send("GET", COMMENTS).headers


def test_comments_since_a_moment(hub: GitHubDouble, pull_request: PullRequest, send: Send) -> None:
    hub.world.comment(pull_request, "old")
    new = hub.world.comment(pull_request, "new")

    answer = send("GET", COMMENTS, params={"since": new.created.isoformat()})

    assert [row["body"] for row in answer.json()] == ["new"]


def test_pull_requests_by_head(hub: GitHubDouble, repository: Repository, send: Send) -> None:
    fork = hub.world.repository("mona/models", fork=True)
    hub.world.pull_request(repository, branch="x")
    hub.world.pull_request(repository, branch="x", fork=fork)
    hub.world.pull_request(repository, branch="x", fork=fork, state="closed")

    def numbers(**query: str) -> list[int]:
        return [row["number"] for row in send("GET", "/repos/octocat/models/pulls", params=query).json()]

    assert numbers(head="mona:x") == [2]
    assert numbers(head="mona:x", state="all") == [3, 2]
    assert numbers(head="x") == [2, 1], "GitHub takes a head without an owner for no filter"
    assert numbers(sort="updated", direction="asc") == [1, 2]
    assert numbers(base="elsewhere") == []


def test_the_head_of_a_deleted_fork_has_no_repository(pull_request: PullRequest, send: Send) -> None:
    pull_request.head.repository = None

    assert send("GET", "/repos/octocat/models/pulls/1").json()["head"]["repo"] is None


@pytest.mark.usefixtures("pull_request")
def test_a_comment_lives(hub: GitHubDouble, send: Send) -> None:
    token = hub.world.installation_token()

    created = send("POST", COMMENTS, token, json={"body": "first"})
    url = created.headers["Location"].removeprefix(hub.base_url)
    edited = send("PATCH", url, token, json={"body": "second"}).json()
    seen = send("GET", url).json()
    deleted = send("DELETE", url, token)

    assert (created.status_code, created.json()["user"]["login"]) == (201, "github-actions[bot]")
    assert (seen["body"], seen == edited) == ("second", True)
    assert edited["updated_at"] > edited["created_at"] == created.json()["created_at"]
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert send("GET", url).status_code == 404


def test_who_is_asking(hub: GitHubDouble, send: Send) -> None:
    assert send("GET", "/user").status_code == 401
    assert send("GET", "/user", hub.world.user_token("mona")).json()["login"] == "mona"
    refused = send("GET", "/user", hub.world.installation_token())
    assert (refused.status_code, refused.json()) == (
        403,
        {
            "message": "Resource not accessible by integration",
            "documentation_url": "https://docs.github.com/rest/users/users#get-the-authenticated-user",
            "status": "403",
        },
    )
    assert send("GET", "/user", "ghp_revoked").json()["message"] == "Bad credentials"


@pytest.mark.parametrize("installation", [True, False])
def test_a_read_only_token_reads_only(
    hub: GitHubDouble, pull_request: PullRequest, send: Send, installation: bool
) -> None:
    comment = hub.world.comment(pull_request, "kept")
    place = f"/repos/octocat/models/issues/comments/{comment.id}"
    read: dict[str, str] = {"issues": "read", "pull_requests": "read"}
    token = hub.world.installation_token(**read) if installation else hub.world.user_token("mona", **read)
    by = "integration" if installation else "personal access token"

    for method, path in [("POST", COMMENTS), ("PATCH", place), ("DELETE", place)]:
        refused = send(method, path, token, json={"body": "no"} if method != "DELETE" else None)
        assert refused.status_code == 403
        assert refused.json()["message"] == f"Resource not accessible by {by}"
        assert refused.headers["X-Accepted-GitHub-Permissions"] == "issues=write; pull_requests=write"
    assert send("GET", COMMENTS, token).json()[0]["body"] == "kept"


def test_a_private_repository_is_hidden(hub: GitHubDouble, send: Send) -> None:
    hub.world.repository("octocat/secret", private=True)

    assert send("GET", "/repos/octocat/secret").status_code == 404
    assert send("GET", "/repos/octocat/secret", hub.world.installation_token()).status_code == 200
    assert send("GET", "/repos/octocat/secret/pulls", hub.world.installation_token(contents="read")).status_code == 403


@pytest.mark.usefixtures("pull_request")
def test_an_anonymous_write_is_refused(send: Send) -> None:
    assert send("POST", COMMENTS, json={"body": "hello"}).status_code == 401


@pytest.mark.usefixtures("pull_request")
def test_the_longest_comment(hub: GitHubDouble, send: Send) -> None:
    token = hub.world.installation_token()

    assert send("POST", COMMENTS, token, json={"body": "é" * 65_536}).status_code == 201
    refused = send("POST", COMMENTS, token, json={"body": "é" * 65_537})
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [
            {
                "resource": "IssueComment",
                "code": "unprocessable",
                "field": "data",
                "message": "Body is too long (maximum is 65536 characters)",
            }
        ],
    )
    assert send("POST", COMMENTS, token, json={"body": " "}).status_code == 422


@pytest.mark.parametrize(
    ("path", "anchor"),
    [
        ("/repos/octocat/other", "repos/repos#get-a-repository"),
        ("/repos/octocat/models/pulls/9", "pulls/pulls#get-a-pull-request"),
        ("/repos/octocat/models/issues/9/comments", "issues/comments#list-issue-comments"),
        ("/repos/octocat/models/issues/comments/9", "issues/comments#get-an-issue-comment"),
    ],
)
@pytest.mark.usefixtures("pull_request")
def test_what_is_not_there(send: Send, path: str, anchor: str) -> None:
    answer = send("GET", path)

    assert answer.json() == {
        "message": "Not Found",
        "documentation_url": f"https://docs.github.com/rest/{anchor}",
        "status": "404",
    }


def test_names_of_repositories_ignore_case(repository: Repository, send: Send) -> None:
    assert send("GET", "/repos/OctoCat/Models").json()["full_name"] == repository.full_name


def test_rate_limits_are_told(send: Send) -> None:
    remaining = [int(send("GET", "/user").headers["X-RateLimit-Remaining"]) for _ in range(2)]

    assert remaining[0] - remaining[1] == 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "body"),
        ({"json": {"text": "hello"}}, "'body' is a required property"),
        ({"json": {"body": 7}}, "7 is not of type 'string'"),
        ({"json": {"body": "x", "bdoy": "x"}}, "'bdoy' was unexpected"),
        ({"json": {"body": "x"}, "params": {"perpage": "1"}}, "perpage is not a query parameter"),
    ],
)
def test_a_wrong_request_is_caught(
    hub: GitHubDouble, pull_request: PullRequest, send: Send, given: dict[str, Any], problem: str
) -> None:
    answer = send("POST", COMMENTS, hub.world.installation_token(), **given)

    assert answer.status_code == 422
    assert problem in hub.violations[0]
    assert hub.world.comments_of(pull_request) == []
    hub.violations.clear()


def test_a_wrong_query_is_caught(hub: GitHubDouble, send: Send) -> None:
    hub.world.repository("octocat/models")

    assert send("GET", "/repos/octocat/models/pulls?state=opened").status_code == 422
    assert "'opened' is not one of" in hub.violations[0]
    hub.violations.clear()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"html_url": None}, "html_url: None for not nullable"),
        ({"created_at": "yesterday"}, "created_at: 'yesterday' is not a 'date-time'"),
        ({"invented": True}, "'invented' was unexpected"),
        ({"id": "1"}, "id: '1' is not of type 'integer'"),
    ],
)
def test_a_wrong_answer_is_caught(change: dict[str, Any], problem: str) -> None:
    world = World(BASE, BASE)
    comment = world.comment(world.pull_request(world.repository("octocat/models")), "hello")
    request = Request("GET", f"/repos/octocat/models/issues/comments/{comment.id}")
    body = bodies.comment(world, comment)
    judge = committed_description()

    assert judge.problems_of_answer(request, Answer(200, body)) == []
    assert problem in "".join(judge.problems_of_answer(request, Answer(200, {**body, **change})))


def test_an_answer_that_lacks_something_is_caught() -> None:
    judge = committed_description()
    request = Request("GET", "/user")

    user = {"login": "mona", "user_view_type": "public"}

    assert "'gists_url' is a required property" in "".join(judge.problems_of_answer(request, Answer(200, user)))
    assert "'massage' was unexpected" in "".join(judge.problems_of_answer(request, Answer(401, {"massage": "no"})))
    assert "202" in "".join(judge.problems_of_answer(request, Answer(202, user)))


def test_drift_fails_the_test_that_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World, call: Call) -> Answer:
        return Answer(200, {"login": world.html_url + call.url})

    monkeypatch.setitem(OPERATIONS, "users/get-authenticated", Operation(broken, ()))
    with pytest.raises(DescriptionError, match="answer of GET /user"), GitHubDouble() as hub:
        requests.get(f"{hub.base_url}/user", timeout=10)


def test_a_defect_of_the_double_fails_the_test_that_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World, call: Call) -> Answer:
        raise KeyError(world.api_url + call.url)

    monkeypatch.setitem(OPERATIONS, "users/get-authenticated", Operation(broken, ()))
    with pytest.raises(DescriptionError, match="KeyError"), GitHubDouble() as hub:
        assert requests.get(f"{hub.base_url}/user", timeout=10).status_code == 500


def test_a_fault_that_nobody_meets_fails_the_test() -> None:
    def test() -> None:
        with GitHubDouble() as hub:
            hub.cut_next(operation="pulls/list")
            hub.before("pulls/list", lambda: None)

    with pytest.raises(DescriptionError, match="no request met Fault") as caught:
        test()
    assert "the hook before pulls/list" in str(caught.value)


def test_a_failing_test_is_not_hidden_by_a_violation() -> None:
    def test() -> None:
        with GitHubDouble() as hub:
            requests.get(f"{hub.base_url}/nowhere", timeout=10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        test()


@pytest.mark.usefixtures("pull_request")
def test_faults(hub: GitHubDouble, send: Send) -> None:
    hub.fail_next(503, times=2, headers={"Retry-After": "0"})
    hub.fail_next(502, page="<html>Unicorn!</html>")
    hub.limit_next(operation="issues/create-comment", retry_after=7)

    first = send("GET", COMMENTS)
    assert (first.status_code, first.headers["Retry-After"], first.json()["message"]) == (503, "0", "Server Error")
    assert send("GET", COMMENTS).status_code == 503
    assert "Unicorn" in send("GET", COMMENTS).text
    assert send("GET", COMMENTS).status_code == 200
    limited = send("POST", COMMENTS, hub.world.installation_token(), json={"body": "hello"})
    assert (limited.status_code, limited.headers["Retry-After"]) == (403, "7")
    assert limited.json()["message"].startswith("You have exceeded a secondary rate limit")
    assert [exchange.status for exchange in hub.log] == [503, 503, 502, 200, 403]


@pytest.mark.parametrize("applied", [False, True])
def test_a_cut_connection(hub: GitHubDouble, pull_request: PullRequest, send: Send, applied: bool) -> None:
    hub.cut_next(operation="issues/create-comment", applied=applied)

    with pytest.raises(requests.ConnectionError):
        send("POST", COMMENTS, hub.world.installation_token(), json={"body": "hello"})
    assert len(hub.world.comments_of(pull_request)) == applied
    assert (hub.log[-1].status, hub.log[-1].login) == (0, "github-actions[bot]")


def test_another_run_overtakes(hub: GitHubDouble, pull_request: PullRequest, send: Send) -> None:
    token = hub.world.installation_token()
    hub.before("issues/create-comment", lambda: send("POST", COMMENTS, token, json={"body": "faster"}))

    send("POST", COMMENTS, token, json={"body": "slower"})

    assert [comment.body for comment in hub.world.comments_of(pull_request)] == ["faster", "slower"]
    assert [request.json()["body"] for request in hub.requests("issues/create-comment")] == ["slower", "faster"]


def test_a_client_that_gives_up(hub: GitHubDouble) -> None:
    given_up = threading.Event()
    hub.before("users/get-authenticated", lambda: given_up.wait(10))

    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{hub.base_url}/user", timeout=0.05)
    given_up.set()


def test_pygithub_walks_the_pages(hub: GitHubDouble, pull_request: PullRequest) -> None:
    for number in range(70):
        hub.world.comment(pull_request, f"comment {number}")
    with Github(base_url=hub.base_url, auth=Auth.Token(hub.world.installation_token()), lazy=True) as client:
        found = client.get_repo("octocat/models").get_pull(1).get_issue_comments()

        assert [comment.body for comment in found][-1] == "comment 69"
    assert len(hub.requests("issues/list-comments")) == 3


def test_the_subset_is_closed_and_without_prose() -> None:
    def row(name: str) -> dict[str, Any]:
        return {"operationId": name, "summary": "Prose", "responses": {"200": {"$ref": "#/components/responses/r"}}}

    model = {"description": "Prose", "properties": {"description": {"type": "string", "example": "Prose"}}}
    error = {"type": "object"}
    whole = {
        "openapi": "3.0.3",
        "info": {"version": "1.2.3", "license": {"name": "MIT"}},
        "servers": [],
        "paths": {"/a": {"get": row("a/get"), "put": row("a/put")}, "/b": {"get": row("b/get")}},
        "components": {
            "responses": {"r": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/m"}}}}},
            "schemas": {"m": model, "basic-error": error, "unused": {}},
        },
    }

    made = subset(whole, {"a/get"})

    assert {path: list(item) for path, item in made["paths"].items()} == {"/a": ["get"]}
    assert made["components"]["schemas"] == {
        "m": {"properties": {"description": {"type": "string"}}},
        "basic-error": error,
    }
    assert "Prose" not in rendered(made)
    with pytest.raises(SystemExit, match="a/post"):
        subset(whole, {"a/post"})


def test_the_emulator_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert missing() == "the GitHub emulator needs node, which is not installed"


@pytest.mark.node
def test_the_emulator_agrees(emulated_github: Emulator) -> None:
    number = emulated_github.open_pull_request("octocat/models", branch="agrees")
    auth = Auth.Token(emulated_github.tokens["mona"])
    with Github(base_url=emulated_github.base_url, auth=auth, seconds_between_writes=None) as client:
        pull_request = client.get_repo("octocat/models").get_pull(number)
        comment = pull_request.create_issue_comment("first")
        comment.edit("second")

        assert [(each.user.login, each.body) for each in pull_request.get_issue_comments()] == [("mona", "second")]
        comment.delete()
        assert pull_request.get_issue_comments().totalCount == 0


def test_a_run_and_its_artifacts(hub: GitHubDouble, pull_request: PullRequest, send: Send) -> None:
    run, other = hub.world.run(pull_request), hub.world.run(pull_request)
    for name in ("reports", "logs", "reports"):
        hub.world.artifact(run, name, b"PK")
    hub.world.artifact(other, "reports", b"PK")

    told = send("GET", f"/repos/octocat/models/actions/runs/{run.id}").json()
    listed = send("GET", f"/repos/octocat/models/actions/runs/{run.id}/artifacts?name=reports&per_page=1").json()
    assert (told["head_sha"], told["pull_requests"]) == (pull_request.head.sha, [])
    assert (listed["total_count"], len(listed["artifacts"])) == (2, 1)
    assert listed["artifacts"][0]["workflow_run"]["id"] == run.id
    assert send("GET", "/repos/octocat/models/actions/runs/1").status_code == 404


def test_a_download_is_redirected_for_who_may_read(hub: GitHubDouble, pull_request: PullRequest, send: Send) -> None:
    hub.world.storage_url = "https://storage.invalid"
    made = hub.world.artifact(hub.world.run(pull_request), "reports", b"PK")
    path = f"/repos/octocat/models/actions/artifacts/{made.id}/zip"
    allowed = hub.world.installation_token(actions="read")

    assert send("GET", path).status_code == 401
    assert send("GET", path, hub.world.installation_token(contents="read")).status_code == 403
    answer = send("GET", path, allowed, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        f"https://storage.invalid/{made.id}.zip?sig=signed",
    )
    made.expired = True
    assert send("GET", path, allowed).status_code == 410


@pytest.fixture
def retrain(hub: GitHubDouble) -> Workflow:
    where = hub.world.repository("octocat/models")
    return hub.world.workflow(where, "retrain.yml", inputs=("key",), event_type="drift", run_name="Retrain ({key})")


RETRAIN = "/repos/octocat/models/actions/workflows/retrain.yml"


def test_a_dispatched_workflow(hub: GitHubDouble, retrain: Workflow, send: Send) -> None:
    token = hub.world.installation_token(actions="write")
    told = {"ref": "main", "inputs": {"key": "abc"}}

    assert send("POST", f"{RETRAIN}/dispatches", json=told).status_code == 401
    assert send("POST", f"{RETRAIN}/dispatches", hub.world.installation_token(), json=told).status_code == 403
    made = send("POST", f"{RETRAIN}/dispatches", token, json={**told, "return_run_details": True})
    assert made.status_code == 200
    assert send("POST", f"{RETRAIN}/dispatches", token, json=told).status_code == 204
    listed = send("GET", f"{RETRAIN}/runs?status=queued&event=workflow_dispatch&per_page=1").json()
    assert (listed["total_count"], listed["workflow_runs"][0]["display_title"]) == (2, "Retrain (abc)")
    hub.world.runs[made.json()["workflow_run_id"]].status = "completed"
    assert send("GET", f"{RETRAIN}/runs?status=queued").json()["total_count"] == 1
    assert send("GET", f"{RETRAIN}/runs?event=schedule").json()["total_count"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ref": "gone"}, "No ref found for: gone"),
        ({"inputs": {"kee": "abc"}}, 'Unexpected inputs provided: ["kee"]'),
        ({"inputs": {"key": "a" * 65_536}}, "inputs are too large."),
    ],
)
def test_a_dispatch_that_github_refuses(
    hub: GitHubDouble, retrain: Workflow, send: Send, change: dict[str, Any], message: str
) -> None:
    token = hub.world.installation_token(actions="write")
    answer = send("POST", f"{RETRAIN}/dispatches", token, json={"ref": "main", "inputs": {}, **change})
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    assert send("POST", f"{RETRAIN[:-4]}.yaml/dispatches", token, json={"ref": "main"}).status_code == 404
    hub.world.gives_run_details = False
    asked = send("POST", f"{RETRAIN}/dispatches", token, json={"ref": "main", "return_run_details": True})
    assert (asked.status_code, "not a permitted key" in asked.json()["message"]) == (422, True)
    hub.world.workflow(retrain.repository, "retrain.yml", inputs=None)
    assert "trigger" in send("POST", f"{RETRAIN}/dispatches", token, json={"ref": "main"}).json()["message"]
    assert hub.world.runs == {}


def test_a_dispatched_event(hub: GitHubDouble, retrain: Workflow, send: Send) -> None:
    token, path = hub.world.installation_token(contents="write"), "/repos/octocat/models/dispatches"

    assert send("POST", path, token, json={"event_type": "other"}).status_code == 204
    assert send("POST", path, token, json={"event_type": "drift", "client_payload": {"key": "abc"}}).status_code == 204
    (run,) = hub.world.runs.values()
    assert (run.event, run.status, run.title) == ("repository_dispatch", "queued", "Retrain (abc)")
    large = {"event_type": "drift", "client_payload": {"key": "a" * 65_536}}
    assert send("POST", path, token, json=large).status_code == 422


DEPLOYMENTS, ISSUES = "/repos/octocat/models/deployments", "/repos/octocat/models/issues"


@pytest.mark.parametrize("production", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_successful_deployment_retires_what_is_no_production(
    hub: GitHubDouble, repository: Repository, send: Send, production: bool, wanted: bool
) -> None:
    token = hub.world.installation_token(deployments="write")
    said = {"ref": "c" * 40, "auto_merge": False, "required_contexts": [], "environment": "live"}
    for _ in range(2):
        made = send("POST", DEPLOYMENTS, token, json={**said, "production_environment": production})
        assert made.status_code == 201
        path = f"{DEPLOYMENTS}/{made.json()['id']}/statuses"
        told = send("POST", path, token, json={"state": "success", "auto_inactive": wanted})
        assert told.status_code == 201
    assert made.json()["creator"]["login"] == "github-actions[bot]"

    first, second = ([status.state for status in each.statuses] for each in hub.world.deployments)
    assert (first, second) == (["success", "inactive"] if wanted and not production else ["success"], ["success"])
    assert len(send("GET", f"{DEPLOYMENTS}?task=deploy&environment=live").json()) == 2
    assert send("GET", f"{DEPLOYMENTS}?task=other").json() == []


def test_a_deployment_that_github_refuses(hub: GitHubDouble, repository: Repository, send: Send) -> None:
    token, said = hub.world.installation_token(deployments="write"), {"ref": "c" * 40, "auto_merge": False}
    assert send("POST", DEPLOYMENTS, token, json=said).status_code == 409, "it waits for every status"
    assert send("POST", DEPLOYMENTS, token, json={**said, "ref": "gone"}).status_code == 422
    number = send("POST", DEPLOYMENTS, token, json={**said, "required_contexts": []}).json()["id"]

    for wrong in ({"log_url": "ftp://a"}, {"environment_url": "a"}, {"description": "d" * 141}):
        path = f"{DEPLOYMENTS}/{number}/statuses"
        assert send("POST", path, token, json={"state": "success", **wrong}).status_code == 422
    assert send("POST", f"{DEPLOYMENTS}/1/statuses", token, json={"state": "success"}).status_code == 404
    assert hub.world.deployments[0].statuses == []


def test_issues_share_their_numbers_with_pull_requests(
    hub: GitHubDouble, pull_request: PullRequest, send: Send
) -> None:
    token = hub.world.installation_token(issues="write")
    made = send("POST", ISSUES, token, json={"title": "Wrong", "labels": ["a", "b"]}).json()
    assert (made["number"], made["body"], made["html_url"]) == (2, None, f"{hub.html_url}/octocat/models/issues/2")

    listed = send("GET", ISSUES).json()
    assert [(each["number"], "pull_request" in each) for each in listed] == [(2, False), (1, True)]
    assert [each["number"] for each in send("GET", f"{ISSUES}?labels=b,a&creator=github-actions[bot]").json()] == [2]
    assert send("GET", f"{ISSUES}?labels=b,c").json() == []
    assert send("GET", f"{ISSUES}?creator=nobody").status_code == 422

    said = send("POST", f"{ISSUES}/2/comments", token, json={"body": "So it is."}).json()
    assert said["html_url"].startswith(f"{made['html_url']}#issuecomment-")
    closed = send("PATCH", f"{ISSUES}/2", token, json={"state": "closed", "state_reason": "not_planned"}).json()
    assert (closed["state"], closed["state_reason"], closed["comments"]) == ("closed", "not_planned", 1)
    assert [each["number"] for each in send("GET", ISSUES).json()] == [1]
    assert send("PATCH", f"{ISSUES}/1", token, json={"title": "x"}).status_code == 404, "pulls/update is for that"
    assert hub.world.pull_request(pull_request.repository).number == 3
