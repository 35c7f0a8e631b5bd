"""Observations from Prometheus, or what speaks its API.

https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slipway.canary.observations import Arm, Categories, Histogram, Observation, Scores
from slipway.policy.canary import PrometheusSource as Settings
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.inputs import Secret

if TYPE_CHECKING:
    import requests

TIMEOUT = 30.0
LARGEST = 8 * 1024 * 1024
SCORES = {"true": 1.0, "false": 0.0}
Vector = list[tuple[dict[str, str], float]]


@dataclass(frozen=True)
class PrometheusSource:
    """A server, what it is asked, and of which versions."""

    settings: Settings
    canary: str
    baseline: str
    token: Secret
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def observe(self, since: datetime | None) -> tuple[Observation, ...]:
        """One observation as of now; nothing where not a second has passed."""
        import requests

        at = self.clock().replace(microsecond=0)
        window = int((at - since).total_seconds()) if since else 60
        if window < 1:
            return ()
        # Windows are whole seconds: the part of one that is cut off comes neither now nor later, in both arms alike.
        # The first look has no beginning: nobody knows since when the traffic is split as it is.
        of_window = since is not None and "$window" in self.settings.queries.requests
        start = at - timedelta(seconds=window) if of_window else None
        with requests.Session() as session:
            if self.token:
                session.headers["Authorization"] = f"Bearer {self.token.reveal()}"
            arms = [self._arm(session, version, at, window, start) for version in (self.canary, self.baseline)]
        return (Observation(at=at, canary=arms[0], baseline=arms[1]),)

    def _arm(self, session: requests.Session, version: str, at: datetime, window: int, start: datetime | None) -> Arm:
        queries = self.settings.queries

        def ask(name: str, query: str | None) -> Vector | None:
            if query is None:
                return None
            text = query.replace("$version", version).replace("$window", f"{window}s")
            return self._vector(session, name, text, at) or None

        requests_seen = _one("requests", ask("requests", queries.requests)) or 0
        errors = _one("errors", ask("errors", queries.errors))
        latency, predictions = ask("latency", queries.latency), ask("predictions", queries.predictions)
        labels = {name: found for name, query in queries.outcomes.items() if (found := ask(name, query))}
        try:
            return Arm(
                version=version,
                since=start,
                requests=requests_seen,
                # Prometheus extrapolates each by itself: of 3 requests that all failed it may say 3 and 4.
                errors=requests_seen if errors is not None and errors == requests_seen + 1 else errors,
                latency=None if latency is None else _histogram("latency", latency),
                predictions=None if predictions is None else _predictions(predictions),
                outcomes={name: seen for name, found in labels.items() if (seen := _scores(name, found)) is not None},
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InputError(
                f"What Prometheus says of version {version} is no observation.",
                why=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                fix="Check `canary.observations.prometheus.queries` of the policy.",
            ) from error

    def _vector(self, session: requests.Session, name: str, query: str, at: datetime) -> Vector:
        import requests

        address = f"{self.settings.url.rstrip('/')}/api/v1/query"
        try:
            answer = session.post(
                address,
                data={"query": query, "time": f"{at.timestamp():.0f}"},
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            )
            raw = answer.raw.read(LARGEST + 1, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise RemoteError(
                f"Prometheus at {self.settings.url} cannot be asked.",
                why=type(error).__name__,
                fix="Check its address, and whether the runner can reach it. Nothing was recorded.",
            ) from error
        return _read(self.settings.url, name, answer.status_code, raw)


def _read(url: str, name: str, status: int, raw: bytes) -> Vector:
    import json

    try:
        said: Any = json.loads(raw) if len(raw) <= LARGEST else {}
        if said.get("status") == "success":
            data = said["data"]
            if data["resultType"] == "scalar":
                return [({}, float(data["result"][1]))]
            if data["resultType"] == "vector":
                return [(dict(each["metric"]), float(each["value"][1])) for each in data["result"]]
            raise InputError(
                f"The query for `{name}` gives a {data['resultType']}, and one number a label is needed.",
                fix='Write an instant query, such as `sum(increase(requests_total{version="$version"}[$window]))`.',
            )
        why = str(said.get("error") or f"it answered with status {status}")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        why = f"it answered with status {status} and no JSON of the API"
    raise RemoteError(
        f"Prometheus at {url} did not answer the query for `{name}`.",
        why=why[:500],
        fix="Try the query in its web page; a token for it stands in SLIPWAY_PROMETHEUS_TOKEN.",
    )


def _one(name: str, vector: Vector | None) -> int | None:
    """The one number; None where there is no series, or it is no number."""
    if not vector:
        return None
    if len(vector) > 1:
        raise InputError(
            f"The query for `{name}` gives {len(vector)} series, and one is needed.", fix="Sum them up: `sum(…)`."
        )
    return _whole(vector[0][1])


def _whole(value: float) -> int | None:
    return max(0, round(value)) if isfinite(value) else None


def _by_label(name: str, vector: Vector, label: str | None = None) -> dict[str, float]:
    labels = {each for metric, _ in vector for each in metric}
    if label is not None and label not in labels:
        raise InputError(f"The query for `{name}` gives no label `{label}`.", fix=f"Write `sum by ({label}) (…)`.")
    if len(labels) != 1:
        shown = ", ".join(sorted(labels)) or "none"
        raise InputError(
            f"The query for `{name}` gives the labels {shown}, and one is needed.", fix="Write `sum by (label) (…)`."
        )
    only = labels.pop()
    return {metric[only]: value for metric, value in vector if only in metric}


def _histogram(name: str, vector: Vector) -> Histogram | None:
    """A histogram from buckets, which Prometheus gives summed up, by their upper ends."""
    found = _by_label(name, vector, "le")
    try:
        summed = sorted((float(end), value) for end, value in found.items())
    except ValueError as error:
        raise InputError(f"The query for `{name}` gives a bucket whose `le` is no number.") from error
    if not summed or summed[-1][0] != inf or len(summed) < 2:
        raise InputError(
            f'The buckets of `{name}` have no `le="+Inf"`, or nothing below it.', fix="Sum all of its buckets."
        )
    if not all(isfinite(value) for _, value in summed):
        return None
    below, counts = 0, []
    for _, value in summed:
        counts.append(max(0, round(value) - below))
        below += counts[-1]
    return Histogram(bounds=tuple(end for end, _ in summed[:-1]), counts=tuple(counts))


def _predictions(vector: Vector) -> Histogram | Categories | None:
    if any("le" in metric for metric, _ in vector):
        return _histogram("predictions", vector)
    found = {label: _whole(value) for label, value in _by_label("predictions", vector).items()}
    known = {label: count for label, count in found.items() if count is not None}
    return Categories(categories=known) if len(known) == len(found) else None


def _scores(name: str, vector: Vector) -> Scores | None:
    found = {label: _whole(value) for label, value in _by_label(name, vector).items()}
    try:
        by_score = {SCORES[label] if label in SCORES else float(label): count for label, count in found.items()}
    except ValueError as error:
        raise InputError(
            f"The query for the outcome `{name}` gives a label that is no score.",
            fix="Sum by a label whose values are numbers from 0 to 1, or `true` and `false`.",
        ) from error
    counts = tuple(count for _, count in sorted(by_score.items()) if count is not None)
    return Scores(values=tuple(sorted(by_score)), counts=counts) if len(counts) == len(found) else None
