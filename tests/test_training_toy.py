"""The toy repository on which train-model, evaluate-model and the pipeline are tested, and proof that it is real.

Real git, real SQLite, real MLflow model folders; the model is a few lines of Python, so that training takes no time.
"""

from __future__ import annotations

import functools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import bytecode
import warm_stage
import warm_worker
from conftest import made_once
from runner_double import Annotation, RunnerDouble, machine_environ
from slipway.registry.mlflow import LoggedModel, ModelVersion, Registry
from slipway.runner.inputs import user_name

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
MODEL = "toy"
LOCK = (ROOT / "examples" / "flights" / "requirements.txt").read_text(encoding="utf-8")
"""Hash-locked: mlflow-skinny, pandas, scikit-learn. An environment of it serves every model of these tests."""

QUIET = pytest.mark.filterwarnings("ignore")
"""For tests that talk to MLflow in this process: it and SQLAlchemy warn of each other."""

TOY_MODEL = '''
"""Weights times features, through a link; `misdeed` is what a bad model does instead."""
import json, math, os, sys
from pathlib import Path

import numpy as np
import pandas as pd


def _load_pyfunc(path):
    said = json.loads((Path(path) / "weights.json").read_text())
    misdeed = said.get("misdeed", "")
    if misdeed == "raise at load":
        raise RuntimeError("the weights are of\\nanother version")
    return Toy(said["weights"], said["link"], misdeed)


class Toy:
    def __init__(self, weights, link, misdeed):
        self.weights, self.link, self.misdeed = weights, link, misdeed

    def predict(self, frame, params=None):
        if self.misdeed:
            exec(self.misdeed, {"frame": frame, "np": np, "os": os, "sys": sys, "pd": pd, "json": json})
        n = len(frame)
        if self.link == "rows":  # a wrong number of them
            return np.zeros(n - 1)
        if self.link == "nan":
            return np.where(np.arange(n) % 10 == 0, np.nan, 0.25)
        if self.link == "environment":  # 1 where this environment has the package, else 0
            try:
                import iniconfig
                return np.ones(n)
            except ImportError:
                return np.zeros(n)
        if self.link == "classes":
            scores = np.column_stack([sum(w * frame[c] for c, w in one.items()) + 0 * frame["x1"]
                                      for one in self.weights])
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            return odds / odds.sum(axis=1, keepdims=True)
        score = sum(weight * frame[column] for column, weight in self.weights.items()) + 0 * frame["x1"]
        if self.link == "logit":
            return (1 / (1 + np.exp(-score))).to_numpy()
        if self.link == "label":
            return (score > 0).to_numpy().astype(int)
        return score.to_numpy()  # "identity"
'''

TRAIN = '''
"""Fits one weight to data/train.csv and writes an MLflow model folder. Standard library only."""
import csv, json, os, sys
sys.path.insert(0, "lib")
from folder import save

rows = [(float(row["x1"]), int(row["y"])) for row in csv.DictReader(open("data/train.csv"))]
weight = round(4 * sum(x * (y - 0.5) for x, y in rows) / sum(x * x for x, _ in rows), 6)
print("fitted", weight, "with seed", os.environ.get("SLIPWAY_SEED"))
save("build/model", {"x1": weight}, "logit", template="lib/toy_model.py")
'''

FOLDER = '''
"""Writes an MLflow model folder, as `mlflow.pyfunc.save_model(loader_module=...)` would."""
import json, shutil, uuid
from pathlib import Path


def save(folder, weights, link, misdeed="", template="lib/toy_model.py", columns=("x1", "x2"), requirements=""):
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "code").mkdir(parents=True)
    shutil.copy(template, folder / "code" / "toy_model.py")
    (folder / "weights.json").write_text(json.dumps({"weights": weights, "link": link, "misdeed": misdeed}))
    (folder / "requirements.txt").write_text(requirements or "mlflow-skinny==3.17.2\\npandas\\npyarrow\\n")
    inputs = json.dumps([{"type": "double", "name": name, "required": True} for name in columns])
    (folder / "MLmodel").write_text(json.dumps({
        "artifact_path": "model", "mlflow_version": "3.17.2", "model_uuid": uuid.uuid4().hex,
        "utc_time_created": "2026-01-01 00:00:00.000000",
        "flavors": {"python_function": {"loader_module": "toy_model", "code": "code", "python_version": "3.11"}},
        **({"signature": {"inputs": inputs, "outputs": None, "params": None}} if columns else {}),
    }))
    return folder
'''

POLICY: dict[str, Any] = {
    "version": 1,
    "model": MODEL,
    "data": {"train": {"path": "data/train.csv"}, "holdout": {"path": "data/holdout.parquet"}},
    "training": {"command": "python train.py", "model": "build/model", "timeout_minutes": 2},
    "evaluation": {
        "task": "binary",
        "holdout": "holdout",
        "target": "y",
        "metrics": {"roc_auc": {"better_by": 0.0, "min": 0.6}, "log_loss": {}},
    },
}


@dataclass(frozen=True)
class Done:
    """A stage that has ended: what a caller of its action sees of it."""

    code: int
    outputs: dict[str, str]
    annotations: list[Annotation]
    summary: str
    log: str

    @property
    def report(self) -> dict[str, Any]:
        """The report that it named, if it named one."""
        path = Path(self.outputs.get("report") or "none")
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    @property
    def error(self) -> str:
        """The message of its one error."""
        (error,) = (each for each in self.annotations if each.level == "error")
        return error.message

    @property
    def reasons(self) -> str:
        """The reasons of its report as one text."""
        return "\n".join(self.report["reasons"])


@dataclass
class Toy:
    """A user's repository with everything that a stage needs around it."""

    folder: Path
    temp: Path
    cache: Path
    environ: dict[str, str] = field(default_factory=dict)
    event: dict[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def git(self, *arguments: str) -> str:
        return git(self.folder, *arguments)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def commit(self, message: str = "Change") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def policy(self, change: Mapping[str, Any] | None = None, **sections: Mapping[str, Any]) -> None:
        """Write the policy with some keys of its sections changed (None takes one out), and commit."""
        policy = json.loads(json.dumps({**POLICY, **(change or {})}))
        for name, keys in sections.items():
            policy[name] = {key: value for key, value in {**policy.get(name, {}), **keys}.items() if value is not None}
        self.write("slipway.yml", yaml.safe_dump(policy, sort_keys=False))
        self.commit("Change the policy")

    def command(self, text: str, **training: Any) -> None:
        """Make `text` (Python) the training command; it logs its model itself, or not at all."""
        self.write("train.py", text)
        self.policy(training={"model": None, **training})

    @property
    def job(self) -> dict[str, str]:
        """The job's `env:`; `python`, `dvc` and `mlflow` are those of the tests, `python3` is the machine's."""
        path = f"{self.temp / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "SLIPWAY_CACHE": str(self.cache), **self.environ}

    def runner(self) -> RunnerDouble:
        """The job's runner."""
        return RunnerDouble(self.folder, self.temp, event=self.event, env=self.job)

    def run(self, action: Path, **inputs: str) -> Done:
        """Run an action as a step of the job."""
        given = {"tracking_uri": self.uri, **inputs}
        named = {user_name(name): value for name, value in given.items() if value}
        done = self.runner().run_action(action, named)
        assert done.code in (0, 1, 130), done.log
        return Done(done.code, done.outputs, done.annotations, done.summary, done.log)

    def train(self, **inputs: str) -> Done:
        return self.run(ROOT / "actions" / "train-model", **inputs)

    def evaluate(self, **inputs: str) -> Done:
        self.warm_models()
        return self.run(ROOT / "actions" / "evaluate-model", **inputs)

    def warm_models(self, *locks: Path) -> None:
        """Have models of the environments of LOCK and `locks` predict in forks of processes that import MLflow once."""
        program = self.temp / "bin" / "unshare"
        found = shutil.which("unshare")
        if found and not program.exists():
            for python in (models_python(self.cache), *(models_python(self.cache, lock) for lock in locks)):
                found = str(warm_worker.stand_in(python, found))
            program.symlink_to(found)

    def start(self, script: str, group: str = "") -> subprocess.Popen[str]:
        """Start a stage's script without waiting for it, so that it can be signalled."""
        python = stage_python(group, self.cache) if group else Path(sys.executable)
        return subprocess.Popen(
            [str(python), str(SCRIPTS / script)],
            cwd=self.folder,
            env={**machine_environ(), **self.runner().variables(ROOT), "INPUT_TRACKING_URI": self.uri, **self.job},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def registry(self) -> Registry:
        """Look into the store from this process. New experiments keep their artifacts below the repository."""
        os.chdir(self.folder)
        return Registry(self.uri)

    def logged_model(self, weights: Any, link: str = "logit", **how: Any) -> tuple[str, LoggedModel]:
        """A model folder logged to a run of its own."""
        registry = self.registry()
        run_id = registry.start_run(MODEL, "by hand", {})
        folder = save_toy(self.temp / f"model-{run_id}", weights, link, **how)
        registry.log_model_folder(run_id, folder)
        (logged,) = registry.logged_models(run_id)
        return run_id, logged

    def version(
        self, weights: Any, link: str = "logit", *, lock: str = LOCK, alias: str = "", **how: Any
    ) -> ModelVersion:
        """A registered version with the lock that its environment is built from."""
        run_id, logged = self.logged_model(weights, link, **how)
        registry = self.registry()
        if lock:
            file = self.temp / "requirements.txt"
            file.write_text(lock, encoding="utf-8")
            registry.log_file(run_id, file, "slipway")
        tags = {"slipway.model_digest": f"sha256:{run_id}", "slipway.payload_digest": f"sha256:{run_id}"}
        version = registry.register(MODEL, logged, run_id, tags)
        registry.end_run(run_id, "FINISHED")
        if alias:
            registry.set_alias(MODEL, alias, version.version)
        return version


@functools.cache
def stage_python(group: str, cache: Path) -> Path:
    """A stage's own Python, as the action's first step builds it."""
    environ = {**machine_environ(), "SLIPWAY_CACHE": str(cache), "INPUT_GROUP": group}
    command = ["python3", str(SCRIPTS / "build_environment.py")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("python = "))
    python = Path(line.removeprefix("python = "))
    bytecode.share(python)
    return python


@functools.cache
def models_python(cache: Path, lock: Path = ROOT / "examples" / "flights" / "requirements.txt") -> Path:
    """The Python of the environment of a lock, LOCK by default, where MLflow and pandas are compiled. A model's process
    may not write there: each one would compile them anew, which takes twice as long as all else that it does."""
    code = "import sys; from pathlib import Path; from slipway.runner.environments import for_lock; "
    code += "print(for_lock(Path(sys.argv[1])))"
    environ = {**machine_environ(), "SLIPWAY_CACHE": str(cache), "PYTHONPATH": str(SCRIPTS)}
    built = subprocess.run(["python3", "-c", code, str(lock)], env=environ, capture_output=True, text=True, check=True)
    python = Path(built.stdout.splitlines()[-1])
    bytecode.share(python)
    compile_imports(python, "mlflow.pyfunc", "pandas", "pyarrow.parquet")
    return python


def compile_imports(python: Path, *modules: str) -> None:
    """Have what models import compiled in their environment, unless that was done."""
    done = python.parents[1] / "compiled-for-tests"
    if not done.exists():
        subprocess.run([str(python), "-c", f"import {', '.join(modules)}"], cwd=python.parent, check=True)
        done.touch()


@functools.cache
def empty_store(folder: Path, cache: Path) -> Path:
    """A migrated SQLite store without experiments; copying it saves every test MLflow's migrations.

    It lies beside the environments, by the name of the one whose MLflow made it: migrations take as long as many tests.
    """
    python = stage_python("train-model", cache)
    kept = cache / f"empty-store-{python.parents[1].name}.db"

    def migrate() -> None:
        code = f"from slipway.registry.mlflow import Registry; Registry('sqlite:///{folder}/empty.db')"
        environ = {**machine_environ(), "PYTHONPATH": str(SCRIPTS)}
        subprocess.run([str(python), "-c", code], cwd=folder, env=environ, capture_output=True, check=True)
        shutil.move(folder / "empty.db", kept)

    return made_once(kept, migrate)


@functools.cache
def warm_profiles(cache: Path) -> Path:
    """`cache`, in which a profile of the training data does not import polars anew every time."""
    stage_python("train-model", cache)
    return warm_stage.warm_cache(cache, {stage_python("profile-data", cache): SCRIPTS / "profile_data.py"}, "-E")


def git(folder: Path, *arguments: str) -> str:
    """Run git with an identity of nobody."""
    identity = ["-c", "user.name=Toy", "-c", "user.email=toy@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def save_toy(folder: Path, weights: Any, link: str = "logit", **how: Any) -> Path:
    """A model folder by the toy's own code; `model_code` replaces the code that it loads."""
    namespace: dict[str, Any] = {}
    exec(FOLDER, namespace)
    template = folder.with_name(f"{folder.name}-code.py")
    template.write_text(how.pop("model_code", TOY_MODEL))
    return Path(namespace["save"](folder, weights, link, template=template, **how))


def holdout(rows: int = 1500, seed: int = 1) -> pl.DataFrame:
    """Rows whose truth depends on x1 and x2: odds exp(2 x1 + x2), three classes by score, and a noisy sum."""
    draw = random.Random(seed)
    x1 = [draw.gauss(0, 1) for _ in range(rows)]
    x2 = [draw.gauss(0, 1) for _ in range(rows)]
    score = [2 * a + b for a, b in zip(x1, x2, strict=True)]
    return pl.DataFrame(
        {
            "x1": x1,
            "x2": x2,
            "y": [int(draw.random() < 1 / (1 + math.exp(-s))) for s in score],
            "kind": [int(s + draw.gauss(0, 1) > -1) + int(s + draw.gauss(0, 1) > 1) for s in score],
            "amount": [s + draw.gauss(0, 1) for s in score],
            "day": [f"day {row // 50}" for row in range(rows)],
        }
    )


def make_toy(folder: Path, stores: Path, cache: Path) -> Toy:
    """A new toy repository in `folder / "user's repository"`, committed and clean. `stores` is kept by the session."""
    toy = Toy(folder / "user's repository", folder / "temp", cache)
    programs = toy.temp / "bin"
    programs.mkdir(parents=True)
    for name in ("dvc", "mlflow"):
        (programs / name).symlink_to(Path(sys.executable).with_name(name))
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "python").chmod(0o755)
    toy.folder.mkdir()
    toy.git("init", "--quiet", "--initial-branch=main")
    toy.write("train.py", TRAIN)
    toy.write("lib/toy_model.py", TOY_MODEL)
    toy.write("lib/folder.py", FOLDER)
    toy.write(".gitignore", "mlruns/\nmlflow.db*\nbuild/\n__pycache__/\n")
    frame = holdout(60, seed=2)
    toy.write("data/train.csv", "x1,y\n" + "".join(f"{x},{y}\n" for x, y in frame["x1", "y"].iter_rows()))
    holdout().write_parquet(toy.folder / "data" / "holdout.parquet")
    shutil.copy(empty_store(stores, cache), toy.folder / "mlflow.db")
    toy.policy()
    return toy


def wait_for(path: Path, seconds: float = 30) -> str:
    """The text of a file that another process is about to write."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written within {seconds} s")


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def assert_gone(pid: int, seconds: float = 5) -> None:
    """The process has ended; if not, it is ended here and the test fails."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"process {pid} was left running")
        time.sleep(0.02)


def test_toy__its_command_works_without_slipway(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path
) -> None:
    toy = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    assert toy.git("status", "--porcelain") == ""
    subprocess.run([sys.executable, "train.py"], cwd=toy.folder, check=True, capture_output=True)
    assert json.loads((toy.folder / "build/model/weights.json").read_text())["weights"]["x1"] > 0.5
    assert toy.git("status", "--porcelain") == ""


@QUIET
def test_toy__mlflow_itself_loads_its_model(tmp_path: Path) -> None:
    import mlflow.pyfunc

    folder = save_toy(tmp_path / "model", {"x1": 2.0, "x2": 1.0})
    frame = holdout(300).to_pandas()
    said = mlflow.pyfunc.load_model(str(folder)).predict(frame[["x1", "x2"]])
    assert ((said > 0.5) == frame["y"]).mean() > 0.75
