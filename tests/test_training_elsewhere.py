"""The examples of training elsewhere as a job runs them: a real Ray cluster of one node, and ZenML's local stack."""

from __future__ import annotations

import dataclasses
import os
import runpy
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from runner_double import machine_environ
from slipway.registry.mlflow import CANDIDATE
from slipway.training.provenance import read
from test_training_toy import QUIET, ROOT, SCRIPTS, Toy, make_toy

EXAMPLE = ROOT / "examples" / "training-elsewhere"
pytestmark = [QUIET, pytest.mark.xdist_group("elsewhere")]

ENDLESS = "import time\nprint('begun', flush=True)\ntime.sleep(120)\n"


@dataclasses.dataclass
class Cluster:
    """A Ray cluster of this machine, made from the example's lock."""

    address: str

    def job(self, run_id: str) -> dict[str, Any]:
        """What the cluster says of the job that a run handed to it; empty where it knows of none."""
        known = requests.get(f"{self.address}/api/jobs/", timeout=10).json()
        return next((dict(each) for each in known if each["submission_id"] == f"slipway-{run_id}"), {})


@pytest.fixture(scope="module")  # an idle cluster takes a twentieth of a core
def cluster(environments_cache: Path) -> Iterator[Cluster]:
    python = locked_python(EXAMPLE / "requirements-ray.txt", environments_cache)
    port, jobs, agent = free_port(), free_port(), free_port()
    # Ray's sockets lie below this folder, and a socket's path may have 107 characters.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    environ = machine_environ() | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "RAY_TMPDIR": folder}
    command = [str(python.with_name("ray")), "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats"]
    command += [f"--port={port}", f"--dashboard-port={jobs}", f"--dashboard-agent-listen-port={agent}"]
    command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--object-store-memory=100000000"]
    command += ["--include-log-monitor=false"]  # it carries what tasks print to their driver
    log = Path(folder) / "start.log"
    with log.open("wb") as said:
        head = subprocess.Popen(command, env=environ, stdout=said, stderr=said, cwd=folder)
    found = Cluster(f"http://127.0.0.1:{jobs}")
    try:
        until(lambda: answers(f"{found.address}/api/version"), 90, lambda: log.read_text(errors="replace"))
        yield found
    finally:
        head.send_signal(signal.SIGTERM)
        try:
            head.wait(30)
        except subprocess.TimeoutExpired:
            head.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def repository(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Toy:
    """The example as a repository of its own, with its data and an empty store."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    toy = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    shutil.rmtree(toy.folder / "data")
    shutil.copytree(EXAMPLE, toy.folder, dirs_exist_ok=True)
    subprocess.run([sys.executable, "prepare.py"], cwd=toy.folder, check=True)
    toy.commit()
    return toy


def locked_python(lock: Path, cache: Path) -> Path:
    """The Python of a lock's environment, as train-model builds it."""
    code = "import sys; from pathlib import Path; from slipway.runner.environments import for_lock; "
    code += "print(for_lock(Path(sys.argv[1])))"
    environ = {**machine_environ(), "SLIPWAY_CACHE": str(cache), "PYTHONPATH": str(SCRIPTS)}
    built = subprocess.run(["python3", "-c", code, str(lock)], env=environ, capture_output=True, text=True, check=True)
    return Path(built.stdout.splitlines()[-1])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.ConnectionError:
        return False


def until(holds: Callable[[], Any], seconds: float, why: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


def started_run(toy: Toy) -> str:
    """The newest MLflow run of the store."""
    with sqlite3.connect(toy.folder / "mlflow.db") as store:
        found = store.execute("select run_uuid from runs order by start_time desc").fetchone()
    return found[0] if found else ""


def status(toy: Toy, run_id: str) -> str:
    with sqlite3.connect(toy.folder / "mlflow.db") as store:
        return str(store.execute("select status from runs where run_uuid = ?", (run_id,)).fetchone()[0])


def no_version(toy: Toy) -> bool:
    with sqlite3.connect(toy.folder / "mlflow.db") as store:
        return not store.execute("select * from model_versions").fetchall()


def test_ray__a_job_of_the_cluster_trains_the_candidate(repository: Toy, cluster: Cluster) -> None:
    repository.environ = {"RAY_ADDRESS": cluster.address}
    done = repository.train(policy="ray.yml")
    assert done.code == 0, done.log
    run_id = done.outputs["run-id"]
    job = cluster.job(run_id)
    assert job["status"] == "SUCCEEDED"
    handed = job["runtime_env"]["env_vars"]
    assert (handed["MLFLOW_RUN_ID"], handed["SLIPWAY_SEED"], handed["PYTHONHASHSEED"]) == (run_id, "7", "7")
    version = repository.registry().by_alias("tumours-ray", CANDIDATE)
    assert version is not None
    assert version.tags["slipway.job"] == f"ray:{cluster.address}/slipway-{run_id}"
    record = repository.registry().run_file(run_id, "slipway/provenance.json", repository.temp / "kept")
    assert record is not None
    made = read(record)
    assert made.job == version.tags["slipway.job"]
    assert made.parameters == {}, "the job logged its own to the run"
    assert repository.registry().parameters(run_id)["penalty"] == "1.0"
    assert any(package.startswith("ray==") for package in made.environment.packages)
    assert "ROC AUC by penalty" in done.log, "the job's log is the step's"


def test_ray__a_cancelled_workflow_stops_the_job(repository: Toy, cluster: Cluster) -> None:
    repository.environ = {"RAY_ADDRESS": cluster.address}
    repository.write("ray_job.py", ENDLESS)
    repository.commit()
    repository.environ["INPUT_POLICY"] = "ray.yml"
    stage = repository.start("train_model.py", "train-model")
    try:
        until(lambda: cluster.job(started_run(repository)).get("status") == "RUNNING", 300, lambda: "no job runs")
        run_id = started_run(repository)
        stage.send_signal(signal.SIGINT)
        said, _ = stage.communicate(timeout=30)
    finally:
        stage.kill()
    assert stage.returncode == 130, said
    until(lambda: cluster.job(run_id)["status"] == "STOPPED", 30, lambda: str(cluster.job(run_id)))
    assert status(repository, run_id) == "KILLED"
    assert no_version(repository)


def test_ray__a_job_that_fails_registers_nothing(repository: Toy, cluster: Cluster) -> None:
    repository.environ = {"RAY_ADDRESS": cluster.address}
    repository.write("ray_job.py", "raise SystemExit('no memory left on node 3')\n")
    repository.commit()
    done = repository.train(policy="ray.yml")
    assert done.code == 1
    assert "no memory left on node 3" in done.reasons
    assert cluster.job(started_run(repository))["status"] == "FAILED"
    assert status(repository, started_run(repository)) == "FAILED"
    assert no_version(repository)


def test_same_packages__a_cluster_that_is_not_of_the_lock(tmp_path: Path) -> None:
    check = runpy.run_path(str(EXAMPLE / "same_packages.py"))["main"]
    pytest_here = f"pytest=={pytest.__version__} \\\n    --hash=sha256:{'0' * 64}\n"
    lock = tmp_path / "lock.txt"
    lock.write_text(pytest_here + "colorama==0.1 ; sys_platform == 'win32' \\\n    --hash=sha256:11\n")
    check(str(lock))
    lock.write_text(pytest_here + "ruff==0.0.1\nno-such-package==1.0 \\\n    --hash=sha256:11\n")
    with pytest.raises(
        SystemExit, match=r"2 packages here .*ruff==0.0.1 \(here: \d.*no-such-package==1.0 \(here: none"
    ):
        check(str(lock))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of ZenML's local stack: its store takes longer to be made than most pipelines."""
    return tmp_path_factory.mktemp("zenml")


@pytest.fixture
def zenml(repository: Toy, home: Path) -> Toy:
    """The example with ZenML's local stack."""
    repository.environ = {
        "ZENML_CONFIG_PATH": str(home),
        "ZENML_LOCAL_STORES_PATH": str(home / "stores"),
        "ZENML_ANALYTICS_OPT_IN": "false",
    }
    return repository


def pipeline_runs(home: Path) -> dict[str, str]:
    """Status of every pipeline run in ZenML's own store, by its id."""
    found: dict[str, str] = {}
    for store in home.rglob("zenml.db"):
        with sqlite3.connect(store) as connection:
            found |= dict(connection.execute("select id, status from pipeline_run"))
    return found


def test_zenml__the_model_of_a_pipeline_is_collected(zenml: Toy, home: Path) -> None:
    before = pipeline_runs(home)
    done = zenml.train(policy="zenml.yml")
    assert done.code == 0, done.log
    ((run, ended),) = pipeline_runs(home).items() - before.items()
    assert ended == "completed"
    version = zenml.registry().by_alias("tumours-zenml", CANDIDATE)
    assert version is not None
    assert version.tags["slipway.job"].replace("-", "") == f"zenml:training/{run}".replace("-", "")
    assert version.tags["slipway.seed"] == "7"
    files = zenml.registry().download(version, zenml.temp / "model")
    assert "scikit-learn==" in (files / "requirements.txt").read_text()


def test_zenml__a_cancelled_workflow_stops_the_pipeline(zenml: Toy, home: Path) -> None:
    before = pipeline_runs(home)
    code = (zenml.folder / "zenml_pipeline.py").read_text()
    begun = zenml.temp / "begun"
    wait = f"    import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(120)\n    model = make"
    zenml.write("zenml_pipeline.py", code.replace("    model = make", wait, 1))
    zenml.commit()
    zenml.environ["INPUT_POLICY"] = "zenml.yml"
    stage = zenml.start("train_model.py", "train-model")
    try:
        until(begun.exists, 300, lambda: "the pipeline's step did not begin")
        stage.send_signal(signal.SIGINT)
        said, _ = stage.communicate(timeout=30)
    finally:
        stage.kill()
    assert stage.returncode == 130, said
    assert status(zenml, started_run(zenml)) == "KILLED"
    assert no_version(zenml)
    ((_, ended),) = pipeline_runs(home).items() - before.items()
    assert ended != "completed"
