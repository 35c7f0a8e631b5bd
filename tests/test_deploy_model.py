"""deploy-model step by step: what it does in which order, what it refuses, and what is left where it is stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import deploy_model
import rollback_model
from canary_kit import arm
from deploy_kit import Place, approved, invariants, killed, released
from ledger_kit import ledger
from slipway.audit.trail import Trail
from slipway.canary.observations import Observation
from slipway.deploying.record import Releases
from step_kit import Ran
from test_training_toy import QUIET

pytestmark = QUIET


# The way of a release


def test_deploy__a_first_release_has_all_requests_at_once(place: Place) -> None:
    done = place(deploy_model, model_version="1")
    assert done.code == 0, done.log
    said = done.said
    assert (said["verdict"], said["state"], said["live"], said["canary"]) == ("pass", "live", "1", "")
    assert said["url"] == "https://models.example/toy"
    assert place.target().shares == {"1": 1.0}
    assert place.live() == "1"
    began, promoted = place.entries[1:]
    assert (began.event, began.model_version, began.details["rollout"]) == ("deployment", "1", "at_once")
    assert (promoted.event, promoted.model_version) == ("promotion", "1")
    assert promoted.details["release"] == began.sequence
    assert (promoted.verdict, promoted.summary) == ("pass", "toy, production: Version 1 is live.")
    assert promoted.model_digest == place.registry().by_version("toy", "1").tags["slipway.model_digest"]
    assert "is live in production" in done.summary
    assert [check.name for check in done.report.checks] == ["golden as served"]


@pytest.mark.usefixtures("live")
def test_deploy__a_canary_goes_where_the_looks_say(place: Place) -> None:
    done = place(deploy_model, model_version="2")
    assert (done.code, done.said["state"], done.said["share"]) == (0, "canary", "0.05")
    assert place.target().shares == {"1": 0.95, "2": 0.05}
    assert place.live() == "1"
    place.look("2", "advance", 1)
    done = place(deploy_model)
    assert (done.said["canary"], done.said["live"], done.said["share"]) == ("2", "1", "0.5")
    assert place.target().shares == {"1": 0.5, "2": 0.5}
    place.look("2", "promote", 1)
    done = place(deploy_model)
    assert (done.code, done.said["state"], done.said["live"]) == (0, "live", "2")
    assert place.target().shares == {"1": 0.0, "2": 1.0}, "the version before is kept ready"
    assert place.live() == "2"
    assert place.events[-2:] == ["look", "promotion"]


@pytest.mark.usefixtures("live")
def test_deploy__again_changes_nothing(place: Place) -> None:
    before = place.subjects
    done = place(deploy_model, model_version="1")
    assert (done.code, done.said["state"]) == (0, "live")
    assert place.subjects == before


@pytest.mark.usefixtures("canary")
def test_deploy__harm_takes_it_back(place: Place) -> None:
    place.look("2", "roll-back")
    done = place(deploy_model)
    assert (done.code, done.said["verdict"], done.said["state"]) == (1, "fail", "rolled-back")
    assert done.said["live"] == "1"
    assert place.target().shares == {"1": 1.0}
    back = place.entries[-1]
    assert (back.event, back.model_version, back.details["previous_version"]) == ("rollback", "1", "2")
    assert back.details["cause"] == "harm"
    assert (back.verdict, back.summary) == ("fail", "toy, production: Version 2 is taken back: harm.")
    assert place.live() == "1"


@pytest.mark.parametrize(
    ("fault", "cause", "said"),
    [
        ("broken", "not ready", "no module named 'tree'"),
        ("wrong", "golden", "recorded 0.75"),
        ("refusing", "golden", "The rows do not fit."),
        ("dying", "golden", "The request ended it."),
    ],
)
@pytest.mark.usefixtures("live")
def test_deploy__one_that_is_not_fit_never_gets_a_request(place: Place, fault: str, cause: str, said: str) -> None:
    place.target().change(**{fault: ["2"]})
    seen: list[dict[str, float]] = []
    place.target().before = lambda _: seen.append(place.target().shares)
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert said in done.error
    assert not any(shares.get("2") for shares in seen)
    assert place.target().shares == {"1": 1.0}
    assert place.entries[-1].details["cause"] == cause


@pytest.mark.usefixtures("live")
def test_deploy__an_answer_that_is_lost_on_the_way_says_nothing_of_the_version(place: Place) -> None:
    place.target().change(silent=["2"])
    done = place(deploy_model, model_version="2")
    assert (done.code, done.said["state"], done.said["share"]) == (1, "canary", "0.0")
    assert "The connection was reset." in done.error
    place.target().change(silent=[])
    assert place(deploy_model).said["share"] == "0.05"


def test_deploy__without_golden_predictions_nothing_is_served(place: Place) -> None:
    registry = place.registry()
    registry.tag_version(registry.by_version("toy", "1"), {"slipway.golden": ""})
    done = place(deploy_model, model_version="1")
    assert done.code == 1
    assert "has no golden predictions" in done.error
    assert (place.target().shares, place.live(), place.events) == ({}, "", ["deployment", "rollback"])


def test_deploy__files_that_are_not_the_registered_ones(place: Place) -> None:
    registry = place.registry()
    registry.tag_version(registry.by_version("toy", "1"), {"slipway.model_digest": f"sha256:{'0' * 64}"})
    done = place(deploy_model, model_version="1")
    assert done.code == 1
    assert "are not those that were registered" in done.error
    assert (place.target().shares, place.live()) == ({}, "")


def test_deploy__a_version_that_nobody_has_signed(place: Place) -> None:
    """Where the policy says whose signature counts, nothing starts without it."""
    file = place.clone.path / "slipway.yml"
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    signing = {"method": "key", "public_key": "signing.pem"}
    place.clone.commit({"slipway.yml": yaml.safe_dump({**said, "signing": signing}), "signing.pem": public})
    done = place(deploy_model, model_version="1")
    assert done.code == 1
    assert "Version 1 of `toy` is not signed" in done.error
    assert (place.target().shares, place.live(), place.events) == ({}, "", ["deployment", "rollback"])


@pytest.mark.usefixtures("canary")
def test_deploy__an_unhealthy_canary_does_not_wait_for_a_look(place: Place) -> None:
    said = place.target().read()
    said["versions"]["2"]["health"] = "failed"
    place.target().write(said)
    done = place(deploy_model)
    assert (done.code, done.said["state"]) == (1, "rolled-back")
    assert place.entries[-1].details["cause"] == "unhealthy"
    assert place.target().shares == {"1": 1.0}


@pytest.mark.parametrize("comes_up", [True, False])
@pytest.mark.usefixtures("twice")
def test_deploy__production_that_ended_is_brought_up_or_else_the_version_before(place: Place, comes_up: bool) -> None:
    said = place.target().read()
    said["versions"]["2"]["health"] = "failed"
    place.target().write({**said, "broken": [] if comes_up else ["2"]})
    done = place(deploy_model)
    assert (done.code, done.said["live"]) == ((0, "2") if comes_up else (1, "1")), done.log
    assert done.said["state"] == ("live" if comes_up else "rolled-back")
    invariants(place, done.said["live"])
    if not comes_up:
        back = place.entries[-1]
        assert (back.event, back.details["cause"], back.details["previous_version"]) == ("rollback", "unhealthy", "2")


@pytest.mark.usefixtures("live")
def test_deploy__production_that_cannot_be_brought_up_and_has_nothing_before_it(place: Place) -> None:
    place.target().change(versions={}, broken=["1"])
    done = place(deploy_model)
    assert done.code == 1
    assert "Version 1 does not answer." in done.error
    assert place.events == ["deployment", "promotion"]
    place.target().change(broken=[])
    assert place(deploy_model).said["live"] == "1"
    invariants(place, "1")


# What is refused


def test_deploy__environments_have_an_order(place: Place) -> None:
    place.policy("dev", "staging")
    done = place(deploy_model, model_version="1")
    assert done.code == 1
    assert "Version 1 was never live in staging, which comes before production." in done.error
    assert place.events == []
    for environment in ("dev", "staging", "production"):
        done = place(deploy_model, environment=environment, model_version="1")
        assert (done.code, done.said["state"]) == (0, "live"), done.log
    assert [place.live(each) for each in ("dev", "staging", "production")] == ["1", "1", "1"]


def test_deploy__production_asks_for_an_approval(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    place.policy(approval="required")
    done = place(deploy_model, model_version="1")
    assert done.code == 1
    assert "Nobody has approved version 1 of `toy` for production." in done.error
    assert (place.events, place.target().shares) == ([], {})
    approved(place, "1")
    done = place(deploy_model, model_version="1")
    assert (done.code, done.said["state"]) == (0, "live"), done.log
    began = next(each for each in place.entries if each.event == "deployment")
    assert began.details["approval"] == next(each.sequence for each in place.entries if each.event == "approval")
    assert {subject.role for subject in began.subjects} >= {"seal", "approval", "candidate", "policy", "registry"}


@pytest.mark.usefixtures("live")
def test_deploy__an_approval_holds_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    place.policy(approval="required")
    approved(place, "2")
    assert place(deploy_model, model_version="2").said["state"] == "canary"
    place.look("2", "roll-back")
    assert place(deploy_model).code == 1
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert "The approval that there was led to the release of entry" in done.error
    assert place.target().shares == {"1": 1.0}


@pytest.mark.usefixtures("live")
def test_deploy__an_approval_holds_once_whatever_was_released_since(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 3 comes and goes, so that the version that it replaces is again the one that was approved to be."""
    monkeypatch.chdir(place.folder)
    place.policy(approval="required")
    for version in ("2", "3"):
        approved(place, version)
        assert place(deploy_model, model_version=version).said["state"] == "canary"
        place.look(version, "roll-back")
        assert place(deploy_model).code == 1
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert "The approval that there was led to the release of entry" in done.error
    assert place.target().shares == {"1": 1.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "3"}, "the version: approved was `toy 3`, and it is `toy 2`"),
        ({"model_digest": "sha256:other"}, "the model's files: approved was `sha256:other`"),
        ({"image": "ghcr.io/octo/toy@sha256:1"}, "the image"),
        ({"policy": "sha256:older"}, "the policy"),
        ({"replaces": "9"}, "the version that it replaces: approved was `9`, and it is `1`"),
    ],
)
@pytest.mark.usefixtures("live")
def test_deploy__what_was_approved_is_not_what_would_be_released(
    place: Place, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(place.folder)
    place.policy(approval="required")
    approved(place, "2", **change)
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert said in done.error
    assert place.target().shares == {"1": 1.0}


def test_deploy__an_approval_is_for_one_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever approved a release to `eu` has not approved one to production, and neither hides the other."""
    monkeypatch.chdir(place.folder)
    place.policy("eu", approval="required")
    file = place.clone.path / "slipway.yml"
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    said["deployment"]["environments"]["eu"]["approval"] = "required"
    place.clone.commit({"slipway.yml": yaml.safe_dump(said, sort_keys=False)})
    approved(place, "1")
    approved(place, "1", deploys_to="eu")
    assert place(deploy_model, environment="eu", model_version="1").said["state"] == "live"
    assert place(deploy_model, model_version="1").said["state"] == "live", "its own approval is the older one"
    approved(place, "2", deploys_to="eu")
    place.look("2", "continue")
    assert place(deploy_model, environment="eu", model_version="2").said["state"] == "live"
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert "Nobody has approved version 2 of `toy` for production" in done.error
    assert "no passing entry of record-approval about it that is for this environment" in done.error
    approved(place, "3", deploys_to="eu", replaces="1")
    done = place(deploy_model, environment="eu", model_version="3")
    assert "the version that it replaces: approved was `1`, and it is `2`" in done.error, "by its own alias"


def test_deploy__an_approval_of_another_branchs_run_is_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workflow may have sealed a low tier, which asks nobody."""
    monkeypatch.chdir(place.folder)
    place.policy(approval="required")
    place.environ = {"GITHUB_REF": "refs/heads/main"}
    for ref in ("refs/heads/change", ""):
        approved(place, "1", ref=ref)
        done = place(deploy_model, model_version="1")
        assert done.code == 1
        assert f"the branch: approved was `{ref or 'none'}`, and it is `refs/heads/main`" in done.error
    approved(place, "1", ref="refs/heads/main")
    assert place(deploy_model, model_version="1").said["state"] == "live"


@pytest.mark.usefixtures("canary")
def test_deploy__two_releases_at_once(place: Place) -> None:
    done = place(deploy_model, model_version="3")
    assert done.code == 1
    assert "Version 2 is being released to production." in done.error
    assert place.target().shares == {"1": 0.95, "2": 0.05}


@pytest.mark.usefixtures("live")
def test_deploy__two_runs_that_begin_at_the_same_moment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one's entry arrives between our look at the ledger and our own entry."""
    from slipway.deploying import beginning

    real = beginning.require_target

    def meanwhile(case: Any) -> None:
        monkeypatch.setattr(beginning, "require_target", real)
        other = type(case.releases)(case.releases.reading, case.run, case.model, case.environment, case.releases.shares)
        other.begin(other.read(), "3", "canary", case.report)
        real(case)

    monkeypatch.setattr(beginning, "require_target", meanwhile)
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert "Another run began a release of `toy` to production at the same time." in done.error
    assert place.events.count("deployment") == 2  # version 1's, and the other run's
    assert place.target().shares == {"1": 1.0}


@pytest.mark.usefixtures("live")
def test_deploy__a_run_that_comes_late(place: Place) -> None:
    released(place, "3")
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert "Version 2 is older than version 3, which is live in production." in done.error


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"environment": "prod"}, "The policy knows no environment `prod`."),
        ({"model_version": "latest"}, "`model-version` must be a number of the registry"),
        ({"model_version": "01"}, "`model-version` must be a number of the registry"),
        ({"model_version": "9" * 30}, "`model-version` must be a number of the registry"),
        ({"model_version": "\N{FULLWIDTH DIGIT ONE}"}, "`model-version` must be a number of the registry"),
        ({"model_version": "9"}, "The registry has no version `9` of `toy`."),
        ({"promote": "true"}, "`promote` needs a `reason`, and no `model-version`."),
        (
            {"promote": "true", "reason": "We like it."},
            "Nothing in production waits for a person: no canary runs there.",
        ),
        ({"watch_minutes": "400"}, "`watch-minutes` must lie between 0 and 350"),
    ],
)
def test_deploy__bad_inputs(place: Place, inputs: dict[str, str], said: str) -> None:
    done = place(deploy_model, **inputs)
    assert done.code == 1
    assert said in done.error
    assert (place.events, place.target().shares) == ([], {})


def test_deploy__not_from_a_pull_request(place: Place) -> None:
    place.event = {"pull_request": {"number": 3, "head": {"sha": "d" * 40}}}
    done = place(deploy_model, model_version="1")
    assert done.code == 1
    assert "A pull request's run does not deploy." in done.error


@pytest.mark.parametrize("ref", ["refs/heads/change", "refs/tags/v1"])
def test_deploy__not_from_another_branch(place: Place, ref: str) -> None:
    """Whoever may push a branch could start the workflow there, with a policy of their own."""
    place.event = {"repository": {"full_name": "octo/models", "default_branch": "main"}}
    place.environ = {"GITHUB_REF": ref}
    for module, inputs in ((deploy_model, {"model_version": "1"}), (rollback_model, {"reason": "Why not?"})):
        done = place(module, **inputs)
        assert done.code == 1
        assert f"This run is of `{ref}`, and what is served is decided by runs of `main`." in done.error
    assert place.events == []
    place.environ = {"GITHUB_REF": "refs/heads/main"}
    assert place(deploy_model, model_version="1").said["state"] == "live"


@pytest.mark.usefixtures("live")
def test_deploy__a_target_that_cannot_split_has_no_canary(place: Place) -> None:
    place.target().splits = False
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert "cannot split the requests between two versions" in done.error


def test_deploy__a_target_that_cannot_be_asked_is_said_to_be_so(place: Place) -> None:
    place.target().answers = False
    done = place(deploy_model, model_version="1")
    assert (done.code, done.said["state"]) == (0, "live")
    assert [(check.name, check.verdict.value) for check in done.report.checks] == [("golden", "inconclusive")]


# A person decides


@pytest.mark.usefixtures("canary")
def test_promote__a_canary_that_waits(place: Place) -> None:
    done = place(deploy_model, promote="true", reason="We like it.")
    assert done.code == 1
    assert "its canary says `continue`" in done.error
    place.look("2", "inconclusive")
    done = place(deploy_model)
    assert (done.code, done.said["state"], done.said["verdict"]) == (0, "waiting", "inconclusive")
    assert place.target().shares == {"1": 0.95, "2": 0.05}
    done = place(deploy_model, promote="true", reason="No\ntraffic at night.")
    assert (done.code, done.said["state"], done.said["live"]) == (0, "live", "2"), done.log
    override = next(each for each in place.entries if each.event == "override")
    assert override.details["reason"] == "No\ntraffic at night."
    assert place.live() == "2"


# Faults


@pytest.mark.parametrize("after", range(6))
def test_killed__at_any_step_of_a_first_release(place: Place, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    was = killed(place, deploy_model, after, monkeypatch, model_version="1")
    assert was == (after < 5)
    done = place(deploy_model)
    assert (done.code, done.said["state"]) == (0, "live"), done.log
    invariants(place, "1")
    assert place.events == ["deployment", "promotion"]


@pytest.mark.parametrize("after", range(4))
@pytest.mark.usefixtures("live")
def test_killed__at_any_step_of_a_promotion(place: Place, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    assert killed(place, deploy_model, 2, monkeypatch, model_version="2")
    place(deploy_model)
    assert place.target().shares == {"1": 0.95, "2": 0.05}
    place.look("2", "promote")
    assert killed(place, deploy_model, after, monkeypatch) == (after < 3)
    done = place(deploy_model)
    assert (done.code, done.said["live"]) == (0, "2"), done.log
    invariants(place, "2")
    assert place.events.count("promotion") == 2


@pytest.mark.parametrize("after", range(5))
@pytest.mark.usefixtures("canary")
def test_killed__at_any_step_of_a_rollback(place: Place, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    place.look("2", "roll-back")
    assert killed(place, deploy_model, after, monkeypatch) == (after < 4)
    place(deploy_model)
    invariants(place, "1")
    assert place.events.count("rollback") == 1
    assert set(place.target().shares) == {"1"}


@pytest.mark.usefixtures("canary")
def test_rollback__while_a_deployment_is_running_wins(place: Place) -> None:
    """Somebody rolls back at the very moment at which the other run is about to move the traffic."""
    place.look("2", "promote")
    target = place.target()

    def meanwhile(call: str) -> None:
        if call == "set_traffic":
            target.before = lambda _: None
            here = Path.cwd()
            done = place(rollback_model, reason="The phones are ringing.")
            os.chdir(here)
            assert done.code == 0, done.log

    target.before = meanwhile
    done = place(deploy_model)
    assert (done.code, done.said["state"]) == (1, "rolled-back"), done.log
    invariants(place, "1")
    assert "2" not in target.shares


@dataclass
class Late:
    """Holds an entry up that a run is about to write, until something else has happened."""

    event: str
    meanwhile: Callable[[], Ran]
    ran: Ran | None = None

    def hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Releases._append

        def held(releases: Releases, event: Any, *given: Any) -> Any:
            if event == self.event and self.ran is None:
                monkeypatch.setattr(Releases, "_append", real)
                here = Path.cwd()
                self.ran = self.meanwhile()
                os.chdir(here)
                assert self.ran.code == 0, self.ran.log
            return real(releases, event, *given)

        monkeypatch.setattr(Releases, "_append", held)


def live_by_the_audit(place: Place) -> str:
    found = Trail.read(ledger(place.clone.path, remote=str(place.upstream))).live("toy", "production")
    return found.version if found else ""


@pytest.mark.usefixtures("canary")
def test_rollback__wins_over_a_promotion_whose_entry_comes_later(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody rolls back after the other run has read the ledger, and before its promotion is on record."""
    place.look("2", "promote")
    Late("promotion", lambda: place(rollback_model, reason="The phones are ringing.")).hold(monkeypatch)
    done = place(deploy_model)
    assert (done.code, done.said["state"], done.said["live"]) == (1, "rolled-back", "1"), done.log
    assert place.events[-2:] == ["rollback", "promotion"]
    invariants(place, "1")
    assert live_by_the_audit(place) == "1"
    assert place(deploy_model, model_version="2").said["state"] == "canary", "it may be released anew"


@pytest.mark.usefixtures("twice")
def test_rollback__by_hand_wins_over_a_runs_own_whose_entry_comes_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(deploy_model, model_version="3")
    place.look("3", "roll-back")
    Late("rollback", lambda: place(rollback_model, reason="2 is no better.", model_version="1")).hold(monkeypatch)
    done = place(deploy_model)
    assert (done.code, done.said["live"]) == (1, "1"), done.log
    assert [each.details["cause"] for each in place.entries[-2:]] == ["person", "harm"]
    invariants(place, "1")
    assert live_by_the_audit(place) == "1"


@pytest.mark.usefixtures("live")
def test_deploy__a_run_takes_back_no_release_but_the_one_that_it_tried(place: Place) -> None:
    """While it tries version 2 somebody takes that back, and version 3 begins."""
    target = place.target()
    target.change(wrong=["2"])

    def meanwhile(call: str) -> None:
        if call == "answer":
            target.before = lambda _: None
            here = Path.cwd()
            assert place(rollback_model, reason="3 is the one.").code == 0
            assert place(deploy_model, model_version="3").said["state"] == "canary"
            os.chdir(here)
            target.change(versions={**target.read()["versions"], "2": {"share": 0.0, "health": "ready"}})

    target.before = meanwhile
    done = place(deploy_model, model_version="2")
    assert (done.code, done.said["state"], done.said["canary"]) == (1, "rolled-back", "3"), done.log
    assert {version: share for version, share in target.shares.items() if share} == {"1": 0.95, "3": 0.05}
    assert place.events[-2:] == ["rollback", "deployment"]


@pytest.mark.usefixtures("canary")
def test_promote__nobody_passes_over_harm_that_a_look_shows_meanwhile(place: Place) -> None:
    place.look("2", "roll-back")
    release = place.entries[-2].sequence
    said = {"environment": "production", "release": release, "decision": "promote", "reason": "It waited."}
    place.append("override", "2", details=said)
    done = place(deploy_model)
    assert (done.code, done.said["state"]) == (1, "rolled-back"), done.log
    invariants(place, "1")


@pytest.mark.usefixtures("canary")
def test_canary__whose_rules_are_gone_stays_as_it_is(place: Place) -> None:
    place.look("2", "advance", 1)
    file = place.clone.path / "slipway.yml"
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    del said["canary"], said["deployment"]["environments"]["production"]["rollout"]
    place.clone.commit({"slipway.yml": yaml.safe_dump(said)})
    done = place(deploy_model)
    assert done.code == 1
    assert "has no section `canary` any more, and version 2 is one." in done.error
    assert place.target().shares == {"1": 0.95, "2": 0.05}
    assert place(rollback_model, reason="It was given up.").said["live"] == "1"
    invariants(place, "1")


@pytest.mark.usefixtures("live")
def test_watch__without_anything_to_watch_by_nothing_begins(place: Place) -> None:
    place.policy(canary={"observations": None})
    before = place.subjects
    done = place(deploy_model, model_version="2", **WATCHED)
    assert done.code == 1
    assert "has no `canary.observations`, so there is nothing to watch." in done.error
    assert (place.subjects, place.target().shares) == (before, {"1": 1.0})


@pytest.mark.usefixtures("live")
def test_fault__the_target_does_not_answer(place: Place) -> None:
    place.target().change(down="connection refused")
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert "The target does not answer." in done.error
    assert (done.said["state"], done.said["live"], done.said["canary"]) == ("canary", "1", "2"), "as the ledger says"
    assert done.said["share"] == "", "nobody could ask"
    place.target().change(down="")
    assert place(deploy_model).said["state"] == "canary"


@pytest.mark.usefixtures("canary")
def test_fault__the_registry_is_gone_after_the_traffic_moved(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    place.look("2", "roll-back")
    done = place(deploy_model, tracking_uri="http://127.0.0.1:1")
    assert done.code == 1
    assert "MLflow could not" in done.error
    assert place.target().shares == {"1": 1.0, "2": 0.0}, "the requests were taken from it all the same"
    place(deploy_model)
    invariants(place, "1")


def counted(place: Place, canary: tuple[int, int], baseline: tuple[int, int]) -> None:
    """A minute of observations from now on, as something outside has counted it."""
    since = datetime.now(UTC) + timedelta(seconds=1)
    arms = {"canary": arm(*canary, since=since, version="2"), "baseline": arm(*baseline, since=since, version="1")}
    said = Observation(at=since + timedelta(minutes=1), canary=arms["canary"], baseline=arms["baseline"])
    with (place.clone.path / "observations.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{said.model_dump_json()}\n")


WATCHED = {"watch_minutes": "0.02", "look_seconds": "0.2"}


@pytest.mark.usefixtures("live")
def test_watch__looks_until_the_canary_is_decided(place: Place) -> None:
    counted(place, (500, 200), (9_500, 10))
    done = place(deploy_model, model_version="2", **WATCHED)
    assert (done.code, done.said["state"]) == (1, "rolled-back"), done.log
    invariants(place, "1")
    assert place.events[-3:] == ["deployment", "look", "rollback"]
    assert {check.name: check.verdict.value for check in done.report.checks}["errors"] == "fail"


@pytest.mark.usefixtures("live")
def test_watch__without_anything_to_see_it_ends_with_its_time(place: Place) -> None:
    """No traffic at all: the canary stays where it is, and at its horizon a person decides."""
    place.policy(canary={"horizon_hours": 0.00005})
    (place.clone.path / "observations.jsonl").touch()
    done = place(deploy_model, model_version="2", **WATCHED)
    assert (done.code, done.said["state"]) == (0, "waiting"), done.log
    assert place.target().shares == {"1": 0.95, "2": 0.05}
    assert place(rollback_model, reason="Nobody came.").said["live"] == "1"
    invariants(place, "1")


@pytest.mark.parametrize(("errors", "harmful"), [(200, True), (5, False)])
@pytest.mark.usefixtures("canary")
def test_fault__the_token_expires_in_mid_canary(place: Place, errors: int, harmful: bool) -> None:
    """Nothing can be put on record any more: a harmful canary loses its requests, any other stays as it is."""
    hook = place.upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    counted(place, (500, errors), (9_500, 100))
    done = place(deploy_model, **WATCHED)
    assert done.code == (1 if harmful else 0), done.log
    said = {name: done.said[name] for name in ("state", "live", "canary", "share")}
    assert said == {"state": "canary", "live": "1", "canary": "2", "share": "0.0" if harmful else "0.05"}
    assert "not on record" in done.log
    assert place.target().shares == ({"1": 1.0, "2": 0.0} if harmful else {"1": 0.95, "2": 0.05})
    hook.unlink()
    done = place(deploy_model)
    if harmful:
        invariants(place, "1")


@pytest.mark.usefixtures("canary")
def test_fault__a_promotion_that_waits_on_this_machine_moves_nothing(place: Place) -> None:
    hook = place.upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    place.look("2", "promote")
    done = place(deploy_model)
    assert (done.code, done.said["state"]) == (0, "canary")
    assert place.target().shares == {"1": 0.95, "2": 0.05}
    hook.unlink()
    assert place(deploy_model).said["live"] == "2", "it is delivered first"
    invariants(place, "2")


@pytest.mark.usefixtures("canary")
def test_fault__a_look_that_waited_is_of_its_own_canary_when_it_arrives(place: Place) -> None:
    """Its version was taken back, and released once more, from another machine."""
    hook = place.upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    counted(place, (500, 200), (9_500, 10))
    assert "not on record" in place(deploy_model, **WATCHED).log
    hook.unlink()
    waits = place.clone.path / ".git" / "slipway"
    here = waits.rename(place.folder / "of-the-first-machine")
    assert place(rollback_model, reason="Nobody sees what it does.").said["live"] == "1"
    again = place(deploy_model, model_version="2")
    assert (again.code, again.said["state"]) == (0, "canary"), again.log
    shutil.rmtree(waits)
    here.rename(waits)
    assert not [each for each in place.subjects if each.startswith("Canary")], "it waits"
    (place.clone.path / "observations.jsonl").write_text("", encoding="utf-8")
    done = place(deploy_model, **WATCHED)
    assert [each for each in place.subjects if each.startswith("Canary")], "it has arrived"
    assert (done.code, done.said["state"], done.said["live"]) == (0, "canary", "1"), done.log
    assert place.target().shares == {"1": 0.95, "2": 0.05}


@pytest.mark.usefixtures("live")
def test_fault__the_ledger_cannot_be_reached(place: Place) -> None:
    assert place.events[-1] == "promotion"  # and so it was read here before
    away = place.upstream.rename(place.folder / "away.git")
    done = place(deploy_model, model_version="2")
    assert done.code == 1
    assert "cannot be read" in done.error
    assert (done.said["state"], done.said["live"]) == ("unknown", "")
    assert place.target().shares == {"1": 1.0}
    away.rename(place.upstream)
    assert place(deploy_model, model_version="2").said["state"] == "canary"


@pytest.mark.usefixtures("live")
def test_fault__what_somebody_changed_by_hand_is_set_back(place: Place) -> None:
    said = place.target().read()
    said["versions"] = {"1": {"share": 0.2, "health": "ready"}, "9": {"share": 0.8, "health": "ready"}}
    place.target().write(said)
    place.registry().set_alias("toy", "production", "3")
    done = place(deploy_model)
    assert done.code == 0, done.log
    invariants(place, "1")
