"""deploy-model and rollback-model on runners whose clocks disagree: the order on record decides, no time does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise

import pytest

import deploy_model
import rollback_model
from deploy_kit import Place, approved, invariants
from slipway.deploying import record
from slipway.ledger import store
from test_training_toy import QUIET

pytestmark = QUIET


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """From now on a step is on a runner whose clock is so many hours ahead."""

    def of(hours: float) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # a plain time, as it is kept
                return datetime.now(tz) + timedelta(hours=hours)

        monkeypatch.setattr(record, "datetime", Clock)
        monkeypatch.setattr(store, "utc_now", lambda: datetime.now(UTC) + timedelta(hours=hours))

    return of


def test_release__on_runners_whose_clocks_disagree(
    place: Place, runner: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    runner(5)
    place.policy(approval="required")
    approved(place, "1")
    runner(-3)
    assert place(deploy_model, model_version="1").said["state"] == "live"
    invariants(place, "1")

    approved(place, "2")
    runner(2)
    assert place(deploy_model, model_version="2").said["state"] == "canary"
    runner(-48)
    place.look("2", "advance", 1)
    assert place(deploy_model).said["state"] == "canary"
    assert place.target().shares == {"1": 0.5, "2": 0.5}
    runner(0)
    place.look("2", "promote", 1)
    runner(-24)
    assert place(deploy_model).said["state"] == "live"
    invariants(place, "2")

    # The approval of version 2 was used, whichever clock says that it is the newer.
    runner(-72)
    assert place(rollback_model, reason="The phones are ringing.").said["live"] == "1"
    invariants(place, "1")
    runner(48)
    again = place(deploy_model, model_version="2")
    assert again.code == 1
    assert "approv" in again.error, again.log
    invariants(place, "1")

    entries = place.entries
    assert all(one.recorded_at <= other.recorded_at for one, other in pairwise(entries)), "times never run backwards"
    assert any(entry.clock for entry in entries), "what the slow clocks said is kept"
