"""The package-model action as a job runs it: real Buildah, Podman, registry and MLflow; the model is a few lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packaging_kit import SMALL, Containers, containers
from slipway.prediction import golden
from slipway.registry.digests import digest
from slipway.registry.mlflow import ModelVersion
from test_training_toy import MODEL, QUIET, ROOT, Done, Toy, make_toy

__all__ = ["containers"]
pytestmark = [QUIET, pytest.mark.xdist_group("containers")]

ROWS = [[0.5, 1.0], [-1.25, 0.0], [2.0, 3.5]]


@pytest.fixture(scope="module")
def shared_toy(
    tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, containers: Containers
) -> Iterator[Toy]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("place"))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")
        toy = make_toy(tmp_path_factory.mktemp("toy"), tmp_path_factory.getbasetemp(), environments_cache)
        toy.environ |= containers.environ
        yield toy


def policy(toy: Toy, containers: Containers, **packaging: Any) -> None:
    toy.policy({"packaging": {"base": containers.base, "repository": f"{containers.host}/octo/toy", **packaging}})


def version_of(toy: Toy, *, lock: str = SMALL, answers: Any = None, **how: Any) -> ModelVersion:
    """A version as train-model registers it and evaluate-model leaves it."""
    made = toy.version({"x1": 1.0}, "identity", lock=lock, alias="candidate", **how)
    registry = toy.registry()
    tags = {"model_digest": digest(registry.download(made, toy.temp / f"v{made.version}"))}
    tags |= {"commit": toy.git("rev-parse", "HEAD").strip(), "python": "3.11.7", "dataset.train": "file:sha256:1"}
    registry.tag_version(made, {f"slipway.{name}": value for name, value in tags.items()})
    request = {"dataframe_split": {"columns": ["x1", "x2"], "data": ROWS}}
    answer = {"predictions": [row[0] for row in ROWS] if answers is None else answers}
    content = json.dumps({"request": request, "answer": answer}).encode()
    golden.keep(registry, registry.by_version(MODEL, made.version), content, toy.temp)
    return registry.by_version(MODEL, made.version)


def package(toy: Toy, **inputs: str) -> Done:
    return toy.run(ROOT / "actions" / "package-model", **inputs)


def test_package__a_version_becomes_an_image(shared_toy: Toy, containers: Containers) -> None:
    toy = shared_toy
    policy(toy, containers)
    version = version_of(toy)
    done = package(toy)
    assert done.code == 0, done.log
    print(done.log, json.dumps(done.report, indent=1))
