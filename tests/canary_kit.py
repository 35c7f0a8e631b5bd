"""Observations and streams for tests of the canary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from slipway.canary.observations import Arm, Histogram, Observation, Scores
from slipway.policy.canary import Canary

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BOUNDS = (0.05, 0.1, 0.2, 0.4)


def rules(**said: Any) -> Canary:
    """One stage of 10 % whose time and traffic are met at once, and errors alone."""
    return Canary.model_validate({"stages": [{"share": 0.1, "minutes": 1, "requests": 1}], **said})


def arm(requests: int = 100, errors: int | None = 1, *, since: datetime = NOON, **said: Any) -> Arm:
    return Arm(since=since, requests=requests, errors=errors, **said)


def observation(minute: int = 1, *, canary: Arm, baseline: Arm, share: float | None = None) -> Observation:
    """What was read so many minutes past noon."""
    return Observation(at=NOON + minute * MINUTE, canary=canary, baseline=baseline, share=share)


def interval(minute: int, canary: tuple[int, int], baseline: tuple[int, int], **said: Any) -> Observation:
    """Requests and errors of each arm within the minute that ends so many minutes past noon."""
    since = NOON + (minute - 1) * MINUTE
    return observation(minute, canary=arm(*canary, since=since), baseline=arm(*baseline, since=since), **said)


def counters(minute: int, canary: tuple[int, int], baseline: tuple[int, int], **said: Any) -> Observation:
    """Requests and errors of each arm since noon."""
    return observation(minute, canary=arm(*canary), baseline=arm(*baseline), **said)


def stream(
    rng: np.random.Generator, rates: Sequence[float], *, harm: float = 1.0, share: float = 0.1, requests: int = 2_000
) -> Iterator[Observation]:
    """A look a minute. rates: of the baseline's errors at each look; harm: the canary's, as a multiple of it."""
    for minute, rate in enumerate(rates, start=1):
        n = int(rng.binomial(requests, share))
        canary = (n, int(rng.binomial(n, min(1.0, harm * rate))))
        yield interval(minute, canary, (requests - n, int(rng.binomial(requests - n, rate))))


def latency(rng: np.random.Generator, requests: int, *, slower: float = 1.0) -> Histogram:
    """Times of requests, log-normal around 80 ms, in the cells of BOUNDS."""
    times = slower * 0.08 * np.exp(0.5 * rng.standard_normal(requests))
    cells = np.bincount(np.searchsorted(BOUNDS, times), minlength=len(BOUNDS) + 1)
    return Histogram(bounds=BOUNDS, counts=tuple(int(count) for count in cells))


def scores(wrong: int, right: int) -> Scores:
    return Scores(values=(0.0, 1.0), counts=(wrong, right))
