"""Starts a worker in its own environment, confined, and reads back what a model's worker wrote."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from slipway.prediction import isolation
from slipway.prediction.confined import CANNOT_CONFINE
from slipway.prediction.isolation import Confinement
from slipway.runner.errors import GateError, RemoteError

if TYPE_CHECKING:
    import polars as pl

WORKER = Path(__file__).with_name("worker.py")
MODEL_AT_FAULT = 3
SAID_BYTES = 20_000
"""How much of a process's last words is read."""
ABOUT_BYTES = 10_000_000
"""How large the description of the predictions may be: it holds the classes."""
USAGE_BYTES = 1_000


@dataclass(frozen=True)
class Predictions:
    """One model's answers for the holdout's rows.

    frame: `prediction` (for classes: a position in `classes`) and `probability_<position>`, one row per holdout row;
    in multilabel tasks `prediction_<position>` (whether the row is given the label), and `classes` names the labels.
    load_seconds, predict_seconds: None where nobody measured them.
    """

    frame: pl.DataFrame
    classes: list[Any] | None
    load_seconds: float | None = None
    predict_seconds: float | None = None


@dataclass(frozen=True)
class Job:
    """One model to run: a name for messages, its folder, the Python of its environment, and where it may write.

    A scorer runs in the same way; its folder holds the module. golden: positions of rows in the first file of features
    for which the model's answers are kept as its server would give them.
    """

    name: str
    model: Path
    python: Path
    output: Path
    golden: tuple[int, ...] = ()


@dataclass(frozen=True)
class Started:
    """A worker that runs. said: what it writes to stderr."""

    job: Job
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        self.said.seek(max(0, self.said.seek(0, 2) - SAID_BYTES))
        return self.said.read().decode(errors="replace").strip()


def predict_all(
    jobs: Sequence[Job], features: Path, task: str, *, timeout: float, confinement: Confinement, rows: int
) -> list[Predictions]:
    """Run the models' processes side by side; results in the order of `jobs`. `timeout` is in seconds.

    rows: how many rows `features` has. Raises GateError where a model cannot be loaded or cannot predict, or leaves
    something else than predictions; RemoteError where its process broke.
    """
    return [by_file[0] for by_file in predict_files(jobs, [features], task, timeout, confinement, [rows])]


def predict_files(
    jobs: Sequence[Job],
    features: Sequence[Path],
    task: str,
    timeout: float,
    confinement: Confinement,
    rows: Sequence[int],
) -> list[list[Predictions]]:
    """As `predict_all`, for several files of features, with `rows` of each: per job, its predictions by file."""
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        started = []
        for job in jobs:
            rows_kept = ",".join(map(str, job.golden))
            begun = start(job, ["predict", task, rows_kept, *map(_resolved, features)], features, confinement)
            stack.callback(begun.said.close)
            stack.callback(isolation.end, begun.process)
            started.append(begun)
        for each in started:
            _wait(each, timeout, deadline)
    return [[_read(job, place, task, rows[place]) for place in range(len(features))] for job in jobs]


def start(
    job: Job,
    arguments: Sequence[str],
    read: Sequence[Path],
    confinement: Confinement,
    *,
    pipes: bool = False,
    worker: Path = WORKER,
) -> Started:
    """Start a worker, confined, in a session and process group of its own. pipes: whether to talk to it.

    The pipes have no buffer, and writing to a full one gives None: no process can hold us up by not reading.
    """
    output = job.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    # -P keeps the working folder off the module path: the pull request's files must not shadow a package.
    python = job.python.absolute()  # not resolved: the link is what makes it the environment's
    command = confinement.command(
        [str(python), "-P", str(worker), _resolved(job.model), str(output), *arguments],
        # Absolute: it works in a folder of its own, from which another path would lead to nothing.
        read=[each.resolve() for each in (job.model, worker, *read)],
        write=output,
        usage=usage_file(job).absolute(),
    )
    # Closed with the job. A pipe would have to be read all the time, and can bring any amount.
    said = tempfile.TemporaryFile()  # noqa: SIM115
    process = subprocess.Popen(
        command,
        cwd=output,
        env=isolation.environ_of(python, output),
        stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stderr=said,
        bufsize=0,
        # Not a group alone: in our session it could type into the terminal that somebody started us from.
        start_new_session=True,
    )
    if process.stdin:
        os.set_blocking(process.stdin.fileno(), False)
    return Started(job, process, said)


def usage_file(job: Job) -> Path:
    """Where the peak memory of a job's process is written: beside what the model can write to."""
    return job.output.with_name(f"{job.output.name}-usage.json")


def peak_memory(job: Job) -> float:
    """Peak memory of a job's process, in bytes. Raises RemoteError where it was not measured."""
    try:
        peak = json.loads(isolation.read_left(usage_file(job), USAGE_BYTES))["peak_bytes"]
        if type(peak) not in (int, float) or not math.isfinite(peak) or peak <= 0:
            raise ValueError("it holds no number of bytes.")
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise RemoteError(
            f"{job.name}: the peak memory of its process was not measured.",
            why=f"{usage_file(job).name}: {error}"[:500],
            fix="Run the job again. Slipway writes this file when the process has ended; a full disk, or a model that "
            "the machine cannot keep from other files, can spoil it.",
        ) from error
    return float(peak)


def _resolved(path: Path) -> str:
    return str(path.resolve())


def _wait(started: Started, timeout: float, deadline: float) -> None:
    job = started.job
    if not isolation.ended(started.process, deadline):
        raise GateError(
            f"{job.name} did not predict the holdout within {timeout / 60:.3g} minutes.",
            fix="Make the model faster, or the holdout smaller.",
        )
    code = started.process.returncode
    if code in (0, MODEL_AT_FAULT) and not _complete(job).is_file():
        # The model's code can end the process itself, with any exit code and without a word.
        raise at_fault(started)
    if code:
        raise broke(started)


def at_fault(started: Started) -> GateError:
    """What to say of a worker that ended because of its model."""
    said = started.last_words() if started.process.returncode else ""
    return GateError(
        f"{started.job.name}: {said.splitlines()[-1] if said else 'its process ended before it had predicted'}.",
        why="Both models must predict every row of the holdout before they can be compared.",
        fix="Load the model with `mlflow.pyfunc.load_model` in an environment of its recorded requirements, and "
        "predict the holdout without its target, to see the same. It sees no network and no file but its own there "
        "(docs/evaluate-model.md, Isolation).",
    )


def broke(started: Started) -> RemoteError:
    """What to say of a worker that neither the code it runs nor we have ended."""
    code = started.process.returncode
    number = -code if code < 0 else code - 128  # the process around it passes a signal on as an exit code
    if code == CANNOT_CONFINE:
        ended = "could not be confined"
    else:
        ended = f"was ended by signal {number}" if number > 0 else "broke"
    return RemoteError(
        f"{started.job.name}: its process {ended}.",
        why=started.last_words()[-2000:],
        fix="Signal 9 is mostly a lack of memory: use a larger runner or a smaller holdout.",
    )


def _complete(job: Job) -> Path:
    """What the worker writes last."""
    return job.output / "predictions.json"


def _read(job: Job, place: int, task: str, rows: int) -> Predictions:
    """What the model left for one file of features: written by its own process, so it is checked like any input."""
    import polars as pl
    from polars.exceptions import PolarsError

    def unusable(why: object) -> GateError:
        return GateError(
            f"{job.name} left no predictions that can be read.",
            why=str(why)[:500],
            fix="The model's code must not write to its process's working folder under the worker's names.",
        )

    written = job.output / f"predictions-{place}.parquet"
    try:
        isolation.check_ordinary(written, written.lstat(), isolation.FILE_BYTES)
        about = json.loads(isolation.read_left(_complete(job), ABOUT_BYTES))
        classes = about["classes"][place]
        seconds = float(about["load_seconds"]), float(about["predict_seconds"][place])
        lazy = pl.scan_parquet(written)
        columns = lazy.collect_schema()
        found_rows = int(lazy.select(pl.len()).collect().item())
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError, PolarsError) as error:
        raise unusable(error) from error
    unnamed = 2 if task == "binary" else 0  # negative and positive
    known = unnamed if classes is None else len(classes) if isinstance(classes, list) else -1
    named = all(isinstance(each, bool | int | float | str) for each in classes or [])
    needed, kinds = {"prediction"}, [dtype.is_numeric() for dtype in columns.values()]
    if task == "multilabel":  # as many labels as there are columns for them
        known = sum(column.startswith("prediction_") for column in columns)
        needed = {f"prediction_{each}" for each in range(known)} or needed
        kinds = [dtype.is_numeric() or dtype == pl.Boolean for dtype in columns.values()]
    if task == "text":
        kinds = [dtype == pl.String for dtype in columns.values()]
    expected = {*needed, *(f"probability_{each}" for each in range(known))}
    if known < 0 or not named or not needed <= set(columns) <= expected or not all(kinds):
        raise unusable(f"It has the columns {', '.join(columns)[:200]}.")
    if found_rows != rows:
        raise GateError(f"{job.name} gave {found_rows:,} predictions for {rows:,} rows.")
    try:
        frame = lazy.collect()
    except (OSError, PolarsError) as error:
        raise unusable(error) from error
    positions = known and task != "multilabel"
    if positions and not (columns["prediction"].is_integer() and frame["prediction"].is_between(0, known - 1).all()):
        raise unusable("A prediction is no position in the list of classes.")
    return Predictions(frame, classes, *seconds)
