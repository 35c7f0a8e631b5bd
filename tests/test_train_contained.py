"""train-model and reproduce-model with the command in a container: real Podman, a real registry, MLflow on SQLite."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packaging_kit import Containers, containers
from test_training_toy import MODEL, QUIET, Toy, make_toy, wait_for

__all__ = ["containers"]
pytestmark = [QUIET, pytest.mark.xdist_group("containers")]


@pytest.fixture
def toy(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    environments_cache: Path,
    containers: Containers,
    monkeypatch: pytest.MonkeyPatch,
) -> Toy:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    made = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    made.environ |= containers.environ
    for name, value in containers.environ.items():
        monkeypatch.setenv(name, value)
    return made


def in_container(toy: Toy, containers: Containers, command: str = "python3 train.py", **more: Any) -> None:
    training = {key: more.pop(key) for key in ("requirements", "model", "seed", "timeout_minutes") if key in more}
    toy.policy(training={"command": command, "container": {"image": containers.base, **more}, **training})


def test_train__a_model_that_was_made_in_a_container(toy: Toy, containers: Containers) -> None:
    in_container(toy, containers)
    done = toy.train()
    print(done.log)
    assert done.code == 0, done.log
