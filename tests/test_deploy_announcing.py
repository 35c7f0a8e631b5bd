"""What GitHub is told of a release: a deployment with its statuses, and an issue. None of it decides anything."""

from __future__ import annotations

from typing import Any

import pytest

import deploy_model
import rollback_model
from deploy_kit import Place, invariants, released
from github_double.server import GitHubDouble
from github_double.world import Deployment
from slipway.deploying import announcing
from slipway.report import Column, Report, Table, Verdict
from step_kit import Ran
from test_training_toy import QUIET

pytestmark = QUIET
RIGHTS = {"deployments": "write", "issues": "write", "contents": "write"}


@pytest.fixture
def told(place: Place, hub: GitHubDouble) -> Place:
    """A place whose stages are given a token."""
    hub.world.repository("octo/models")
    place.environ = {
        "GITHUB_API_URL": hub.base_url,
        "INPUT_GITHUB_TOKEN": hub.world.installation_token(**RIGHTS),
    }
    return place


def payload(made: Deployment) -> dict[str, str]:
    assert not isinstance(made.payload, str)
    return dict(made.payload)


def deployments(hub: GitHubDouble) -> list[tuple[Any, ...]]:
    """Environment, version and states of each, oldest first."""
    return [
        (each.environment, payload(each)["version"], [status.state for status in each.statuses])
        for each in hub.world.deployments
    ]


def test_release__is_shown_as_a_deployment(told: Place, hub: GitHubDouble) -> None:
    released(told, "1")
    assert deployments(hub) == [("production", "1", ["in_progress", "success"])]
    (made,) = hub.world.deployments
    assert made.production
    assert payload(made)["model_digest"].startswith("sha256:")
    newest = made.statuses[-1]
    assert newest.description == "Version 1 is live in production."
    assert newest.environment_url == "https://models.example/toy"
    assert "/actions/runs/" in newest.log_url
    assert hub.world.issues == {}


def test_canary__is_one_deployment_over_its_runs(told: Place, hub: GitHubDouble) -> None:
    released(told, "1")
    told(deploy_model, model_version="2")
    told(deploy_model)
    assert deployments(hub)[-1] == ("production", "2", ["in_progress", "in_progress"]), "begun, and with its share"
    told.look("2", "promote")
    told(deploy_model)
    told(deploy_model)
    states = {version: found for _, version, found in deployments(hub)}
    assert states["2"] == ["in_progress", "in_progress", "success"]
    assert states["1"][-1] == "inactive"
    assert len(hub.world.deployments) == 2


def rolled_back(place: Place) -> Ran:
    """Version 2 was taken back from its canary."""
    place(deploy_model, model_version="2")
    place.look("2", "roll-back")
    done = place(deploy_model)
    assert (done.code, done.said["state"]) == (1, "rolled-back"), done.log
    return done


def test_rollback__opens_an_issue_that_the_next_release_closes(told: Place, hub: GitHubDouble) -> None:
    released(told, "1")
    done = rolled_back(told)
    assert deployments(hub)[-1][2][-1] == "failure"
    (issue,) = hub.world.issues.values()
    assert issue.state == "open"
    assert issue.title == "toy: a release to production was taken back"
    assert "Version 2 was taken back from production; version 1 is live." in issue.body
    assert "**Next:** Find out what differs, and revert the change on the default branch" in issue.body
    assert done.report.links["issue"].endswith(f"/issues/{issue.number}")
    done = told(deploy_model, model_version="3")
    assert done.said["state"] == "canary"
    assert issue.state == "open", "a canary that runs says nothing yet"
    told.look("3", "promote")
    assert told(deploy_model).said["live"] == "3"
    assert issue.state == "closed"


def test_rollback__by_hand_is_told_in_the_same_issue(told: Place, hub: GitHubDouble) -> None:
    released(told, "1")
    rolled_back(told)
    released(told, "3")
    done = told(rollback_model, reason="The phones are <b>ringing</b>.\n::warning::x")
    assert done.code == 0, done.log
    first, second = hub.world.issues.values()
    assert (first.state, second.state) == ("closed", "open")
    assert "<b>" not in second.body
    assert "**Next:** Find out what was wrong, and revert the change on the default branch" in second.body
    assert "version 3 was taken back by mona" in second.body
    done = told(rollback_model, model_version="3", reason="It was the telephone exchange.")
    assert done.code == 0, done.log
    assert len(hub.world.issues) == 2
    assert "It was the telephone exchange." in second.body


def closed_by_somebody(hub: GitHubDouble) -> None:
    (issue,) = hub.world.issues.values()
    issue.state = "closed"


def test_issue__stays_open_until_a_release_goes_live(told: Place, hub: GitHubDouble) -> None:
    """canary.yml runs every few minutes, and finds that the version before is live, as it should be."""
    released(told, "1")
    rolled_back(told)
    before = deployments(hub)
    assert told(deploy_model).said["state"] == "live"
    assert deployments(hub) == before
    (issue,) = hub.world.issues.values()
    assert issue.state == "open"


def test_issue__that_somebody_closed_hides_no_later_rollback(told: Place, hub: GitHubDouble) -> None:
    released(told, "1")
    rolled_back(told)
    closed_by_somebody(hub)
    assert told(deploy_model).said["state"] == "live"
    assert len(hub.world.issues) == 1, "nothing new happened"
    told(deploy_model, model_version="3")
    done = told(rollback_model, reason="Too slow.")
    assert done.code == 0, done.log
    first, second = hub.world.issues.values()
    assert (first.state, second.state) == ("closed", "open")
    assert "Too slow." in second.body
    assert done.report.links["issue"].endswith(f"/issues/{second.number}")


def test_rollback__fails_the_deployment_of_the_version_that_is_gone(told: Place, hub: GitHubDouble) -> None:
    """The newest release is another's, a canary that was taken back before."""
    released(told, "1")
    released(told, "2")
    told(deploy_model, model_version="3")
    told(rollback_model, reason="Not yet.")
    states = {version: found[-1] for _, version, found in deployments(hub)}
    assert states == {"1": "inactive", "2": "success", "3": "failure"}
    told(rollback_model, model_version="1", reason="Nor that one.")
    states = {version: found[-1] for _, version, found in deployments(hub)}
    assert states["2"] == "failure"


def test_rollback__to_what_is_live_already_is_no_news(told: Place, hub: GitHubDouble) -> None:
    released(told, "1")
    before = deployments(hub)
    done = told(rollback_model, model_version="1", reason="To be sure.")
    assert (done.code, done.said["taken-back"]) == (0, ""), done.log
    assert deployments(hub) == before
    assert hub.world.issues == {}


def test_rollback__of_a_rollback_is_a_success_again(told: Place, hub: GitHubDouble) -> None:
    released(told, "1")
    released(told, "2")
    told(rollback_model, reason="Bad.")
    assert {version: found[-1] for _, version, found in deployments(hub)}["2"] == "failure"
    told(rollback_model, model_version="2", reason="It was not the model.")
    assert {version: found[-1] for _, version, found in deployments(hub)} == {"1": "failure", "2": "success"}
    assert told(deploy_model).said["live"] == "2"
    (issue,) = hub.world.issues.values()
    assert issue.state == "open", "no release has mended it"


def test_rollback__without_an_issue(told: Place, hub: GitHubDouble) -> None:
    released(told, "1")
    told.environ["INPUT_OPEN_ISSUE"] = "false"
    rolled_back(told)
    assert hub.world.issues == {}


@pytest.mark.parametrize("fault", ["502", "403", "limit", "cut", "no permission"])
def test_fault__what_github_does_not_take_stops_no_release(
    told: Place, hub: GitHubDouble, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # GitHub asks for a minute
    operation = "repos/create-deployment"
    if fault in ("502", "403"):
        hub.fail_next(int(fault), times=2, operation=operation)
    elif fault == "limit":
        hub.limit_next(times=2, operation=operation, retry_after=1)
    elif fault == "cut":
        hub.cut_next(times=2, operation=operation, applied=True)
    else:
        told.environ["INPUT_GITHUB_TOKEN"] = hub.world.installation_token(contents="read")
    done = told(deploy_model, model_version="1")
    assert (done.code, done.said["state"]) == (0, "live"), done.log
    invariants(told, "1")
    if fault == "no permission":
        assert "deployments: write" in done.log
        assert any("GitHub could not" in reason for reason in done.report.reasons)


def test_issue__holds_the_evidence_of_the_canary(told: Place, hub: GitHubDouble) -> None:
    from test_deploy_model import WATCHED, counted

    released(told, "1")
    counted(told, (500, 200), (9_500, 10))
    done = told(deploy_model, model_version="2", **WATCHED)
    assert done.said["state"] == "rolled-back", done.log
    (issue,) = hub.world.issues.values()
    assert "200 of 500" in issue.body.replace("\N{NO-BREAK SPACE}", " ")
    assert issue.body.count("Version 2 was taken back from production") == 1


def test_issue__is_shortened_by_whole_sections() -> None:
    """What is cut in the middle of a fold would hide all that follows, the line by which it is found as well."""
    column = Column(name="what")
    long = Table(
        title="Everything", columns=(column,), rows=tuple((f"row {number} " + "x" * 90,) for number in range(900))
    )
    report = Report(
        stage="deploy-model", model="toy", verdict=Verdict.FAIL, headline="Version 2 was taken back.", tables=(long,)
    )
    body = announcing.issue_body(report, "https://github.com/octo/models/actions/runs/1", "<!-- hidden -->")
    assert len(body) < 65_536
    assert body.startswith("Version 2 was taken back.")
    assert "Shortened or left out for GitHub's limit of length: Everything." in body
    assert body.splitlines()[-1] == "<!-- hidden -->"
