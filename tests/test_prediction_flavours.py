"""Models of several libraries, predicted in their own environment: what comes out is what the library itself says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import bytecode
import warm_worker
from slipway.policy.evaluation import Isolation
from slipway.prediction.isolation import confinement
from slipway.prediction.process import Job, Predictions, predict_all
from slipway.runner import environments

pytestmark = pytest.mark.xdist_group("flavours")

KIT = Path(__file__).with_name("flavours_kit.py")
PACKAGES = (
    *("mlflow-skinny==3.17.2", "pandas==3.1.1", "pyarrow==25.0.1", "scikit-learn==1.9.1", "skops==0.16.0"),
    *("xgboost-cpu==3.2.0", "lightgbm==4.7.0", "onnx==1.23.2", "onnxruntime==1.32.0", "skl2onnx==1.20.0"),
)
LIBRARIES = ("mlflow.sklearn", "sklearn.ensemble", "xgboost", "lightgbm", "onnxruntime")
ROWS = 300


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> Path:
    """The interpreter of an environment with all the libraries."""
    lock = tmp_path_factory.mktemp("flavours-lock") / "requirements.txt"
    lock.write_text("\n".join(PACKAGES) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_CACHE", str(environments_cache))
        python = environments.for_lock(lock)
    bytecode.share(python)
    return python


@pytest.fixture(scope="session")
def programs(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the PATH: models predict in forks of a process that has their libraries."""
    folder = tmp_path_factory.mktemp("programs")
    if unshare := shutil.which("unshare"):
        (folder / "unshare").symlink_to(warm_worker.stand_in(python, unshare, *LIBRARIES))
    return folder


@pytest.fixture(scope="session")
def models(python: Path, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each task, with models and what they should say; who waits for them is ready by then."""
    folder = tmp_path_factory.mktemp("flavours")
    environ = {**environments.clean_environ(), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/none.db"}
    done = subprocess.run(
        [str(python), str(KIT), str(folder)], capture_output=True, text=True, check=False, env=environ, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder


def said(models: Path, python: Path, folder: str, task: str, output: Path) -> dict[str, tuple[Predictions, Any]]:
    """Each model's predictions beside what its library says, by name."""
    expected = json.loads((models / folder / "expected.json").read_text())
    jobs = [Job(name, models / folder / name, python, output / name) for name in expected]
    features = models / folder / "features.parquet"
    confined = confinement(Isolation())
    found = predict_all(jobs, features, task, timeout=300, confinement=confined, rows=ROWS)
    return dict(zip(expected, zip(found, expected.values(), strict=True), strict=True))


def check(name: str, predictions: Predictions, expected: Any, default: list[Any] | None) -> None:
    classes = default if predictions.classes is None else predictions.classes
    labels = predictions.frame["prediction"].to_list()
    if classes is None:
        np.testing.assert_allclose(labels, expected["labels"], rtol=1e-4, atol=1e-5, err_msg=name)
        return
    assert [classes[place] for place in labels] == expected["labels"], name
    columns = predictions.frame.select(pl.selectors.starts_with("probability_"))
    if expected["probabilities"]:
        np.testing.assert_allclose(columns.to_numpy(), expected["probabilities"], atol=1e-5, err_msg=name)
    else:
        assert columns.is_empty(), name


@pytest.mark.parametrize(
    ("folder", "task", "classes"),
    [
        ("binary", "binary", [0, 1]),
        ("multiclass", "multiclass", None),
        ("regression", "regression", None),
        ("onnx binary", "binary", [0, 1]),
        ("onnx multiclass", "multiclass", None),
        ("onnx regression", "regression", None),
        ("onnx columns", "binary", [0, 1]),
    ],
)
def test_flavours__predict_as_their_libraries_do(
    models: Path,
    python: Path,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    task: str,
    classes: list[Any] | None,
) -> None:
    """Text and missing values among the features; classes that are numbers and classes that are names."""
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name, (predictions, expected) in said(models, python, folder, task, tmp_path).items():
        check(name, predictions, expected, classes)
