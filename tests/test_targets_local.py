"""The target on the runner itself: real processes, a real gateway, real HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from slipway.canary.observations import Categories, Histogram
from slipway.policy.deployment import TargetRule
from slipway.runner import environments
from slipway.runner.errors import ConflictError, GateError, InputError, RemoteError
from slipway.targets import asking, embedded, finding, gateways, haproxy, kept
from slipway.targets.cells import bounds_of
from slipway.targets.gateway.counting import MOST_CATEGORIES, OTHER, Counters, prediction_of
from slipway.targets.gateway.routing import Table
from slipway.targets.models import CACHE, outliving
from slipway.targets.processes import MARK, Daemon, environ_of
from slipway.targets.protocol import NotReadyError, Servable, Target
from targets_kit import MODEL, Stand, free_port, require_haproxy, standing, toy_model
from test_training_toy import LOCK

GATEWAYS = ["builtin", "haproxy"]
BUILTIN = pytest.mark.parametrize("served", ["builtin"], indirect=True)
"""For what HAProxy does not do, or does not count."""


def behind(gateway: str, folder: Path) -> contextlib.AbstractContextManager[Stand]:
    if gateway == "haproxy":
        require_haproxy()
    return standing(folder, gateway)


@pytest.fixture(autouse=True)
def _shared(environments_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's environment is built once."""
    monkeypatch.setenv(CACHE, str(environments_cache))


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with standing(tmp_path) as made:
        yield made


@pytest.fixture(params=GATEWAYS)
def behind_any(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    """What holds whatever the gateway."""
    with behind(request.param, tmp_path) as made:
        yield made


@pytest.fixture(scope="module", params=GATEWAYS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path
) -> Iterator[Stand]:
    """Two versions with traffic, for tests that leave them as they are."""
    with pytest.MonkeyPatch.context() as patch, behind(request.param, tmp_path_factory.mktemp("shared")) as made:
        patch.setenv(CACHE, str(environments_cache))
        made.start("7")
        made.start("8").set_traffic({"7": 0.75, "8": 0.25})
        yield made


@pytest.fixture
def both(served: Stand) -> Iterator[Stand]:
    yield served
    for version in ("7", "8"):
        served.behave(version)


def counted(stand: Stand) -> dict[str, tuple[int, int]]:
    """Requests and errors of both arms."""
    seen = stand.target().observe("8", "7")
    assert seen is not None
    assert seen.is_of("8", "7")
    return {
        "7": (seen.baseline.requests, seen.baseline.errors or 0),
        "8": (seen.canary.requests, seen.canary.errors or 0),
    }


def added(stand: Stand, do: Callable[[], Any]) -> dict[str, tuple[int, int]]:
    """What doing something adds to requests and errors."""
    before = counted(stand)
    do()
    after = counted(stand)
    return {each: (after[each][0] - before[each][0], after[each][1] - before[each][1]) for each in after}


# The life of a version.


def test_version__comes_answers_gets_traffic_and_goes_and_every_call_can_be_repeated(behind_any: Stand) -> None:
    assert behind_any.target().state() == ()
    assert not (behind_any.folder / "target").exists(), "asking makes nothing"
    servable = behind_any.servable("7", predictions=[1.5])
    for _ in range(2):
        behind_any.target().start(servable)
        (seen,) = behind_any.target().state()
        assert (seen.version, seen.share, seen.health, seen.identity) == ("7", 0.0, "ready", "sha256:7")
    assert behind_any.post().code == 503, "nobody has traffic"
    assert behind_any.fetched == ["7"]
    for _ in range(2):
        assert behind_any.target().answer("7", {"inputs": [[1.0]]}) == [1.5]
        behind_any.target().set_traffic({"7": 1.0})
        assert [(each.version, each.share) for each in behind_any.target().state()] == [("7", 1.0)]
    assert (behind_any.post().code, behind_any.post().version, behind_any.post().body) == (
        200,
        "7",
        {"predictions": [1.5]},
    )
    pid = behind_any.pid("7")
    behind_any.start("8")
    behind_any.target().set_traffic({"8": 1.0})
    assert behind_any.post().version == "8"
    for _ in range(2):
        behind_any.target().stop("7")
        assert [(each.version, each.share) for each in behind_any.target().state()] == [("8", 1.0)]
    assert behind_any.running == ["8", "gateway"]
    assert not behind_any.place("7").exists()
    assert not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    behind_any.target().set_traffic({})
    assert behind_any.post().code == 503
    for _ in range(2):
        behind_any.target().stop("8")
        assert (behind_any.target().state(), behind_any.running) == ((), [])
    behind_any.start("9")
    assert [each.version for each in behind_any.target().state()] == ["9"]


def test_version__is_a_real_model_in_its_own_environment(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    files = toy_model(stand.folder / "registered" / "toy", {"x1": 2.0})
    lock = stand.folder / "lock.txt"
    lock.write_text(LOCK, encoding="utf-8")
    secrets = {"GITHUB_TOKEN": "secret-1", "RUNNER_TRACKING_ID": "github_1", "INPUT_GITHUB_TOKEN": "secret-2"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    target = stand.target(ready_seconds=120)
    target.start(Servable(MODEL, "7", "sha256:7", "", lambda: files, lambda _: environments.for_lock(lock)))
    for name in ("7", "gateway"):
        environ = Path(f"/proc/{stand.pid(name)}/environ").read_bytes()
        assert not [each for each in secrets.values() if each.encode() in environ]
        assert os.getsid(stand.pid(name)) == stand.pid(name), "it is in nobody's session"
    rows = {"dataframe_split": {"columns": ["x1", "x2"], "data": [[1.0, 0.0], [-0.5, 3.0]]}}
    assert target.answer("7", rows) == [2.0, -1.0]
    with pytest.raises(GateError, match="Version 7 refuses a request") as caught:
        target.answer("7", {"dataframe_split": {"columns": ["x9"], "data": [[1.0]]}})
    assert "x1" in caught.value.why, "the server's own words"
    target.set_traffic({"7": 1.0})
    infer = {"inputs": [{"name": name, "shape": [1], "datatype": "FP64", "data": [3.0]} for name in ("x1", "x2")]}
    answer = stand.post(infer, route=f"/v2/models/{MODEL}/infer")
    assert answer.body["outputs"][0]["data"] == [6.0]
    assert stand.post(rows).body == {"predictions": [2.0, -1.0]}
    target.stop("8")  # which is not there


def test_find__gives_the_policys_target(stand: Stand) -> None:
    rule = TargetRule.model_validate({"local": {"folder": str(stand.folder), "port": 8100}})
    target: Target = finding.find(rule, model=MODEL, ready_seconds=5)
    assert (target.url, target.shown, target.splits) == ("http://127.0.0.1:8100", "local, http://127.0.0.1:8100", True)


# The split.


def test_split__is_as_it_was_set_by_key_and_by_chance(both: Stand) -> None:
    keys = [str(number) for number in range(200)]
    by_key = Counter(both.post(X_Slipway_Key=key).version for key in keys)
    if both.gateway == "builtin":
        assert by_key == Counter(Table(shares={"7": 0.75, "8": 0.25}).assigned(key) for key in keys)
    assert abs(by_key["8"] - 50) < 5 * math.sqrt(200 * 0.25 * 0.75), "five standard deviations"
    without = Counter(both.post().version for _ in range(100))
    assert abs(without["8"] - 25) < 5 * math.sqrt(100 * 0.25 * 0.75)


def test_table__who_had_the_canary_keeps_it_while_its_share_grows() -> None:
    keys = [str(number) for number in range(5_000)]
    had: set[str] = set()
    for share in (0.01, 0.05, 0.25, 0.5, 1.0):
        table = Table(shares={"7": 1 - share, "8": share})
        has = {key for key in keys if table.assigned(key) == "8"}
        assert had <= has
        assert abs(len(has) / len(keys) - share) < 5 * math.sqrt(share * (1 - share) / len(keys)) + 1e-9
        had = has
    other = Table(shares={"7": 0.5, "9": 0.5})
    both_canaries = sum(
        other.assigned(key) == "9" and Table(shares={"7": 0.5, "8": 0.5}).assigned(key) == "8" for key in keys
    )
    assert both_canaries / len(keys) == pytest.approx(1 / 3, abs=0.04), "another canary is given to others, too"


def test_split__who_had_the_canary_keeps_it_behind_the_gateway(behind_any: Stand) -> None:
    behind_any.start("7")
    target = behind_any.start("8")
    keys = [str(number) for number in range(60)]
    had: set[str] = set()
    for share in (0.1, 0.5, 0.8, 1.0):
        target.set_traffic({"7": 1 - share, "8": share})
        has = {key for key in keys if behind_any.get("/ping", X_Slipway_Key=key).version == "8"}
        assert had <= has
        had = has
    assert len(had) == 60
    target.set_traffic({"7": 1.0})
    assert {behind_any.get("/ping", X_Slipway_Key=key).version for key in keys} == {"7"}


def test_split__another_canary_is_given_to_others_behind_haproxy(tmp_path: Path) -> None:
    had = []
    with behind("haproxy", tmp_path) as stand:
        for version in ("7", "8", "9"):
            stand.start(version)
        for canary in ("8", "9"):
            stand.target().set_traffic({"7": 0.5, canary: 0.5})
            asked = {key: stand.get("/ping", X_Slipway_Key=str(key)).version for key in range(60)}
            had.append({key for key, version in asked.items() if version == canary})
    assert had[0] != had[1], "or the same clients would meet every canary"


def test_split__changes_without_losing_a_request(behind_any: Stand) -> None:
    behind_any.start("7")
    target = behind_any.start("8")
    target.set_traffic({"7": 1.0})
    over = threading.Event()

    def ask() -> list[int]:
        codes = []
        while not over.is_set():
            codes.append(behind_any.post().code)
        return codes

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        for shares in ({"7": 0.5, "8": 0.5}, {"8": 1.0}, {"7": 0.1, "8": 0.9}, {"7": 1.0}):
            target.set_traffic(shares)
            time.sleep(0.1)
        target.stop("8")
        over.set()
        codes = [code for each in asking for code in each.result()]
    assert set(codes) == {200} and len(codes) > 20


def test_split__a_client_without_a_key_is_given_one_that_sticks(both: Stand) -> None:
    first = both.post()
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    again = [both.post(Cookie=cookie.partition(";")[0]) for _ in range(10)]
    assert {each.version for each in again} == {first.version}
    assert not [each for each in again if "set-cookie" in each.headers]
    assert "set-cookie" not in both.post(X_Slipway_Key="lena").headers
    for empty in ({"X_Slipway_Key": ""}, {"Cookie": "slipway-key="}):
        assert "set-cookie" in both.post(**empty).headers, "or all who send nothing would have one version"


def test_split__one_version_can_be_asked_for_and_is_not_counted(both: Stand) -> None:
    def ask() -> None:
        for version in ("7", "8", "7"):
            assert both.post(X_Slipway_Version=version).version == version
        assert both.post(X_Slipway_Version="9").code == 404

    assert added(both, ask) == {"7": (0, 0), "8": (0, 0)}


# What passes through.


@BUILTIN
def test_gateway__passes_requests_on_as_they_are(both: Stand) -> None:
    both.behave("8", echo=True)
    key = both.key_of("8")
    answer = both.post(
        {"a": 1},
        route="/invocations/%2F?q=%20x",
        X_Slipway_Key=key,
        X_Own="1",
        Connection="X-Hop",
        X_Hop="1",
        TE="gzip",
    )
    said = answer.body
    assert (said["path"], json.loads(said["body"])) == ("/invocations/%2F?q=%20x", {"a": 1})
    assert said["headers"]["X-Own"] == "1"
    assert not {"x-hop", "te", "user-agent"} & {name.lower() for name in said["headers"]}
    assert said["environ"]["SLIPWAY_HOST"] == "127.0.0.1"
    assert set(said["environ"]) <= {
        MARK,
        *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
        *(
            "MKL_NUM_THREADS",
            "CUDA_VISIBLE_DEVICES",
            "NVIDIA_VISIBLE_DEVICES",
            "HOME",
            "TMPDIR",
            "PORT",
            "SLIPWAY_HOST",
        ),
        *("SLIPWAY_MODEL_NAME", "SLIPWAY_MODEL_VERSION", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_TRACKING_URI"),
        *("PYTHONNOUSERSITE", "PYTHONUNBUFFERED"),
    }


@pytest.mark.parametrize("target", [b"@evil.example/x", b"http://evil.example/x", b"*"])
def test_gateway__asks_no_other_host_whatever_the_request_says(both: Stand, target: bytes) -> None:
    with socket.create_connection(("127.0.0.1", both.port), timeout=10) as client:
        client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        status = int(client.recv(4096).split()[1])
    assert status in (400, 404)


@BUILTIN
def test_gateway__large_answers_flow_and_break_off_where_the_version_breaks_off(both: Stand) -> None:
    key = both.key_of("8")
    both.behave("8", predictions=["x" * 2_000_000])
    answer = both.post(X_Slipway_Key=key)
    assert (len(answer.body["predictions"][0]), answer.version) == (2_000_000, "8")
    both.behave("7", predictions=["x" * 2_000_000])
    assert both.post().headers["set-cookie"].startswith("slipway-key=")

    def broken() -> None:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            both.post(X_Slipway_Key=key)

    both.behave("8", predictions=["x" * 2_000_000], lacking=10)
    assert added(both, broken)["8"] == (1, 1)


@BUILTIN
def test_gateway__refuses_requests_that_are_too_large(both: Stand) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", both.port, timeout=30)
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Length", str(2**30))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


@BUILTIN
def test_gateway__a_client_that_leaves_is_no_error_of_the_version(both: Stand) -> None:
    both.behave("8", predictions=["x" * 20_000_000])
    key = both.key_of("8")

    def leave() -> None:
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nX-Slipway-Key: {key}\r\nContent-Length: 2\r\n\r\n{{}}"
        with socket.create_connection(("127.0.0.1", both.port), timeout=10) as client:
            client.sendall(head.encode())
            assert client.recv(100)
        _until(lambda: both.target().gateway.in_flight("8") == 0)

    assert added(both, leave)["8"] == (1, 0)


def test_gateway__a_request_that_is_slow_to_come_is_answered_by_whoever_is_there_then(stand: Stand) -> None:
    stand.start("7")
    target = stand.start("8")
    target.set_traffic({"7": 1.0})
    with socket.create_connection(("127.0.0.1", stand.port), timeout=10) as client:
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{")
        target.set_traffic({"8": 1.0})
        target.stop("7")
        client.sendall(b"}")
        answer = b"".join(iter(lambda: client.recv(4096), b"")).lower()
    assert answer.startswith(b"http/1.1 200") and b"x-slipway-version: 8" in answer


# What is counted.


def test_counters__requests_errors_and_times_of_each_arm(both: Stand) -> None:
    def ask(version: str, answered: int, **behaviour: Any) -> None:
        both.behave(version, **behaviour)
        assert both.post(X_Slipway_Key=both.key_of(version)).code == answered

    assert added(both, lambda: ask("8", 200)) == {"7": (0, 0), "8": (1, 0)}
    assert added(both, lambda: ask("8", 500, code=500)) == {"7": (0, 0), "8": (1, 1)}
    assert added(both, lambda: ask("8", 502, drop=True)) == {"7": (0, 0), "8": (1, 1)}, "no other arm is asked instead"
    assert added(both, lambda: ask("7", 400, code=400)) == {"7": (1, 1), "8": (0, 0)}, "MLflow's for a failing model"
    assert added(both, lambda: ask("8", 307, code=307)) == {"7": (0, 0), "8": (1, 1)}, "no prediction either"
    assert added(both, lambda: both.get("/ping")) == {"7": (0, 0), "8": (0, 0)}, "asks for no prediction"


@BUILTIN
def test_counters__times_of_each_arm(both: Stand) -> None:
    def slow() -> None:
        both.behave("8", delay=0.11)
        both.post(X_Slipway_Key=both.key_of("8"))

    before = both.target().observe("8", "7")
    slow()
    after = both.target().observe("8", "7")
    assert before and after and before.canary.latency and after.canary.latency
    grown = [one - other for one, other in zip(after.canary.latency.counts, before.canary.latency.counts, strict=True)]
    assert sum(grown) == 1
    assert sum(grown[:7]) == 0, "not below 0.1 s"
    assert sum(after.canary.latency.counts) == after.canary.requests
    assert after.share == 0.25
    assert after.canary.since == before.canary.since


def test_counters__predictions_in_the_cells_of_the_version_that_is_live(stand: Stand) -> None:
    stand.start("7")
    stand.target().set_traffic({"7": 1.0})
    stand.behave("7", predictions=[3.0, 1.0, 2.0])
    target = stand.target()
    target.answer("7", {})
    target.set_traffic({"7": 1.0})
    seen = target.observe("7", "7")
    assert seen and seen.baseline.predictions is None, "nothing was predicted, and nobody knows what will be"
    # From the golden answers of the one that has all of the traffic on, while nothing else is compared with it.
    target.set_traffic({})
    target.set_traffic({"7": 1.0})
    seen = target.observe("7", "7")
    assert seen and seen.baseline.predictions == Histogram(bounds=(1.0, 2.0, 3.0), counts=(0, 0, 0, 0))
    for value in (0.5, 1.0, 2.5, 9.0):
        stand.behave("7", predictions=[value])
        assert stand.post().body == {"predictions": [value]}
    stand.start("8", predictions=[100.0])
    target = stand.target()
    target.answer("8", {})
    target.set_traffic({"7": 0.5, "8": 0.5})
    stand.post(X_Slipway_Key=stand.key_of("8"))
    seen = target.observe("8", "7")
    assert seen is not None
    assert seen.baseline.predictions == Histogram(bounds=(1.0, 2.0, 3.0), counts=(2, 0, 1, 1))
    assert seen.canary.predictions == Histogram(bounds=(1.0, 2.0, 3.0), counts=(0, 0, 0, 1))
    target.set_traffic({"8": 1.0})
    seen = target.observe("8", "7")
    assert seen and (seen.canary.requests, seen.share) == (0, None), "other cells: all is counted anew"


def test_counters__what_is_under_way_is_known_whatever_begins_anew(stand: Stand) -> None:
    target = stand.start("7", predictions=[1.0])
    target.answer("7", {})
    (stand.place("7") / "began").unlink()
    stand.behave("7", predictions=[1.0], delay=0.5)
    target.set_traffic({"7": 1.0})
    stand.start("8", predictions=[5.0])
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(stand.post)
        _until((stand.place("7") / "began").exists)
        target.answer("8", {})
        target.set_traffic({"8": 1.0})  # other cells
        assert slow.result().version == "7"
    assert target.gateway.in_flight("7") == 0, "or whoever takes it away would wait for nothing"
    counters = Counters()
    counters.serve(["7", "8"], ())
    counters.in_flight["7"] += 1
    counters.serve(["8"], (1.0,))
    assert {version: each["in_flight"] for version, each in counters.told().items()} == {"8": 0, "7": 1}
    counters.in_flight["7"] -= 1
    counters.serve(["8"], (1.0,))
    assert list(counters.told()) == ["8"]


def test_counters__categories_are_counted_by_name_and_limited_in_number() -> None:
    counters = Counters()
    counters.serve(["7", "8"], ())
    for value in ("late", "late", True, None, "x" * 500):
        counters.count("7", 200, 0.01, (value,))
    for number in range(100):
        counters.count("8", 200, 0.01, (f"label {number}",))
    told = counters.told()
    seven, eight = (told[version]["arm"]["predictions"]["categories"] for version in ("7", "8"))
    assert seven == {"late": 2, "true": 1, "null": 1, "x" * 200: 1}
    assert eight[OTHER] == 100 - (MOST_CATEGORIES - 4)
    assert len({*seven, *eight}) <= 64
    assert sum(Categories.model_validate({"categories": eight}).categories.values()) == 100


def test_counters__what_is_no_number_does_not_vanish() -> None:
    counters = Counters()
    counters.serve(["7"], (1.0, 2.0))
    for value in (1.0, 1.5, None, "many", float("nan"), float("inf")):
        counters.count("7", 200, 0.01, (value,))
    counters.count("7", 500, 0.01)
    assert counters.told()["7"]["arm"]["predictions"] == {"bounds": (1.0, 2.0), "counts": [1, 1, 4]}


@pytest.mark.parametrize(
    ("path", "body", "found"),
    [
        ("/invocations", {"predictions": [0.5]}, (0.5,)),
        ("/invocations", {"predictions": [[0.5]]}, (0.5,)),
        ("/invocations", {"predictions": [{"late": True}]}, (True,)),
        ("/invocations", {"predictions": {"late": ["yes"]}}, ("yes",)),
        ("/invocations", {"predictions": [[0.5, 0.5]]}, None),
        ("/invocations", {"predictions": []}, None),
        ("/invocations", [1], None),
        ("/v2/models/x/infer", {"outputs": [{"name": "a", "data": [3]}]}, (3,)),
        ("/v2/models/x/infer", {"outputs": [{"name": "a", "data": [3]}, {"name": "b", "data": [4]}]}, None),
    ],
)
def test_counters__find_one_prediction_of_an_answer(path: str, body: Any, found: Any) -> None:
    assert prediction_of(path, json.dumps(body).encode()) == found
    assert prediction_of(path, b"\xff") is None


def test_cells__part_the_predictions_evenly() -> None:
    assert bounds_of([0.0, 1.0, 0.0, 1.0]) == (0.0, 1.0)
    assert bounds_of({"y": [[2], [1]]}) == (1.0, 2.0)
    bounds = bounds_of([float(number) for number in range(1000)])
    assert len(bounds) == 19 and bounds[0] == 50.0 and bounds[-1] == 950.0
    for none in (["late"], [True], [[1.0, 2.0]], "x", None, {"a": [1], "b": [2]}):
        assert bounds_of(none) == ()
    assert bounds_of([1.0, float("nan")]) == (1.0,)


@BUILTIN
def test_metrics__are_in_prometheus_form(both: Stand) -> None:
    both.post(X_Slipway_Key=both.key_of("8"))
    answer = both.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    requests = {sample.labels["version"]: 0.0 for sample in families["slipway_requests"].samples}
    for sample in families["slipway_requests"].samples:
        requests[sample.labels["version"]] += sample.value
    assert requests["8"] == counted(both)["8"][0]
    assert {s.labels["version"]: s.value for s in families["slipway_version_share"].samples} == {"7": 0.75, "8": 0.25}
    seconds = [s for s in families["slipway_request_seconds"].samples if s.name.endswith("_count")]
    assert {s.labels["version"]: s.value for s in seconds}["8"] == requests["8"]
    deadline = time.monotonic() + 20
    while 'slipway_version_ready{version="8"} 1.0' not in both.get("/metrics").body.decode():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# Ends and beginnings.


def test_stop__lets_a_request_end_that_has_begun(behind_any: Stand) -> None:
    behind_any.start("7")
    behind_any.start("8", delay=1.0).set_traffic({"8": 1.0})
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(behind_any.post)
        _until((behind_any.place("8") / "began").exists)
        target = behind_any.target()
        target.set_traffic({"7": 1.0})
        assert behind_any.post().version == "7", "from now on"
        target.stop("8")
        assert (slow.result().code, slow.result().version) == (200, "8")
    assert behind_any.running == ["7", "gateway"]


def test_gateway__that_was_killed_is_started_by_the_next_run_with_its_traffic(behind_any: Stand) -> None:
    behind_any.start("7")
    behind_any.start("8").set_traffic({"7": 0.5, "8": 0.5})
    behind_any.post()
    before = datetime.now(UTC)
    os.kill(behind_any.pid("gateway"), signal.SIGKILL)
    _until(lambda: behind_any.running == ["7", "8"])
    _until(lambda: _refuses(behind_any))
    assert [(each.version, each.share, each.health) for each in behind_any.target().state()] == [
        ("7", 0.5, "ready"),
        ("8", 0.5, "ready"),
    ]
    assert behind_any.post().code == 200
    seen = behind_any.target().observe("8", "7")
    assert seen and seen.canary.since and seen.canary.since >= before, "the counters say that they began anew"


def _refuses(stand: Stand) -> bool:
    """Whether nobody listens any more: a connection that a killed process still took is reset."""
    try:
        stand.post()
    except OSError as error:
        return "refused" in str(error)
    return False


def test_gateway__that_hangs_is_started_anew(behind_any: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    behind_any.start("7").set_traffic({"7": 1.0})
    before = behind_any.pid("gateway")
    for module in (gateways, haproxy):
        monkeypatch.setattr(module, "START_SECONDS", 2.0)
        monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    os.kill(before, signal.SIGSTOP)
    behind_any.target().set_traffic({"7": 1.0})
    assert behind_any.post().code == 200
    assert behind_any.pid("gateway") != before


def test_server__that_was_killed_is_shown_counted_and_started_again(behind_any: Stand) -> None:
    behind_any.start("7")
    behind_any.start("8").set_traffic({"7": 0.75, "8": 0.25})
    os.kill(behind_any.pid("8"), signal.SIGKILL)
    _until(lambda: "8" not in behind_any.running)
    assert [(each.version, each.health) for each in behind_any.target().state()] == [("7", "ready"), ("8", "failed")]
    answer = behind_any.post(X_Slipway_Key=behind_any.key_of("8"))
    assert (answer.code, answer.version, answer.body) == (503, "8", {"error": "The version does not answer."})
    assert counted(behind_any) == {"7": (0, 0), "8": (1, 1)}
    with pytest.raises(RemoteError, match="Version 8 does not answer"):
        behind_any.target().answer("8", {})
    behind_any.start("8")
    assert behind_any.fetched == ["7", "8"], "its files were here"
    assert [(each.version, each.share, each.health) for each in behind_any.target().state()][1] == ("8", 0.25, "ready")
    assert behind_any.post(X_Slipway_Key=behind_any.key_of("8")).code == 200
    assert counted(behind_any)["8"] == (2, 1)


def test_server__that_runs_and_is_not_ready_has_failed_and_another_on_its_port_is_not_it(stand: Stand) -> None:
    target = stand.start("7")
    stand.start("8")
    stand.behave("8", ready=False)
    assert [each.health for each in target.state()] == ["ready", "failed"]
    file = stand.folder / "target" / "state.json"
    said = json.loads(file.read_text())
    said["versions"]["8"]["port"] = said["versions"]["7"]["port"]
    file.write_text(json.dumps(said))
    assert [each.health for each in target.state()] == ["ready", "failed"]


@pytest.mark.parametrize(
    ("behaviour", "how", "words"),
    [
        ({"die": "No module named 'lightgbm'"}, "ended before it answered", "No module named 'lightgbm'"),
        ({"ready": False}, "did not answer within 0.5 s", "It said nothing."),
    ],
)
def test_start__of_one_that_never_answers_leaves_all_as_it_was(
    stand: Stand, behaviour: dict[str, Any], how: str, words: str
) -> None:
    stand.start("7").set_traffic({"7": 1.0})
    before = (stand.folder / "target" / "state.json").read_bytes()
    with pytest.raises(NotReadyError, match=how) as caught:
        stand.target(ready_seconds=0.5).start(stand.servable("8", **behaviour))
    assert words in caught.value.why
    assert stand.running == ["7", "gateway"]
    assert not stand.place("8").exists()
    assert (stand.folder / "target" / "state.json").read_bytes() == before
    assert stand.post().code == 200


def test_start__the_first_one_that_never_answers_leaves_nothing_running(behind_any: Stand) -> None:
    with pytest.raises(NotReadyError):
        behind_any.start("7", die="no")
    assert (behind_any.running, behind_any.target().state()) == ([], ())
    with pytest.raises(ConnectionError):
        behind_any.post()


def test_start__what_was_fetched_in_vain_leaves_nothing(stand: Stand) -> None:
    def fail() -> Path:
        raise RemoteError("The registry does not answer.")

    servable = stand.servable("7")
    broken = Servable(MODEL, "7", servable.model_digest, "", fail, servable.python)
    with pytest.raises(RemoteError, match="The registry does not answer"):
        stand.target().start(broken)
    assert (stand.running, stand.target().state()) == ([], ())


def test_start__a_version_with_traffic_that_does_not_come_back_stays_as_failed(stand: Stand) -> None:
    stand.start("7").set_traffic({"7": 1.0})
    os.kill(stand.pid("7"), signal.SIGKILL)
    _until(lambda: "7" not in stand.running)
    stand.behave("7", die="no")
    with pytest.raises(NotReadyError):
        stand.target().start(stand.servable("7", die="no"))
    assert [(each.version, each.share, each.health) for each in stand.target().state()] == [("7", 1.0, "failed")]
    stand.behave("7")
    stand.target().start(stand.servable("7"))
    assert stand.post().code == 200


def test_start__of_one_that_hangs_starts_it_anew(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    target = stand.start("7")
    target.set_traffic({"7": 1.0})
    before = stand.pid("7")
    monkeypatch.setattr(embedded, "CHECK_SECONDS", 0.3)
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.1)
    os.kill(before, signal.SIGSTOP)
    assert [each.health for each in target.state()] == ["failed"]
    target.start(stand.servable("7"))
    assert stand.pid("7") != before
    assert [(each.share, each.health) for each in target.state()] == [(1.0, "ready")]
    assert stand.post().code == 200


def test_start__of_one_that_hangs_leaves_it_to_the_run_that_was_faster(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.start("7").set_traffic({"7": 1.0})
    monkeypatch.setattr(embedded, "CHECK_SECONDS", 0.3)
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.1)
    os.kill(stand.pid("7"), signal.SIGSTOP)
    servable, made = stand.servable("7"), []

    def python(model: Path) -> Path:
        stand.target().start(servable)
        made.append(stand.pid("7"))
        return servable.python(model)

    stand.target().start(Servable(MODEL, "7", servable.model_digest, "", servable.fetch, python))
    assert [stand.pid("7")] == made, "its server was not ended once more"
    assert stand.post().code == 200


def test_start__of_two_runs_at_once_brings_the_files_once(stand: Stand) -> None:
    servable = stand.servable("7", predictions=[7.0])

    def fetch() -> Path:
        stand.target().start(servable)
        return servable.fetch()

    target = stand.target()
    target.start(Servable(MODEL, "7", servable.model_digest, "", fetch, servable.python))
    assert target.answer("7", {}) == [7.0]
    assert [each.name for each in stand.place("7").iterdir() if each.name.startswith("model")] == ["model"]


@pytest.mark.parametrize("name", ["versions", "state.new"])
def test_start__in_a_folder_that_takes_no_more_is_an_error_and_leaves_nothing(stand: Stand, name: str) -> None:
    folder = stand.folder / "target"
    folder.mkdir(mode=0o700)
    taken = folder / name
    taken.mkdir() if name == "state.new" else taken.touch()
    with pytest.raises(InputError, match="The target cannot write to") as caught:
        stand.start("7")
    assert "df -h" in caught.value.fix
    assert stand.running == []


def test_start__refuses_other_files_under_the_same_version(stand: Stand) -> None:
    stand.start("7")
    servable = stand.servable("7")
    with pytest.raises(ConflictError, match="Version 7 is served already, and is another"):
        stand.target().start(Servable(MODEL, "7", "sha256:other", "", servable.fetch, servable.python))
    assert [each.health for each in stand.target().state()] == ["ready"]


# Faults and other runs.


def test_killed__between_writing_and_doing_the_next_run_makes_it_good(behind_any: Stand) -> None:
    behind_any.start("7")
    behind_any.start("8").set_traffic({"7": 1.0})
    file = behind_any.folder / "target" / "state.json"
    said = json.loads(file.read_text())
    # Written down, and not done: the traffic, a version that was not launched, one that was to be taken away.
    said["shares"] = {"8": 1.0}
    said["versions"]["7"]["leaving"] = True
    said["versions"]["9"] = {**said["versions"]["8"], "identity": "sha256:9", "ready": False, "port": free_port()}
    file.write_text(json.dumps(said))
    assert [(each.version, each.share, each.health) for each in behind_any.target().state()] == [
        ("7", 0.0, "failed"),  # so that whoever wants it again starts it
        ("8", 1.0, "ready"),
        ("9", 0.0, "failed"),
    ]
    assert behind_any.post().version == "8"
    pid = behind_any.pid("7")
    behind_any.start("7").set_traffic({"7": 1.0})
    assert (behind_any.post().version, behind_any.pid("7")) == ("7", pid)
    behind_any.target().set_traffic({"8": 1.0})
    behind_any.target().stop("7")
    behind_any.start("9")
    assert [(each.version, each.health) for each in behind_any.target().state()] == [("8", "ready"), ("9", "ready")]


def test_runs__one_waits_for_the_other_and_gives_up(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.start("7")
    monkeypatch.setattr(kept, "WAIT_SECONDS", 0.1)
    with stand.target().place.locked(), pytest.raises(ConflictError, match="Another run works with"):
        stand.target().set_traffic({"7": 1.0})


def test_runs__traffic_can_be_set_while_another_run_waits_for_a_model(behind_any: Stand) -> None:
    behind_any.start("7")
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(behind_any.target(ready_seconds=20).start, behind_any.servable("8", ready=False))
        _until(lambda: "8" in behind_any.running)
        behind_any.target().set_traffic({"7": 1.0})
        assert [(each.version, each.health) for each in behind_any.target().state()] == [
            ("7", "ready"),
            ("8", "starting"),
        ]
        behind_any.target().stop("8")
        with pytest.raises(ConflictError, match="was taken away while it was started"):
            starting.result()
    assert behind_any.running == ["7", "gateway"]


def test_set_traffic__sees_that_another_run_changed_it(stand: Stand) -> None:
    stand.start("7")
    deploying = stand.start("8")
    deploying.set_traffic({"7": 0.9, "8": 0.1})
    stand.target().set_traffic({"7": 1.0})
    with pytest.raises(ConflictError, match=r"was changed meanwhile: it is 7: 1, and was 7: 0.9, 8: 0.1"):
        deploying.set_traffic({"8": 1.0})
    assert stand.post().version == "7"
    deploying.state()
    deploying.set_traffic({"8": 1.0})
    assert stand.post().version == "8"


@pytest.mark.parametrize("shares", [{"7": 0.5}, {"7": 1.5, "8": -0.5}, {"7": float("nan")}, {"9": 1.0}])
def test_set_traffic__refuses_what_is_no_traffic(both: Stand, shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"do not sum to 1|There is no version 9"):
        both.target().set_traffic(shares)
    assert [each.share for each in both.target().state()] == [0.75, 0.25]


def test_stop__refuses_a_version_that_has_traffic(both: Stand) -> None:
    with pytest.raises(InputError, match=r"Version 8 has 0.25 of the requests, and is not taken away"):
        both.target().stop("8")


@pytest.mark.parametrize("name", ["../7", "", "a/b", ".hidden", "x" * 201])
def test_start__refuses_names_that_are_no_folders(stand: Stand, name: str) -> None:
    with pytest.raises(InputError, match="A version cannot be called"):
        stand.target().start(Servable(MODEL, name, "", "", Path, Path))
    assert stand.running == []


def test_folder__that_is_another_targets_is_refused(both: Stand) -> None:
    for other in ({"model": "other"}, {"port": free_port()}):
        for call in ("state", "start"):
            with pytest.raises(InputError, match=rf"is another target's: `flights` .* process behind {both.gateway}"):
                getattr(both.target(**other), call)(*([both.servable("9")] if call == "start" else []))
    assert both.running == ["7", "8", "gateway"]


def test_folder__whose_books_are_broken_is_refused(stand: Stand) -> None:
    stand.start("7").set_traffic({"7": 1.0})
    file = stand.folder / "target" / "state.json"
    good = file.read_text()
    for broken in ("", "{", "[]", good.replace('"port"', '"prot"')):
        file.write_text(broken)
        with pytest.raises(InputError, match=r"state\.json cannot be read"):
            stand.target().state()
        assert file.read_text() == broken
    assert stand.post().code == 200, "what runs goes on"
    file.write_text(good)
    assert [each.health for each in stand.target().state()] == ["ready"]


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_folder__that_others_can_write_to_is_refused(stand: Stand, mode: int) -> None:
    folder = stand.folder / "target"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(InputError, match="Others can write to the target's folder"):
        stand.start("7")
    assert stand.running == []


def test_folder__that_cannot_be_made_is_an_error(stand: Stand) -> None:
    (stand.folder / "target").write_text("a file")
    with pytest.raises(InputError, match="cannot be used"):
        stand.start("7")


def test_port__that_is_taken_is_an_error_and_leaves_nothing(behind_any: Stand) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", behind_any.port))
        other.listen()
        with pytest.raises(InputError, match=f"cannot listen on port {behind_any.port}"):
            behind_any.start("7")
    assert (behind_any.running, behind_any.fetched, behind_any.target().state()) == ([], [], ())
    assert behind_any.start("7").state()[0].health == "ready"


def test_port__that_is_taken_is_refused_however_often_it_is_asked_for(stand: Stand) -> None:
    """The run that was refused may have been killed before it ended the gateway."""
    gateway = stand.target().gateway
    assert isinstance(gateway, gateways.Builtin)
    table = {"model": MODEL, "ports": {}, "shares": {}, "bounds": ()}
    with socket.socket() as other:
        other.bind(("127.0.0.1", stand.port))
        other.listen()
        gateway._start()
        assert [gateway._patiently("PUT", "/table", table)[0] for _ in range(2)] == [409, 409]
    assert gateway._patiently("PUT", "/table", table)[0] == 200
    assert stand.post().code == 503


def test_admin__is_for_our_user_alone_and_not_on_the_port(both: Stand) -> None:
    mode = (both.folder / "target" / "gateway" / "admin.sock").stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE((both.folder / "target").stat().st_mode) == 0o700
    both.post({"ports": {}, "shares": {"7": 1.0}}, route="/table")
    assert [each.share for each in both.target().state()] == [0.75, 0.25]
    assert "arm" not in str(both.get("/counters", X_Slipway_Version="7").body)


def test_observe__of_a_version_that_is_not_here_is_an_error(both: Stand) -> None:
    with pytest.raises(InputError, match=r"There is no version 9 in .*; there are: 7, 8"):
        both.target().observe("9", "7")


# HAProxy.


def test_haproxy__is_taken_where_it_is_and_stays_as_long_as_it_serves(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_haproxy()
    stand.gateway = "auto"
    assert stand.start("7").gateway.name == "haproxy"
    found = haproxy.program
    monkeypatch.setattr(haproxy, "program", lambda: None)
    with pytest.raises(InputError, match="HAProxy is not installed on this machine"):
        stand.target()
    monkeypatch.setattr(haproxy, "program", found)
    stand.target().stop("7")
    monkeypatch.setattr(haproxy, "program", lambda: None)
    assert stand.start("7").gateway.name == "builtin"
    monkeypatch.setattr(haproxy, "program", found)
    assert stand.target().gateway.name == "builtin", "it serves"


@pytest.mark.parametrize("served", ["haproxy"], indirect=True)
def test_haproxy__tells_its_own_metrics_and_no_histograms(both: Stand) -> None:
    seen = both.target().observe("8", "7")
    assert seen and (seen.canary.latency, seen.canary.predictions) == (None, None)
    assert b"haproxy_backend_http_responses_total" in both.get("/metrics").body


def test_haproxy__counts_each_version_from_its_own_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "SLOTS", 3)
    with behind("haproxy", tmp_path) as stand:
        stand.start("7").set_traffic({"7": 1.0})
        for version in range(8, 8 + haproxy.SLOTS + 1):
            before = datetime.now(UTC)
            target = stand.start(str(version))
            target.set_traffic({str(version): 1.0})
            stand.post()
            seen = target.observe(str(version), "7")
            assert seen and (seen.canary.requests, seen.baseline.requests) == (1, 0)
            assert seen.canary.since and seen.canary.since >= before
            target.set_traffic({"7": 1.0})
            target.stop(str(version))


def test_haproxy__refuses_more_than_it_can_split(tmp_path: Path) -> None:
    with behind("haproxy", tmp_path) as stand:
        for version in ("7", "8"):
            stand.start(version)
        target = stand.start("9")
        target.set_traffic({"7": 1.0})
        file = stand.folder / "target" / "state.json"
        before = file.read_text()
        with pytest.raises(InputError, match="splits the requests between two"):
            target.set_traffic({"7": 0.5, "8": 0.25, "9": 0.25})
        assert file.read_text() == before


# Processes.


def test_ports__are_none_that_outgoing_connections_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_out = tmp_path / "range"
    monkeypatch.setattr(asking, "GIVEN_OUT", given_out)
    given_out.write_text("21002\t60999\n")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 20_000))
        other.listen()
        everything = set(range(20_000, 21_002))
        assert asking.free_port(taken=everything - {20_000, 20_007}) == 20_007
        with pytest.raises(RemoteError, match="No port of this machine is free"):
            asking.free_port(taken=everything - {20_000})
    given_out.write_text("1024\t65535\n")
    assert asking.free_port() >= 20_000
    given_out.unlink()
    assert 20_000 <= asking.free_port() < 32_768


def test_daemon__never_ends_a_process_that_only_has_its_number(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        fields = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        ours = {"pid": other.pid, "started": int(fields[19]), "boot": boot}
        others: tuple[Any, ...] = ({**ours, "started": int(fields[19]) - 1}, {**ours, "boot": "before"}, {}, [])
        for said in others:
            (tmp_path / "process.json").write_text(json.dumps(said))
            assert not daemon.alive()
            daemon.end(0)
        assert other.poll() is None
        (tmp_path / "process.json").write_text(json.dumps(ours))
        assert daemon.alive()
        other.communicate(b"\n")
    assert not daemon.alive()


@pytest.mark.parametrize(("ends", "seconds"), [(False, 0.1), (True, 20)])
def test_daemon__ends_with_all_that_it_has_started(tmp_path: Path, *, ends: bool, seconds: float) -> None:
    """Whether it ends when it is asked to, and leaves its children, or has to be killed."""
    daemon = Daemon(tmp_path)
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); child = os.fork()\n"
        f"if child and {ends}: signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "if child: open('child', 'w').write(str(child))\n"
        "time.sleep(600)"
    )
    daemon.launch([sys.executable, "-c", code], environ_of())
    _until((tmp_path / "child").exists)
    _until(lambda: (tmp_path / "child").read_text() != "")
    daemon.end(seconds)
    assert not daemon.alive()
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    _until(lambda: not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z")


CRASHES = """
import os, sys, time
for name in ("same", "group", "session"):
    if os.fork() == 0:
        if name == "group": os.setpgid(0, 0)
        if name == "session": os.setsid()
        open(name + ".new", "w").write(str(os.getpid())); os.rename(name + ".new", name)
        time.sleep(600)
while not all(map(os.path.exists, ("same", "group", "session"))): time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
"""Leaves three children: in its own process group, in one of its own, and in a session of its own."""


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.fixture
def crashed(tmp_path: Path) -> Iterator[tuple[Daemon, dict[str, int]]]:
    """A process that has crashed, and the children that it has left."""
    daemon = Daemon(tmp_path)
    daemon.launch([sys.executable, "-c", CRASHES], environ_of())
    _until(lambda: not daemon.alive() and (tmp_path / "session").exists())
    left = {name: int((tmp_path / name).read_text()) for name in ("same", "group", "session")}
    yield daemon, left
    for pid in left.values():
        if not _gone(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("how", ["end", "launch"])
def test_daemon__what_a_crashed_one_has_left_ends(crashed: tuple[Daemon, dict[str, int]], how: str) -> None:
    """When it is to end, and before it is started again. What made itself a session of its own is left to itself."""
    daemon, left = crashed
    assert not any(map(_gone, left.values()))
    if how == "end":
        daemon.end(0)
    else:
        daemon.launch([sys.executable, "-c", "import time; time.sleep(600)"], environ_of())
    _until(lambda: _gone(left["same"]) and _gone(left["group"]))
    assert not _gone(left["session"])
    assert daemon.alive() == (how == "launch")
    daemon.end(0)
    assert not daemon.alive()


@pytest.mark.parametrize(
    "change", [{"mark": "another"}, {"mark": ""}, {"mark": None}, {"boot": "before"}, {"started": 2**60}]
)
def test_daemon__nothing_of_others_ends_that_have_its_number(
    crashed: tuple[Daemon, dict[str, int]], change: dict[str, Any]
) -> None:
    """The number of a session can be given again; what we have not started does not carry our mark."""
    daemon, left = crashed
    record = daemon.folder / "process.json"
    said = json.loads(record.read_text())
    record.write_text(json.dumps({**said, **change}))
    daemon.end(0)
    assert not any(map(_gone, left.values()))
    record.write_text(json.dumps({name: each for name, each in said.items() if name != "mark"}))
    daemon.end(0)
    assert not any(map(_gone, left.values())), "nor of a record that has no mark"
    record.write_text(json.dumps(said))
    daemon.end(0)
    _until(lambda: _gone(left["same"]))


def test_daemon__that_cannot_be_started_says_why(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.launch([str(tmp_path / "none")], environ_of())
    _until(lambda: not daemon.alive())
    assert "No such file" in daemon.last_words()


def test_environments__are_built_where_they_outlive_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with outliving(tmp_path):
        assert os.environ[CACHE] != str(tmp_path), "the machine's own cache is one"
    monkeypatch.delenv(CACHE)
    with outliving(tmp_path):
        assert os.environ[CACHE] == str(tmp_path)
    assert CACHE not in os.environ


def _until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
