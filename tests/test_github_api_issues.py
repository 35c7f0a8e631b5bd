"""The issue of a rollback: one for each cause, whoever races with us and whatever gets lost on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Literal

import pytest
from github.Repository import Repository

from github_double.server import GitHubDouble
from github_double.world import ACTIONS_BOT, Issue
from github_double.world import Repository as Hosted
from slipway.github_api import client, issues
from slipway.report.markdown import prose
from slipway.runner.context import Run
from slipway.runner.errors import RemoteError
from slipway.runner.inputs import Secret

REPOSITORY = "octo/models"
BOT = ACTIONS_BOT.login
LIST, CREATE, UPDATE, COMMENT = "issues/list-for-repo", "issues/create", "issues/update", "issues/create-comment"
MARKER = "<!-- slipway:rollback environment=0123456789abcdef -->"
TITLE = "flights: a release to production was taken back"

Connect = Callable[..., Repository]


@pytest.fixture
def hosted(hub: GitHubDouble) -> Hosted:
    return hub.world.repository(REPOSITORY)


@pytest.fixture
def connect(hub: GitHubDouble, hosted: Hosted) -> Iterator[Connect]:
    """Open the double with a token; every client is closed at the end."""
    with ExitStack() as opened:

        def run(token: str = "") -> Repository:
            secret = Secret(token or hub.world.installation_token(issues="write"))
            told = Run(repository=REPOSITORY, api_url=hub.base_url)
            return opened.enter_context(client.connect(secret, told)).get_repo(REPOSITORY)

        yield run


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the code under test would have waited."""
    waits: list[float] = []
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


def body(text: str, marker: str = MARKER) -> str:
    return f"### Rollback\n\n{text}\n\n{marker}"


def report(repository: Repository, text: str = "Version 3 is gone.", **changed: Any) -> str:
    said: dict[str, Any] = {"marker": MARKER, "title": TITLE, "body": body(text), "author": BOT, **changed}
    return issues.report(repository, **said)


def close(repository: Repository, why: str = "Version 4 is live.", **changed: Any) -> str | None:
    said: dict[str, Any] = {"marker": MARKER, "author": BOT, **changed}
    return issues.close(repository, why=why, **said)


def open_ones(hub: GitHubDouble) -> list[Issue]:
    return [each for each in hub.world.issues.values() if each.state == "open"]


def said_on(hub: GitHubDouble, issue: Issue) -> list[str]:
    return [each.body.partition("\n")[0] for each in hub.world.comments_of(issue)]


# Finding


def test_report__opens_then_brings_up_to_date_then_leaves_the_same_alone(hub: GitHubDouble, connect: Connect) -> None:
    repository = connect()
    urls = [report(repository), report(repository)]
    (only,) = hub.world.issues.values()
    assert (only.title, only.body, only.labels) == (TITLE, body("Version 3 is gone."), ("slipway-rollback",))
    assert (only.author, hub.requests(UPDATE), said_on(hub, only)) == (ACTIONS_BOT, [], [])

    for _ in range(2):
        urls.append(report(repository, "Version 5 is gone.", title="Other"))

    assert (only.title, only.body, len(hub.requests(UPDATE))) == ("Other", body("Version 5 is gone."), 1)
    assert said_on(hub, only) == [prose(issues.AGAIN)]
    assert set(urls) == {f"{hub.html_url}/{REPOSITORY}/issues/1"}


def test_report__a_new_title_alone_is_no_news(hub: GitHubDouble, connect: Connect) -> None:
    repository = connect()
    report(repository)
    report(repository, title="Other")

    (only,) = hub.world.issues.values()
    assert (only.title, said_on(hub, only)) == ("Other", [])


@pytest.mark.parametrize(("before", "pages"), [(98, 1), (99, 2), (230, 3)])
def test_report__finds_it_on_every_page(
    hub: GitHubDouble, hosted: Hosted, connect: Connect, before: int, pages: int
) -> None:
    ours = hub.world.issue(hosted, author=BOT, body=body("old"))
    for number in range(before):
        hub.world.issue(hosted, author=BOT, title=f"{number}")
        if number < 3:
            hub.world.issue(hosted, title="by somebody else")

    report(connect())

    assert ours.body == body("Version 3 is gone.")
    assert len(hub.requests(LIST)) == pages


def test_report__what_is_not_ours_is_left_alone(hub: GitHubDouble, hosted: Hosted, connect: Connect) -> None:
    """Strangers may forge the marker, quote it, or open pull requests with it; a closed issue is over."""
    hub.world.issue(hosted, author="mallory", body=body("forged"))
    hub.world.issue(hosted, author=BOT, body=f"{body('quoted')}\n\nSomebody's answer.")
    hub.world.issue(hosted, author=BOT, body=body("other", MARKER.replace("0", "1")))
    hub.world.issue(hosted, author=BOT, body=body("over"), state="closed")
    hub.world.issue(hosted, author=BOT)
    hub.world.pull_request(hosted, author=BOT).body = body("a pull request")
    before = {number: each.body for (_, number), each in hub.world.issues.items()}

    assert report(connect()).endswith("/issues/7")
    assert {number: each.body for (_, number), each in hub.world.issues.items() if number < 7} == before


def test_report__logins_ignore_case_and_people_edit(hub: GitHubDouble, hosted: Hosted, connect: Connect) -> None:
    """The web editor sends CR LF and ends the text with an empty line."""
    ours = hub.world.issue(hosted, author=BOT, body=body("old").replace("\n", "\r\n") + "\r\n")

    report(connect())

    assert ours.body == body("Version 3 is gone.")


def test_report__a_long_title_in_two_lines(hub: GitHubDouble, connect: Connect) -> None:
    repository = connect()
    for _ in range(2):
        report(repository, title="a\nb" + "c" * 300)

    (only,) = hub.world.issues.values()
    assert only.title == "a b" + "c" * 252 + "…"
    assert hub.requests(UPDATE) == []


def test_report__news_is_text(hub: GitHubDouble, connect: Connect) -> None:
    repository = connect()
    report(repository)
    report(repository, "again", news="<b>@octo/everybody</b> `v5` <!-- x")

    (only,) = hub.world.issues.values()
    (said,) = said_on(hub, only)
    assert "`v5`" in said
    assert not any(each in said for each in ("<b>", "@octo", "<!--"))


# Labels


@pytest.mark.parametrize("takes", ["silently not", "no"])
def test_report__a_label_that_may_not_be_given_keeps_nobody_untold(
    hub: GitHubDouble, connect: Connect, takes: Literal["silently not", "no"]
) -> None:
    hub.world.takes_labels = takes
    repository = connect()
    report(repository)
    report(repository, "again")

    (only,) = hub.world.issues.values()
    assert (only.labels, only.body) == ((), body("again"))


def test_report__a_refused_label_and_a_lost_answer(hub: GitHubDouble, connect: Connect) -> None:
    hub.world.takes_labels = "no"
    hub.before(CREATE, lambda: hub.cut_next(operation=CREATE, applied=False))

    report(connect())

    (only,) = hub.world.issues.values()
    assert only.labels == ()


# Races


def test_report__another_run_overtakes(hub: GitHubDouble, connect: Connect) -> None:
    """It opens its own between our look and ours: the older stays, with the text that came last."""
    hub.before(CREATE, lambda: report(connect(), "overtook"))

    assert report(connect(), "overtaken").endswith("/issues/1")

    kept, closed = hub.world.issues.values()
    assert (kept.state, kept.body, len(said_on(hub, kept))) == ("open", body("overtaken"), 1)
    assert (closed.state, closed.reason, said_on(hub, closed)) == ("closed", "not_planned", ["Told in #1."])


def test_report__two_runs_in_the_same_moment(hub: GitHubDouble, connect: Connect) -> None:
    """Both see none and both open one; then both look again, and both see two."""
    moments = [threading.Barrier(2), threading.Barrier(2)]
    for _ in range(2):
        hub.before(CREATE, lambda: moments[0].wait(10))
    for action in (lambda: None, lambda: None, lambda: moments[1].wait(10), lambda: moments[1].wait(10)):
        hub.before(LIST, action)

    with ThreadPoolExecutor(2) as pool:
        urls = list(pool.map(report, (connect(), connect()), ("one", "two")))

    assert len(hub.requests(CREATE)) == 2
    (kept,) = open_ones(hub)
    assert {*urls} == {f"{hub.html_url}/{REPOSITORY}/issues/{kept.number}"}
    (closed,) = (each for each in hub.world.issues.values() if each is not kept)
    assert (kept.number, kept.body, closed.reason) == (1, closed.body, "not_planned")


def test_report__duplicates_of_an_earlier_accident(hub: GitHubDouble, hosted: Hosted, connect: Connect) -> None:
    for text in ("one", "two", "three"):
        hub.world.issue(hosted, author=BOT, body=body(text))

    assert report(connect()).endswith("/issues/1")
    assert [(each.number, each.body) for each in open_ones(hub)] == [(1, body("Version 3 is gone."))]


# Faults


@pytest.mark.parametrize("how", ["502", "503", "HTML page", "reset"])
@pytest.mark.parametrize("operation", [CREATE, COMMENT])
@pytest.mark.parametrize("applied", [True, False])
def test_report__an_answer_that_was_lost(
    hub: GitHubDouble, hosted: Hosted, connect: Connect, how: str, operation: str, applied: bool
) -> None:
    if operation == COMMENT:
        hub.world.issue(hosted, author=BOT, body=body("old"))
    if how == "reset":
        hub.cut_next(operation=operation, applied=applied)
    elif how == "HTML page":
        hub.fail_next(502, operation=operation, page="<html>Unicorn!</html>", applied=applied)
    else:
        hub.fail_next(int(how), operation=operation, applied=applied)

    report(connect())

    (only,) = hub.world.issues.values()
    assert (only.body, len(said_on(hub, only))) == (body("Version 3 is gone."), operation == COMMENT)
    assert len(hub.requests(operation)) == (1 if applied else 2)


def test_report__a_run_that_died_between_comment_and_text(hub: GitHubDouble, hosted: Hosted, connect: Connect) -> None:
    ours = hub.world.issue(hosted, author=BOT, body=body("old"))
    hub.fail_next(422, operation=UPDATE)
    with pytest.raises(RemoteError):
        report(connect())
    assert (ours.body, len(said_on(hub, ours))) == (body("old"), 1)

    report(connect())

    assert (ours.body, len(said_on(hub, ours))) == (body("Version 3 is gone."), 1)


@pytest.mark.parametrize("operation", [LIST, UPDATE])
def test_report__reads_and_edits_are_repeated(
    hub: GitHubDouble, hosted: Hosted, connect: Connect, operation: str
) -> None:
    ours = hub.world.issue(hosted, author=BOT, body=body("old"))
    hub.fail_next(502, times=3, operation=operation)

    report(connect())

    assert ours.body == body("Version 3 is gone.")


def test_report__a_server_that_stays_broken(hub: GitHubDouble, connect: Connect) -> None:
    hub.fail_next(500, times=2, operation=CREATE)

    with pytest.raises(RemoteError) as caught:
        report(connect())
    assert caught.value.what == "GitHub refused to open an issue (500)."
    assert hub.world.issues == {}


def test_report__a_rate_limit_passes(hub: GitHubDouble, connect: Connect, slept: list[float]) -> None:
    hub.limit_next(operation=CREATE, retry_after=5)

    report(connect())

    assert (len(hub.world.issues), slept) == (1, [5])


@pytest.mark.parametrize("permission", ["read", ""])
def test_report__without_the_permission(hub: GitHubDouble, connect: Connect, permission: str) -> None:
    rights = {"issues": permission} if permission else {"contents": "write"}

    with pytest.raises(RemoteError) as caught:
        report(connect(hub.world.installation_token(**rights)))
    assert caught.value.what == "GitHub refused to open an issue (403)."
    assert "permissions:\n    issues: write" in caught.value.fix
    assert len(hub.requests(CREATE)) == 1


@pytest.mark.parametrize(
    ("status", "expected"), [(404, "permissions:\n    issues: write"), (429, "rate limit"), (422, "Run the job again")]
)
def test_report__a_refusal_is_not_repeated(hub: GitHubDouble, connect: Connect, status: int, expected: str) -> None:
    hub.fail_next(status, times=9, operation=CREATE, message="No.")

    with pytest.raises(RemoteError) as caught:
        report(connect())
    assert expected in caught.value.fix
    assert len(hub.requests(LIST)) == 1


def test_report__a_repository_without_issues(hub: GitHubDouble, connect: Connect) -> None:
    hub.world.has_issues = False

    with pytest.raises(RemoteError) as caught:
        report(connect())
    assert caught.value.what == "GitHub refused to open an issue (410)."
    assert "Settings, General, Features" in caught.value.fix


# Accounts


@pytest.mark.parametrize("told", [BOT, "nobody-of-this-name"])
def test_report__a_wrong_author_is_learned_from_the_answer(
    hub: GitHubDouble, connect: Connect, capsys: pytest.CaptureFixture[str], told: str
) -> None:
    repository = connect(hub.world.installation_token("my-app", issues="write"))

    for text in ("one", "two"):
        assert report(repository, text, author=told).endswith("/issues/1")
        assert f"The token writes as my-app[bot], not as {told}." in capsys.readouterr().err
        assert [(each.number, each.body) for each in open_ones(hub)] == [(1, body(text))]

    report(repository, "three", author="my-app[bot]")
    assert capsys.readouterr().err == ""
    assert [(each.number, each.body) for each in open_ones(hub)] == [(1, body("three"))]


# Closing


def test_close__with_a_comment_once(hub: GitHubDouble, connect: Connect) -> None:
    repository = connect()
    url = report(repository)

    assert close(repository) == url
    assert close(repository) is None

    (only,) = hub.world.issues.values()
    assert (only.state, only.reason, said_on(hub, only)) == ("closed", "completed", ["Version 4 is live."])
    assert report(repository, "Version 4 is gone.").endswith("/issues/2"), "what is over is not opened again"


def test_close__only_ours(hub: GitHubDouble, hosted: Hosted, connect: Connect) -> None:
    hub.world.issue(hosted, author="mallory", body=body("forged"))
    hub.world.issue(hosted, author=BOT, body=body("other", MARKER.replace("0", "1")))

    assert close(connect()) is None
    assert len(open_ones(hub)) == 2


def test_close__after_a_run_that_died_in_between(hub: GitHubDouble, connect: Connect) -> None:
    repository = connect()
    report(repository)
    hub.fail_next(422, operation=UPDATE)
    with pytest.raises(RemoteError) as caught:
        close(repository)
    assert caught.value.what == "GitHub refused to close an issue (422)."

    close(repository)

    (only,) = hub.world.issues.values()
    assert (only.state, said_on(hub, only)) == ("closed", ["Version 4 is live."])
