"""The stages, as the actions run them, on data that lie in S3: trained on, judged by, and on record as one version."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from store_doubles import S3, moto
from test_training_toy import QUIET, Toy, make_toy

pytestmark = QUIET

GATE = {"reproducibility": {"mutable_data": "fail"}}
SECRET = "wJalrXUtnFEMI-not-a-real-one"


@pytest.fixture(scope="module")
def server(environments_cache: Path) -> Iterator[str]:
    with moto(environments_cache) as url:
        yield url


@pytest.fixture
def toy(
    server: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    environments_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Toy:
    """The toy with its data in a bucket that keeps versions, and without them in its repository."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    found = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    access = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
    found.environ = {**access, "AWS_ENDPOINT_URL": server}
    S3(server).bucket("toy")
    found.write("train.py", (found.folder / "train.py").read_text().replace('"data/train.csv"', "DATA"))
    text = (found.folder / "train.py").read_text()
    first, _, rest = text.partition("\nrows = ")
    assert rest
    found.write("train.py", f"{first}\nimport os\nDATA = os.environ['SLIPWAY_DATA_TRAIN']\nrows = {rest}")
    found.git("rm", "--quiet", "--cached", "-r", "data")
    found.write(".gitignore", (found.folder / ".gitignore").read_text() + "/data\n")
    return found


def test_stages__train_and_evaluate_on_pinned_and_on_moving_data(toy: Toy, server: str) -> None:
    store, train = S3(server), (toy.folder / "data" / "train.csv").read_bytes()
    version = store.put("toy", "train.csv", train)
    store.put("toy", "holdout/part.parquet", (toy.folder / "data" / "holdout.parquet").read_bytes())
    (toy.folder / "data" / "train.csv").unlink()
    (toy.folder / "data" / "holdout.parquet").unlink()
    pinned = f"s3://toy/train.csv?versionId={version}"
    toy.policy({"data": {"train": {"path": pinned}, "holdout": {"path": "s3://toy/holdout/"}}})
    # What comes later is no part of the pinned version.
    store.put("toy", "train.csv", b"x1,y\n1,7\n")

    done = toy.train()
    assert done.code == 0, done.log
    assert done.report["provenance"]["data_train"] == f"{pinned} s3 {version}"
    file = toy.registry().run_file(done.outputs["run-id"], "slipway/provenance.json", toy.temp / "kept")
    assert file is not None
    kept = json.loads(file.read_text(encoding="utf-8"))["datasets"]
    assert (kept["train"]["immutable"], kept["train"]["pinned"]) == (True, pinned)
    assert len(kept["train"]["sha256"]) == 64
    assert kept["holdout"]["immutable"] is False
    assert (
        f"The dataset `holdout` names no version, so it can change under its name. Write `{kept['holdout']['pinned']}`"
        in (done.reasons)
    )

    judged = toy.evaluate(model_version=done.outputs["model-version"])
    assert judged.code == 0, judged.log
    assert judged.report["provenance"]["data_holdout"] == f"s3://toy/holdout/ s3 {kept['holdout']['id']}"
    assert SECRET not in done.log + judged.log + json.dumps([done.report, judged.report])

    toy.policy({"data": {"train": {"path": pinned}, "holdout": {"path": "s3://toy/holdout/"}}} | GATE)
    refused = toy.train()
    assert refused.code == 1
    assert refused.error.startswith("A dataset can change without a change of name: `holdout`.")
    repaired = {"train": {"path": pinned}, "holdout": {"path": kept["holdout"]["pinned"]}}
    toy.policy({"data": repaired} | GATE)
    done = toy.train()
    assert done.code == 0, done.log
