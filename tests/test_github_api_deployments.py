"""Deployments: found again by their key, told once, whatever gets lost on the way; one live for each model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from github.Repository import Repository

from github_double.server import GitHubDouble
from github_double.world import Deployment, Status
from github_double.world import Repository as Hosted
from slipway.github_api import client, deployments
from slipway.github_api.deployments import EARLIER
from slipway.runner.context import Run
from slipway.runner.errors import RemoteError
from slipway.runner.inputs import Secret

REPOSITORY = "octo/models"
LIST, CREATE = "repos/list-deployments", "repos/create-deployment"
STATUSES, ADD = "repos/list-deployment-statuses", "repos/create-deployment-status"
LOG = "https://github.com/octo/models/actions/runs/7"


@pytest.fixture
def hosted(hub: GitHubDouble) -> Hosted:
    return hub.world.repository(REPOSITORY)


@pytest.fixture
def repository(hub: GitHubDouble, hosted: Hosted) -> Iterator[Repository]:
    yield from opened(hub, hub.world.installation_token(deployments="write"))


def opened(hub: GitHubDouble, token: str) -> Iterator[Repository]:
    with client.connect(Secret(token), Run(repository=REPOSITORY, api_url=hub.base_url)) as connected:
        yield connected.get_repo(REPOSITORY)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the code under test would have waited."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


def begin(repository: Repository, key: str = "flights/production/1", **changed: Any) -> int:
    said: dict[str, Any] = {
        "environment": "production",
        "description": "flights version 3",
        "production": True,
        "payload": {"model": "flights", "version": "3"},
        **changed,
    }
    return deployments.begin(repository, Run(repository=REPOSITORY, sha="c" * 40), key=key, **said)


def tell(repository: Repository, number: int, state: Any = "in_progress", **changed: Any) -> None:
    said = {"description": "1 % of the traffic", "log_url": LOG, "environment_url": "https://example.com/", **changed}
    deployments.tell(repository, number, state=state, **said)


def states(hub: GitHubDouble) -> list[list[str]]:
    return [[status.state for status in each.statuses] for each in hub.world.deployments]


def lose(hub: GitHubDouble, how: str, operation: str, applied: bool) -> None:
    if how == "reset":
        hub.cut_next(operation=operation, applied=applied)
    elif how == "HTML page":
        hub.fail_next(502, operation=operation, page="<html>Unicorn!</html>", applied=applied)
    else:
        hub.fail_next(int(how), operation=operation, applied=applied)


LOST = [(how, applied) for how in ("502", "HTML page", "reset") for applied in (True, False)]


# Beginning


def test_begin__makes_one_of_the_runs_commit_then_finds_it(hub: GitHubDouble, repository: Repository) -> None:
    number = begin(repository)

    assert begin(repository, description="something else") == number
    (made,) = hub.world.deployments
    assert (made.id, made.sha, made.environment, made.task) == (number, "c" * 40, "production", "slipway")
    assert made.payload == {"model": "flights", "version": "3", "slipway": "flights/production/1"}
    assert (made.description, made.production, made.transient) == ("flights version 3", True, False)
    (sent,) = hub.requests(CREATE)
    assert (sent.json()["auto_merge"], sent.json()["required_contexts"]) == (False, [])
    assert len(hub.log) == 3, "PyGithub asks for nothing else"


def test_begin__each_key_and_each_environment_has_its_own(hub: GitHubDouble, repository: Repository) -> None:
    made = [
        begin(repository, key, environment=name) for name in ("staging", "production") for key in ("flights/1", "f/2")
    ]

    assert len(set(made)) == 4
    assert begin(repository, "f/2", environment="production") == made[3]


def test_begin__what_others_deploy_is_not_ours(hub: GitHubDouble, hosted: Hosted, repository: Repository) -> None:
    """Jobs with an environment make deployments, too, and a payload may be anything."""
    said: list[Any] = ["", "not JSON", "[1]", {}, {"slipway": "other"}]
    for task, payload in [("deploy", {"slipway": "flights/production/1"}), *(("slipway", each) for each in said)]:
        made = Deployment(
            hub.world.new_id(), hosted, 1, "c" * 40, "production", [Status("queued", hub.world.tick())], task, payload
        )
        hub.world.deployments.append(made)

    assert begin(repository) == hub.world.deployments[-1].id
    assert len(hub.world.deployments) == 7


def test_begin__a_payload_as_text(hub: GitHubDouble, repository: Repository) -> None:
    """Old servers give back the payload as its text."""
    number = begin(repository)
    hub.world.deployments[0].payload = '{"slipway": "flights/production/1"}'

    assert begin(repository) == number


def test_begin__two_of_one_key_are_one_from_then_on(hub: GitHubDouble, repository: Repository) -> None:
    """Another run makes its own between our look and ours."""
    hub.before(CREATE, lambda: begin(repository))

    begin(repository)

    assert len(hub.world.deployments) == 2
    assert begin(repository) == hub.world.deployments[0].id


@pytest.mark.parametrize(("how", "applied"), LOST)
def test_begin__an_answer_that_was_lost(hub: GitHubDouble, repository: Repository, how: str, applied: bool) -> None:
    lose(hub, how, CREATE, applied)

    assert begin(repository) == hub.world.deployments[0].id
    assert (len(hub.world.deployments), len(hub.requests(CREATE))) == (1, 1 if applied else 2)


def test_begin__a_long_description_in_many_lines(hub: GitHubDouble, repository: Repository) -> None:
    begin(repository, description="a\n b\t" + "c" * 200)

    assert hub.world.deployments[0].description == "a b " + "c" * 135 + "…"


# Telling


def test_tell__a_status_unless_the_newest_says_the_same(hub: GitHubDouble, repository: Repository) -> None:
    number = begin(repository)
    for _ in range(2):
        tell(repository, number)
    tell(repository, number, description="5 % of the traffic")
    tell(repository, number)

    (made,) = hub.world.deployments
    said = ["1 % of the traffic", "5 % of the traffic", "1 % of the traffic"]
    assert [each.description for each in made.statuses] == said
    assert {(each.state, each.log_url, each.environment_url) for each in made.statuses} == {
        ("in_progress", LOG, "https://example.com/")
    }


def test_tell__the_newest_of_many(hub: GitHubDouble, repository: Repository) -> None:
    number = begin(repository)
    hub.world.deployments[0].statuses += [Status("in_progress", hub.world.tick(), f"look {n}") for n in range(130)]

    tell(repository, number, description="look 129", log_url="", environment_url="")
    assert len(hub.requests(ADD)) == 0
    tell(repository, number, description="look 128", log_url="", environment_url="")
    assert len(hub.requests(ADD)) == 1


@pytest.mark.parametrize(("how", "applied"), LOST)
def test_tell__an_answer_that_was_lost(hub: GitHubDouble, repository: Repository, how: str, applied: bool) -> None:
    first, second = begin(repository, "1"), begin(repository, "2")
    tell(repository, first, "success")
    lose(hub, how, ADD, applied)

    tell(repository, second, "success")

    assert states(hub) == [["success", "inactive"], ["success"]]


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.com",
        "javascript:alert(1)",
        "/a",
        "https://",
        "https://me:pw@example.com",
        "http://[",
        "http://a b",
    ],
)
def test_tell__an_address_that_github_or_nobody_takes(hub: GitHubDouble, repository: Repository, address: str) -> None:
    number = begin(repository)

    tell(repository, number, log_url=address, environment_url=address, description="d" * 141)

    ((status,),) = [each.statuses for each in hub.world.deployments]
    assert (status.log_url, status.environment_url, status.description) == ("", "", "d" * 139 + "…")


# One is live


@pytest.mark.parametrize("production", [True, False])
def test_tell__a_success_retires_the_one_before(hub: GitHubDouble, repository: Repository, production: bool) -> None:
    """GitHub itself does so only where the environment is no production environment."""
    numbers = [begin(repository, str(each), production=production) for each in range(4)]
    tell(repository, numbers[0], "success")
    tell(repository, numbers[1], "failure")
    tell(repository, numbers[2], "inactive")
    tell(repository, numbers[3], "success")
    assert states(hub) == [["success", "inactive"], ["failure"], ["inactive"], ["success"]]

    asked = len(hub.log)
    tell(repository, numbers[3], "success")
    assert states(hub) == [["success", "inactive"], ["failure"], ["inactive"], ["success"]]
    assert len(hub.log) - asked == 5, "its statuses, the list, and the statuses down to the one that was live"


def test_tell__what_an_interrupted_run_left(hub: GitHubDouble, repository: Repository) -> None:
    first, second = begin(repository, "1"), begin(repository, "2")
    tell(repository, first, "success")
    hub.fail_next(403, operation=LIST)
    with pytest.raises(RemoteError):
        tell(repository, second, "success")
    assert states(hub) == [["success"], ["success"]]

    tell(repository, second, "success")

    assert states(hub) == [["success", "inactive"], ["success"]]


def test_tell__an_older_run_retires_no_newer_deployment(hub: GitHubDouble, repository: Repository) -> None:
    first, second = begin(repository, "1"), begin(repository, "2")
    tell(repository, second, "success")
    tell(repository, first, "success")

    assert states(hub) == [["success"], ["success"]]


@pytest.mark.parametrize("other", [{"payload": {"model": "fares"}}, {"environment": "production-eu"}])
def test_tell__other_models_and_environments_stay(
    hub: GitHubDouble, repository: Repository, other: dict[str, Any]
) -> None:
    kept, number = begin(repository, "1", **other, production=False), begin(repository, "2", production=False)
    tell(repository, kept, "success")
    tell(repository, number, "success")

    assert states(hub) == [["success"], ["success"]]


def test_tell__few_earlier_ones_are_looked_at(hub: GitHubDouble, repository: Repository) -> None:
    numbers = [begin(repository, str(each)) for each in range(EARLIER + 3)]
    asked = len(hub.requests(STATUSES))

    tell(repository, numbers[-1], "success")

    assert len(hub.requests(STATUSES)) - asked == 1 + EARLIER


# Refusals


def test_begin__without_the_permission(hub: GitHubDouble, hosted: Hosted) -> None:
    for token in (hub.world.installation_token(deployments="read"), hub.world.installation_token(contents="write")):
        for repository in opened(hub, token):
            with pytest.raises(RemoteError) as caught:
                begin(repository)
            assert caught.value.what == "GitHub refused to show a deployment to production (403)."
            assert "permissions:\n    deployments: write" in caught.value.fix
    assert hub.world.deployments == []


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (404, "Not Found", "permissions:\n    deployments: write"),
        (422, "No ref found for: x", "Run the job again"),
        (429, "Too many", "rate limit"),
    ],
)
def test_begin__a_refusal_is_not_repeated(
    hub: GitHubDouble, repository: Repository, status: int, message: str, expected: str
) -> None:
    hub.fail_next(status, times=9, operation=CREATE, message=message)

    with pytest.raises(RemoteError) as caught:
        begin(repository)

    assert expected in caught.value.fix
    assert hub.world.deployments == []
    assert len(hub.requests(LIST)) == 1, "what was refused is not looked for"


def test_begin__a_rate_limit_passes(hub: GitHubDouble, repository: Repository, slept: list[float]) -> None:
    hub.limit_next(operation=CREATE, retry_after=5)

    begin(repository)

    assert (len(hub.world.deployments), slept) == (1, [5])


@pytest.mark.parametrize("operation", [CREATE, ADD])
def test_a_server_that_stays_broken(hub: GitHubDouble, repository: Repository, operation: str) -> None:
    number = 0 if operation == CREATE else begin(repository)
    hub.fail_next(500, times=2, operation=operation)

    with pytest.raises(RemoteError) as caught:
        tell(repository, number) if number else begin(repository)
    assert "(500)" in caught.value.what
    assert len(hub.world.deployments) == bool(number)


def test_tell__a_deployment_that_is_gone(hub: GitHubDouble, repository: Repository) -> None:
    with pytest.raises(RemoteError) as caught:
        tell(repository, 12)
    assert caught.value.what == "GitHub refused to give deployment 12 the status in_progress (404)."


@pytest.mark.parametrize("operation", [LIST, STATUSES])
def test_reads_are_repeated(hub: GitHubDouble, repository: Repository, operation: str) -> None:
    hub.fail_next(503, times=3, operation=operation)

    tell(repository, begin(repository))

    assert states(hub) == [["in_progress"]]
