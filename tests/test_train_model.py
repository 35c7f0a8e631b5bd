"""The train-model action as a job runs it: real git, DVC, MLflow on SQLite, and commands that behave and misbehave."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipway import profiles
from slipway.registry.digests import digest, file_digests
from slipway.registry.mlflow import CANDIDATE, Registry
from slipway.training import profiling
from slipway.training.provenance import read
from test_training_statement import hold_to_the_protobufs
from test_training_toy import LOCK, MODEL, QUIET, Toy, assert_gone, make_toy, wait_for, warm_profiles

pytestmark = QUIET

BASE = """
import sqlite3
store = sqlite3.connect(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
store.execute("insert into tags values ('slipway.base_model', 'hf://org/base', ?)", (os.environ["MLFLOW_RUN_ID"],))
store.commit()
"""
"""What `mlflow.set_tag("slipway.base_model", "hf://org/base")` leaves, without a second spent on importing MLflow."""


@pytest.fixture
def toy(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    environments_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Toy:
    monkeypatch.chdir(tmp_path)  # the toy may change it
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    made = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    made.cache = warm_profiles(environments_cache)
    return made


def rows(toy: Toy, query: str) -> list[tuple[Any, ...]]:
    """What the store's database says."""
    connection = sqlite3.connect(toy.folder / "mlflow.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def assert_nothing_registered(toy: Toy, *, run: str = "FAILED") -> None:
    assert rows(toy, "select * from model_versions") == []
    assert rows(toy, "select * from registered_model_aliases") == []
    assert rows(toy, "select status from runs") == ([(run,)] if run else [])


def provenance(toy: Toy, run_id: str) -> dict[str, Any]:
    """The provenance.json that was kept with the run."""
    file = toy.registry().run_file(run_id, "slipway/provenance.json", toy.temp / "kept")
    assert file is not None
    return dict(json.loads(file.read_text(encoding="utf-8")))


# What a good training leaves


def test_train__everything_a_rebuild_needs(toy: Toy) -> None:
    toy.write("requirements.txt", LOCK)
    toy.write("params.yaml", "model:\n  depth: 3\n  rates: [0.1, 0.2]\nname: ünï\nlr@start: 1.5\n")
    toy.policy(training={"requirements": "requirements.txt", "parameters": "params.yaml", "seed": 2013})
    commit = toy.commit()
    done = toy.train()
    assert (done.code, done.outputs["verdict"], done.outputs["model-version"]) == (0, "pass", "1"), done.log
    run_id = done.outputs["run-id"]
    identity = {"role": "registry", "name": MODEL, "id": Registry(toy.uri).identity(MODEL)}
    assert identity in done.report["subjects"] and identity["id"].startswith("mlflow, begun 20")

    kept = provenance(toy, run_id)
    lock_digest = kept["environment"].pop("lock_digest")
    assert kept["environment"].pop("lock") == LOCK
    packages = kept["environment"].pop("packages")
    assert "mlflow-skinny==3.17.2" in packages
    assert len(packages) > 40
    assert kept.pop("datasets")["train"]["kind"] == "git"
    assert kept.pop("machine").keys() - {"settings"} == {"platform", "machine", "processor", "cpus"}
    assert kept.pop("run") == {
        "url": "https://github.invalid/octo/models/actions/runs/1000",
        "id": 1000,
        "attempt": 1,
        "event": "workflow_dispatch",
        "actor": "mona",
        "actor_id": "1",
        "triggering_actor": "mona",
        "repository": "https://github.invalid/octo/models",
        "ref": "",  # the runner's GITHUB_SHA is not the toy's commit
        "workflow": "https://github.invalid/octo/models/.github/workflows/model.yml@refs/heads/main",
    }
    assert kept.pop("base").keys() == {"kind", "image", "id", "version"}
    started, finished = (datetime.fromisoformat(kept.pop(name)) for name in ("started", "finished"))
    assert timedelta(0) <= finished - started < timedelta(minutes=1)
    assert 0 < kept.pop("seconds") < 60
    assert 5 << 20 < kept.pop("peak_memory") < 1 << 30
    digests = {kept.pop(name) for name in ("model_digest", "payload_digest", "log_digest")} | {lock_digest}
    assert all(digest.startswith("sha256:") for digest in digests)
    assert len(digests) == 4
    policy = kept.pop("policy")
    assert policy["policy_digest"] == done.report["provenance"]["policy_digest"]
    assert kept == {
        "model": MODEL,
        "commit": commit,
        "clean": True,
        "changes": [],
        "parameters": {"model.depth": "3", "model.rates": "[0.1, 0.2]", "name": "ünï", "lr@start": "1.5"},
        "environment": {"python": ".".join(map(str, sys.version_info[:3])), "hash_locked": True},
        "base_model": "",
        "job": "",
        "command": ["python", "train.py"],
        "seed": 2013,
        "mlflow_run": run_id,
        "schema_version": 1,
        "remarks": [],
    }

    version = toy.registry().by_alias(MODEL, CANDIDATE)
    assert version is not None
    assert (version.version, version.run_id) == ("1", run_id)
    tags = {name.removeprefix("slipway."): value for name, value in version.tags.items()}
    assert tags["commit"] == commit
    assert tags["clean"] == "true"
    assert json.loads(tags["command"]) == ["python", "train.py"]
    assert tags["environment"] == lock_digest
    assert tags["seed"] == "2013"
    assert tags["hash_locked"] == "true"
    assert (tags["actor"], tags["actor_id"], tags["triggering_actor"]) == ("mona", "1", "mona")
    assert tags["workflow_attempt"] == "1"
    assert tags["base"]
    assert datetime.fromisoformat(tags["started"]) == started
    assert tags["policy_digest"] == policy["policy_digest"]
    assert tags["dataset.train"].startswith("git:")
    assert tags["workflow_run"] == "https://github.invalid/octo/models/actions/runs/1000"
    assert {tags["model_digest"], tags["payload_digest"]} < digests

    parameters = toy.registry().parameters(run_id)
    assert parameters == {"model.depth": "3", "model.rates": "[0.1, 0.2]", "name": "ünï", "lr_start": "1.5"}
    log = toy.registry().run_file(run_id, "slipway/training.log", toy.temp / "kept")
    assert log is not None
    assert log.read_text().endswith("with seed 2013\n")
    assert rows(toy, "select status from runs") == [("FINISHED",)]
    assert done.report["headline"].startswith(f"Trained version 1 in 0 s from commit {commit[:12]}") or (
        f"from commit {commit[:12]}" in done.report["headline"]
    )
    assert done.report["reasons"] == []
    assert "train\\-model" in done.summary


def test_train__twice_gives_equal_payloads_and_moves_the_alias(toy: Toy) -> None:
    first, second = toy.train(), toy.train()
    assert (first.outputs["model-version"], second.outputs["model-version"]) == ("1", "2")
    one, two = (provenance(toy, done.outputs["run-id"]) for done in (first, second))
    assert one["payload_digest"] == two["payload_digest"]
    assert one["model_digest"] != two["model_digest"], "MLmodel holds an id and a time"
    version = toy.registry().by_alias(MODEL, CANDIDATE)
    assert version is not None
    assert version.version == "2"


def test_train__autologging_lands_in_the_run(toy: Toy) -> None:
    # MLflow loads the model once more to see what it needs, and takes its own list where that takes longer.
    toy.environ = {"MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1"}
    toy.command(
        """
        import mlflow, numpy as np
        from sklearn.linear_model import LogisticRegression
        mlflow.sklearn.autolog(log_input_examples=False, extra_tags={"by": "autolog"})
        x = np.random.default_rng(1).normal(size=(100, 2))
        with mlflow.start_run():
            LogisticRegression(C=0.5).fit(x, x[:, 0] > 0)
        """
    )
    done = toy.train()
    assert done.code == 0, done.log
    run_id = done.outputs["run-id"]
    assert toy.registry().parameters(run_id)["C"] == "0.5"
    assert rows(toy, "select key from metrics where key = 'training_accuracy_score'")
    assert rows(toy, "select count(*) from runs") == [(1,)]


def test_train__mlflow_run_as_the_command_with_an_explicit_model(toy: Toy) -> None:
    """`mlflow run` makes a run of its own unless it is told which to use; the model is logged by the project's code."""
    toy.write("MLproject", "name: toy\nentry_points:\n  main:\n    command: python fit.py\n")
    toy.write(
        "fit.py",
        """
        import mlflow
        from sklearn.dummy import DummyClassifier
        with mlflow.start_run():
            model = DummyClassifier().fit([[0], [1]], [0, 1])
            mlflow.sklearn.log_model(model, name="explicit", pip_requirements=["scikit-learn"])
        """,
    )
    toy.policy(training={"command": "mlflow run . --env-manager local", "model": None})
    done = toy.train()
    assert done.code == 0, done.log
    assert rows(toy, "select status from runs") == [("FINISHED",)]
    version = toy.registry().by_alias(MODEL, CANDIDATE)
    assert version is not None
    assert version.run_id == done.outputs["run-id"]


def test_train__leaves_a_statement_about_exactly_the_registered_files(toy: Toy) -> None:
    toy.write("train.py", (toy.folder / "train.py").read_text() + BASE)
    toy.policy(training={"requirements": None})
    toy.environ = {"SLIPWAY_CONTAINER_IMAGE": f"ghcr.io/octo/train@sha256:{'9' * 64}"}
    done = toy.train()
    assert done.code == 0, done.log
    registry = toy.registry()
    version = registry.by_version(MODEL, "1")
    file = registry.run_file(version.run_id, "slipway/provenance.intoto.json", toy.temp / "kept")
    record = registry.run_file(version.run_id, "slipway/provenance.json", toy.temp / "kept")
    log = registry.run_file(version.run_id, "slipway/training.log", toy.temp / "kept")
    assert file and record and log
    said = json.loads(file.read_text(encoding="utf-8"))
    hold_to_the_protobufs(said)
    model = registry.download(version, toy.temp / "model")
    subjects = {each["name"]: each["digest"]["sha256"] for each in said["subject"]}
    whole = subjects.pop(MODEL)
    assert subjects == {f"{MODEL}/{name}": content for name, content in file_digests(model).items()}
    assert whole == digest(model).removeprefix("sha256:")
    assert version.tags["slipway.model_digest"] == digest(model), "a download changes nothing of the digest"
    assert f"{MODEL}/weights.json" in subjects
    byproducts = said["predicate"]["runDetails"]["byproducts"]
    assert [each["digest"]["sha256"] for each in byproducts] == [
        hashlib.sha256(kept.read_bytes()).hexdigest() for kept in (log, record)
    ]
    roles = [each["annotations"]["role"] for each in said["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert {"source", "policy", "dataset", "package", "container", "base model"} == set(roles)
    made = read(record)
    assert (made.base_model, version.tags["slipway.base_model"]) == ("hf://org/base", "hf://org/base")
    assert version.tags["slipway.hash_locked"] == "false"
    assert version.tags["slipway.base"].startswith("container: ghcr.io/octo/train@sha256:")


def test_train__dvc_repro_as_the_command(toy: Toy) -> None:
    dvc_config(toy)
    toy.write(
        "dvc.yaml",
        "stages:\n  train:\n    cmd: python train.py\n    deps: [train.py, data/train.csv]\n    outs: [build/model]\n",
    )
    toy.policy(training={"command": "dvc repro"})
    done = toy.train(allow_dirty_tree="true")
    assert done.code == 0, done.log
    assert "Running stage 'train'" in done.log


def test_train__in_its_own_experiment_and_a_seed_that_python_cannot_hash_with(toy: Toy) -> None:
    toy.policy(training={"experiment": "elsewhere", "seed": -7})
    done = toy.train()
    assert done.code == 0, done.log
    assert "with seed -7" in done.log
    assert rows(toy, "select name from experiments where name in ('elsewhere', 'toy')") == [("elsewhere",)]


def test_train__the_command_sees_the_run_and_no_secret(toy: Toy) -> None:
    toy.environ = {
        "GITHUB_TOKEN": "ghs_secret",
        "ACTIONS_RUNTIME_TOKEN": "x",
        "SLIPWAY_CREDENTIALS": "DB_PASSWORD=pw1234",
    }
    toy.write(
        "train.py", (toy.folder / "train.py").read_text() + "\nopen('build/seen', 'w').write(repr(dict(os.environ)))\n"
    )
    toy.policy(training={"seed": 5})
    done = toy.train()
    assert done.code == 0, done.log
    seen = eval((toy.folder / "build" / "seen").read_text())  # noqa: S307 - what repr has written
    assert seen["MLFLOW_RUN_ID"] == done.outputs["run-id"]
    assert seen["MLFLOW_TRACKING_URI"] == toy.uri
    assert seen["MLFLOW_EXPERIMENT_NAME"] == MODEL
    assert (seen["SLIPWAY_SEED"], seen["PYTHONHASHSEED"]) == ("5", "5")
    assert seen["SLIPWAY_DATA_TRAIN"] == str(toy.folder / "data" / "train.csv")
    assert seen["SLIPWAY_COMMIT"] == toy.git("rev-parse", "HEAD").strip()
    assert seen["DB_PASSWORD"] == "pw1234", "the team's own credentials are for the command"
    hidden = (
        "GITHUB_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
        "GITHUB_OUTPUT",
        "GITHUB_ENV",
        "GITHUB_PATH",
        "SLIPWAY_CREDENTIALS",
    )
    assert not [name for name in seen if name in hidden or name.startswith("INPUT_")]


# The profile of the data


def kept_profile(toy: Toy, run_id: str) -> Path | None:
    return toy.registry().run_file(run_id, "slipway/profile.json", toy.temp / "kept")


def test_train__profiles_the_features_and_the_target(toy: Toy) -> None:
    extra = "".join(f"{line},secret {number}\n" for number, line in enumerate(train_rows(toy)))
    toy.write("data/train.csv", "x1,y,email\n" + extra)
    toy.commit()
    done = toy.train()
    assert done.code == 0, done.log
    file = kept_profile(toy, done.outputs["run-id"])
    assert file is not None
    found = profiles.read(file.read_bytes())
    assert (found.rows, list(found.columns)) == (60, ["x1", "y"]), "no column that the model does not know"
    numbers = found.columns["x1"].numbers
    assert numbers is not None
    values = [float(line.split(",")[0]) for line in train_rows(toy)]
    assert (numbers.minimum, numbers.maximum) == (min(values), max(values))
    assert numbers.moments.mean == pytest.approx(sum(values) / 60)
    version = toy.registry().by_version(MODEL, "1")
    assert version.tags["slipway.profile"] == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert done.report["reasons"] == []


def test_train__profiles_as_the_schema_of_the_training_data_has_them(toy: Toy) -> None:
    """A model that does not say what its features are: all columns are profiled."""
    extra = "".join(f"{line},0{number % 7}\n" for number, line in enumerate(train_rows(toy)))
    toy.write("data/train.csv", "x1,y,zip\n" + extra)
    toy.write("data/schema.yml", "columns: {zip: {dtype: String}}\n")
    toy.write("train.py", (toy.folder / "train.py").read_text().replace("template=", "columns=(), template="))
    toy.policy(data={"train": {"path": "data/train.csv", "schema": "data/schema.yml"}})
    done = toy.train()
    assert done.code == 0, done.log
    file = kept_profile(toy, done.outputs["run-id"])
    assert file is not None
    found = profiles.read(file.read_bytes()).columns["zip"]
    assert found.categories is not None
    assert set(found.categories.named or ()) == {f"0{number}" for number in range(7)}
    toy.write("data/schema.yml", "columns: {zip: {dtype: Strng}}\n")
    toy.commit()
    wrong = toy.train()
    assert wrong.code == 0, wrong.log
    assert "has no profile" in wrong.reasons and "schema.yml is not valid" in wrong.reasons


def train_rows(toy: Toy) -> list[str]:
    lines = (toy.folder / "data" / "train.csv").read_text().splitlines()[1:]
    return [",".join(line.split(",")[:2]) for line in lines]


def test_train__of_data_that_cannot_be_profiled_is_not_lost(toy: Toy) -> None:
    toy.write("data/train.csv", "x1,x1,y\n1,1,1\n-1,-1,0\n")
    toy.commit()
    done = toy.train()
    assert (done.code, done.outputs["model-version"]) == (0, "1"), done.log
    assert kept_profile(toy, done.outputs["run-id"]) is None
    assert "slipway.profile" not in toy.registry().by_version(MODEL, "1").tags
    assert "has no profile" in done.reasons and "two columns called `x1`" in done.reasons
    (warning,) = (each for each in done.annotations if each.level == "warning")
    assert warning.title == "Profile"
    assert not [each for each in done.annotations if each.level == "error"]


def test_train__without_a_training_dataset_has_no_profile(toy: Toy) -> None:
    toy.policy({"data": {"flights": {"path": "data/train.csv"}, "holdout": {"path": "data/holdout.parquet"}}})
    done = toy.train()
    assert (done.code, done.report["reasons"]) == (0, []), done.log
    assert kept_profile(toy, done.outputs["run-id"]) is None
    assert "there is nothing to profile" in done.log


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        ": [",
        "[1]",
        "signature: null",
        "signature: {inputs: '{'}",
        'signature: {inputs: \'[{"type": "tensor"}]\'}',
    ],
)
def test_features__of_a_model_that_names_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "MLmodel").write_text(content)
    assert profiling.features(tmp_path) == []


# Which model


def test_train__no_model(toy: Toy) -> None:
    toy.command("print('nothing')")
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith("The training command ended well and logged no model to its MLflow run.")
    assert "`training.model`" in done.error
    assert done.outputs["verdict"] == "inconclusive"
    assert_nothing_registered(toy)


def test_train__two_models(toy: Toy) -> None:
    toy.command(
        """
        import mlflow
        from sklearn.dummy import DummyClassifier
        with mlflow.start_run():
            for name in ("first", "second"):
                model = DummyClassifier().fit([[0], [1]], [0, 1])
                mlflow.sklearn.log_model(model, name=name, pip_requirements=["scikit-learn"])
        """
    )
    done = toy.train()
    assert done.code == 1
    assert "logged 2 models (`first`, `second`)" in done.error
    assert_nothing_registered(toy)


def test_train__the_model_folder_is_not_there(toy: Toy) -> None:
    toy.policy(training={"model": "elsewhere"})
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith("elsewhere is not an MLflow model folder.")
    assert_nothing_registered(toy)


def test_train__a_model_folder_of_an_earlier_run_is_not_taken_for_a_new_one(toy: Toy) -> None:
    assert toy.train().code == 0
    toy.write("train.py", "print('trained nothing')")
    toy.policy()
    done = toy.train()
    assert done.code == 1
    assert "build/model" in done.error
    assert "before" in done.error
    assert rows(toy, "select count(*) from model_versions") == [(1,)]


# Commands that fail


def test_train__a_failing_command(toy: Toy) -> None:
    toy.environ = {"MLFLOW_TRACKING_TOKEN": "geheim-token"}
    toy.command(
        """
        import os, sys
        print("\\n".join(f"line {n}" for n in range(100)))
        print("with", os.environ["MLFLOW_TRACKING_TOKEN"], "at https://mona:pa55word@host/")
        sys.exit(3)
        """
    )
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith("The training command ended with exit code 3 after 0 s.")
    assert "line 99" in done.error
    # The error's own line comes first: a comment has room for the beginning only.
    assert done.report["reasons"][0].startswith("with ")
    assert "line 80" not in done.error
    assert "No version was registered" in done.error
    assert (done.outputs["verdict"], done.report["verdict"]) == ("fail", "fail")
    written = json.dumps(done.report) + done.summary + done.error
    assert "geheim-token" not in written, "the runner masks its log, not a report"
    assert "pa55word" not in written
    assert done.outputs["model-version"] == ""
    assert_nothing_registered(toy)
    (run_id,) = (row[0] for row in rows(toy, "select run_uuid from runs"))
    log = toy.registry().run_file(run_id, "slipway/training.log", toy.temp / "kept")
    assert log is not None
    assert "line 0\n" in log.read_text()


def test_train__too_long(toy: Toy) -> None:
    toy.command("import time; print('begun', flush=True); time.sleep(60)", timeout_minutes=0.01)
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith("The training command did not end within 0.01 minutes and was stopped.")
    assert done.report["verdict"] == "fail"
    assert_nothing_registered(toy)


def test_train__its_output_forges_nothing(toy: Toy) -> None:
    toy.command(
        "print('::error::forged'); print('::set-output name=model-version::99'); raise SystemExit('::error::x')"
    )
    done = toy.train()
    assert [each.level for each in done.annotations] == ["error"]
    assert done.outputs["model-version"] == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program x", "The command `no-such-program` was not found."),
        ("python a.py && python b.py", "The command holds `&&`, and no shell reads it."),
        ("python 'train.py", "cannot be split"),
    ],
)
def test_train__a_command_that_cannot_be_run(toy: Toy, command: str, said: str) -> None:
    toy.policy(training={"command": command})
    done = toy.train()
    assert done.code == 1
    assert said in done.error
    assert done.outputs["verdict"] == "inconclusive"
    assert rows(toy, "select * from model_versions") == []
    assert rows(toy, "select status from runs where status = 'RUNNING'") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_train__cancelled(toy: Toy, number: int) -> None:
    toy.command(
        """
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        os.makedirs("build", exist_ok=True)
        open("build/pids", "w").write(f"{os.getpid()} {child.pid}\\n")
        time.sleep(60)
        """
    )
    process = toy.start("train_model.py", "train-model")
    pids = [int(pid) for pid in wait_for(toy.folder / "build" / "pids").split()]
    process.send_signal(number)
    log, _ = process.communicate(timeout=30)
    assert process.returncode == 130, log
    assert "Cancelled" in log
    for pid in pids:
        assert_gone(pid, seconds=1)
    assert_nothing_registered(toy, run="KILLED")


# The work tree


@pytest.mark.parametrize("change", ["modified", "untracked", "staged"])
def test_train__a_work_tree_that_is_not_its_commit(toy: Toy, change: str) -> None:
    toy.write("new.py" if change == "untracked" else "train.py", "raise SystemExit('must not run')")
    if change == "staged":
        toy.git("add", "--all")
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith("The work tree differs from commit")
    assert_nothing_registered(toy, run="")


def test_train__a_dirty_tree_by_name(toy: Toy) -> None:
    toy.write("notes.txt", "x")
    done = toy.train(allow_dirty_tree="true")
    assert done.code == 0, done.log
    assert "cannot be rebuilt from its commit" in done.reasons
    assert done.report["provenance"]["clean"] is False
    version = toy.registry().by_version(MODEL, "1")
    assert version.tags["slipway.clean"] == "false"
    assert provenance(toy, done.outputs["run-id"])["changes"] == ["notes.txt"]


# Data


def dvc_config(toy: Toy) -> None:
    """What `dvc init` and `dvc remote add` write."""
    remote = toy.temp / "remote"
    toy.write(
        ".dvc/config", f"[core]\n    remote = local\n    analytics = false\n['remote \"local\"']\n    url = {remote}\n"
    )
    toy.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")


def dvc(toy: Toy, *arguments: str) -> None:
    program = Path(sys.executable).with_name("dvc")
    subprocess.run([str(program), *arguments], cwd=toy.folder, check=True, capture_output=True)


def test_train__data_in_dvc_are_pulled_pinned_and_watched(toy: Toy) -> None:
    dvc_config(toy)
    toy.git("rm", "--quiet", "--cached", "data/train.csv")
    dvc(toy, "add", "--quiet", "data/train.csv")
    dvc(toy, "push", "--quiet")
    toy.commit()
    (toy.folder / "data" / "train.csv").unlink()
    shutil.rmtree(toy.folder / ".dvc" / "cache")

    done = toy.train()
    assert done.code == 0, done.log
    assert "Pulling data/train.csv with DVC" in done.log
    pinned = provenance(toy, done.outputs["run-id"])["datasets"]["train"]
    assert pinned["kind"] == "dvc"
    assert pinned["immutable"] is True
    assert done.report["provenance"]["data_train"] == f"data/train.csv dvc {pinned['id']}"

    with (toy.folder / "data" / "train.csv").open("a") as file:
        file.write("1.5,1\n")
    done = toy.train()
    assert done.code == 0, done.log
    assert "The dataset `train` differs from what data/train.csv.dvc tracks" in done.reasons
    kept = provenance(toy, done.outputs["run-id"])
    assert kept["datasets"]["train"]["immutable"] is False
    assert kept["remarks"]


def test_train__data_that_can_change_where_the_policy_forbids_it(toy: Toy) -> None:
    toy.policy({"reproducibility": {"mutable_data": "fail"}})
    done = toy.train()
    assert done.code == 0, done.log
    toy.git("rm", "--quiet", "--cached", "data/train.csv")
    toy.write(".gitignore", (toy.folder / ".gitignore").read_text() + "/data/train.csv\n")
    toy.commit()
    before = rows(toy, "select count(*) from runs")
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith("A dataset can change without a change of name: `train`.")
    assert "- `train` (data/train.csv) is not versioned, so it can change under its name. Commit it" in done.error
    assert done.report["verdict"] == "fail"
    assert rows(toy, "select count(*) from runs") == before, "no run was started"
    toy.policy({"reproducibility": {"mutable_data": "warn"}})
    done = toy.train()
    assert done.code == 0, done.log


def test_train__data_that_the_remote_does_not_have(toy: Toy) -> None:
    dvc_config(toy)
    toy.git("rm", "--quiet", "--cached", "data/train.csv")
    dvc(toy, "add", "--quiet", "data/train.csv")
    toy.commit()
    (toy.folder / "data" / "train.csv").unlink()
    shutil.rmtree(toy.folder / ".dvc" / "cache")
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith("`dvc pull data/train.csv` ended with 1.")
    assert_nothing_registered(toy, run="")


# What is wrong before compute is spent


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"requirements": "no.txt"}, "The requirements file no.txt cannot be read."),
        ({"parameters": "no.yaml"}, "The parameters file no.yaml cannot be read."),
        ({"parameters": "lib/folder.py"}, "The parameters file lib/folder.py cannot be read."),
        ({"parameters": "list.yaml"}, "The parameters file list.yaml is not a mapping of names to values."),
        ({"requirements": "conflict.txt"}, "The packages of an environment could not be installed"),
    ],
)
def test_train__files_that_cannot_be_used(toy: Toy, training: dict[str, str], said: str) -> None:
    toy.write("list.yaml", "[1, 2]\n")
    toy.write("conflict.txt", "iniconfig==2.0.0\niniconfig==2.1.0\n")
    toy.policy(training=training)
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith(said)
    assert done.report["verdict"] == "inconclusive"
    assert_nothing_registered(toy, run="")


def test_train__a_policy_without_training(toy: Toy) -> None:
    toy.policy({"training": None})
    done = toy.train()
    assert done.code == 1
    assert "has no `training` section" in done.error
    (annotation,) = done.annotations
    assert annotation.file == "slipway.yml"


def test_train__no_registry_is_named(toy: Toy) -> None:
    done = toy.train(tracking_uri="")
    assert done.code == 1
    assert done.error.startswith("No MLflow tracking server is named.")


# A registry that fails


def test_train__nobody_answers(toy: Toy) -> None:
    started = time.monotonic()
    done = toy.train(tracking_uri="http://mona:geheim@127.0.0.1:9")
    assert done.code == 1
    assert done.error.startswith("MLflow could not start an MLflow run.")
    assert "geheim" not in done.log + json.dumps(done.report) + done.summary
    assert time.monotonic() - started < 30
    assert not (toy.folder / "build").exists(), "no compute was spent"


def test_train__a_locked_store(toy: Toy) -> None:
    holder = sqlite3.connect(toy.folder / "mlflow.db")
    holder.execute("begin exclusive")
    try:
        done = toy.train()
    finally:
        holder.close()
    assert done.code == 1
    assert "Another process writes to the SQLite file." in done.error


def test_train__a_deleted_experiment(toy: Toy) -> None:
    from mlflow import MlflowClient

    registry = toy.registry()
    registry.start_run(MODEL, "x", {})
    client = MlflowClient(toy.uri)
    found = client.get_experiment_by_name(MODEL)
    assert found is not None
    client.delete_experiment(found.experiment_id)
    done = toy.train()
    assert done.code == 1
    assert done.error.startswith("The MLflow experiment `toy` was deleted.")


@pytest.mark.parametrize(
    "deed", ["shutil.rmtree('mlruns', True); open('mlruns', 'w')", "os.remove('mlflow.db'); os.mkdir('mlflow.db')"]
)
def test_train__the_registry_dies_while_training(toy: Toy, deed: str) -> None:
    toy.write("train.py", (toy.folder / "train.py").read_text() + f"\nimport shutil\n{deed}\n")
    toy.policy()
    done = toy.train()
    assert done.code == 1
    assert "MLflow could not" in done.error
    assert done.outputs["verdict"] == "inconclusive"
    assert done.outputs["model-version"] == ""
    if (toy.folder / "mlflow.db").is_file():
        assert_nothing_registered(toy)


def test_train__two_at_once_on_one_store(toy: Toy, tmp_path: Path) -> None:
    other = Toy(tmp_path / "other", tmp_path / "other temp", toy.cache)
    other.temp.mkdir()
    (other.temp / "bin").symlink_to(toy.temp / "bin")
    toy.git("clone", "--quiet", str(toy.folder), str(other.folder))
    both = []
    for each in (toy, other):
        each.environ = {"INPUT_TRACKING_URI": toy.uri}
        both.append(each.start("train_model.py", "train-model"))
    logs = [process.communicate(timeout=90)[0] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, logs
    for code, log in zip(codes, logs, strict=True):
        assert code == 0 or "Another process writes to the SQLite file." in log, log
    assert len(rows(toy, "select * from model_versions")) == codes.count(0)


# Never doing work twice


def runs(toy: Toy) -> int:
    return len(rows(toy, "select * from runs"))


def test_train__the_same_work_is_not_done_again(toy: Toy) -> None:
    passed = str(toy.temp / "passed")
    first = toy.train(reuse_from=passed)
    toy.registry().set_alias(MODEL, CANDIDATE, "1")
    second = toy.train(reuse_from=passed, report=str(toy.temp / "elsewhere" / "train-model.json"))
    assert (first.code, second.code) == (0, 0), second.log
    assert runs(toy) == 1
    for name in ("model-version", "run-id", "statement-digest"):
        assert second.outputs[name] == first.outputs[name] != ""
    assert second.report["reused_from"] == "https://github.invalid/octo/models/actions/runs/1000"
    assert second.report["subjects"] == first.report["subjects"]
    # The evidence is there again, so that the ledger can keep it.
    for name, said in second.report["attachments"].items():
        assert f"sha256:{hashlib.sha256((toy.temp / 'elsewhere' / name).read_bytes()).hexdigest()}" == said
    # A commit that changes nothing is no reason, either.
    toy.commit("Nothing")
    assert toy.train(reuse_from=passed).outputs["model-version"] == "1"
    assert toy.train().outputs["model-version"] == "2"
    # The candidate is whatever was trained for this change.
    assert toy.train(reuse_from=passed).outputs["model-version"] == "1"
    candidate = toy.registry().by_alias(MODEL, CANDIDATE)
    assert candidate is not None and candidate.version == "1"


@pytest.mark.parametrize("what", ["code", "data", "policy", "parameters"])
def test_train__any_change_is_trained(toy: Toy, what: str) -> None:
    toy.write("params.yaml", "depth: 3\n")
    toy.policy(training={"parameters": "params.yaml", "code": ["train.py", "lib"]})
    given = {"reuse_from": str(toy.temp / "passed")}
    assert toy.train(**given).outputs["model-version"] == "1"
    toy.write("README.md", "Not a part of it")
    toy.commit()
    assert toy.train(**given).outputs["model-version"] == "1"
    if what == "policy":
        toy.policy(training={"parameters": "params.yaml", "code": ["train.py", "lib"], "seed": 7})
    elif what == "parameters":
        toy.write("params.yaml", "depth: 4\n")
    else:
        file = toy.folder / ("train.py" if what == "code" else "data/train.csv")
        file.write_text(file.read_text() + ("\n" if what == "code" else "0.5,1\n"))
    toy.commit()
    assert toy.train(**given).outputs["model-version"] == "2"


def test_train__no_reuse_of_what_cannot_be_told(toy: Toy) -> None:
    given = {"reuse_from": str(toy.temp / "passed"), "allow_dirty_tree": "true"}
    toy.write("left.py", "")
    assert [toy.train(**given).outputs["model-version"] for _ in range(2)] == ["1", "2"]
    assert not (toy.temp / "passed").exists()
    (toy.folder / "left.py").unlink()
    toy.policy(training={"code": ["train.py", "libb"]})
    done = toy.train(**given)
    assert done.code == 1 and "`training.code` names libb, where nothing is committed" in done.error


def test_train__no_reuse_of_another_model_under_the_same_name(toy: Toy) -> None:
    given = {"reuse_from": str(toy.temp / "passed")}
    assert toy.train(**given).code == 0
    with sqlite3.connect(toy.folder / "mlflow.db") as connection:
        connection.execute("update model_version_tags set value = 'sha256:other' where key = 'slipway.model_digest'")
    connection.close()
    done = toy.train(**given)
    assert done.outputs["model-version"] == "2"
    assert "is another model than the one that was trained" in done.log
