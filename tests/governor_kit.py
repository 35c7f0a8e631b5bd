"""Drift reports, histories and facts for tests of the governor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.governor.facts import Facts, History, Retraining
from slipway.governor.keys import key_of, window_of
from slipway.report import Check, Report, Subject, Verdict

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MODEL = "flights"
AT_ONCE = {"drifted": 1, "windows": 1}
"""Persistence with which the first window that drifts counts."""


def check(name: str = "drift: distance", verdict: str = "fail", role: str = "feature") -> Check:
    return Check(name=name, verdict=Verdict(verdict), values={"role": role})


def drift(verdict: str = "fail", *, window: str = "july", **said: Any) -> Report:
    """A report of detect-drift; its window is a version of data."""
    made = {
        "checks": (check(verdict=verdict),),
        "headline": "1 of 10 columns has drifted.",
        "started": NOW - timedelta(minutes=5),
        "subjects": (
            Subject(role="data", name="live", id=f"dvc:{window}"),
            Subject(role="production", name="3", id="sha256:abc"),
        ),
        **said,
    }
    return Report(stage="detect-drift", model=MODEL, verdict=Verdict(verdict), **made)


def validation(verdict: str = "pass", **said: Any) -> Report:
    made = {"headline": f"Validation says {verdict}.", "started": NOW, **said}
    return Report(stage="validate-data", model=MODEL, verdict=Verdict(verdict), **made)


def past(hours_ago: float, *, now: datetime = NOW, **said: Any) -> Retraining:
    """A retraining that was made so long ago, and helped unless it is said otherwise."""
    made = {"key": f"slipway-{int(hours_ago * 1000):08x}-0123456789abcdef", "generation": 1, "helped": True, **said}
    return Retraining(at=now - timedelta(hours=hours_ago), **made)


def facts(**said: Any) -> Facts:
    """Facts by which every rule lets a retraining go, but for what is said."""
    report = said.pop("drift", drift())
    made: dict[str, Any] = {
        "model": MODEL,
        "key": key_of(MODEL, report),
        "window": window_of(report),
        "validation": validation(),
        "history": History(),
        "in_flight": (),
        "now": NOW,
        **said,
    }
    return Facts(drift=report, **made)
