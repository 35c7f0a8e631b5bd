"""rollback-model: where it goes back to, what it refuses, and that it needs next to nothing to do so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import deploy_model
import rollback_model
from deploy_kit import Place, invariants, killed, released
from slipway.deploying.record import Releases
from slipway.report import Report, Verdict
from test_training_toy import QUIET

pytestmark = QUIET


def rolled_back(place: Place, **inputs: str) -> dict[str, str]:
    """What a rollback says that succeeds."""
    done = place(rollback_model, reason="The phones are ringing.", **inputs)
    assert (done.code, done.said["verdict"]) == (0, "pass"), done.log
    return done.said


def gone(place: Place, version: str) -> None:
    """The version is no longer there: somebody cleaned up, or the machine is a new one."""
    said = place.target().read()
    del said["versions"][version]
    place.target().write(said)


# Where it goes


def test_rollback__to_the_version_before(twice: Place) -> None:
    started: list[str] = []
    twice.target().before = started.append
    done = twice(rollback_model, reason="The\nphones are  ringing.")
    assert (done.code, done.said["verdict"]) == (0, "pass"), done.log
    assert (done.said["live"], done.said["taken-back"]) == ("1", "2")
    assert done.said["url"] == "https://models.example/toy"
    invariants(twice, "1")
    assert "start" not in started, "it is kept ready"
    assert "2" not in twice.target().shares, "nobody goes forward to what was taken back"
    back = twice.entries[-1]
    assert (back.event, back.model_version, back.details["previous_version"]) == ("rollback", "1", "2")
    assert (back.details["cause"], back.details["reason"]) == ("person", "The phones are ringing.")
    assert back.trigger.actor == "mona"
    assert "Version 1 is live in production again; version 2 was taken back by mona." in done.summary


@pytest.mark.usefixtures("twice")
def test_rollback__to_a_named_version(place: Place) -> None:
    released(place, "3")
    assert rolled_back(place, model_version="1")["taken-back"] == "3"
    invariants(place, "1")
    done = place(deploy_model)
    assert (done.said["live"], set(place.target().shares)) == ("1", {"1"})


def test_rollback__of_a_rollback(twice: Place) -> None:
    rolled_back(twice)
    assert rolled_back(twice, model_version="2")["live"] == "2"
    invariants(twice, "2")
    assert rolled_back(twice, model_version="1")["live"] == "1"
    invariants(twice, "1")


def test_rollback__pressed_twice_goes_back_once(twice: Place) -> None:
    """Two people, a job that is run again, evidence that stays: none of them means one version further each time."""
    released(twice, "3")
    assert rolled_back(twice)["live"] == "2"
    before = twice.subjects
    for evidence_too in (False, True):
        inputs = {"evidence_report": evidence(twice)} if evidence_too else {}
        done = twice(rollback_model, reason="Once more.", **inputs)
        assert (done.code, done.said["live"], done.said["taken-back"]) == (0, "2", ""), done.log
        assert "went back to version 2 already. To go back further, give `model-version`." in done.log
        assert "Version 2 is live in production already." in done.summary
    assert twice.subjects == before
    invariants(twice, "2")


def test_rollback__pressed_again_ends_what_the_first_did_not(twice: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    released(twice, "3")
    assert killed(twice, rollback_model, 0, monkeypatch, reason="Bad.")
    assert (twice.target().shares["3"], twice.entries[-1].event) == (1.0, "rollback")
    assert rolled_back(twice)["live"] == "2"
    invariants(twice, "2")


def test_rollback__after_a_canary_was_taken_back_goes_to_the_version_before(twice: Place) -> None:
    """Nobody had gone back then: the version beside the canary is as live as ever."""
    twice(deploy_model, model_version="3")
    twice.look("3", "roll-back")
    twice(deploy_model)
    assert rolled_back(twice)["live"] == "1"
    invariants(twice, "1")


def test_rollback__of_two_at_the_same_moment_the_later_one_counts(
    twice: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has read the same ledger, and they name other versions."""
    released(twice, "3")
    real = Releases.roll_back

    def meanwhile(self: Releases, *given: Any) -> None:
        monkeypatch.setattr(Releases, "roll_back", real)
        here = Path.cwd()
        rolled_back(twice, model_version="1")
        os.chdir(here)
        real(self, *given)

    monkeypatch.setattr(Releases, "roll_back", meanwhile)
    assert rolled_back(twice, model_version="2")["live"] == "2"
    assert [each.model_version for each in twice.entries[-2:]] == ["1", "2"]
    invariants(twice, "2")


def test_rollback__again_changes_nothing(twice: Place) -> None:
    rolled_back(twice, model_version="1")
    before = twice.subjects
    said = rolled_back(twice, model_version="1")
    assert (said["live"], said["taken-back"]) == ("1", "")
    assert twice.subjects == before


@pytest.mark.usefixtures("canary")
def test_rollback__of_a_canary_that_runs(place: Place) -> None:
    said = rolled_back(place)
    assert (said["live"], said["taken-back"]) == ("1", "2")
    invariants(place, "1")
    assert set(place.target().shares) == {"1"}
    assert place.entries[-1].details["release"] == next(
        each.sequence for each in place.entries if (each.event, each.model_version) == ("deployment", "2")
    )


def test_rollback__of_a_canary_to_an_earlier_version_still(twice: Place) -> None:
    twice(deploy_model, model_version="3")
    assert rolled_back(twice, model_version="1")["taken-back"] == "3"
    invariants(twice, "1")


def test_rollback__of_a_first_release_that_never_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed(place, deploy_model, 3, monkeypatch, model_version="1"), "it has the requests, and is not live yet"
    assert place.target().shares == {"1": 1.0}
    said = rolled_back(place)
    assert (said["live"], said["taken-back"]) == ("", "1")
    assert (place.target().shares, place.live()) == ({}, "")
    assert place.events == ["deployment", "rollback"]
    assert place(deploy_model).said["state"] == "none"


# What it refuses


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "`reason` was not given."),
        ({"reason": " \n "}, "`reason` was not given."),
        ({"reason": "Bad.", "model_version": "3"}, "Version 3 was never live in production."),
        ({"reason": "Bad.", "model_version": "latest"}, "`model-version` must be a number of the registry"),
        ({"reason": "Bad.", "environment": "prod"}, "The policy knows no environment `prod`."),
        ({"reason": "Bad."}, "There is no earlier version in production to go back to."),
    ],
)
@pytest.mark.usefixtures("live")
def test_rollback__bad_inputs(place: Place, inputs: dict[str, str], said: str) -> None:
    before = (place.subjects, place.target().shares)
    done = place(rollback_model, **inputs)
    assert done.code == 1
    assert said in done.error
    assert (place.subjects, place.target().shares) == before


@pytest.mark.usefixtures("canary")
def test_rollback__not_to_what_was_only_tried(place: Place) -> None:
    """A canary that was taken back was never live."""
    place.look("2", "roll-back")
    place(deploy_model)
    done = place(rollback_model, reason="Bad.", model_version="2")
    assert done.code == 1
    assert "Version 2 was never live in production." in done.error
    assert "Name one of: 1." in done.error


def evidence(place: Place, **change: Any) -> str:
    """A failing report of detect-drift, or another."""
    said = {"stage": "detect-drift", "model": "toy", "verdict": Verdict.FAIL, "headline": "3 of 9 columns drifted."}
    file = place.folder / "evidence.json"
    Report(**{**said, **change}).finished().write(file)
    return str(file)


def test_rollback__an_emergency_of_drift(twice: Place) -> None:
    done = twice(rollback_model, evidence_report=evidence(twice))
    assert (done.code, done.said["live"]) == (0, "1"), done.log
    back = twice.entries[-1]
    assert (back.details["cause"], back.details["reason"]) == ("detect-drift", "detect-drift: 3 of 9 columns drifted.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verdict": Verdict.PASS}, "does not fail: the verdict of detect-drift is pass."),
        ({"verdict": Verdict.INCONCLUSIVE}, "does not fail: the verdict of detect-drift is inconclusive."),
        ({"model": "another"}, "is about `another`, not `toy`."),
    ],
)
def test_rollback__what_is_no_evidence(twice: Place, change: dict[str, Any], said: str) -> None:
    for reason in ("", "I say so."):
        done = twice(rollback_model, reason=reason, evidence_report=evidence(twice, **change))
        assert done.code == 1
        assert said in done.error
    assert twice.live() == "2"


def test_rollback__evidence_that_is_no_report(place: Place) -> None:
    file = place.folder / "evidence.json"
    file.write_text(json.dumps({"verdict": "fail"}))
    done = place(rollback_model, evidence_report=str(file))
    assert done.code == 1
    assert "evidence.json" in done.error


def test_rollback__not_from_a_pull_request(place: Place) -> None:
    place.event = {"pull_request": {"number": 3, "head": {"sha": "d" * 40}}}
    done = place(rollback_model, reason="Bad.")
    assert done.code == 1
    assert "A pull request's run does not deploy." in done.error


# Faults


def test_rollback__a_version_that_is_no_longer_there_is_started_again(twice: Place) -> None:
    gone(twice, "1")
    assert rolled_back(twice)["live"] == "1"
    invariants(twice, "1")


def test_rollback__a_version_that_cannot_be_started_changes_nothing(twice: Place) -> None:
    gone(twice, "1")
    twice.target().change(broken=["1"])
    before = twice.subjects
    done = twice(rollback_model, reason="Bad.")
    assert done.code == 1
    assert "no module named 'tree'" in done.error
    assert done.said["live"] == "2", "what is so is said where it is known"
    assert twice.subjects == before
    invariants(twice, "2")


def test_rollback__without_a_registry_the_traffic_is_back_at_once(
    twice: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = twice(rollback_model, reason="Bad.", tracking_uri="http://127.0.0.1:1")
    assert done.code == 1
    assert "MLflow could not" in done.error
    assert twice.target().shares == {"1": 1.0, "2": 0.0}
    assert (twice.entries[-1].event, twice.live()) == ("rollback", "2")
    assert twice(deploy_model).code == 0
    invariants(twice, "1")


def refusing(place: Place) -> Path:
    """The ledger takes nothing, until this file is gone."""
    hook = place.upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    return hook


def test_rollback__that_could_not_be_recorded_does_not_arrive_later(twice: Place) -> None:
    """Monday's button takes nothing back of what was released on Tuesday."""
    hook = refusing(twice)
    done = twice(rollback_model, reason="Monday's trouble.")
    assert done.code == 1
    assert "could not be put on record" in done.error
    assert "as if nobody had asked for it" in done.error
    assert twice.target().shares == {"1": 0.0, "2": 1.0}
    hook.unlink()
    released(twice, "3")
    assert twice(deploy_model).said["live"] == "3"
    invariants(twice, "3")
    assert "rollback" not in twice.events
    assert rolled_back(twice, model_version="1")["taken-back"] == "3", "and it can be pressed again"


def test_release__that_could_not_be_recorded_does_not_begin_later(twice: Place) -> None:
    hook = refusing(twice)
    done = twice(deploy_model, model_version="3")
    assert done.code == 1
    assert "The deployment of version 3 could not be put on record" in done.error
    before = twice.subjects
    hook.unlink()
    done = twice(deploy_model)
    assert (done.code, done.said["state"], done.said["live"], done.said["canary"]) == (0, "live", "2", "")
    assert twice.subjects == before


def test_rollback__without_a_ledger_nothing_happens(twice: Place) -> None:
    assert twice.events[-1] == "promotion"  # and so it was read here before
    away = twice.upstream.rename(twice.folder / "away.git")
    done = twice(rollback_model, reason="Bad.")
    assert done.code == 1
    assert "cannot be read" in done.error
    assert twice.target().shares == {"1": 0.0, "2": 1.0}
    away.rename(twice.upstream)
    rolled_back(twice)
    invariants(twice, "1")


@pytest.mark.parametrize("after", [0, 1, 2])
def test_killed__at_any_step_of_a_rollback_by_hand(twice: Place, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    here = Path.cwd()
    assert killed(twice, rollback_model, after, monkeypatch, reason="Bad.")
    os.chdir(here)
    assert twice(deploy_model).code == 0
    invariants(twice, "1")
    assert twice.events.count("rollback") == 1
