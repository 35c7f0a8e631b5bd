"""The client: who the token writes as, what is repeated and for how long, and what each refusal is told as."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from github import Github, GithubException
from github.Issue import Issue

from github_double.server import GitHubDouble
from slipway.github_api import client
from slipway.runner.context import Run
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.inputs import Secret

REPOSITORY = "octo/models"
LIST, CREATE, USER = "issues/list-comments", "issues/create-comment", "users/get-authenticated"
DOING = "write a comment on pull request #1"
PERMISSION = "pull-requests: write"

Connect = Callable[..., Github]


@pytest.fixture
def connect(hub: GitHubDouble) -> Iterator[Connect]:
    """Open the double with a token; every client is closed at the end."""
    hub.world.pull_request(hub.world.repository(REPOSITORY))
    with ExitStack() as opened:

        def run(token: str = "", *, api_url: str = hub.base_url) -> Github:
            secret = Secret(token or hub.world.installation_token())
            return opened.enter_context(client.connect(secret, Run(repository=REPOSITORY, api_url=api_url)))

        yield run


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the code under test would have waited."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


def issue(opened: Github, number: int = 1, repository: str = REPOSITORY) -> Issue:
    return opened.get_repo(repository).get_issue(number)


def read(opened: Github) -> int:
    return len(list(issue(opened).get_comments()))


def raised(problem: Exception) -> None:
    raise problem


def refused(work: Callable[[], object], *, from_fork: bool = False) -> RemoteError:
    with pytest.raises(RemoteError) as caught, client.explained(DOING, permission=PERMISSION, from_fork=from_fork):
        work()
    return caught.value


# Who writes


def test_login__an_installation_token_is_the_actions_bot_without_a_question(
    hub: GitHubDouble, connect: Connect
) -> None:
    assert client.login(connect()) == "github-actions[bot]"
    assert hub.log == []


def test_login__a_persons_token_says_whose_it_is(hub: GitHubDouble, connect: Connect) -> None:
    assert client.login(connect(hub.world.user_token("mona"))) == "mona"
    assert len(hub.log) == 1


def test_login__what_the_caller_says_is_not_asked_again(hub: GitHubDouble, connect: Connect) -> None:
    assert client.login(connect(hub.world.user_token("mona")), "my-app[bot]") == "my-app[bot]"
    assert hub.log == []


def test_login__a_token_of_another_shape_that_may_not_ask(hub: GitHubDouble, connect: Connect) -> None:
    """GitHub Enterprise Server has had tokens without GitHub's prefixes."""
    hub.fail_next(403, operation=USER, message="Resource not accessible by integration")

    assert client.login(connect(hub.world.user_token("mona"))) == "github-actions[bot]"


@pytest.mark.usefixtures("slept")
def test_login__a_rate_limit_makes_nobody_the_actions_bot(hub: GitHubDouble, connect: Connect) -> None:
    """A person's run that believed it would not find its comment, and post another one."""
    hub.limit_next(times=4, operation=USER)

    error = refused(lambda: client.login(connect(hub.world.user_token("mona"))))

    assert error.why == "You have exceeded a rate limit."
    assert "rate limit is used up" in error.fix


def test_login__a_bad_token(connect: Connect) -> None:
    with pytest.raises(GithubException) as caught:
        client.login(connect("github_pat_bad"))
    assert caught.value.status == 401


# What is repeated


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_retry__reads_are_repeated_with_pauses(
    hub: GitHubDouble, connect: Connect, slept: list[float], status: int
) -> None:
    hub.fail_next(status, times=2, operation=LIST)
    hub.fail_next(status, page="<html>Unicorn!</html>", operation=LIST)

    assert read(connect()) == 0
    assert slept == [1.0, 2.0]
    assert len(hub.log) == 4


def test_retry__reads_end_after_three_repetitions(hub: GitHubDouble, connect: Connect, slept: list[float]) -> None:
    hub.fail_next(503, times=9, operation=LIST)

    error = refused(lambda: read(connect()))

    assert error.what == f"GitHub refused to {DOING} (503)."
    assert error.why == "Server Error"
    assert "Run the job again" in error.fix
    assert len(hub.log) == 4


@pytest.mark.usefixtures("slept")
def test_retry__a_cut_connection_is_opened_again(hub: GitHubDouble, connect: Connect) -> None:
    hub.cut_next(times=3, operation=LIST)

    assert read(connect()) == 0


@pytest.mark.parametrize("told", [7, 60, 600])
@pytest.mark.parametrize("operation", [LIST, CREATE])
def test_retry__a_secondary_limit_is_waited_for_but_not_for_long(
    hub: GitHubDouble, connect: Connect, slept: list[float], told: int, operation: str
) -> None:
    hub.limit_next(operation=operation, retry_after=told)
    opened = connect()

    read(opened)
    issue(opened).create_comment("hello")

    assert slept == [min(told, 60)]
    assert len(hub.requests(operation)) == 2
    assert len(hub.world.comments) == 1


def test_retry__a_secondary_limit_that_tells_no_time(hub: GitHubDouble, connect: Connect, slept: list[float]) -> None:
    hub.limit_next(operation=CREATE)

    issue(connect()).create_comment("hello")

    assert slept == [60]
    assert len(hub.world.comments) == 1


@pytest.mark.parametrize("operation", [LIST, CREATE])
def test_retry__a_secondary_limit_that_lasts(
    hub: GitHubDouble, connect: Connect, slept: list[float], operation: str
) -> None:
    hub.limit_next(times=4, operation=operation, retry_after=600)
    opened = connect()

    error = refused(lambda: (read(opened), issue(opened).create_comment("hello")))

    assert "secondary rate limit" in error.why
    assert "rate limit is used up" in error.fix
    assert PERMISSION not in str(error)
    assert slept == [60, 60, 60]


@pytest.mark.parametrize("operation", [LIST, CREATE])
def test_retry__a_primary_limit_with_an_hour_to_go_ends_at_once(
    hub: GitHubDouble, connect: Connect, slept: list[float], operation: str
) -> None:
    hub.fail_next(403, operation=operation, message="API rate limit exceeded for installation ID 1.")
    opened = connect()

    error = refused(lambda: (read(opened), issue(opened).create_comment("hello")))

    assert error.why == "API rate limit exceeded for installation ID 1."
    assert "rate limit is used up" in error.fix
    assert slept == []


def test_retry__too_many_requests(hub: GitHubDouble, connect: Connect, slept: list[float]) -> None:
    hub.fail_next(429, operation=CREATE, message="Too many requests", headers={"Retry-After": "5"})
    issue(connect()).create_comment("hello")
    assert slept == [5]

    hub.fail_next(429, times=4, operation=CREATE, message="Too many requests")
    error = refused(lambda: issue(connect()).create_comment("hello"))
    assert error.why == "Too many requests"
    assert "rate limit is used up" in error.fix


def test_retry__a_refusal_is_not_repeated(hub: GitHubDouble, connect: Connect) -> None:
    reader = connect(hub.world.installation_token(pull_requests="read"))

    refused(lambda: issue(reader).create_comment("hello"))

    assert len(hub.log) == 1


# What refusals are told as


def test_explained__a_bad_token(connect: Connect) -> None:
    error = refused(lambda: read(connect("ghs_bad")))

    assert error.what == f"GitHub refused to {DOING}: the token is not valid."
    assert error.why == "Bad credentials"
    assert "github-token: ${{ github.token }}" in error.fix


@pytest.mark.parametrize("kind", ["installation", "user"])
def test_explained__a_read_only_token(hub: GitHubDouble, connect: Connect, kind: str) -> None:
    make = hub.world.installation_token if kind == "installation" else hub.world.user_token
    token = make("mona", issues="read", pull_requests="read")

    error = refused(lambda: issue(connect(token)).create_comment("hello"))

    assert error.what == f"GitHub refused to {DOING} (403)."
    assert error.why.startswith("Resource not accessible by ")
    assert "permissions:\n    pull-requests: write" in error.fix
    assert "Dependabot" in error.fix
    assert not isinstance(error, client.ReadOnlyForkError)


def test_explained__a_forks_pull_request(hub: GitHubDouble, connect: Connect) -> None:
    token = hub.world.installation_token(issues="read", pull_requests="read")

    error = refused(lambda: issue(connect(token)).create_comment("hello"), from_fork=True)

    assert isinstance(error, client.ReadOnlyForkError)
    assert "comes from a fork" in error.why
    assert "Nothing is wrong in your setup" in error.fix


def test_explained__a_locked_conversation(hub: GitHubDouble, connect: Connect) -> None:
    hub.fail_next(403, operation=CREATE, message="Unable to create comment because issue is locked.")

    error = refused(lambda: issue(connect()).create_comment("hello"), from_fork=True)

    assert error.why == "Unable to create comment because issue is locked."
    assert "Unlock" in error.fix
    assert PERMISSION not in error.fix


def test_explained__an_archived_repository(hub: GitHubDouble, connect: Connect) -> None:
    hub.fail_next(403, operation=CREATE, message="Repository was archived so is read-only.")

    error = refused(lambda: issue(connect()).create_comment("hello"))

    assert "archived" in error.why
    assert PERMISSION not in error.fix


@pytest.mark.parametrize(("repository", "number"), [("octo/other", 1), (REPOSITORY, 2), ("octo/hidden", 1)])
def test_explained__what_is_not_there(hub: GitHubDouble, connect: Connect, repository: str, number: int) -> None:
    hub.world.repository("octo/hidden", private=True)

    error = refused(lambda: list(issue(connect(), number, repository).get_comments()), from_fork=True)

    assert error.what == f"GitHub refused to {DOING} (404)."
    assert error.why == "Not Found"
    assert "Check the number." in error.fix
    assert PERMISSION in error.fix


def test_explained__a_text_that_github_does_not_take(connect: Connect) -> None:
    error = refused(lambda: issue(connect()).create_comment("x" * 65_537))

    assert error.why == "Validation Failed Body is too long (maximum is 65536 characters)"


@pytest.mark.parametrize(
    "errors", [["No commits"], [{"message": "No commits"}], [{"message": None}, "No commits"], None]
)
def test_explained__details_of_a_problem_come_in_several_forms(errors: object) -> None:
    problem = GithubException(422, {"message": "Validation Failed", "errors": errors}, {})

    assert refused(lambda: raised(problem)).why == "Validation Failed" + (" No commits" if errors else "")


def test_explained__an_html_page_is_told_as_text(hub: GitHubDouble, connect: Connect) -> None:
    page = f"<!DOCTYPE html>\n<html><style>p{{}}</style><h1>Access\n denied</h1>{'<p>by the proxy</p>' * 500}</html>"
    hub.fail_next(403, operation=CREATE, page=page)

    error = refused(lambda: issue(connect()).create_comment("hello"))

    assert "Access denied by the proxy" in error.why
    assert "<" not in error.why
    assert len(error.why) <= 500


def test_explained__nobody_listens(connect: Connect, slept: list[float]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"

        error = refused(lambda: read(connect(api_url=address)))

    assert error.what == f"GitHub did not answer when asked to {DOING}."
    assert "Connection refused" in error.why
    assert "reaches the API's address" in error.fix
    assert slept == [1.0, 2.0]


@pytest.mark.usefixtures("slept")
def test_explained__every_connection_is_reset(hub: GitHubDouble, connect: Connect) -> None:
    hub.cut_next(times=4, operation=LIST)

    error = refused(lambda: read(connect()))

    assert "did not answer" in error.what
    assert "reset by peer" in error.why


def test_explained__an_answer_that_takes_too_long(
    hub: GitHubDouble, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS_TO_ANSWER", 1)
    given_up = threading.Event()
    hub.before(CREATE, lambda: given_up.wait(20))

    error = refused(lambda: issue(connect()).create_comment("hello"))
    given_up.set()

    assert "did not answer" in error.what
    assert "timed out" in error.why
    assert len(hub.requests(CREATE)) == 1


def test_explained__other_defects_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), client.explained(DOING, permission=PERMISSION):
        raise ZeroDivisionError


# What is never said


@pytest.mark.parametrize("token", ["ghp_a b", "ghp_a\nghp_b", "ghp_a\r", "ghp_ä", "\x00"])
def test_connect__what_cannot_be_a_token_is_not_repeated(connect: Connect, token: str) -> None:
    with pytest.raises(InputError) as caught:
        connect(token)
    assert "is not a token" in str(caught.value)
    assert "ghp_" not in str(caught.value)


def test_connect__keeps_the_token_out_of_what_is_printed(
    hub: GitHubDouble,
    connect: Connect,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    token = hub.world.installation_token(pull_requests="read")
    opened = connect(token)

    error = refused(lambda: issue(opened).create_comment("hello"))

    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert [record for record in caplog.records if record.name.startswith("github")] == []
    assert token not in f"{error} {error!r} {error.__cause__!r} {opened!r} {caplog.text}"


def test_connect__ignores_the_machines_netrc(
    hub: GitHubDouble, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """requests would replace our token by the password that a .netrc has for the host."""
    netrc = tmp_path_factory.mktemp("home") / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    issue(connect()).create_comment("hello")

    assert [exchange.login for exchange in hub.log] == ["github-actions[bot]"]
