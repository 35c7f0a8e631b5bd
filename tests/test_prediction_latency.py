"""Requests to real models in their processes. No timing decides a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.evaluation.latency import Timings
from slipway.policy import Isolation, Latency
from slipway.prediction.isolation import confinement
from slipway.prediction.latency import measure
from slipway.prediction.process import Job
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
    ],
)
def test_measure__a_model_that_fails(tmp_path: Path, python: Path, deed: str, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        timed(tmp_path, python, deed)


def test_measure__a_model_that_does_not_answer(tmp_path: Path, python: Path) -> None:
    with pytest.raises(GateError, match="model 0 did not answer its requests in time"):
        timed(tmp_path, python, "import time; time.sleep(600)", seconds=15)
