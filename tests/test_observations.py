"""Sources of observations: a file, and a real Prometheus with a history of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from canary_kit import NOON, interval
from slipway.canary.observations import Categories, Histogram, Observation
from slipway.observations import files
from slipway.observations.files import FileSource
from slipway.observations.prometheus import PrometheusSource
from slipway.policy.canary import PrometheusSource as Settings
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.inputs import NO_SECRET, Secret
from store_doubles import Asked, HttpDouble, Said

# Files.


def test_file__gives_what_is_new_by_its_time(tmp_path: Path) -> None:
    said = [interval(minute, (100, 1), (900, 9)) for minute in (3, 1, 2)]
    file = tmp_path / "observations.jsonl"
    file.write_text("\n".join(each.model_dump_json() for each in said), encoding="utf-8")
    assert [each.at for each in FileSource(file).observe(None)] == [said[1].at, said[2].at, said[0].at]
    assert FileSource(file).observe(said[2].at) == (said[0],)


def test_file__the_documented_line_is_one() -> None:
    page = (Path(__file__).parents[1] / "docs" / "judge-canary.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
    said = Observation.model_validate_json(shown)
    assert said.is_of("8", "7")
    assert isinstance(said.canary.predictions, Categories)


def test_file__that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        FileSource(tmp_path / "none.jsonl").observe(None)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"at": "2026-11-25T12:00:00Z"}', "canary: Field required"),
        (b"nothing", "Invalid JSON"),
        (b" " * (files.LONGEST + 2), "it has more than"),
        (b'{"\xff": 1}', "Invalid JSON|utf-8"),
    ],
)
def test_file__a_line_that_is_no_observation_is_named(tmp_path: Path, line: bytes, why: str) -> None:
    file = tmp_path / "observations.jsonl"
    file.write_bytes(line + b"\n")
    with pytest.raises(InputError, match=r"Line 1 of .* is no observation") as caught:
        FileSource(file).observe(None)
    assert caught.value.line == 1
    assert re.search(why, caught.value.why)


# Prometheus.

QUERIES = {
    "requests": 'sum(increase(requests_total{version="$version"}[$window]))',
    "errors": 'sum(increase(requests_total{version="$version",code="500"}[$window]))',
    "latency": 'sum by (le) (increase(seconds_bucket{version="$version"}[$window]))',
    "predictions": 'sum by (answer) (increase(predictions_total{version="$version"}[$window]))',
    "outcomes": {"right": 'sum by (right) (increase(labels_total{version="$version"}[$window]))'},
}
COUNTERS = {
    "requests": 'sum(requests_total{version="$version"})',
    "errors": 'sum(requests_total{version="$version",code="500"})',
}
STEP = timedelta(seconds=15)
MINUTES = 40


def series(name: str, labels: str, per_minute: float, *, restart_at: int = 0) -> Iterator[str]:
    """A counter's samples, from zero; from a minute on from zero again."""
    for number in range(int(timedelta(minutes=MINUTES) / STEP) + 1):
        moment = NOON + number * STEP
        minutes = number * STEP / timedelta(minutes=1)
        value = per_minute * (minutes - restart_at if restart_at and minutes >= restart_at else minutes)
        yield f"{name}{{{labels}}} {value} {moment.timestamp():.0f}"


def history() -> str:
    """What both versions would have told, in OpenMetrics: 8 answers a tenth of the requests of 7."""
    families: dict[str, list[str]] = {"requests": [], "seconds": [], "predictions": [], "labels": []}
    for version, rate in (("8", 10), ("7", 90)):
        families["requests"] += series("requests_total", f'version="{version}",code="200",pod="a"', 5 * rate)
        families["requests"] += series("requests_total", f'version="{version}",code="200",pod="b"', 4 * rate)
        families["requests"] += series("requests_total", f'version="{version}",code="500",pod="a"', rate)
        for end, part in (("0.1", 6), ("0.5", 9), ("+Inf", 10)):
            families["seconds"] += series("seconds_bucket", f'version="{version}",le="{end}"', part * rate)
        for answer, part in (("late", 2), ("early", 8)):
            families["predictions"] += series(
                "predictions_total", f'version="{version}",answer="{answer}"', part * rate
            )
        for right, part in (("true", 7), ("false", 1)):
            families["labels"] += series("labels_total", f'version="{version}",right="{right}"', part * rate)
    families["requests"] += series("requests_total", 'version="9",code="200",pod="a"', 60, restart_at=20)
    lines: list[str] = []
    for family, samples in families.items():
        # A histogram's buckets by themselves, without its sum and count, are of no kind that the format knows.
        kind = "seconds_bucket unknown" if family == "seconds" else f"{family} counter"
        lines += [f"# TYPE {kind}", *samples]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that knows the history, and asks nobody."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        reason = "prometheus and promtool are not on the PATH (Debian's package `prometheus`)"
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "history").write_text(history(), encoding="utf-8")
    (folder / "prometheus.yml").write_text("global: {}\n", encoding="utf-8")
    data = folder / "data"
    filled = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "history"), str(data)]
    subprocess.run(filled, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        *("prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={data}"),
        *(f"--web.listen-address={address}", "--storage.tsdb.retention.time=100y", "--log.level=error"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://{address}"
            for _ in range(600):
                try:
                    if requests.get(f"{url}/-/ready", timeout=5).ok:
                        break
                except requests.ConnectionError:
                    pass
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()


def asked(url: str, minute: float, since: datetime | None, *, canary: str = "8", **queries: Any) -> Observation:
    settings = Settings.model_validate({"url": url, "queries": queries or QUERIES})
    at = NOON + timedelta(minutes=minute)
    (found,) = PrometheusSource(settings, canary, "7", NO_SECRET, clock=lambda: at).observe(since)
    return found


@pytest.mark.xdist_group("prometheus")
def test_prometheus__counts_a_window_of_each_version(prometheus: str) -> None:
    since = NOON + timedelta(minutes=10)
    found = asked(prometheus, 30, since)
    assert (found.at, found.canary.since, found.baseline.since) == (NOON + timedelta(minutes=30), since, since)
    canary, baseline = found.canary, found.baseline
    # Prometheus extrapolates from the samples inside of the window to its ends.
    assert canary.requests == pytest.approx(20 * 100, rel=0.02)
    assert baseline.requests == pytest.approx(20 * 900, rel=0.02)
    assert canary.errors == pytest.approx(200, rel=0.02)
    assert isinstance(canary.latency, Histogram)
    assert canary.latency.bounds == (0.1, 0.5)
    assert [round(count / 200) for count in canary.latency.counts] == [6, 3, 1]
    assert isinstance(baseline.predictions, Categories)
    assert {name: round(count / 1_800) for name, count in baseline.predictions.categories.items()} == {
        "late": 2,
        "early": 8,
    }
    right = canary.outcomes["right"]
    assert (right.values, [round(count / 200) for count in right.counts]) == ((0.0, 1.0), [1, 7])


@pytest.mark.xdist_group("prometheus")
def test_prometheus__of_counters_only_differences_count(prometheus: str) -> None:
    first = asked(prometheus, 10, None, **COUNTERS)
    assert (first.canary.since, first.canary.requests, first.canary.errors) == (None, 1_000, 100)
    assert asked(prometheus, 30, first.at, **COUNTERS).canary.requests == 3_000


@pytest.mark.xdist_group("prometheus")
def test_prometheus__a_first_look_counts_nothing_and_no_second_nothing_at_all(prometheus: str) -> None:
    assert asked(prometheus, 30, None).canary.since is None
    settings = Settings.model_validate({"url": prometheus, "queries": QUERIES})
    source = PrometheusSource(settings, "8", "7", NO_SECRET, clock=lambda: NOON + timedelta(seconds=0.9))
    assert source.observe(NOON) == ()


@pytest.mark.xdist_group("prometheus")
def test_prometheus__increase_bridges_a_restarted_server(prometheus: str) -> None:
    found = asked(prometheus, 30, NOON + timedelta(minutes=10), canary="9", requests=QUERIES["requests"])
    assert found.canary.requests == pytest.approx(20 * 60, rel=0.03)


@pytest.mark.xdist_group("prometheus")
def test_prometheus__a_version_without_series_has_no_requests_and_its_errors_are_not_known(prometheus: str) -> None:
    found = asked(prometheus, 30, NOON, canary="12")
    assert (found.canary.requests, found.canary.errors, found.canary.latency) == (0, None, None)
    found = asked(prometheus, 30, NOON, canary="9")
    assert found.canary.requests > 0
    assert found.canary.errors is None


@pytest.mark.xdist_group("prometheus")
@pytest.mark.parametrize(
    ("query", "kind", "said"),
    [
        ('sum(requests_total{version="$version"}', RemoteError, "parse error"),
        ('requests_total{version="$version"}[5m]', InputError, "gives a matrix"),
        ('requests_total{version="$version"}', InputError, "gives 3 series"),
    ],
)
def test_prometheus__a_query_that_cannot_be_used_is_named(
    prometheus: str, query: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught:
        asked(prometheus, 30, NOON, requests=query)
    assert said in str(caught.value)
    assert "`requests`" in str(caught.value)


@pytest.mark.xdist_group("prometheus")
@pytest.mark.parametrize(
    ("name", "query", "said"),
    [
        ("latency", 'sum by (pod) (requests_total{version="$version"})', "gives no label `le`"),
        ("latency", 'sum by (le) (seconds_bucket{version="$version",le!="+Inf"})', "+Inf"),
        (
            "predictions",
            'sum by (answer, version) (predictions_total{version="$version"})',
            "the labels answer, version",
        ),
    ],
)
def test_prometheus__labels_that_cannot_be_used_are_named(prometheus: str, name: str, query: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(prometheus, 30, NOON, **{**COUNTERS, name: query})
    assert said in str(caught.value)


def test_prometheus__gets_the_token_in_a_header_and_nobody_else_does() -> None:
    elsewhere: list[Asked] = []

    def answer(said: Asked) -> Said:
        elsewhere.append(said)
        return Said(302, headers={"Location": "http://localhost:1/"})

    with HttpDouble(answer) as double:
        settings = Settings.model_validate({"url": double.url, "queries": COUNTERS})
        source = PrometheusSource(settings, "8", "7", Secret("t0ken"), clock=lambda: datetime.now(UTC))
        with pytest.raises(RemoteError, match="did not answer") as caught:
            source.observe(None)
    assert [each.headers.get("Authorization", each.headers.get("authorization")) for each in elsewhere] == [
        "Bearer t0ken"
    ]
    assert "t0ken" not in str(caught.value)
    assert "302" in caught.value.why


def test_prometheus__that_is_not_there_is_a_remote_error() -> None:
    with pytest.raises(RemoteError, match="cannot be asked"):
        asked("http://127.0.0.1:9", 30, NOON)


@pytest.mark.parametrize(
    "said",
    [b"[]", b'{"status": "success", "data": {"resultType": "vector", "result": [{"value": 3}]}}', b"<html>", b"{}"],
)
def test_prometheus__an_answer_of_another_kind_is_a_remote_error(said: bytes) -> None:
    with HttpDouble(lambda _: Said(200, said)) as double, pytest.raises(RemoteError):
        asked(double.url, 30, NOON, **COUNTERS)


def test_prometheus__what_is_no_number_is_not_measured() -> None:
    body = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}'
    with HttpDouble(lambda _: Said(200, body)) as double:
        found = asked(double.url, 30, NOON, **COUNTERS)
    assert (found.canary.requests, found.canary.errors) == (0, None)
