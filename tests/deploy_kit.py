"""An environment to deploy to, for tests of the steps: real git, real ledger, real MLflow, and a target in a file.

The target keeps the contract of `slipway.targets.protocol` and survives whoever is killed; that real servers keep it as
well is tested with each of them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import deploy_model
from conftest import GitRepository, made_once
from ledger_kit import clone, ledger, subjects
from slipway.canary.observations import Observation
from slipway.deploying.reconciling import Reconciler
from slipway.ledger import drafting
from slipway.ledger.entries import Entry, Kind
from slipway.ledger.reading import Reading
from slipway.policy.source import load
from slipway.prediction import golden
from slipway.registry.digests import digest
from slipway.registry.mlflow import Registry
from slipway.release.seal import SEAL_FILE, Sealed
from slipway.runner.context import Run
from slipway.runner.errors import GateError, InputError, RemoteError
from slipway.targets.protocol import NotReadyError, Servable, Served
from step_kit import Ran, in_this_process, left, variables
from test_training_toy import MODEL, make_toy

CANARY: dict[str, Any] = {
    "stages": [{"share": 0.05, "minutes": 1, "requests": 10}, {"share": 0.5, "minutes": 1, "requests": 10}],
    "observations": {"file": "observations.jsonl"},
}
ROWS, ANSWERS = {"dataframe_split": {"columns": ["x1"], "data": [[1.0], [2.0]]}}, [0.25, 0.75]
VERSIONS = ("1", "2", "3")


@dataclass
class FileTarget:
    """Serves from a file: `{"versions": {version: {share, health}}, "broken": […], "wrong": […], "down": …}`.

    dying: versions that a request ends; silent: those whose answer is lost on the way.
    """

    file: Path
    before: Callable[[str], None] = lambda _: None
    """Called with a call's name before it has an effect."""

    shown: str = "a file"
    url: str = "https://models.example/toy"
    splits: bool = True
    answers: bool = True
    identities: Mapping[str, str] = field(default_factory=dict)
    """What it says of which model each version is; nothing of those that are not named."""

    def read(self) -> dict[str, Any]:
        said = json.loads(self.file.read_text()) if self.file.is_file() else {"versions": {}}
        if said.get("down"):
            raise RemoteError("The target does not answer.", why=said["down"])
        return dict(said)

    def write(self, said: Mapping[str, Any]) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(said))
        fresh.replace(self.file)

    def change(self, **said: Any) -> None:
        there = json.loads(self.file.read_text()) if self.file.is_file() else {"versions": {}}
        self.write({**there, **said})

    @property
    def shares(self) -> dict[str, float]:
        said = json.loads(self.file.read_text()) if self.file.is_file() else {"versions": {}}
        return {version: each["share"] for version, each in said["versions"].items()}

    def state(self) -> tuple[Served, ...]:
        return tuple(
            Served(version, each["share"], each["health"], self.identities.get(version, ""))
            for version, each in self.read()["versions"].items()
        )

    def start(self, servable: Servable) -> None:
        self.before("start")
        assert servable.fetch().is_dir()
        said = self.read()
        if servable.version in said.get("broken", ()):
            raise NotReadyError(f"Version {servable.version} does not answer.", why="It ended: no module named 'tree'.")
        share = said["versions"].get(servable.version, {}).get("share", 0.0)
        said["versions"][servable.version] = {"share": share, "health": "ready"}
        self.write(said)

    def answer(self, version: str, request: Mapping[str, Any]) -> Any:
        self.before("answer")
        assert request == ROWS
        said = self.read()
        if version in said.get("refusing", ()):
            raise GateError("It refuses the request.", why="The rows do not fit.")
        if version in said.get("dying", ()):
            said["versions"][version]["health"] = "failed"
            self.write(said)
        if version in (*said.get("dying", ()), *said.get("silent", ())):
            raise RemoteError(f"Version {version} does not answer.", why="The connection was reset.")
        return [0.25, 0.5] if version in said.get("wrong", ()) else ANSWERS

    def set_traffic(self, shares: Mapping[str, float]) -> None:
        self.before("set_traffic")
        said = self.read()
        if missing := [version for version in shares if version not in said["versions"]]:
            raise InputError(f"There is no version {missing[0]}.")
        for version, each in said["versions"].items():
            each["share"] = shares.get(version, 0.0)
        self.write(said)

    def observe(self, canary: str, baseline: str) -> Observation | None:  # noqa: ARG002 - it counts nothing
        return None

    def stop(self, version: str) -> None:
        self.before("stop")
        said = self.read()
        assert not said["versions"].get(version, {}).get("share")
        said["versions"].pop(version, None)
        self.write(said)


@dataclass
class Place:
    """A clone of a user's repository with its policy, and what is around it: ledger, registry, targets."""

    folder: Path
    clone: GitRepository
    execute: Callable[[ModuleType, dict[str, str]], tuple[int, str]] = lambda _module, _given: (0, "")
    targets: dict[str, FileTarget] = field(default_factory=dict)
    event: dict[str, Any] = field(default_factory=lambda: {"inputs": {}})
    environ: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def registry(self) -> Registry:
        return Registry(self.uri)

    @property
    def upstream(self) -> Path:
        return self.folder / "up.git"

    def target(self, environment: str = "production") -> FileTarget:
        return self.targets.setdefault(environment, FileTarget(self.folder / f"target-{environment}.json"))

    def policy(self, *environments: str, canary: Mapping[str, Any] | None = None, **production: Any) -> None:
        """Environments in their order, `production` last; its approval is not asked for unless said so."""
        rules: dict[str, Any] = {
            name: {"target": {"local": {"folder": name, "port": port}}}
            for port, name in enumerate((*environments, "production"), start=8199)
        }
        rules["production"] |= {"rollout": "canary", "approval": "none", **production}
        said = {
            "version": 1,
            "model": MODEL,
            "canary": {**CANARY, **(canary or {})},
            "deployment": {"environments": rules},
        }
        (self.clone.path / "slipway.yml").write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")
        self.clone.commit({}, "Policy")

    def __call__(self, module: ModuleType, **inputs: str) -> Ran:
        """Run a stage as a step of a job that is started by hand."""
        self.runs += 1
        asked = {"environment": "production", "tracking_uri": self.uri, "remote": str(self.upstream), **inputs}
        given = {
            **variables(self.folder, self.runs, self.event, asked),
            "GITHUB_REPOSITORY": "octo/models",
            "GITHUB_EVENT_NAME": "workflow_dispatch",
            "GITHUB_ACTOR": "mona",
            "GITHUB_SHA": "c" * 40,
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_SERVER_URL": "https://github.com",
            **self.environ,
        }
        return left(given, *self.execute(module, given))

    @property
    def entries(self) -> list[Entry]:
        """What is on record, verified."""
        return Reading(ledger(self.clone.path, remote=str(self.upstream))).entries()

    @property
    def events(self) -> list[str]:
        return [each.event for each in self.entries if each.event != "genesis"]

    @property
    def subjects(self) -> list[str]:
        return subjects(self.upstream)

    def live(self, environment: str = "production") -> str:
        return self.registry().aliases(MODEL).get(environment, "")

    def append(
        self, event: Kind, version: str, *, files: Mapping[str, bytes] | None = None, ref: str = "", **said: Any
    ) -> None:
        """Put something else on record. ref: of the run that did it."""
        about = {"model": MODEL, "model_version": version, **said}
        key = (event, version, len(self.entries))
        when = datetime.now(UTC)
        draft = drafting.of_event(event, event, Run(ref=ref), occurred_at=when, files=files, key=key, said=about)
        ledger(self.clone.path, remote=str(self.upstream)).append([draft])

    def look(self, version: str, decision: str, stage_number: int = 0) -> None:
        """A look of judge-canary, as far as a deployment reads it."""
        self.append("look", version, details={"decision": decision, "stage": stage_number})

    def approve(self, of: str, /, *, policy: str, ref: str = "", **change: str) -> None:
        """An approval of record-approval, with what was sealed."""
        tags = self.registry().by_version(MODEL, of).tags
        said: dict[str, Any] = {
            "model": MODEL,
            "version": of,
            "model_digest": tags["slipway.model_digest"],
            "commit": "",
            "image": tags.get("slipway.image", ""),
            "evaluation": "",
            "policy": policy,
            "tier": "medium",
            "environment": "production-medium",
            "replaces": self.live(),
            **change,
        }
        sealed = Sealed(**said)
        self.append("approval", of, files={SEAL_FILE: sealed.canonical}, verdict="pass", ref=ref)


def make_place(folder: Path, store: Path) -> Place:
    """A place with versions 1 to 3 of the model in its registry, of which nothing is released."""
    shutil.copy(store, folder / "mlflow.db")
    made = Place(folder, clone(folder / "up.git", folder / "clone"))
    made.policy()
    return made


def make_store(folder: Path, cache: Path) -> Path:
    """An MLflow store with the versions; its copies share the files of the models."""
    toy = make_toy(folder, folder, cache)
    registry = toy.registry()
    for number in VERSIONS:
        version = toy.version({"x1": float(number)})
        files = registry.download(version, toy.temp / f"files-{number}")
        registry.tag_version(version, {"slipway.model_digest": digest(files)})
        batch = json.dumps({"request": ROWS, "answer": {"predictions": ANSWERS}}).encode()
        golden.keep(registry, version, batch, toy.temp)
    return toy.folder / "mlflow.db"


def with_targets(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[ModuleType, dict[str, str]], tuple[int, str]]:
    """Runs a stage in this process, with the place's targets."""

    def execute(module: ModuleType, given: dict[str, str]) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            patch.setattr("slipway.targets.finding.find", lambda rules, **_: place.target(rules.local.folder))
            return in_this_process(module, given, monkeypatch, capfd, place.clone.path)

    return execute


@pytest.fixture(scope="session")
def store(shared: Path, environments_cache: Path) -> Path:
    """The store that every place begins with."""
    folder = shared / "deploy-store"

    def make() -> None:
        here = Path.cwd()
        folder.mkdir()
        make_store(folder, environments_cache).rename(folder / "mlflow.db")
        os.chdir(here)

    return made_once(folder, make) / "mlflow.db"


@pytest.fixture
def place(
    tmp_path: Path,
    store: Path,
    signals_restored: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Place:
    """A repository of a user's, with three versions of its model and an environment `production`."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    made = make_place(tmp_path, store)
    made.execute = with_targets(made, monkeypatch, capfd)
    return made


def begun_as(place: Place, kept: Path, begin: Callable[[Place], None]) -> Place:
    """The place after `begin`, which is done once in a session; the others get a copy of what it left at `kept`."""
    mine: list[Place] = []

    def make() -> None:
        begin(place)
        mine.append(place)
        shutil.rmtree(kept, ignore_errors=True)  # a test before this one may have failed on the way
        kept.mkdir()
        for name in PARTS:
            copy = shutil.copytree if (place.folder / name).is_dir() else shutil.copy
            copy(place.folder / name, kept / name)

    made_once(kept, make)
    if not mine:
        for name in PARTS[:2]:
            shutil.rmtree(place.folder / name)
        shutil.copytree(kept, place.folder, dirs_exist_ok=True)
        # The clone was another's: whatever it kept of its ledger is read anew, from where this place has it.
        shutil.rmtree(place.clone.path / ".git" / "slipway")
        place.clone.git("remote", "set-url", "origin", str(place.upstream))
        place.runs = 50
    return place


PARTS = ("up.git", "clone", "mlflow.db", "target-production.json")
"""What a place with one environment is made of: repositories, registry, target."""


@pytest.fixture
def live(place: Place, shared: Path) -> Place:
    """A place where version 1 is live."""
    return begun_as(place, shared / "place-live", lambda place: released(place, "1"))


@pytest.fixture
def canary(place: Place, shared: Path) -> Place:
    """A place where version 1 is live, and version 2 a canary beside it."""

    def begin(place: Place) -> None:
        released(place, "1")
        done = place(deploy_model, model_version="2")
        assert (done.code, done.said["state"], place.target().shares) == (0, "canary", {"1": 0.95, "2": 0.05}), done.log

    return begun_as(place, shared / "place-canary", begin)


@pytest.fixture
def twice(place: Place, shared: Path) -> Place:
    """A place where versions 1 and 2 were released, one after the other."""

    def begin(place: Place) -> None:
        released(place, "1")
        released(place, "2")

    return begun_as(place, shared / "place-twice", begin)


def released(place: Place, version: str) -> None:
    """A version that is live in production, by whatever way."""
    before = place.target().shares
    done = place(deploy_model, model_version=version)
    assert done.code == 0, done.log
    if before:
        place.look(version, "promote")
        done = place(deploy_model)
    assert (done.code, done.said["state"], done.said["live"]) == (0, "live", version), done.log


def approved(place: Place, version: str, /, **change: str) -> None:
    """An approval of what is there now, or of something else."""
    os.chdir(place.clone.path)
    digest_now = load(Path("slipway.yml"), Run.from_environ({})).policy.digest
    place.approve(version, **{"policy": digest_now, **change})


def killed(place: Place, module: ModuleType, after: int, monkeypatch: pytest.MonkeyPatch, **inputs: str) -> bool:
    """Run a stage in a process that is killed after so many steps; whether it was."""
    child = os.fork()
    if child == 0:
        taken = 0
        real = Reconciler._take

        def take(self: Reconciler, step: Any, found: Any) -> None:
            nonlocal taken
            if taken == after:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1
            real(self, step, found)

        monkeypatch.setattr(Reconciler, "_take", take)
        try:
            place(module, **inputs)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    place.runs += 1
    return os.WIFSIGNALED(status)


def invariants(place: Place, live: str) -> None:
    """Exactly one production version, traffic that sums to 1, and a ledger that verifies."""
    assert place.live() == live
    shares = {version: share for version, share in place.target().shares.items() if share}
    assert shares == {live: 1.0}
    assert place.entries  # reading it verifies every entry
    assert [each.event for each in place.entries if each.model_version == live][-1] in ("promotion", "rollback")
