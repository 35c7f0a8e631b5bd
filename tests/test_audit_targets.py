"""audit-trail compares what a target serves with the ledger."""

from __future__ import annotations

from typing import Any

import pytest

import audit_trail
import deploy_model
from deploy_kit import Place
from test_training_toy import QUIET

pytestmark = QUIET


def compared(place: Place) -> dict[str, tuple[str, str]]:
    done = place(audit_trail, command="compare", model="toy", policy="slipway.yml")
    return {check.name: (check.verdict.value, check.detail) for check in done.report.checks}


def test_compare__asks_the_target(place: Place) -> None:
    assert place(deploy_model, model_version="1").code == 0
    assert compared(place)["served in production"] == ("pass", "version 1: 1")
    done = place(audit_trail, command="compare", model="toy")
    assert "served in production" not in {check.name for check in done.report.checks}, "no policy says what serves it"


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"3": 1.0, "1": 0.0}, "the ledger says version 1: 1; served is version 3: 1: it was changed behind"),
        ({"1": 0.5, "3": 0.5}, "served is version 1: 0.5, version 3: 0.5: it was changed behind"),
        ({}, "the ledger says version 1: 1; served is nothing: it was changed behind"),
    ],
)
def test_compare__what_was_changed_by_hand(place: Place, versions: dict[str, float], said: str) -> None:
    assert place(deploy_model, model_version="1").code == 0
    served: dict[str, Any] = {name: {"share": share, "health": "ready"} for name, share in versions.items()}
    place.target().change(versions=served)
    verdict, detail = compared(place)["served in production"]
    assert verdict == "fail"
    assert said in detail


def test_compare__a_canary_between_its_steps_is_no_change_by_hand(place: Place) -> None:
    assert place(deploy_model, model_version="1").code == 0
    assert place(deploy_model, model_version="2").code == 0
    assert compared(place)["served in production"] == ("pass", "version 1: 0.95, version 2: 0.05")
    place.look("2", "advance", 1)
    verdict, detail = compared(place)["served in production"]
    assert verdict == "inconclusive"
    assert "the release of version 2 has not come to its end" in detail


def test_compare__a_target_that_does_not_answer(place: Place) -> None:
    assert place(deploy_model, model_version="1").code == 0
    place.target().change(down="connection refused")
    assert compared(place)["served in production"][0] == "inconclusive"


def test_compare__another_model_than_the_recorded_one(place: Place) -> None:
    assert place(deploy_model, model_version="1").code == 0
    place.target().identities = {"1": f"sha256:{'9' * 64}"}
    verdict, detail = compared(place)["version 1 as served"]
    assert verdict == "fail"
    assert "of which no entry about version 1 speaks" in detail
    recorded = place.registry().by_version("toy", "1").tags["slipway.model_digest"]
    place.target().identities = {"1": recorded}
    assert compared(place)["version 1 as served"] == ("pass", recorded)


def test_compare__the_policy_of_another_model(place: Place) -> None:
    assert place(deploy_model, model_version="1").code == 0
    file = place.clone.path / "slipway.yml"
    file.write_text(file.read_text().replace("model: toy", "model: other"))
    done = place(audit_trail, command="compare", model="toy", policy="slipway.yml")
    assert done.code == 1
    assert "slipway.yml is about `other`, not `toy`." in done.error
