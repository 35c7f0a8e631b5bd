"""Starts the worker in the model's environment and reads back what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.runner.errors import GateError, RemoteError

if TYPE_CHECKING:
    import polars as pl

WORKER = Path(__file__).with_name("worker.py")
MODEL_AT_FAULT = 3

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""All that a model's process sees of the job's environment: no token is among it."""


@dataclass(frozen=True)
class Predictions:
    """One model's answers for the holdout's rows.

    frame: `prediction` (for classes: a position in `classes`) and `probability_<position>`, one row per holdout row;
    in multilabel tasks `prediction_<position>` (whether the row is given the label), and `classes` names the labels.
    """

    frame: pl.DataFrame
    classes: list[Any] | None
    load_seconds: float
    predict_seconds: float


@dataclass(frozen=True)
class Job:
    """One model to run: a name for messages, its folder, the Python of its environment, and where it may write."""

    name: str
    model: Path
    python: Path
    output: Path


def predict_all(jobs: Sequence[Job], features: Path, task: str, *, timeout: float) -> list[Predictions]:
    """Run the models' processes side by side; results in the order of `jobs`. `timeout` is in seconds.

    Raises GateError where a model cannot be loaded or cannot predict, RemoteError where its process broke.
    """
    started = [_start(job, features, task) for job in jobs]
    try:
        for job, process in zip(jobs, started, strict=True):
            _wait(job, process, timeout)
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()
    return [_read(job) for job in jobs]


def clean_environ(python: Path) -> dict[str, str]:
    """The environment of a process that runs a team's code: no token of the job is in it."""
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**environ, "PYTHONNOUSERSITE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}


def _start(job: Job, features: Path, task: str) -> subprocess.Popen[str]:
    job.output.mkdir(parents=True, exist_ok=True)
    # The model's own folder is all it needs; a store of its own keeps it from looking for one.
    environ = {**clean_environ(job.python), "MLFLOW_TRACKING_URI": f"sqlite:///{job.output.resolve()}/unused.db"}
    return subprocess.Popen(
        # -P keeps the working folder off the module path: the pull request's files must not shadow a package.
        [str(job.python), "-P", str(WORKER), str(job.model.resolve()), str(features), str(job.output), task],
        cwd=job.output,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _wait(job: Job, process: subprocess.Popen[str], timeout: float) -> None:
    try:
        _, said = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise GateError(
            f"{job.name} did not predict the holdout within {timeout / 60:.3g} minutes.",
            fix="Make the model faster, or the holdout smaller.",
        ) from error
    if process.returncode in (0, MODEL_AT_FAULT) and not _complete(job).is_file():
        # The model's code can end the process itself, with any exit code and without a word.
        fault = said.strip() if process.returncode else ""
        raise GateError(
            f"{job.name}: {fault.splitlines()[-1] if fault else 'its process ended before it had predicted'}.",
            why="Both models must predict every row of the holdout before they can be compared.",
            fix="Load the model with `mlflow.pyfunc.load_model` in an environment of its recorded requirements, and "
            "predict the holdout without its target, to see the same.",
        )
    if process.returncode:
        ended = f"was ended by signal {-process.returncode}" if process.returncode < 0 else "broke"
        raise RemoteError(
            f"The process that predicts with {job.name} {ended}.",
            why=said.strip()[-2000:],
            fix="Signal 9 is mostly a lack of memory: use a larger runner or a smaller holdout.",
        )


def _complete(job: Job) -> Path:
    """What the worker writes last."""
    return job.output / "predictions.json"


def _read(job: Job) -> Predictions:
    import polars as pl

    about = json.loads(_complete(job).read_text(encoding="utf-8"))
    frame = pl.read_parquet(job.output / "predictions.parquet")
    return Predictions(frame, about["classes"], about["load_seconds"], about["predict_seconds"])
