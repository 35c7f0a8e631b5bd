"""Requests to real models in their processes. No timing decides a test."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.evaluation.latency import Timings
from slipway.policy.evaluation import Isolation
from slipway.policy.latency import Latency
from slipway.prediction import latency
from slipway.prediction.isolation import confinement
from slipway.prediction.latency import measure
from slipway.prediction.process import Job, peak_memory, usage_file
from slipway.runner.errors import GateError, RemoteError
from test_prediction_isolation import python as python  # noqa: PLC0414 - a fixture
from test_training_toy import QUIET, holdout, save_toy

pytestmark = QUIET

RULES = Latency(requests=20, batches=10, batch_rows=1_000, starts=2)


def timed(tmp_path: Path, python: Path, *misdeeds: str, seconds: float = 120) -> list[Timings]:
    features = tmp_path / "features.parquet"
    holdout(50).select("x1", "x2").write_parquet(features)
    jobs = [
        Job(
            f"model {place}",
            save_toy(tmp_path / f"model-{place}", {"x1": 1.0}, misdeed=deed),
            python,
            tmp_path / "o" / str(place),
        )
        for place, deed in enumerate(misdeeds)
    ]
    given: dict[str, Any] = {"rows": 50, "timeout": seconds, "confinement": confinement(Isolation()), "seed": 3}
    return measure(jobs, features, RULES, **given, log=tmp_path / "timings.parquet")


def test_measure__two_models_in_turn(tmp_path: Path, python: Path) -> None:
    """What a model prints does not disturb its answers."""
    note = "open('asked.txt', 'a').write(f'{len(frame)} '); print('done'); import time; time.sleep(0.001)"
    fast, slow = timed(tmp_path, python, "", note)
    for each in (fast, slow):
        assert (each.single_ms.shape, each.batch_ms.shape, each.batch_rows) == ((20,), (10,), 50)
        assert (each.single_ms > 0).all() and (each.batch_ms > 0).all()
        assert (len(each.load_seconds), len(each.memory_mb)) == (2, 2)
        assert all(10 < megabytes < 10_000 for megabytes in each.memory_mb)
        assert 0 < each.size_mb < 1
    assert (slow.single_ms >= 1).all()
    asked = (tmp_path / "o" / "1-serving-1" / "asked.txt").read_text().split()
    assert asked == ["1"] * 40 + ["50"] * 10  # 20 to warm up
    log = pl.read_parquet(tmp_path / "timings.parquet")
    assert log.columns == ["model", "rows", "round", "milliseconds"]
    assert log.height == 2 * (20 + 10)


@pytest.mark.parametrize(
    ("deed", "error", "said"),
    [
        ("raise at load", GateError, "the model cannot be loaded"),
        ("raise ValueError('no')", GateError, "cannot predict the holdout: ValueError: no"),
        ("os.kill(os.getpid(), 9)", RemoteError, "was ended by signal 9"),
        ("os._exit(0)", GateError, "its process ended before it had predicted"),
        ("import atexit; atexit.register(lambda: os._exit(7))", RemoteError, "its process broke"),
    ],
)
def test_measure__a_model_that_fails(tmp_path: Path, python: Path, deed: str, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        timed(tmp_path, python, deed)


def test_measure__a_model_that_does_not_answer(tmp_path: Path, python: Path) -> None:
    with pytest.raises(GateError, match="model 0 did not answer its requests in time"):
        timed(tmp_path, python, "import time; time.sleep(600)", seconds=15)


TO_US = """
import stat, time
pipes = [fd for fd in range(1, 20) if os.path.exists(f'/proc/self/fd/{fd}') and stat.S_ISFIFO(os.fstat(fd).st_mode)]
def say(text):
    for fd in pipes:
        os.write(fd, text)
"""
"""The model's code has the pipe by which its worker answers us, and can write there what it likes."""


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("say(b'don'); time.sleep(600)", "did not answer its requests in time"),
        ("[os.close(fd) for fd in pipes]; time.sleep(600)", "did not answer its requests in time"),
        ("say(b'x' * 1000); time.sleep(600)", "something else than its predictions"),
        ("say(b'done\\ndone\\n')", "something else than its predictions|before it was asked"),
    ],
)
def test_measure__what_a_model_says_in_place_of_an_answer(tmp_path: Path, python: Path, deed: str, said: str) -> None:
    with pytest.raises(GateError, match=said):
        timed(tmp_path, python, TO_US + deed, seconds=15)


def test_measure__a_model_that_does_not_end(tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of it goes on after the last request; it is killed with all that it started."""
    monkeypatch.setattr(latency, "END_SECONDS", 0.5)
    deed = """
import threading, time
def tick():
    while True:
        open('alive.txt', 'a').write('.')
        time.sleep(0.01)
threading.Thread(target=tick).start()
"""
    with pytest.raises(GateError, match="model 0 did not end after its last request") as raised:
        timed(tmp_path, python, deed)
    assert raised.value.why and raised.value.fix
    written = tmp_path / "o" / "0-serving-0" / "alive.txt"
    size = written.stat().st_size
    time.sleep(0.2)
    assert written.stat().st_size == size


def job_of(tmp_path: Path) -> Job:
    return Job("model 0", tmp_path, tmp_path, tmp_path / "output")


def test_peak_memory__as_written(tmp_path: Path) -> None:
    usage_file(job_of(tmp_path)).write_text('{"peak_bytes": 1024}')
    assert peak_memory(job_of(tmp_path)) == 1024


@pytest.mark.parametrize(
    "written",
    [
        *("", "{", "[]", "7", "{}", "\udc80", "[" * 900, " " * 2_000 + "7"),
        *('{"peak_bytes": "7"}', '{"peak_bytes": NaN}', '{"peak_bytes": Infinity}', '{"peak_bytes": 0}'),
        *('{"peak_bytes": -7}', '{"peak_bytes": true}', '{"peak_bytes": null}', f'{{"peak_bytes": {10**400}}}'),
    ],
)
def test_peak_memory__garbage_is_refused(tmp_path: Path, written: str) -> None:
    usage_file(job_of(tmp_path)).write_bytes(written.encode(errors="surrogateescape"))
    with pytest.raises(RemoteError, match="model 0: the peak memory of its process was not measured") as raised:
        peak_memory(job_of(tmp_path))
    assert raised.value.why and raised.value.fix


def test_peak_memory__no_file_a_link_or_a_pipe_without_a_writer(tmp_path: Path) -> None:
    other, file = tmp_path / "other", usage_file(job_of(tmp_path))
    other.write_text('{"peak_bytes": 1024}')
    for put in (other.exists, lambda: file.symlink_to(other), lambda: os.mkfifo(file), file.mkdir):
        file.unlink(missing_ok=True)
        put()
        with pytest.raises(RemoteError, match="was not measured"):
            peak_memory(job_of(tmp_path))
