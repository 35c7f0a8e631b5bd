"""The package-model action as a job runs it: real Buildah, Podman, registry and MLflow; the model is a few lines.

One image is built, tried, signed and pushed, and most tests look at it. What can be wrong with files of scanners,
answers and registries is shown in test_packaging.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from packaging_kit import SMALL, Containers, Valve, containers, free_port, through
from slipway.containers import bases, engines, programs
from slipway.ledger import drafting
from slipway.packaging import contents, evidence, smoke
from slipway.packaging.distribution import Repository, tag_of
from slipway.policy.source import file_digest
from slipway.prediction import golden
from slipway.registry.digests import digest
from slipway.registry.mlflow import ModelVersion
from slipway.runner.context import Run
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.inputs import Secret
from slipway.signing import Signer, sign_version
from store_doubles import Asked
from test_packaging import trivy
from test_signing import new_key, private, public
from test_training_toy import LOCK, MODEL, QUIET, ROOT, Done, Toy, holdout, make_toy, models_python

__all__ = ["containers"]
pytestmark = [QUIET, pytest.mark.xdist_group("containers")]

LIMITS = {"startup_seconds": 290, "memory_mb": 2000, "image_mb": 2000}
ROWS = [[0.5, 1.0], [-1.25, 0.0], [2.0, 3.5]]


@dataclass
class Place:
    """A toy repository with a registry of images, and a key that the policy trusts."""

    toy: Toy
    containers: Containers
    valve: Valve
    key: Any

    @property
    def repository(self) -> Repository:
        return Repository(f"{self.valve.host}/octo/toy")

    def policy(self, **packaging: Any) -> None:
        said = {"base": self.containers.base, "repository": self.repository.name, **packaging}
        signing = {"method": "key", "public_key": "keys/model.pub"}
        self.toy.policy({"packaging": said, "signing": signing})

    def version(self, *, answers: Any = None, tags: dict[str, str] | None = None) -> ModelVersion:
        """A version as train-model, sign-model and evaluate-model leave it."""
        toy, needs = self.toy, "mlflow-skinny==3.17.2\npandas\n"
        made = toy.version({"x1": 1.0}, "identity", lock=SMALL, alias="candidate", requirements=needs)
        registry = toy.registry()
        said = {"model_digest": digest(registry.download(made, toy.temp / f"v{made.version}"))}
        said |= {"commit": toy.git("rev-parse", "HEAD").strip(), "python": "3.11.7", "dataset.train": "file:sha256:1"}
        registry.tag_version(made, {f"slipway.{name}": value for name, value in {**said, **(tags or {})}.items()})
        found = registry.by_version(MODEL, made.version)
        if not tags:
            sign_version(registry, found, Signer(method="key", private_key=Secret(private(self.key))), None, toy.temp)
        request = {"dataframe_split": {"columns": ["x1", "x2"], "data": ROWS}}
        answer = {"predictions": [row[0] for row in ROWS] if answers is None else answers}
        if answers != "none":
            golden.keep(registry, found, json.dumps({"request": request, "answer": answer}).encode(), toy.temp)
        return registry.by_version(MODEL, made.version)

    def interrupted(self, version: ModelVersion, stops: Callable[[Asked], bool]) -> str:
        """A run that is cancelled at a request to the registry, which never arrives; its log."""
        valve, given = self.valve, {"MODEL_VERSION": version.version, "PRIVATE_KEY": private(self.key)}
        valve.stops = stops
        before = self.toy.environ
        self.toy.environ = {**before, **{f"INPUT_{name}": value for name, value in given.items()}}
        try:
            process = self.toy.start("package_model.py", "package-model")
            assert valve.reached.wait(300), process.communicate()[0]
            process.send_signal(signal.SIGTERM)
            log, _ = process.communicate(timeout=120)
        finally:
            self.toy.environ = before
            valve.gone.set()
            valve.stops = lambda _: False
        assert process.returncode == 130, log
        return log

    def run(self, **inputs: str) -> Done:
        key = {} if inputs.get("command") == "verify" else {"private_key": private(self.key)}
        return self.toy.run(ROOT / "actions" / "package-model", **key, **inputs)

    def tags_of(self, version: ModelVersion) -> dict[str, str]:
        return self.toy.registry().by_version(MODEL, version.version).tags


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, containers: Containers
) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("place"))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")
        for name, value in containers.environ.items():
            patch.setenv(name, value)
        toy = make_toy(tmp_path_factory.mktemp("toy"), tmp_path_factory.getbasetemp(), environments_cache)
        toy.environ |= containers.environ
        toy.environ["TMPDIR"] = str(toy.temp / "temporary")
        (toy.temp / "temporary").mkdir()
        key = new_key()
        toy.write("keys/model.pub", public(key))
        with through(containers.host) as valve:
            made = Place(toy, containers, valve, key)
            made.policy(limits=LIMITS)
            yield made


@pytest.fixture(scope="module")
def cut_short(place: Place) -> tuple[ModelVersion, dict[str, Any]]:
    """A version whose first packaging was cancelled right before the manifest, and what that left behind."""
    version = place.version()
    log = place.interrupted(version, lambda asked: asked.method == "PUT" and "/manifests/" in asked.path)
    containers = place.containers
    left = {
        "log": log,
        "tags": containers.tags("octo/toy"),
        "of version": [name for name in place.tags_of(version) if name.startswith("slipway.image")],
        "images": "slipway-build" in containers.run("podman", "images"),
        "containers": containers.run("podman", "ps", "--all", "--quiet"),
        "temporary": list((place.toy.temp / "temporary").glob("slipway-*")),
    }
    return version, left


@pytest.fixture(scope="module")
def packaged(place: Place, cut_short: tuple[ModelVersion, Any]) -> tuple[ModelVersion, Done]:
    """The same version, packaged by the next run."""
    version, _ = cut_short
    return version, place.run(model_version=version.version)


def refused(place: Place, said: str, **inputs: str) -> Done:
    """A run that ends with one error, and leaves nothing in either registry."""
    before = place.containers.tags("octo/toy")
    done = place.run(**inputs)
    assert done.code == 1, done.log
    assert said in done.error
    assert place.containers.tags("octo/toy") == before
    assert not done.outputs["image"]
    return done


# The image


def test_package__cancelled_during_the_push(
    place: Place, cut_short: tuple[ModelVersion, dict[str, Any]], packaged: tuple[ModelVersion, Done]
) -> None:
    """It leaves no image, no tag and nothing on the machine, and the next run completes it."""
    _, left = cut_short
    assert "Pushing" in left.pop("log")
    assert left == {"tags": [], "of version": [], "images": False, "containers": "", "temporary": []}
    _, done = packaged
    assert (done.code, done.outputs["tag"] in place.containers.tags("octo/toy")) == (0, True), done.log


def test_package__a_version_becomes_an_image_that_was_tried_and_pushed(
    place: Place, packaged: tuple[ModelVersion, Done]
) -> None:
    version, done = packaged
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    name, _, found = done.outputs["image"].partition("@")
    assert (name, found) == (place.repository.name, done.outputs["digest"])
    assert done.outputs["tag"].startswith(f"{version.version}-")
    inspected = place.containers.run(
        *("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}"),
        f"docker://{place.containers.host}/octo/toy:{done.outputs['tag']}",
    )
    assert inspected.strip() == found, "another program finds the same digest under the tag"
    tags = place.tags_of(version)
    assert tags["slipway.image"] == done.outputs["image"]
    checks = {check["name"]: check["verdict"] for check in done.report["checks"]}
    assert set(checks.values()) == {"pass"}
    assert checks.keys() == {
        *("ready", "golden /invocations", "golden /v2/…/infer", "confined", "shutdown"),
        *("startup_seconds", "memory_mb", "image_mb"),
    }
    draft, files = drafting.of_report(Path(done.outputs["report"]), Run())
    assert (draft.event, draft.model_version) == ("packaging", version.version)
    assert done.outputs["image"] in {subject.id for subject in draft.subjects}
    assert {evidence.SBOM, evidence.STATEMENT, evidence.SIGNATURE} < files.keys()
    assert place.containers.run("podman", "ps", "--all", "--quiet") == "", "no container is left"
    assert "slipway-build" not in place.containers.run("podman", "images"), "no image is left"


def test_package__the_image_says_what_it_is_and_runs_nothing_while_it_is_built(
    place: Place, packaged: tuple[ModelVersion, Done]
) -> None:
    version, done = packaged
    _, raw = place.repository.manifest(done.outputs["digest"])
    config = json.loads(place.repository.blob(json.loads(raw)["config"]["digest"]))
    said, tags = config["config"], place.tags_of(version)
    assert (said["User"], said["StopSignal"]) == (contents.USER, "SIGTERM")
    assert said["Entrypoint"][1:] == ["/opt/slipway/serve.py"]
    labels = said["Labels"]
    for label in ("slipway.model_digest", "slipway.commit", "slipway.dataset.train", "slipway.golden"):
        assert labels[label] == tags[label]
    assert labels["org.opencontainers.image.revision"] == tags["slipway.commit"]
    assert labels["org.opencontainers.image.base.digest"] == place.containers.base.partition("@")[2]
    time = place.toy.git("show", "--no-patch", "--format=%ct", tags["slipway.commit"]).strip()
    assert {each["created"] for each in config["history"]} == {config["created"], "1970-01-01T00:00:00Z"}, "the base's"
    assert contents.epoch_of(version) == int(time)
    assert not [each for each in config["history"] if "RUN" in each.get("created_by", "")]


def test_package__evidence_is_attached_and_valid(place: Place, packaged: tuple[ModelVersion, Done]) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2

    from slipway.audit.bom import validate

    _, done = packaged
    found, repository = done.outputs["digest"], place.repository
    assert tag_of(found) in place.containers.tags("octo/toy"), "this registry has no referrers API"
    (sbom,) = repository.attached(found, evidence.SBOM_TYPE)
    validate(sbom.decode())
    names = {each["name"]: each for each in json.loads(sbom)["components"]}
    assert {"mlflow-skinny", "pandas", "fastapi", "libc6", "python", MODEL} <= names.keys()
    assert names["pandas"]["hashes"]
    (statement,) = repository.attached(found, evidence.STATEMENT_TYPE)
    told = json.loads(statement)
    json_format.ParseDict(told, statement_pb2.Statement())
    assert told["subject"] == [{"name": repository.name, "digest": {"sha256": found.removeprefix("sha256:")}}]
    assert (
        file_digest(Path(done.outputs["report"]).with_name(evidence.SBOM)) == done.report["attachments"][evidence.SBOM]
    )


def test_package__again_finds_the_image_and_pushes_nothing(place: Place, packaged: tuple[ModelVersion, Done]) -> None:
    """It needs neither the base nor a builder for that: this machine has no Docker."""
    version, first = packaged
    before = place.containers.tags("octo/toy")
    done = place.run(model_version=version.version, builder="docker")
    assert done.code == 0, done.log
    assert "Packaged before, and not built again" in done.report["headline"]
    assert (done.outputs["image"], done.outputs["tag"]) == (first.outputs["image"], first.outputs["tag"])
    assert place.containers.tags("octo/toy") == before


def test_package__a_scanner_knows_more_of_the_image_by_now(place: Place, packaged: tuple[ModelVersion, Done]) -> None:
    version, first = packaged
    _, raw = place.repository.manifest(first.outputs["digest"])
    scanned = place.toy.temp / "scan.json"
    place.policy(limits=LIMITS, vulnerabilities={"fail_from": "high"})
    try:
        scanned.write_text(json.dumps(trivy("LOW", image_id=json.loads(raw)["config"]["digest"])))
        done = place.run(model_version=version.version, scan_report=str(scanned))
        assert (done.code, done.outputs["image"]) == (0, first.outputs["image"]), done.log
        assert [check["verdict"] for check in done.report["checks"]] == ["pass"]
        scanned.write_text(json.dumps(trivy("CRITICAL", image_id=json.loads(raw)["config"]["digest"])))
        done = refused(place, "must not be deployed", model_version=version.version, scan_report=str(scanned))
        assert (done.outputs["verdict"], done.outputs["digest"]) == ("fail", first.outputs["digest"])
        assert "CVE-2026-0 (critical)" in json.dumps(done.report)
        scanned.write_text(json.dumps(trivy("LOW", image_id=f"sha256:{'1' * 64}")))
        refused(place, "of another image", model_version=version.version, scan_report=str(scanned))
        place.policy(limits=LIMITS, vulnerabilities={"required": True})
        done = refused(place, "No scanner's file was given", model_version=version.version)
        assert done.outputs["verdict"] == "inconclusive"
    finally:
        place.policy(limits=LIMITS)


def test_package__another_builder_in_another_folder_at_another_time_gives_the_same_digest(
    place: Place, packaged: tuple[ModelVersion, Done]
) -> None:
    version, first = packaged
    done = place.run(model_version=version.version, builder="podman", push="false")
    assert (done.code, done.outputs["image"]) == (0, ""), done.log
    assert done.outputs["digest"] == first.outputs["digest"]
    with tarfile.open(done.outputs["archive"]) as archive:
        assert {"index.json", "oci-layout"} <= set(archive.getnames())


def test_package__an_image_that_answers_one_row_otherwise_is_not_pushed(place: Place) -> None:
    version = place.version(answers=[row[0] + (number == 1) for number, row in enumerate(ROWS)])
    done = refused(place, "is not pushed", model_version=version.version)
    checks = {check["name"]: check for check in done.report["checks"]}
    assert (done.outputs["verdict"], checks["golden /invocations"]["verdict"]) == ("fail", "fail")
    assert checks["golden /invocations"]["count"] == checks["golden /v2/…/infer"]["count"] == 1
    assert "slipway.image" not in place.tags_of(version)


def test_server__answers_as_a_model_of_scikit_learn_did_when_it_was_judged(place: Place, tmp_path: Path) -> None:
    """What goes into the image, without one around it: evaluate-model's batch, and the locked packages."""
    import requests

    version = fitted(place, tmp_path)
    done = place.toy.evaluate(model_version=version.version)
    assert done.outputs["verdict"] == "pass", done.log
    registry = place.toy.registry()
    batch = golden.of_version(registry, registry.by_version(MODEL, version.version), tmp_path / "kept")
    app = tmp_path / "app"
    shutil.copytree(registry.download(version, tmp_path / "served"), app / "model")
    shutil.copy(contents.SERVE, app)
    port = free_port()
    told = {"SLIPWAY_MODEL_NAME": MODEL, "SLIPWAY_MODEL_VERSION": "1", "SLIPWAY_HOST": "127.0.0.1", "PORT": str(port)}
    program = [str(models_python(place.toy.cache)), "serve.py"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(program, cwd=app, env={**os.environ, **told}, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not is_ready(f"{base}/v2/health/ready"):
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        plain = requests.post(f"{base}/invocations", json=batch.request, timeout=60)
        found = smoke.predictions_of((plain.status_code, plain.text))
        assert list(smoke.differences(found, batch.predictions, 0)) == [] and len(found) == batch.rows
        v2 = requests.post(f"{base}/v2/models/{MODEL}/infer", json=smoke.request_v2(batch.request), timeout=60)
        found = smoke.outputs_of((v2.status_code, v2.text))
        assert list(smoke.differences(found, smoke.tensors(batch.predictions), 0)) == []
    finally:
        server.terminate()
        assert server.wait(60) in smoke.TERMINATED or server.returncode == -signal.SIGTERM


def is_ready(address: str) -> bool:
    import requests

    try:
        return requests.get(address, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def fitted(place: Place, folder: Path) -> ModelVersion:
    """A registered version of a model that scikit-learn has fitted to the holdout's like."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    rows = holdout(500, seed=3).to_pandas()
    features = rows[["x1", "x2"]]
    model = LogisticRegression().fit(features, rows["y"])
    needs = ["mlflow-skinny==3.17.2", "pandas", "scikit-learn", "skops"]
    signature = infer_signature(features, model.predict(features))
    mlflow.sklearn.save_model(model, str(folder / "model"), signature=signature, pip_requirements=needs)
    toy = place.toy
    registry = toy.registry()
    run_id = registry.start_run(MODEL, "fitted", {})
    registry.log_model_folder(run_id, folder / "model")
    (logged,) = registry.logged_models(run_id)
    lock = folder / "requirements.txt"
    lock.write_text(LOCK, encoding="utf-8")
    registry.log_file(run_id, lock, "slipway")
    tags = {"slipway.commit": toy.git("rev-parse", "HEAD").strip(), "slipway.python": "3.11.7"}
    version = registry.register(MODEL, logged, run_id, tags)
    registry.tag_version(version, {"slipway.model_digest": digest(registry.download(version, folder / "kept"))})
    version = registry.by_version(MODEL, version.version)
    sign_version(registry, version, Signer(method="key", private_key=Secret(private(place.key))), None, folder / "sign")
    return version


# Verification


def test_verify__an_image_that_is_what_the_registries_say(place: Place, packaged: tuple[ModelVersion, Done]) -> None:
    version, first = packaged
    done = place.run(command="verify", model_version=version.version)
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert done.outputs["image"] == first.outputs["image"]
    checks = {check["name"] for check in done.report["checks"]}
    assert {"digest", "labels", "bill of materials", "provenance", "signature"} <= checks


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        ("slipway.model_digest", f"sha256:{'0' * 64}", "slipway.model_digest is sha256:"),
        ("slipway.dataset.train", "file:sha256:2", "slipway.dataset.train"),
        ("slipway.image", "registry.invalid/other@sha256:1", "has no image in"),
    ],
)
def test_verify__a_tag_that_was_changed(
    place: Place, packaged: tuple[ModelVersion, Done], tag: str, value: str, said: str
) -> None:
    version, _ = packaged
    registry, before = place.toy.registry(), place.tags_of(version)[tag]
    registry.tag_version(version, {tag: value})
    try:
        done = place.run(command="verify", model_version=version.version)
    finally:
        registry.tag_version(version, {tag: before})
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert said in done.error


def test_verify__another_key_is_trusted(place: Place, packaged: tuple[ModelVersion, Done]) -> None:
    version, _ = packaged
    place.toy.write("keys/model.pub", public(new_key()))
    try:
        done = place.run(command="verify", model_version=version.version)
    finally:
        place.toy.write("keys/model.pub", public(place.key))
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert "Key mismatch" in done.error


# What is wrong before anything is built


def test_package__no_golden_predictions(place: Place) -> None:
    version = place.version(answers="none")
    assert refused(place, "has no golden predictions", model_version=version.version).outputs["verdict"] == "fail"


def test_package__files_that_are_not_those_that_were_registered(place: Place) -> None:
    version = place.version()
    place.toy.registry().tag_version(version, {"slipway.model_digest": f"sha256:{'0' * 64}"})
    assert refused(place, "registered as sha256:000", model_version=version.version).outputs["verdict"] == "fail"


def test_package__a_version_that_is_not_signed(place: Place) -> None:
    version = place.version(tags={"python": "3.11.7"})
    refused(place, "is not signed", model_version=version.version)


def test_package__a_base_that_cannot_be_pulled(place: Place, packaged: tuple[ModelVersion, Done]) -> None:
    place.policy(base=f"{place.containers.host}/base@sha256:{'0' * 64}")
    try:
        done = refused(place, "could not be pulled", model_version=packaged[0].version)
    finally:
        place.policy(limits=LIMITS)
    assert done.outputs["verdict"] == "inconclusive"


def test_package__no_key_where_signatures_are_demanded(place: Place, packaged: tuple[ModelVersion, Done]) -> None:
    done = place.toy.run(ROOT / "actions" / "package-model", model_version=packaged[0].version)
    assert done.code == 1
    assert "`private-key` was not given" in done.error


def test_package__another_python_than_the_models(place: Place) -> None:
    base = bases.look_into(engines.choose("auto"), place.containers.base)
    with pytest.raises(InputError, match=r"has Python 3\.11\.\d+, and the model was trained with 3\.12\.1"):
        contents.require_python(base, place.containers.base, "3.12.1")
    assert base.target.platform == f"{os.uname().machine}-manylinux_2_36"


def test_builder__a_disk_that_is_full(place: Place, tmp_path: Path) -> None:
    """A real program of containers on a real disk of one megabyte."""
    small = tmp_path / "small"
    small.mkdir()
    place.containers.run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small))
    try:
        with pytest.raises((InputError, RemoteError)) as failure:
            programs.said(
                "skopeo", "copy", "--src-tls-verify=false", f"docker://{place.containers.base}", f"oci:{small}/x"
            )
    finally:
        place.containers.run("umount", str(small))
    assert failure.value.what == "The runner's disk is full."
