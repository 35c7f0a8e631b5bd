"""The sticky comment: whose it is, which page it is on, who races with us, and what gets lost on the way."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from github import Github, GithubException
from hypothesis import given, settings
from hypothesis import strategies as st

import github_double.bodies
from github_double.server import GitHubDouble
from github_double.world import ACTIONS_BOT, Comment, PullRequest, World
from slipway.github_api import client, comments
from slipway.github_api.comments import Posted
from slipway.report import Report, Verdict, comment
from slipway.runner.context import Run
from slipway.runner.inputs import Secret

REPOSITORY = "octo/models"
BOT = ACTIONS_BOT.login
LIST, CREATE = "issues/list-comments", "issues/create-comment"
UPDATE, DELETE = "issues/update-comment", "issues/delete-comment"

Connect = Callable[..., Github]
Writing = Callable[..., Posted]


@pytest.fixture
def pull_request(hub: GitHubDouble) -> PullRequest:
    return hub.world.pull_request(hub.world.repository(REPOSITORY))


@pytest.fixture
def connect(hub: GitHubDouble) -> Iterator[Connect]:
    """Open the double with a token; every client is closed at the end."""
    with ExitStack() as opened:

        def run(token: str = "") -> Github:
            secret = Secret(token or hub.world.installation_token())
            return opened.enter_context(client.connect(secret, Run(repository=REPOSITORY, api_url=hub.base_url)))

        yield run


@pytest.fixture
def write(connect: Connect, pull_request: PullRequest) -> Writing:
    """Post as one run does."""

    def run(
        body: str, *, model: str = "flights", author: str = BOT, token: str = "", number: int = pull_request.number
    ) -> Posted:
        issue = connect(token).get_repo(REPOSITORY).get_issue(number)
        return comments.post(issue, body, marker=comment.marker(model), author=author)

    return run


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the code under test would have waited."""
    waits: list[float] = []
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


def body(run: int, text: str = "", *, attempt: int = 1, model: str = "flights", sha: str = "a" * 40) -> str:
    """A comment as the stage renders it."""
    report = Report(stage="evaluate-model", model=model, verdict=Verdict.PASS, headline=text or f"run {run}")
    stamp = comment.stamp(model, run_id=run, attempt=attempt, head_sha=sha)
    return comment.body(model, [report], head_sha=sha, stamp_line=stamp)


def texts(hub: GitHubDouble, pull_request: PullRequest) -> list[str]:
    return [each.body for each in hub.world.comments_of(pull_request)]


def writes(hub: GitHubDouble) -> list[str]:
    return [exchange.operation for exchange in hub.log if exchange.request.method != "GET"]


# Finding


def test_post__creates_then_updates_then_leaves_the_same_text_alone(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    created = write(body(1))
    updated = write(body(2))
    again = write(body(2))

    (only,) = hub.world.comments_of(pull_request)
    assert only.body == body(2)
    assert (created.action, updated.action, again.action) == ("created", "updated", "unchanged")
    assert created.url == updated.url == again.url == f"{hub.html_url}/{REPOSITORY}/pull/1#issuecomment-{only.id}"
    assert writes(hub) == [CREATE, UPDATE]


@pytest.mark.parametrize(("before", "after", "pages"), [(31, 0, 1), (99, 0, 1), (100, 0, 2), (130, 120, 3)])
def test_post__finds_the_comment_on_every_page(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing, before: int, after: int, pages: int
) -> None:
    for number in range(before):
        hub.world.comment(pull_request, f"before {number}")
    ours = hub.world.comment(pull_request, body(1), author=BOT)
    for number in range(after):
        hub.world.comment(pull_request, f"after {number}", author=BOT)

    assert write(body(2)).action == "updated"

    assert ours.body == body(2)
    assert len(hub.world.comments_of(pull_request)) == before + after + 1
    assert len(hub.requests(LIST)) == pages


def test_post__a_stranger_with_our_marker_is_left_alone(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    forged = hub.world.comment(pull_request, body(99, "forged"), author="mallory")

    assert write(body(1)).action == "created"
    assert write(body(2)).action == "updated"

    assert texts(hub, pull_request) == [body(99, "forged"), body(2)]
    assert forged.author.login == "mallory"


def test_post__our_comments_without_the_marker_are_left_alone(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    others = ["Coverage: 93 %", f"> {body(1)}\n\nQuoted by another step.", "slipway:report model=", "x"]
    for other in others:
        hub.world.comment(pull_request, other, author=BOT)

    assert write(body(2)).action == "created"
    assert texts(hub, pull_request) == [*others, body(2)]


def test_post__a_marker_inside_of_the_text_claims_no_comment(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    """Code spans show what they hold as it is, so a hostile value can look like another model's hidden line."""
    hostile = body(1, model="flights").replace("run 1", f"`{comment.stamp('fares', run_id=7, attempt=1, head_sha='')}`")
    write(hostile, model="flights")

    assert write(body(2, model="fares"), model="fares").action == "created"
    assert texts(hub, pull_request) == [hostile, body(2, model="fares")]


def test_post__a_run_number_inside_of_the_text_does_not_freeze_the_comment(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    forged = comment.stamp("flights", run_id=10**18, attempt=1, head_sha="")
    write(body(1).replace("run 1", f"`{forged}`"))

    assert write(body(2)).action == "updated"
    assert texts(hub, pull_request) == [body(2)]


def test_post__a_person_may_have_edited_the_comment(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    """The web editor sends CR LF and ends the text with an empty line."""
    ours = hub.world.comment(pull_request, body(1).replace("\n", "\r\n") + "\r\n", author=BOT)

    assert write(body(2)).action == "updated"
    assert ours.body == body(2)


@pytest.mark.parametrize("told", ["GitHub-Actions[bot]", "github-actions[bot]"])
def test_post__logins_ignore_case(hub: GitHubDouble, pull_request: PullRequest, write: Writing, told: str) -> None:
    hub.world.comment(pull_request, body(1), author=BOT)

    assert write(body(2), author=told).action == "updated"
    assert texts(hub, pull_request) == [body(2)]


def test_post__comments_of_deleted_accounts_have_no_author(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = github_double.bodies.comment

    def nobody(world: World, each: Comment) -> dict[str, Any]:
        return {**shown(world, each), "user": None if each.author.login == "gone" else shown(world, each)["user"]}

    monkeypatch.setattr(github_double.bodies, "comment", nobody)
    hub.world.comment(pull_request, body(9), author="gone")

    assert write(body(1)).action == "created"
    assert write(body(2)).action == "updated"
    assert texts(hub, pull_request) == [body(9), body(2)]


def test_post__force_push_keeps_one_comment(hub: GitHubDouble, pull_request: PullRequest, write: Writing) -> None:
    write(body(1, sha="a" * 40))
    pull_request.head.sha = "b" * 40

    assert write(body(2, sha="b" * 40)).action == "updated"
    (only,) = texts(hub, pull_request)
    assert "bbbbbbbbbbbb" in only
    assert "aaaaaaaaaaaa" not in only


def test_post__each_model_and_each_pull_request_has_its_own(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    second = hub.world.pull_request(pull_request.repository, branch="other")
    for run in (1, 2):
        for model in ("flights", "fares"):
            for number in (1, 2):
                write(body(run, f"{model} on {number}", model=model), model=model, number=number)

    for each in (pull_request, second):
        expected = [body(2, f"{model} on {each.number}", model=model) for model in ("flights", "fares")]
        assert texts(hub, each) == expected


# Races


def test_post__of_two_runs_the_newer_overtakes(hub: GitHubDouble, pull_request: PullRequest, write: Writing) -> None:
    """Run 2 creates its comment between the look and the creation of run 1."""
    hub.before(CREATE, lambda: write(body(2)))

    assert write(body(1)).action == "left to a newer run"
    assert texts(hub, pull_request) == [body(2)]


def test_post__of_two_runs_the_older_overtakes(hub: GitHubDouble, pull_request: PullRequest, write: Writing) -> None:
    hub.before(CREATE, lambda: write(body(1)))

    assert write(body(2)).action == "updated"
    assert texts(hub, pull_request) == [body(2)]


@pytest.mark.parametrize("together", ["creation", "creation and second look"])
def test_post__two_runs_in_the_same_moment(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing, together: str
) -> None:
    """Both see no comment and both create one; then both look again, and both mend it."""
    moments = [threading.Barrier(2), threading.Barrier(2)]
    for operation, moment in ((CREATE, moments[0]), (CREATE, moments[0])):
        hub.before(operation, lambda moment=moment: moment.wait(10))  # type: ignore[misc]
    if together != "creation":
        for action in (lambda: None, lambda: None, lambda: moments[1].wait(10), lambda: moments[1].wait(10)):
            hub.before(LIST, action)

    with ThreadPoolExecutor(2) as pool:
        older, newer = pool.map(write, (body(1), body(2)))

    assert texts(hub, pull_request) == [body(2)]
    assert newer.action in ("created", "updated", "unchanged")
    assert len(hub.requests(CREATE)) == 2
    if together != "creation":
        assert older.action == "left to a newer run"


def test_post__an_older_run_that_ends_later_leaves_the_text(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    write(body(20))

    assert write(body(19)).action == "left to a newer run"
    assert texts(hub, pull_request) == [body(20)]
    assert writes(hub) == [CREATE]


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [((9, 1), (10, 1), 1), ((9, 1), (9, 2), 1), ((9, 10), (9, 9), 0), ((9, 2), (10, 1), 1), ((10, 1), (9, 2), 0)],
)
def test_post__attempts_count_within_a_run(
    hub: GitHubDouble,
    pull_request: PullRequest,
    write: Writing,
    first: tuple[int, int],
    second: tuple[int, int],
    stays: int,
) -> None:
    bodies = [body(run, f"{run}.{attempt}", attempt=attempt) for run, attempt in (first, second)]
    for each in bodies:
        write(each)

    assert texts(hub, pull_request) == [bodies[stays]]


def test_post__a_later_step_of_the_same_run_may_say_more(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    write(body(1, "validated"))

    assert write(body(1, "validated and evaluated")).action == "updated"
    assert texts(hub, pull_request) == [body(1, "validated and evaluated")]


def test_post__duplicates_of_an_earlier_accident_are_merged(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    """A run that died between its creation and its second look left two comments; the newest text is in the second."""
    oldest = hub.world.comment(pull_request, body(1), author=BOT)
    hub.world.comment(pull_request, "in between")
    hub.world.comment(pull_request, body(3), author=BOT)

    assert write(body(2)).action == "left to a newer run"
    assert texts(hub, pull_request) == [body(3), "in between"]
    assert oldest.body == body(3)


def test_post__a_duplicate_may_be_deleted_by_both_runs(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    for run in (1, 2):
        hub.world.comment(pull_request, body(run), author=BOT)
    hub.before(DELETE, lambda: write(body(3)))

    write(body(3))

    assert texts(hub, pull_request) == [body(3)]


# Faults


@pytest.mark.parametrize("how", ["502", "503", "HTML page", "reset"])
@pytest.mark.parametrize("applied", [True, False])
def test_post__a_creation_whose_answer_was_lost_is_not_repeated(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing, how: str, applied: bool
) -> None:
    if how == "reset":
        hub.cut_next(operation=CREATE, applied=applied)
    elif how == "HTML page":
        hub.fail_next(502, operation=CREATE, page="<html>Unicorn!</html>", applied=applied)
    else:
        hub.fail_next(int(how), operation=CREATE, applied=applied)

    posted = write(body(1))

    (only,) = hub.world.comments_of(pull_request)
    assert only.body == body(1)
    assert posted.action == "created"
    assert posted.url.endswith(f"-{only.id}")
    assert len(hub.requests(CREATE)) == (1 if applied else 2)


def test_post__a_lost_answer_and_a_race_at_once(hub: GitHubDouble, pull_request: PullRequest, write: Writing) -> None:
    hub.before(CREATE, lambda: write(body(1)))
    # The nested run's creation is answered first, so it is the outer one's that is lost.
    hub.before(CREATE, lambda: None)
    hub.cut_next(operation=CREATE, applied=True)

    write(body(2))

    assert texts(hub, pull_request) == [body(2)]


def test_post__a_creation_that_fails_twice_is_an_error(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    hub.fail_next(502, times=2, operation=CREATE)

    with pytest.raises(GithubException) as caught:
        write(body(1))
    assert caught.value.status == 502
    assert texts(hub, pull_request) == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_post__reads_edits_and_deletions_are_repeated(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing, slept: list[float], status: int
) -> None:
    for run in (1, 2):
        hub.world.comment(pull_request, body(run), author=BOT)
    for operation in (LIST, UPDATE, DELETE):
        hub.fail_next(status, times=3, operation=operation)

    assert write(body(3)).action == "updated"
    assert texts(hub, pull_request) == [body(3)]
    assert [round(seconds, 1) for seconds in slept] == [1.0, 2.0] * 3


def test_post__an_edit_and_a_deletion_whose_answers_were_lost(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing
) -> None:
    for run in (1, 2):
        hub.world.comment(pull_request, body(run), author=BOT)
    hub.cut_next(operation=UPDATE, applied=True)
    hub.fail_next(502, operation=DELETE, applied=True)

    assert write(body(3)).action == "updated"
    assert texts(hub, pull_request) == [body(3)]


# Accounts


def test_post__a_wrong_author_is_learned_from_the_answer(
    hub: GitHubDouble, pull_request: PullRequest, write: Writing, capsys: pytest.CaptureFixture[str]
) -> None:
    """An App's token cannot say who it is, so the first look may look for the wrong author."""
    token = hub.world.installation_token("my-app")

    for run in (1, 2, 3):
        write(body(run), token=token)
        said = capsys.readouterr().err
        assert "The token writes as my-app[bot], not as github-actions[bot]." in said
        assert "comment-author: my-app[bot]" in said
        assert texts(hub, pull_request) == [body(run)]

    assert write(body(4), token=token, author="my-app[bot]").action == "updated"
    assert capsys.readouterr().err == ""
    assert texts(hub, pull_request) == [body(4)]


@settings(max_examples=200, deadline=None)
@given(st.text(), st.integers(0, 10**15), st.integers(0, 99))
def test_stamp__survives_any_headline(headline: str, run: int, attempt: int) -> None:
    rendered = body(run, headline, attempt=attempt)

    last = rendered.splitlines()[-1]
    assert re.fullmatch(rf"<!-- slipway:report model=[0-9a-f]{{16}} run={run}\.{attempt} head=a{{40}} -->", last)
    assert comments._run(rendered) == (run, attempt)
