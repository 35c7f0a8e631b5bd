"""The registry against real MLflow: on SQLite, and over HTTP against an `mlflow server`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests

from slipway.registry import mlflow as module
from slipway.registry.digests import digest
from slipway.registry.mlflow import CANDIDATE, PRODUCTION, LoggedModel, Registry
from slipway.runner.errors import InputError, RemoteError
from test_training_toy import LOCK, MODEL, QUIET, empty_store, make_toy, save_toy

pytestmark = [QUIET, pytest.mark.xdist_group("registry")]


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a registry sets for its process ends with the test; artifacts of SQLite stores lie in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    for name, value in module.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


@pytest.fixture
def store(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> str:
    shutil.copy(empty_store(tmp_path_factory.getbasetemp(), environments_cache), tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def registry(store: str) -> Registry:
    return Registry(store)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> Iterator[str]:
    """An `mlflow server` of its own, on a free port of this machine."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store(tmp_path_factory.getbasetemp(), environments_cache), folder / "mlflow.db")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    process = subprocess.Popen(
        [*command, *places],
        cwd=folder,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=(folder / "log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                if requests.get(f"{address}/health", timeout=1).ok:
                    break
            except requests.RequestException:
                time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def logged(registry: Registry, folder: Path, weight: float = 1.0) -> tuple[str, LoggedModel]:
    run_id = registry.start_run(MODEL, "a run", {"who": "test"})
    registry.log_model_folder(run_id, save_toy(folder / f"model-{run_id}", {"x1": weight}))
    (found,) = registry.logged_models(run_id)
    return run_id, found


# A life of a version, on both kinds of store


def live(registry: Registry, tmp_path: Path) -> None:
    assert registry.by_alias(MODEL, PRODUCTION) is None, "an unknown model has no production"
    run_id, model = logged(registry, tmp_path)
    first = registry.register(MODEL, model, run_id, {"slipway.commit": "abc", "slipway.command": '["a b", "ü"]'})
    assert (first.version, first.run_id, first.name) == ("1", run_id, "version 1")
    assert registry.by_alias(MODEL, PRODUCTION) is None, "a known model without the alias has none either"
    registry.set_alias(MODEL, CANDIDATE, first.version)
    again = registry.by_alias(MODEL, CANDIDATE)
    assert again is not None
    assert again.tags == {"slipway.commit": "abc", "slipway.command": '["a b", "ü"]'}
    assert registry.by_version(MODEL, "1") == again

    other_run, other = logged(registry, tmp_path, 2.0)
    second = registry.register(MODEL, other, other_run, {})
    assert second.version == "2", "the registered model existed already"
    registry.set_alias(MODEL, CANDIDATE, second.version)
    moved = registry.by_alias(MODEL, CANDIDATE)
    assert moved is not None
    assert moved.version == "2"

    by_run = digest(registry.download_logged(model, tmp_path / "one"), payload_only=True)
    by_version = digest(registry.download(first, tmp_path / "two"), payload_only=True)
    assert by_run == by_version
    assert digest(tmp_path / "one") == digest(tmp_path / "two"), "what MLflow writes into a download does not count"
    assert digest(registry.download(second, tmp_path / "three"), payload_only=True) != by_run

    registry.log(run_id, tags={"slipway.seed": "1"}, parameters={"lr": "0.1"})
    registry.log(run_id, tags={}, parameters={"lr": "0.2", "depth": "3"})
    assert registry.parameters(run_id) == {"lr": "0.1", "depth": "3"}, "what the run knows stays"
    assert [registry.said_of_run(run_id, name) for name in ("lr", "slipway.seed", "none")] == ["0.1", "1", ""]
    registry.tag_version(first, {"slipway.signer": "ü", "slipway.commit": "def"})
    tagged = registry.by_version(MODEL, "1").tags
    assert tagged == {"slipway.commit": "def", "slipway.command": '["a b", "ü"]', "slipway.signer": "ü"}
    lock = tmp_path / "requirements.txt"
    lock.write_text("numpy\n")
    registry.log_file(run_id, lock, "slipway")
    kept = registry.run_file(run_id, "slipway/requirements.txt", tmp_path / "kept")
    assert kept is not None
    assert kept.read_text() == "numpy\n"
    assert registry.run_file(run_id, "slipway/other.txt", tmp_path / "kept") is None
    assert registry.run_file(run_id, "elsewhere/requirements.txt", tmp_path / "kept") is None
    registry.end_run(run_id, "FINISHED")


def test_start_run__another_creates_the_experiment_in_between(
    store: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(store).start_run("flights", "first", {})
    look = registry.client.get_experiment_by_name
    answers = iter([None])  # what it read before the other created it
    monkeypatch.setattr(registry.client, "get_experiment_by_name", lambda name: next(answers, look(name)))
    run_id = registry.start_run("flights", "second", {})
    found = look("flights")
    assert found is not None and registry.client.get_run(run_id).info.experiment_id == found.experiment_id


def test_registry__life_of_a_version_on_sqlite(registry: Registry, tmp_path: Path) -> None:
    live(registry, tmp_path)


def test_registry__life_of_a_version_over_http(server: str, tmp_path: Path) -> None:
    live(Registry(server), tmp_path)


def test_train_and_evaluate__over_http(
    server: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path
) -> None:
    """The stages as a team has them: mlflow-skinny in the stage, a server elsewhere."""
    toy = make_toy(tmp_path / "job", tmp_path_factory.getbasetemp(), environments_cache)
    toy.write("requirements.txt", LOCK)
    toy.policy({"model": "over-http"}, training={"requirements": "requirements.txt"}, evaluation=first_release())
    trained = toy.train(tracking_uri=server)
    assert trained.code == 0, trained.log
    judged = toy.evaluate(tracking_uri=server)
    assert (judged.code, judged.outputs["verdict"]) == (0, "pass"), judged.log
    assert judged.report["provenance"]["candidate"] == trained.outputs["model-version"]
    version = Registry(server).by_alias("over-http", CANDIDATE)
    assert version is not None
    assert version.version == trained.outputs["model-version"]


def first_release() -> dict[str, object]:
    return {"metrics": {"roc_auc": {"min": 0.6}}}


# What is not there


def test_by_version__unknown(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no version `1` of `toy`"):
        registry.by_version(MODEL, "1")
    run_id, model = logged(registry, tmp_path)
    registry.register(MODEL, model, run_id, {})
    for version in ("2", "latest", "-1"):
        with pytest.raises(InputError, match=f"no version `{version}` of `toy`"):
            registry.by_version(MODEL, version)


def test_registry__no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="No MLflow tracking server is named"):
        Registry()


def test_start_run__deleted_experiment(registry: Registry, store: str) -> None:
    from mlflow import MlflowClient

    registry.start_run("gone", "x", {})
    client = MlflowClient(store)
    found = client.get_experiment_by_name("gone")
    assert found is not None
    client.delete_experiment(found.experiment_id)
    with pytest.raises(InputError, match="experiment `gone` was deleted") as caught:
        registry.start_run("gone", "x", {})
    assert "training.experiment" in caught.value.fix


def test_log_model_folder__no_model(registry: Registry, tmp_path: Path) -> None:
    run_id = registry.start_run(MODEL, "x", {})
    with pytest.raises(InputError, match="is not an MLflow model folder"):
        registry.log_model_folder(run_id, tmp_path)


@pytest.mark.parametrize("content", ["", "[1]", "flavors: {", "text"])
def test_log_model_folder__a_broken_mlmodel(registry: Registry, tmp_path: Path, content: str) -> None:
    folder = save_toy(tmp_path / "model", {"x1": 1})
    (folder / "MLmodel").write_text(content)
    with pytest.raises(InputError, match="is not an MLflow model folder"):
        registry.log_model_folder(registry.start_run(MODEL, "x", {}), folder)


def test_register__a_model_that_vanished_leaves_no_version(registry: Registry, tmp_path: Path) -> None:
    run_id, _ = logged(registry, tmp_path)
    gone = LoggedModel("m-" + "0" * 32, "models:/m-" + "0" * 32, "model")
    with pytest.raises(RemoteError, match="could not register a version of `toy`"):
        registry.register(MODEL, gone, run_id, {})
    with pytest.raises(InputError):
        registry.by_version(MODEL, "1")


def test_log__parameters_that_mlflow_would_refuse(registry: Registry) -> None:
    run_id = registry.start_run(MODEL, "x", {})
    given = {"lr@start": "1", "f(x)": "2", "../up": "3", "/root": "4", "a//b": "5", ".": "6", "ok/key.x": "8"}
    registry.log(run_id, tags={}, parameters={**given, "ü": "9", "long" * 100: "x" * 9000, "none": ""})
    kept = registry.parameters(run_id)
    assert kept["lr_start"] == "1"
    assert kept["ok/key.x"] == "8"
    assert kept["ü"] == "9"
    assert len(kept) == len(given) + 3
    assert len(kept[("long" * 100)[:250]]) == 6000


def test_log__hundreds_of_parameters(registry: Registry) -> None:
    run_id = registry.start_run(MODEL, "x", {})
    registry.log(run_id, tags={"t": "1"}, parameters={f"p{number}": str(number) for number in range(250)})
    assert len(registry.parameters(run_id)) == 250


# A system that does not answer, or refuses


class Refusing(BaseHTTPRequestHandler):
    """A proxy in front of a registry that lets nobody through."""

    status = 403

    def do_GET(self) -> None:
        body = b"<html>no</html>"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = type("Handler", (Refusing,), {"status": request.param})
    with HTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("refusing", [401, 403, 404, 500], indirect=True)
def test_by_alias__a_refusal_is_never_a_first_release(refusing: str) -> None:
    """The address of this very request holds the word "alias": it must not be taken for a missing one."""
    with pytest.raises(RemoteError, match="could not read the alias `production` of `toy`"):
        Registry(refusing).by_alias(MODEL, PRODUCTION)


@pytest.mark.parametrize("refusing", [401, 403], indirect=True)
def test_refusal__says_what_to_check(refusing: str) -> None:
    with pytest.raises(RemoteError) as caught:
        Registry(refusing).start_run(MODEL, "x", {})
    assert "MLFLOW_TRACKING_TOKEN" in caught.value.fix


def test_nobody_answers__no_password_is_shown() -> None:
    registry = Registry("http://mona:geheim@127.0.0.1:9")
    for ask in (
        lambda: registry.by_alias(MODEL, PRODUCTION),
        lambda: registry.by_version(MODEL, "1"),
        lambda: registry.start_run(MODEL, "x", {}),
    ):
        with pytest.raises(RemoteError) as caught:
            ask()
        assert "geheim" not in str(caught.value)
        assert "mona" not in str(caught.value)
        assert "127.0.0.1" in str(caught.value)


def test_no_such_folder__says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # MLflow makes a folder that is missing
    with pytest.raises(RemoteError, match="could not open the MLflow store") as caught:
        Registry(f"sqlite:///{tmp_path}/file/mlflow.db")
    assert str(tmp_path) in caught.value.why


@pytest.mark.parametrize("uri", ["nonsense://x", "sqlite://mlflow.db"])
def test_an_address_of_no_store(uri: str) -> None:
    with pytest.raises(RemoteError, match="could not open the MLflow store"):
        Registry(uri)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("http://user:pass@host:5000/x", "http://host:5000/x"),
        ("https://token@host", "https://host"),
        ("http://user:p%40ss@w@host/a@b", "http://host/a@b"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("could not reach http://u:p@h/ nor https://v:q@i/", "could not reach http://h/ nor https://i/"),
        ("databricks", "databricks"),
    ],
)
def test_shown__no_user_and_no_password(text: str, safe: str) -> None:
    assert module.shown(text) == safe


# Digests


def test_digest__names_and_bytes_count_and_times_do_not(tmp_path: Path) -> None:
    first, second = save_toy(tmp_path / "a", {"x1": 1}), save_toy(tmp_path / "b", {"x1": 1})
    os.utime(second / "weights.json", (0, 0))
    assert digest(first, payload_only=True) == digest(second, payload_only=True)
    assert digest(first) != digest(second), "MLmodel holds an id of its own"
    (second / "weights.json").rename(second / "weight.json")
    assert digest(first, payload_only=True) != digest(second, payload_only=True)


def test_digest__two_equal_trainings_with_scikit_learn(tmp_path: Path) -> None:
    """MLflow's default format is a zip file whose entries carry the time: equal models must still be equal."""
    import mlflow.sklearn
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(1).normal(size=(200, 3))
    folders = []
    for name in ("a", "b", "other"):
        model = LogisticRegression(C=0.5 if name == "other" else 1.0).fit(x, x[:, 0] > 0)
        mlflow.sklearn.save_model(model, str(tmp_path / name), pip_requirements=["scikit-learn"])
        folders.append(tmp_path / name)
        if name == "a":
            time.sleep(2.1)  # the resolution of a zip file's times is two seconds
    first, second, other = (digest(folder, payload_only=True) for folder in folders)
    assert first == second
    assert first != other
