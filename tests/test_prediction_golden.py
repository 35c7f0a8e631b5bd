"""evaluate-model keeps a golden batch where the policy packages: real MLflow, the candidate in its own process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slipway.packaging import records
from slipway.prediction import golden
from slipway.registry.mlflow import ModelVersion
from slipway.report import Report, Verdict
from slipway.runner.errors import GateError, InputError
from test_training_toy import MODEL, QUIET, Done, Toy, holdout, make_toy

pytestmark = QUIET
PACKAGING = {"base": f"docker.io/library/python@sha256:{'0' * 64}", "repository": "ghcr.io/octo/toy", "golden_rows": 7}


@pytest.fixture
def toy(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Toy:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    return make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)


def judged(toy: Toy, version: ModelVersion) -> tuple[Done, dict[str, str]]:
    done = toy.evaluate(model_version=version.version)
    return done, toy.registry().by_version(MODEL, version.version).tags


def test_evaluate__keeps_what_the_candidate_answered(toy: Toy, tmp_path: Path) -> None:
    toy.policy({"packaging": PACKAGING})
    version = toy.version({"x1": 2.0, "x2": 1.0}, "logit", alias="candidate")
    done, tags = judged(toy, version)
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    kept = golden.of_version(toy.registry(), toy.registry().by_version(MODEL, version.version), tmp_path / "kept")
    assert kept.digest == tags[golden.TAG]
    rows = holdout()[list(golden.positions(1500, 7))]
    split = kept.request["dataframe_split"]
    assert split["columns"] == ["x1", "x2"]
    assert split["data"] == [list(row) for row in rows.select("x1", "x2").iter_rows()], "to the last digit, no target"
    scores = (2 * rows["x1"] + rows["x2"]).to_numpy()
    import numpy as np

    assert kept.predictions == pytest.approx((1 / (1 + np.exp(-scores))).tolist(), abs=1e-15)
    (subject,) = (each for each in done.report["subjects"] if each["role"] == "golden")
    assert subject["id"] == kept.digest
    again, _ = judged(toy, version)
    assert [each for each in again.report["subjects"] if each["role"] == "golden"] == [subject]

    # What package-model makes of the report.
    found = toy.registry().by_version(MODEL, version.version)
    path = Path(again.outputs["report"])
    assert records.judged(path, found) == kept.digest
    other = ModelVersion(MODEL, "2", "", "", {"slipway.model_digest": "sha256:other"})
    with pytest.raises(InputError, match="is not the evaluation of version 2"):
        records.judged(path, other)
    report = Report.read(path)
    report.model_copy(update={"verdict": Verdict.FAIL}).write(path)
    with pytest.raises(GateError, match="is fail, so it is not packaged"):
        records.judged(path, found)
    subjects = tuple(each for each in report.subjects if each.role != "golden")
    report.model_copy(update={"subjects": subjects}).write(path)
    with pytest.raises(GateError, match="kept no golden predictions"):
        records.judged(path, found)


def test_evaluate__keeps_nothing_without_the_section(toy: Toy) -> None:
    version = toy.version({"x1": 2.0, "x2": 1.0}, "logit", alias="candidate")
    done, tags = judged(toy, version)
    assert done.outputs["verdict"] == "pass", done.log
    assert golden.TAG not in tags
    assert not [each for each in done.report["subjects"] if each["role"] == "golden"]


def test_golden__an_artifact_that_was_changed(toy: Toy, tmp_path: Path) -> None:
    toy.policy({"packaging": PACKAGING})
    version = toy.version({"x1": 2.0}, "logit", alias="candidate")
    content = json.dumps({"request": {"inputs": [[1.0]]}, "answer": {"predictions": [1.0]}}).encode()
    golden.keep(toy.registry(), version, content, toy.temp)
    found = toy.registry().by_version(MODEL, version.version)
    assert golden.of_version(toy.registry(), found, tmp_path / "kept").rows == 1
    with pytest.raises(GateError, match="not those that were recorded"):
        golden.of_version(toy.registry(), found, tmp_path / "other", expected=f"sha256:{'1' * 64}")
