"""What each version has answered, as a canary's look reads it and as Prometheus does: one set of counters for both."""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the cells of the latencies, in seconds."""

MAGNITUDES = [round(m * 10.0**e, 9) for e in range(-3, 6) for m in (1.0, 2.0, 5.0)]
UNKNOWN_RANGE = (*(-bound for bound in reversed(MAGNITUDES)), 0.0, *MAGNITUDES)
"""Bounds for predictions of which nobody knows the range: 1, 2, 5 of each power of ten, on both sides of 0."""

MOST_CATEGORIES = 63
"""Categories that are counted by their name; what comes later is `OTHER`."""

OTHER = "(other)"
LONGEST_NAME = 200


class Arm:
    """The counters of one version."""

    def __init__(self) -> None:
        self.since = datetime.now(UTC)
        self.codes: Counter[int] = Counter()
        """Requests by the status that the client was given."""

        self.latency = [0] * (len(LATENCY) + 1)
        self.seconds = 0.0
        self.numbers: list[int] = []
        """Predictions by the cells of the bounds."""

        self.categories: Counter[str] = Counter()
        self.ready = False

    @property
    def requests(self) -> int:
        """All that were counted."""
        return self.codes.total()

    @property
    def errors(self) -> int:
        """Those that were given no prediction.

        400 is among them: MLflow's server says so where the model itself fails. Clients are given to the versions by
        chance, so that their own mistakes meet both alike.
        """
        return sum(count for code, count in self.codes.items() if not 200 <= code < 300)


class Counters:
    """The counters of all versions, and the cells of the predictions, which are the same for all."""

    def __init__(self) -> None:
        self.arms: dict[str, Arm] = {}
        self.in_flight: Counter[str] = Counter()
        """Requests under way by version. They outlast the counters, which may begin anew meanwhile."""

        self.bounds: tuple[float, ...] = UNKNOWN_RANGE
        self.of_numbers: bool | None = None
        """Whether predictions are numbers: as bounds say that were given, or else the first of them."""

        self.known: set[str] = set()

    def serve(self, versions: Iterable[str], bounds: tuple[float, ...]) -> None:
        """Count for these versions from now on. Other bounds than before begin all counters anew."""
        versions = list(versions)
        wanted = bounds or UNKNOWN_RANGE
        if wanted != self.bounds:
            ready = {version: arm.ready for version, arm in self.arms.items()}
            self.bounds, self.of_numbers, self.known, self.arms = wanted, True if bounds else None, set(), {}
            for version in versions:
                self.arms[version] = Arm()
                self.arms[version].ready = ready.get(version, False)
        for version in versions:
            self.arms.setdefault(version, Arm())
        for version in [each for each in self.arms if each not in versions and not self.in_flight[each]]:
            del self.arms[version]

    def count(self, version: str, code: int, seconds: float, prediction: Any = None) -> None:
        """Count one request. prediction: one of its answer, in a tuple; None where there is none."""
        arm = self.arms.get(version)
        if arm is None:
            return
        arm.codes[code] += 1
        arm.latency[bisect_left(LATENCY, seconds)] += 1
        arm.seconds += seconds
        if prediction is not None:
            self._predicted(arm, prediction[0])

    def _predicted(self, arm: Arm, value: Any) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.of_numbers is None:
            self.of_numbers = number
        if self.of_numbers:
            arm.numbers = arm.numbers or [0] * (len(self.bounds) + 1)
            # What is no number is above all of them: it must not vanish.
            cell = bisect_left(self.bounds, value) if number and value == value else len(self.bounds)  # noqa: PLR0124
            arm.numbers[cell] += 1
            return
        name = (value if isinstance(value, str) else json.dumps(value))[:LONGEST_NAME]
        if name not in self.known and len(self.known) >= MOST_CATEGORIES:
            name = OTHER
        self.known.add(name)
        arm.categories[name] += 1

    def told(self) -> dict[str, Any]:
        """For a look: by version what an observation's arm holds, and how many requests are under way."""
        return {
            version: {
                "arm": {
                    "version": version,
                    "since": arm.since.isoformat(),
                    "requests": arm.requests,
                    "errors": arm.errors,
                    "latency": {"bounds": LATENCY, "counts": arm.latency},
                    "predictions": self._told_predictions(arm),
                },
                "in_flight": self.in_flight[version],
            }
            for version, arm in self.arms.items()
        }

    def _told_predictions(self, arm: Arm) -> dict[str, Any] | None:
        if self.of_numbers is None:
            return None
        if self.of_numbers:
            return {"bounds": self.bounds, "counts": arm.numbers or [0] * (len(self.bounds) + 1)}
        return {"categories": dict(arm.categories)}


class Exposition(Collector):
    """The counters in Prometheus' form. shares: of the versions, as the traffic is set."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.shares: dict[str, float] = {}

    def collect(self) -> Iterator[Any]:
        """All families, as they stand."""
        requests = CounterMetricFamily(
            "slipway_requests", "Requests by the status that was answered.", labels=("version", "code")
        )
        seconds = HistogramMetricFamily("slipway_request_seconds", "How long requests took.", labels=("version",))
        numbers = HistogramMetricFamily("slipway_predictions", "Predicted numbers.", labels=("version",))
        categories = CounterMetricFamily(
            "slipway_predicted", "Predictions by category.", labels=("version", "prediction")
        )
        ready = GaugeMetricFamily("slipway_version_ready", "Whether the version answers.", labels=("version",))
        share = GaugeMetricFamily("slipway_version_share", "Its share of the requests.", labels=("version",))
        for version, arm in self.counters.arms.items():
            for code, count in sorted(arm.codes.items()):
                requests.add_metric((version, str(code)), count)
            seconds.add_metric((version,), _buckets(LATENCY, arm.latency), arm.seconds)
            if arm.numbers:
                numbers.add_metric((version,), _buckets(self.counters.bounds, arm.numbers), None)
            for name, count in sorted(arm.categories.items()):
                categories.add_metric((version, name), count)
            ready.add_metric((version,), arm.ready)
            share.add_metric((version,), self.shares.get(version, 0.0))
        yield from (requests, seconds, numbers, categories, ready, share)


def _buckets(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    ends = [*map(str, bounds), "+Inf"]
    return list(zip(ends, accumulate(counts), strict=True))


def prediction_of(path: str, body: bytes) -> tuple[Any] | None:
    """One prediction of an answer, by chance where there are several: those of one request are not independent.

    None where the answer holds no list of single values, or one for each of several outputs.
    """
    try:
        said = json.loads(body)
        values = said["outputs"] if path.endswith("/infer") else said["predictions"]
        if path.endswith("/infer"):
            (values,) = (each["data"] for each in values)
        elif isinstance(values, dict):
            (values,) = values.values()
        value = random.choice(values)  # noqa: S311 - nothing secret
        while isinstance(value, dict | list):
            (value,) = value.values() if isinstance(value, dict) else value
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return (value,)
