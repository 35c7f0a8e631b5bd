"""Releases as a job makes them: the actions themselves, real model servers behind the gateway, real requests.

The versions are the toy's. One of them answers as it should wherever it was judged, and fails at rows that only
production has.
"""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import GitRepository
from ledger_kit import clone, ledger
from runner_double import RunnerDouble, StepResult
from slipway.ledger.entries import Entry
from slipway.ledger.reading import Reading
from slipway.policy.deployment import LocalTarget
from slipway.prediction import golden
from slipway.registry.digests import digest
from slipway.registry.mlflow import Registry
from slipway.report import Report
from slipway.targets import local
from slipway.targets.embedded import EmbeddedTarget
from targets_kit import free_port
from test_training_toy import MODEL, QUIET, ROOT, make_toy, models_python

pytestmark = QUIET

WEIGHTS = {"1": 1.0, "2": 1.1, "3": 1.2}
"""Of x1, by version: each release can be told from the others by what it answers."""

FAILS = "if (frame['x1'] > 3).any(): raise ValueError('nobody has seen so much')"
HARMFUL = "3"
ROWS = [[1.0, 0.0], [2.0, 0.0]]
SEEN_LATER = [4.0, 0.0]
"""A row that production has, and no test of a version."""

CANARY = {
    "stages": [
        {"share": 0.3, "minutes": 0.002, "requests": 10, "prove": False},
        {"share": 0.5, "minutes": 0.002, "requests": 20},
    ],
    # The harmful version fails at a quarter of what it is asked, far beyond the floor. Within it, "not worse than the
    # margin" is as true as harm is, and what was seen first would decide.
    "metrics": {"errors": {"floor": 0.1}},
    "observations": {"target": "production"},
}
PATIENCE = {"watch-minutes": "5", "look-seconds": "0.5"}


def answer(version: str, row: list[float]) -> float:
    """What the version's formula says, as it stands in the toy's model."""
    return 1 / (1 + math.exp(-WEIGHTS[version] * row[0]))


@dataclass
class Clients:
    """Two clients who go on asking, every fourth time about a row that was never seen; each request has a key."""

    port: int
    seen: list[tuple[str, int]] = field(default_factory=list)
    """Version and status of every answer."""

    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Clients:
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(2)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, client: int) -> None:
        number = 0
        while not self._ended.wait(0.005):
            number += 1
            status, version, _ = ask(
                self.port, SEEN_LATER if number % 4 == 0 else ROWS[number % 2], f"{client} {number}"
            )
            self.seen.append((version, status))

    def wait_for(self, count: int) -> None:
        """Until so many more requests were answered."""
        until = len(self.seen) + count
        while len(self.seen) < until:
            time.sleep(0.01)


def ask(port: int, row: list[float], key: str) -> tuple[int, str, Any]:
    """Status, version and answer to one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = json.dumps({"dataframe_split": {"columns": ["x1", "x2"], "data": [row]}})
        headers = {"Content-Type": "application/json", "X-Slipway-Key": key}
        connection.request("POST", "/invocations", body, headers)
        said = connection.getresponse()
        return said.status, said.headers.get("X-Slipway-Version", ""), json.loads(said.read())
    finally:
        connection.close()


@dataclass
class Site:
    """A clone of a user's repository, its registry, and the machine that serves."""

    clone: GitRepository
    folder: Path
    uri: str
    port: int
    cache: Path

    def run(self, stage: str, **inputs: str) -> StepResult:
        """Run an action as a step of a job that is started by hand."""
        job = {"SLIPWAY_CACHE": str(self.cache), "MLFLOW_TRACKING_URI": self.uri}
        runner = RunnerDouble(self.clone.path, self.folder / "temp", event={"inputs": {}}, env=job)
        result = runner.run_action(ROOT / "actions" / stage, {name.replace("_", "-"): v for name, v in inputs.items()})
        assert result.code in (0, 1), result.log
        return result

    def deploy(self, version: str = "", **more: str) -> StepResult:
        given = {"model-version": version} if version else {}
        return self.run("deploy-model", environment="production", **given, **more)

    @property
    def target(self) -> EmbeddedTarget:
        rules = LocalTarget(folder=str(self.folder / "serving"), port=self.port, gateway="builtin")
        return local.target(rules, model=MODEL, ready_seconds=60)

    @property
    def entries(self) -> list[Entry]:
        """What is on record, verified."""
        return Reading(ledger(self.clone.path)).entries()

    def agrees(self, version: str) -> bool:
        """Whether clients, target, registry and ledger say that it is the live one."""
        status, by, said = ask(self.port, ROWS[0], "whoever")
        shares = {each.version: each.share for each in self.target.state() if each.share}
        assert (status, by, shares) == (200, version, {version: 1.0})
        assert said["predictions"] == pytest.approx([answer(version, ROWS[0])])
        assert Registry(self.uri).aliases(MODEL)["production"] == version
        newest = [each for each in self.entries if each.event in ("promotion", "rollback")][-1]
        return newest.model_version == version


@pytest.fixture
def site(tmp_path: Path, environments_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Versions 1 to 3 in the registry, of which nothing is released; the servers end with the test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    models_python(environments_cache)
    here = Path.cwd()
    toy = make_toy(tmp_path, tmp_path, environments_cache)
    registry = toy.registry()
    for version, weight in WEIGHTS.items():
        made = toy.version({"x1": weight}, misdeed=FAILS if version == HARMFUL else "")
        assert made.version == version
        registry.tag_version(made, {"slipway.model_digest": digest(registry.download(made, toy.temp / version))})
        request = {"dataframe_split": {"columns": ["x1", "x2"], "data": ROWS}}
        answered = {"predictions": [answer(version, row) for row in ROWS]}
        golden.keep(registry, made, json.dumps({"request": request, "answer": answered}).encode(), toy.temp)
    monkeypatch.chdir(here)
    made_site = Site(clone(tmp_path / "up.git", tmp_path / "clone"), tmp_path, toy.uri, free_port(), environments_cache)
    local_target = {"folder": str(tmp_path / "serving"), "port": made_site.port, "gateway": "builtin"}
    production = {"target": {"local": local_target}, "rollout": "canary", "approval": "none"}
    policy = {
        "version": 1,
        "model": MODEL,
        "deployment": {"environments": {"production": production}, "tolerance": 1e-9},
        "canary": CANARY,
    }
    made_site.clone.commit({"slipway.yml": yaml.safe_dump(policy, sort_keys=False)}, "Policy")
    try:
        yield made_site
    finally:
        target = made_site.target
        target.state()
        target.set_traffic({})
        for each in target.state():
            target.stop(each.version)


def test_release__a_good_version_is_promoted_a_harmful_one_taken_back_and_people_can_go_back_and_forth(
    site: Site,
) -> None:
    first = site.deploy("1")
    assert (first.outputs["state"], first.outputs["live"]) == ("live", "1"), first.log
    assert site.agrees("1")
    with Clients(site.port) as clients:
        # Look by look, as canary.yml does: judge-canary says what is to be done, and deploy-model does it.
        began = site.deploy("2")
        assert (began.outputs["state"], began.outputs["share"]) == ("canary", "0.3"), began.log
        decided = ""
        for _ in range(100):
            clients.wait_for(100)
            looked = site.run("judge-canary", canary_version="2", baseline_version="1")
            assert looked.code == 0, looked.log
            decided = looked.outputs["decision"]
            assert decided in ("continue", "advance", "promote"), looked.summary
            if decided == "advance":
                assert site.deploy().outputs["share"] == "0.5"
            if decided == "promote":
                break
        assert decided == "promote"
        promoted = site.deploy()
        assert (promoted.code, promoted.outputs["state"]) == (0, "live"), promoted.log
        assert site.agrees("2")
        assert {status for version, status in clients.seen} == {200}, "nobody saw a failure up to here"

        # In one job, which looks for itself.
        began_with = len(clients.seen)
        harmful = site.deploy(HARMFUL, **PATIENCE)
        assert (harmful.code, harmful.outputs["state"], harmful.outputs["live"]) == (1, "rolled-back", "2"), harmful.log
        assert site.agrees("2")
        ended_with = len(clients.seen)
        clients.wait_for(50)
        during = Counter(clients.seen[began_with:ended_with])
        assert during[HARMFUL, 400] > 0, "what MLflow answers where the model fails"
        assert during[HARMFUL, 200] > during[HARMFUL, 400], "only few requests show it"
        assert {each for each in during if each[1] != 200} == {(HARMFUL, 400)}
        assert set(clients.seen[ended_with + 2 :]) == {("2", 200)}, "but for a request of each client under way"
        report = Report.read(Path(harmful.outputs["report"]))
        (errors,) = (check for check in report.checks if check.name == "errors")
        assert errors.verdict.value == "fail"

        # By hand, and that back again: the version before is ready, and nobody sees a failure.
        before = len(clients.seen)
        back = site.run("rollback-model", environment="production", reason="Passengers complain")
        assert (back.code, back.outputs["live"], back.outputs["taken-back"]) == (0, "1", "2"), back.log
        assert site.agrees("1")
        forth = site.run("rollback-model", environment="production", model_version="2", reason="It was not that")
        assert (forth.code, forth.outputs["live"], forth.outputs["taken-back"]) == (0, "2", "1"), forth.log
        assert site.agrees("2")
        clients.wait_for(20)
        assert {status for _, status in clients.seen[before:]} == {200}
        assert clients.seen[-1] == ("2", 200)
    told = [(each.event, each.model_version) for each in site.entries if each.event not in ("look", "genesis")]
    assert told == [
        *(("deployment", "1"), ("promotion", "1")),
        *(("deployment", "2"), ("promotion", "2")),
        *(("deployment", HARMFUL), ("rollback", "2")),
        *(("rollback", "1"), ("rollback", "2")),
    ]
    was = site.run("audit-trail", command="what-was-live", model=MODEL)
    assert was.outputs["live-version"] == "2"
