"""What an image is made from and held to, piece by piece: locks, answers, scanners' files, registries, builders."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from http_kit import answering
from packaging_kit import SMALL, require_programs, serving, serving_referrers
from slipway.containers import engines, programs
from slipway.containers.bases import Base
from slipway.containers.layout import Layout
from slipway.containers.work import Work
from slipway.packaging import contents, distribution, scan, serve, smoke
from slipway.packaging.contents import Lock, Plan
from slipway.packaging.distribution import Descriptor, Repository, sha256
from slipway.policy.model import Policy
from slipway.policy.packaging import Vulnerabilities
from slipway.policy.reading import read_text
from slipway.prediction import golden
from slipway.registry.mlflow import ModelVersion
from slipway.report import Check, Verdict
from slipway.runner import wheels
from slipway.runner.errors import ConflictError, GateError, InputError, PolicyError, RemoteError
from slipway.runner.inputs import Secret
from slipway.runner.wheels import Target
from store_doubles import HttpDouble, Said
from test_training_toy import QUIET, save_toy

HERE = Target("3.11", "x86_64", "glibc", "2.36")
ZEROS = f"sha256:{'0' * 64}"
INSIDE = Base("/usr/bin/python3", "/usr/bin/python3.11", "3.11.2", HERE, "/usr/bin", "debian", "12", ())


# The policy


def policy(packaging: str) -> Policy:
    return read_text(f"version: 1\nmodel: toy\npackaging:\n{packaging}", Policy, file="slipway.yml")


def test_policy__a_base_by_tag_is_refused_with_the_way_to_its_digest() -> None:
    with pytest.raises(PolicyError) as failure:
        policy("  base: docker.io/library/python:3.11-slim\n  repository: ghcr.io/octo/toy\n")
    assert "skopeo inspect --format '{{.Digest}}' docker://docker.io/library/python:3.11-slim" in str(failure.value)
    assert failure.value.line == 4


def training(container: str, more: str = "") -> Policy:
    text = f"version: 1\nmodel: toy\ntraining:\n  command: python train.py\n  container: {container}\n{more}"
    return read_text(text, Policy, file="slipway.yml")


def test_policy__the_container_of_a_training() -> None:
    image = f"ghcr.io/octo/train@{ZEROS}"
    assert training(f"{{image: '{image}'}}").training_image == image
    packaging = f"packaging: {{base: 'python@{ZEROS}', repository: ghcr.io/octo/toy}}\n"
    assert training("{}", packaging).training_image == f"python@{ZEROS}", "the image that serves, where none is named"
    assert policy(f"  base: python@{ZEROS}\n  repository: ghcr.io/octo/toy\n").training_image == ""
    for wrong, said in (
        ("{image: 'python:3.11'}", "names an image by what can move"),
        ("{}", "needs `image`, by digest, or the section `packaging`"),
        (f"{{image: '{image}', network: off}}", "network"),
        (f"{{image: '{image}', variables: ['A=b']}}", "variables"),
        (f"{{image: '{image}', devices: ['--privileged']}}", "devices"),
    ):
        with pytest.raises(PolicyError, match=said) as failure:
            training(wrong)
        assert failure.value.line == 5, wrong


@pytest.mark.parametrize("repository", ["ghcr.io/octo/toy:1", "ghcr.io/Octo/toy", "toy", f"ghcr.io/octo/toy@{ZEROS}"])
def test_policy__a_repository_that_is_none(repository: str) -> None:
    with pytest.raises(PolicyError, match="must be a registry and a repository"):
        policy(f"  base: python@{ZEROS}\n  repository: {repository}\n")


# The lock and the plan


class Registry:
    """As much of a registry of models as a lock needs: the files of one run."""

    def __init__(self, files: dict[str, str], folder: Path) -> None:
        self.files, self.folder = files, folder

    def run_file(self, _run: str, path: str, _folder: Path) -> Path | None:
        if path not in self.files:
            return None
        file = self.folder / Path(path).name
        file.parent.mkdir(exist_ok=True)
        file.write_text(self.files[path])
        return file


def lock_of(tmp_path: Path, locked: str, recorded: str = "", tags: dict[str, str] | None = None, **more: str) -> Lock:
    model, scratch = tmp_path / "model", tmp_path / "scratch"
    model.mkdir()
    scratch.mkdir()
    if recorded:
        (model / "requirements.txt").write_text(recorded)
    files = {"slipway/requirements.txt": locked} if locked else {}
    registry: Any = Registry({**files, **more}, tmp_path / "kept")
    version = ModelVersion("toy", "1", "run", "", tags or {})
    return contents.wanted_by(registry, version, model, scratch).resolve(HERE, scratch)


def test_lock__the_trainings_own_is_taken_as_it_is(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, SMALL, "mlflow==3.17.2\npandas\n")
    assert (lock.text, lock.origin) == (SMALL, "the training's lock")


def test_lock__what_was_resolved_once_is_taken_again(tmp_path: Path) -> None:
    kept = SMALL + "# resolved\n"
    said = {"slipway/image-requirements.txt": kept}
    tags = {"slipway.image_lock": sha256(kept.encode())}
    assert lock_of(tmp_path, "", "mlflow-skinny\npandas\n", tags, **said).text == kept


def test_lock__nothing_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no recorded requirements"):
        lock_of(tmp_path, "")


@pytest.mark.parametrize(
    ("recorded", "said"), [("pandas\n", "do not have MLflow"), ("mlflow==2.9.1\n", "mlflow==2.9.1")]
)
def test_lock__a_model_that_mlflow_cannot_serve(tmp_path: Path, recorded: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        lock_of(tmp_path, "", recorded)


def test_lock__other_files_of_a_version_than_were_locked() -> None:
    with pytest.raises(GateError, match=r"other files of pandas==1\.0"):
        contents._require_same_files("pandas==1.0 --hash=sha256:a", "pandas==1.0 \\\n    --hash=sha256:b")


@pytest.fixture
def own_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only index: uv and pip look nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


def test_install__a_package_that_the_index_does_not_have_any_more(tmp_path: Path, own_index: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"gone==1.0 --hash=sha256:{'1' * 64}\n")
    with pytest.raises(RemoteError, match="does not have what the model requires") as failure:
        wheels.install(lock, tmp_path / "site", HERE)
    assert "gone" in failure.value.why


def test_install__a_package_without_a_wheel(tmp_path: Path, own_index: Path) -> None:
    import tarfile

    source = own_index / "onlysource-1.0.tar.gz"
    (tmp_path / "setup.py").write_text("raise SystemExit('this ran')\n")
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: onlysource\nVersion: 1.0\n")
    with tarfile.open(source, "w:gz") as archive:
        for name in ("setup.py", "PKG-INFO"):
            archive.add(tmp_path / name, f"onlysource-1.0/{name}")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"onlysource==1.0 --hash=sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}\n")
    with pytest.raises(InputError, match=r"has no wheel for Python 3\.11 on x86_64-manylinux_2_36") as failure:
        wheels.install(lock, tmp_path / "site", HERE)
    assert "this ran" not in failure.value.why


@pytest.mark.parametrize(
    ("target", "platform"),
    [
        (HERE, "x86_64-manylinux_2_36"),
        (Target("3.11", "aarch64", "glibc", "2.30"), "aarch64-manylinux_2_28"),
        (Target("3.11", "x86_64", "glibc", "2.99"), "x86_64-manylinux_2_40"),
        (Target("3.12", "x86_64", "musl"), "x86_64-unknown-linux-musl"),
    ],
)
def test_target__the_platform_whose_wheels_fit(target: Target, platform: str) -> None:
    assert target.platform == platform


def test_target__a_machine_without_wheels() -> None:
    with pytest.raises(InputError, match="No wheels are made for"):
        _ = Target("3.11", "x86_64", "glibc", "2.5").platform


def plan(**change: Any) -> Plan:
    said = {
        **{
            "model": "toy",
            "version": "7",
            "model_digest": ZEROS,
            "base": f"python@{ZEROS}",
            "machine": "x86_64",
        },
        **{"lock": Lock("", ""), "epoch": 1_700_000_000, "labels": {"slipway.golden": ZEROS}, "inside": INSIDE},
    }
    return Plan(**{**said, **change})


def test_plan__every_input_changes_the_tag() -> None:
    tags = {plan().tag, plan(epoch=1).tag, plan(labels={"a": "b"}).tag, plan(lock=Lock("x", "")).tag}
    tags |= {plan(model_digest=f"sha256:{'1' * 64}").tag, plan(base=f"other@{ZEROS}").tag}
    assert len(tags) == 6
    assert all(re.fullmatch(r"7-[0-9a-f]{12}", tag) for tag in tags)
    assert plan(lock=Lock("", "told otherwise")).tag == plan().tag


def test_epoch__is_the_jobs_or_the_commits_or_the_trainings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)
    started = ModelVersion("toy", "1", "", "", {"slipway.started": "2026-01-02T03:04:05+00:00"})
    assert contents.epoch_of(started) == 1_767_323_045
    with pytest.raises(InputError, match="is not in this clone"):
        contents.epoch_of(ModelVersion("toy", "1", "", "", {"slipway.commit": "a" * 40}))
    with pytest.raises(InputError, match="does not say from which commit"):
        contents.epoch_of(ModelVersion("toy", "1", "", ""))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "12")
    assert contents.epoch_of(started) == 12


# Golden predictions


def test_golden__rows_are_spread_evenly_and_never_twice() -> None:
    assert golden.positions(10, 3) == (0, 3, 6)
    assert golden.positions(2, 50) == (0, 1)
    assert len(set(golden.positions(1_000_003, 1_000))) == 1_000


@pytest.mark.parametrize(
    "left",
    [
        "no JSON",
        "[]",
        '{"absent": "TypeError: no"}',
        '{"request": {"inputs": [1]}, "answer": {}}',
        '{"request": {"other": [1, 2]}, "answer": {"predictions": [1, 2]}}',
        '{"request": {"inputs": [1]}, "answer": {"predictions": [1]}}',
        '{"request": {"inputs": [1, NaN]}, "answer": {"predictions": [1, 2]}}',
    ],
)
def test_golden__what_a_candidate_leaves_is_checked(tmp_path: Path, left: str) -> None:
    (tmp_path / golden.FILE).write_text(left)
    with pytest.raises(ValueError, match=r"."):
        golden.left_by(tmp_path, 2)


def test_golden__what_a_candidate_leaves_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"request": {"inputs": [1]}, "answer": {"predictions": [1]}}')
    (tmp_path / golden.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="symbolic"):
        golden.left_by(tmp_path, 1)


@pytest.mark.parametrize(
    ("found", "expected", "tolerance", "wrong"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0, 0),
        ([1.0, 2.0 + 1e-12], [1.0, 2.0], 0.0, 1),
        ([1.0, 2.0 + 1e-12], [1.0, 2.0], 1e-9, 0),
        ([1.0], [1.0, 2.0], 1.0, 1),
        ([float("nan")], [1.0], 1e9, 1),
        ([True], [1], 5.0, 1),
        (["a"], ["b"], 5.0, 1),
        ([{"p": 0.1}], [{"p": 0.1, "q": 0.9}], 1.0, 1),
        ("500: broken", [1.0], 1.0, 1),
    ],
)
def test_differences__numbers_within_the_tolerance_and_nothing_else(
    found: Any, expected: Any, tolerance: float, wrong: int
) -> None:
    assert len(list(smoke.differences(found, expected, tolerance))) == wrong


# The server in the image


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import mlflow.pyfunc

    folder = save_toy(tmp_path_factory.mktemp("models") / "served", {"x1": 2.0, "x2": 1.0}, "identity")
    return mlflow.pyfunc.load_model(str(folder))


def infer(model: Any, *inputs: Any, **more: Any) -> tuple[int, Any]:
    return serve.answered(model, json.dumps({"inputs": inputs, **more}).encode())


def column(name: str, values: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "shape": shape or [len(values)], "datatype": "FP64", "data": values}


@QUIET
def test_infer__a_tensor_for_each_column(model: Any) -> None:
    code, said = infer(model, column("x2", [1.0, 0.0]), column("x1", [0.5, -1.0], [2, 1]), id="a")
    assert code == 200
    assert said == {
        "id": "a",
        "outputs": [{"name": "output-0", "datatype": "FP64", "shape": [2], "data": [2.0, -2.0]}],
    }


@QUIET
@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [column("x1", [1.0, 2.0], [3]), column("x2", [1.0, 2.0])],
        [column("x1", [1.0]), column("x2", [1.0, 2.0])],
        [column("x1", [1.0]), column("x1", [1.0])],
        [column("x1", [1.0])],
        [{"name": "x1", "shape": "two", "data": [1]}],
    ],
)
def test_infer__a_request_that_is_wrong(model: Any, inputs: list[Any]) -> None:
    code, said = infer(model, *inputs)
    assert code == 400, said
    assert said["error"]


def test_infer__is_no_json() -> None:
    assert serve.answered(None, b"{")[0] == 400


def test_outputs__of_every_form_of_answer() -> None:
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"label": ["a", "b"], "score": [0.5, 0.25]})
    assert [each["datatype"] for each in serve.outputs_of(frame)] == ["BYTES", "FP64"]
    assert serve.outputs_of(np.ones((2, 3), dtype="float32"))[0]["shape"] == [2, 3]
    assert serve.outputs_of({"a": [1, 2]})[0] == {"name": "a", "datatype": "INT64", "shape": [2], "data": [1, 2]}
    # The same, as it stands in a golden batch, is what the smoke test expects.
    assert smoke.tensors([{"label": "a", "score": 0.5}]) == {"label": ["a"], "score": [0.5]}
    assert smoke.tensors([[1.0, 2.0], [3.0, 4.0]]) == {"output-0": [1.0, 2.0, 3.0, 4.0]}


def test_server__uses_nothing_of_slipway() -> None:
    for file in (contents.SERVE, smoke.PROBE):
        assert "slipway" not in re.sub(r'""".*?"""|"[^"]*"|#.*', "", file.read_text(), flags=re.DOTALL).lower(), file


# Scanners


def image(tmp_path: Path, content: bytes = b"layer") -> Layout:
    """A layout of an image that is only small."""
    folder = tmp_path / f"layout-{hashlib.sha256(content).hexdigest()[:8]}"
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(raw: bytes) -> dict[str, Any]:
        (blobs / sha256(raw).removeprefix("sha256:")).write_bytes(raw)
        return {"digest": sha256(raw), "size": len(raw)}

    config = put(
        json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(content)]}}
        ).encode()
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": distribution.MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **put(content)}],
    }
    only = {"mediaType": distribution.MANIFEST, **put(json.dumps(manifest).encode())}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [only]}))
    return Layout.of(folder)


def judged(found: scan.Scan | None, rules: Vulnerabilities, of: Layout) -> Check:
    return scan.judge(found, rules, of.digest, of.config_digest)


def trivy(*severities: str, image_id: str = "") -> dict[str, Any]:
    found = [
        {"VulnerabilityID": f"CVE-2026-{n}", "PkgName": "zlib", "InstalledVersion": "1.2", "Severity": each}
        for n, each in enumerate(severities)
    ]
    return {
        "SchemaVersion": 2,
        "ArtifactName": "x",
        "Metadata": {"ImageID": image_id},
        "Results": [{"Vulnerabilities": found}],
    }


def grype(*severities: str) -> dict[str, Any]:
    matches = [
        {"vulnerability": {"id": f"GHSA-{n}", "severity": each}, "artifact": {"name": "zlib", "version": "1.2"}}
        for n, each in enumerate(severities)
    ]
    return {"matches": matches, "source": {"type": "image", "target": {"userInput": "x"}}}


def sarif(*scores: str) -> dict[str, Any]:
    rules = [{"id": f"CVE-{n}", "properties": {"security-severity": each}} for n, each in enumerate(scores)]
    results = [{"ruleId": f"CVE-{n}", "level": "error"} for n, _ in enumerate(scores)]
    return {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "Other", "rules": rules}}, "results": results}]}


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (trivy(), Verdict.PASS),
        (trivy("LOW", "MEDIUM"), Verdict.PASS),
        (trivy("LOW", "HIGH"), Verdict.FAIL),
        (trivy("UNKNOWN"), Verdict.INCONCLUSIVE),
        (grype("Negligible", "Medium"), Verdict.PASS),
        (grype("Critical"), Verdict.FAIL),
        (grype("Unknown", "High"), Verdict.FAIL),
        (sarif("6.9"), Verdict.PASS),
        (sarif("7.0"), Verdict.FAIL),
        (sarif(), Verdict.PASS),
    ],
)
def test_scan__findings_from_the_policys_severity_on_fail(
    tmp_path: Path, said: dict[str, Any], verdict: Verdict
) -> None:
    file = tmp_path / "scan.json"
    file.write_text(json.dumps(said))
    found = scan.read(file)
    assert judged(found, Vulnerabilities(), image(tmp_path)).verdict is verdict
    scan.table(found, Vulnerabilities())


def test_scan__what_somebody_accepts_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "scan.json"
    file.write_text(json.dumps(trivy("HIGH")))
    check = judged(scan.read(file), Vulnerabilities(ignore=("CVE-2026-0",)), image(tmp_path))
    assert (check.verdict, "1 are ignored" in check.detail) == (Verdict.PASS, True)


def test_scan__of_another_image(tmp_path: Path) -> None:
    file, here = tmp_path / "scan.json", image(tmp_path)
    file.write_text(json.dumps(trivy(image_id=here.config_digest)))
    assert judged(scan.read(file), Vulnerabilities(), here).verdict is Verdict.PASS
    with pytest.raises(InputError, match="of another image"):
        judged(scan.read(file), Vulnerabilities(), image(tmp_path, b"another layer"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"matches": 1}', '{"runs": [{}]}', '{"SchemaVersion": 2}'])
def test_scan__a_file_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "scan.json"
    file.write_text(text)
    with pytest.raises(InputError, match="The scanner's file"):
        scan.read(file)


def test_scan__none_where_one_is_required(tmp_path: Path) -> None:
    check = judged(None, Vulnerabilities(required=True), image(tmp_path))
    assert check.verdict is Verdict.INCONCLUSIVE


# Registries


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_programs()
    with serving(tmp_path_factory.mktemp("registry") / "storage") as host:
        yield host


def test_push__blobs_first_and_the_manifest_last(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, repository = image(tmp_path), Repository(f"{registry}/a/interrupted")
    with monkeypatch.context() as patch:
        patch.setattr(Repository, "_put_manifest", _cancelled)
        with pytest.raises(KeyboardInterrupt):
            repository.push(here, "1")
    assert repository.digest_of("1") == "", "an interrupted push leaves no image"
    assert repository.push(here, "1").digest == repository.digest_of("1") == here.digest
    assert Repository(f"{registry}/a/interrupted").push(here, "1").digest == here.digest


def _cancelled(*_: Any) -> Descriptor:
    raise KeyboardInterrupt


def test_push__a_tag_is_never_moved(registry: str, tmp_path: Path) -> None:
    repository = Repository(f"{registry}/a/moved")
    repository.push(image(tmp_path), "1")
    with pytest.raises(ConflictError, match="exists and is another image"):
        repository.push(image(tmp_path, b"another layer"), "1")


def test_attach__the_list_of_artifacts_is_kept_under_the_tag(registry: str, tmp_path: Path) -> None:
    repository = Repository(f"{registry}/a/attached")
    subject = repository.push(image(tmp_path), "1")
    for content in (b"one", b"two", b"one"):
        repository.attach(subject, "application/vnd.test", "file.txt", content)
    repository.attach(subject, "application/vnd.other", "other.txt", b"three")
    assert sorted(repository.attached(subject.digest, "application/vnd.test")) == [b"one", b"two"]
    assert len(repository.referrers(subject.digest)) == 3
    assert list(repository.attached(ZEROS, "application/vnd.test")) == []


@pytest.mark.parametrize("limit", [4 * 2**20, 1_000])
def test_attach__the_registry_keeps_the_list_itself(tmp_path: Path, limit: int) -> None:
    """By the referrers API, also where the list comes in pages, of which the small limit makes several."""
    with serving_referrers(limit) as host:
        repository = Repository(f"{host}/a/attached")
        subject = repository.push(image(tmp_path), "1")
        assert repository.referrers(subject.digest) == []
        for number in range(7):
            repository.attach(subject, "application/vnd.test", f"{number}.txt", str(number).encode())
        repository.attach(subject, "application/vnd.test", "0.txt", b"0")
        repository.attach(subject, "application/vnd.other", "other.txt", b"other")
        first = repository._ask_referrers(subject.digest)
        assert first is not None and ("next" in first.links) == (limit < 2_000)
        assert len(repository.referrers(subject.digest)) == 8
        assert sorted(repository.attached(subject.digest, "application/vnd.test")) == [b"%d" % n for n in range(7)]
        assert list(repository.attached(subject.digest, "application/vnd.other")) == [b"other"]
        assert repository.digest_of(distribution.tag_of(subject.digest)) == "", "no list under a tag beside it"


@pytest.mark.parametrize(
    ("link", "said"),
    [("<https://elsewhere.invalid/v2/x>; rel=next", "sends elsewhere"), ("<?page=1>; rel=next", "without end")],
)
def test_referrers__a_list_that_leads_astray(link: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "MOST_PAGES", 3)
    page = Said(body=b'{"manifests": []}', headers={"Content-Type": distribution.INDEX, "Link": link})
    with HttpDouble(lambda _: page) as double, pytest.raises(RemoteError, match=said):
        Repository(f"{double.url.removeprefix('http://')}/octo/toy").referrers(ZEROS)


def test_registry__credentials_are_needed_and_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_programs()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    users = tmp_path / "users"
    users.write_text(f"octo:{HASHED}\n")
    settings = f"auth: {{htpasswd: {{realm: test, path: '{users}'}}}}\n"
    with serving(tmp_path / "storage", settings) as host:
        name = f"{host}/octo/toy"
        for wrong in (Repository(name), Repository(name, "octo", Secret("wrong"))):
            with pytest.raises(RemoteError, match="does not let the job") as failure:
                wrong.require_push()
            assert "401" in failure.value.why
            assert "wrong" not in str(failure.value)
        known = Repository(name, "octo", Secret("secret"))
        known.require_push()
        assert known.push(image(tmp_path), "1").digest == Repository(name, "octo", Secret("secret")).digest_of("1")


HASHED = "$2y$04$jgJQonDxhtYmSx0GRMjcDOK7koE533uvNrXqsT7cy/GgC5Nk5TSVC"
"""`secret`, by bcrypt."""


class Guarded(BaseHTTPRequestHandler):
    """A registry with tokens: reading is allowed to whoever has one, pushing to nobody but the owner."""

    seen: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            user = base64.b64decode(self.headers.get("Authorization", "Basic ").split()[1] + "==").decode(
                errors="replace"
            )
            self._say(200, json.dumps({"token": "owner" if user == "owner:secret" else "guest"}).encode())
        else:
            self._guard(404)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server asks for

    def do_POST(self) -> None:
        if self.headers.get("Authorization") == "Bearer owner":
            self.send_response(202)
            self.send_header("Location", "/v2/octo/toy/blobs/uploads/1")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._guard(403)

    def do_DELETE(self) -> None:
        self._say(204, b"")

    def _guard(self, code: int) -> None:
        host = self.headers["Host"]
        if "Authorization" in self.headers:
            self._say(code, b'{"errors": [{"code": "DENIED", "message": "no"}]}')
            return
        self.send_response(401)
        scope = 'service="test",scope="repository:octo/toy:pull,push"'
        self.send_header("WWW-Authenticate", f'Bearer realm="http://{host}/token",{scope}')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _say(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def guarded() -> Iterator[str]:
    with answering(Guarded) as url:
        yield f"{url.removeprefix('http://')}/octo/toy"


def test_registry__a_token_is_fetched_and_what_it_may_not_do_is_told() -> None:
    with guarded() as name:
        Repository(name, "owner", Secret("secret")).require_push()
        assert Repository(name, "owner", Secret("secret")).digest_of("1") == ""
        with pytest.raises(RemoteError, match="does not let the job push to") as failure:
            Repository(name, "guest", Secret("hidden")).require_push()
    assert "403 (DENIED: no)" in failure.value.why
    assert "packages: write" in failure.value.fix
    assert "hidden" not in str(failure.value)


def test_registry__nobody_answers() -> None:
    with pytest.raises(RemoteError, match="did not answer"):
        Repository("127.0.0.1:9/octo/toy").digest_of("1")


def test_registry__what_the_job_has_logged_in_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    pair = base64.b64encode(b"mona:top:secret").decode()
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"ghcr.io": {"auth": pair}}}))
    user, password = distribution.logged_in("ghcr.io")
    assert (user, password.reveal()) == ("mona", "top:secret")
    assert not distribution.logged_in("quay.io")[1]


# Docker, whose command lines are held to its documentation: no engine runs here


def test_docker__its_command_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, made = tmp_path / "log.jsonl", image(tmp_path)
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, shutil, sys\n"
        f"open({str(log)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "for each in sys.argv:\n"
        "    if each.startswith('type=oci,dest='):\n"
        f"        shutil.copytree({str(made.folder)!r}, each.split('dest=')[1].split(',')[0])\n"
        "if sys.argv[1] == 'run': print('c0ffee')\n"
        "if '{{.Size}}' in sys.argv: print(5)\n"
        "if '{{.State.ExitCode}}' in sys.argv: print(0)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("INPUT_REGISTRY_TOKEN", "hidden")
    assert "INPUT_REGISTRY_TOKEN" not in programs.environ()
    docker = engines.choose("auto")
    context = tmp_path / "context"
    built = docker.build(context, plan(labels={"slipway.golden": '$HOME "x"'}).recipe, tmp_path / "layout")
    assert built.layout.digest == made.digest
    docker.pull(f"python@{ZEROS}")
    container = docker.start(built.name)
    assert (container, docker.size(built.name), docker.stop(container, 9)) == ("c0ffee", 5, 0)
    docker.remove(container=container, image=built.name)
    said = [json.loads(line) for line in log.read_text().splitlines()]
    build = next(each for each in said if each[:2] == ["buildx", "build"])
    for wanted in ("--no-cache", "--provenance=false", "--sbom=false", "SOURCE_DATE_EPOCH=1700000000"):
        assert wanted in build
    assert f"type=oci,dest={tmp_path / 'layout'},tar=false,rewrite-timestamp=true" in build
    assert build[build.index("--label") + 1] == 'slipway.golden=$HOME "x"'
    assert build[-3:] == ["--file", str(context / "Containerfile"), str(context)]
    run = next(each for each in said if each[0] == "run")
    for wanted in ("none", "--read-only", "all", "no-new-privileges"):
        assert wanted in run
    assert ["rm", "--force", "c0ffee"] in said


@pytest.mark.parametrize(("security", "user"), [("[name=seccomp]", ""), ("[name=seccomp name=rootless]", "0:0")])
def test_docker__a_command_in_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str, user: str
) -> None:
    """https://docs.docker.com/reference/cli/docker/container/run/; values of variables stand on no command line."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\necho '{security}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 1001)
    monkeypatch.setattr(os, "getgid", lambda: 121)
    work = Work(
        name="mine",
        image=f"python@{ZEROS}",
        arguments=["/usr/bin/python3", "-I", "x.py"],
        folder=Path("/team/a b"),
        writable=[Path("/team/a b"), Path("/scratch")],
        readable=[Path("/team/a b/.git")],
        settings={"HOME": "/scratch/home"},
        handed=["MLFLOW_TRACKING_TOKEN"],
        network=False,
        devices=["nvidia.com/gpu=all"],
    )
    said = engines.Docker().command(work)
    assert said[:3] == ["docker", "run", "--rm"]
    pairs = list(pairwise(said))
    for pair in (
        *(("--name", "mine"), ("--network", "none"), ("--workdir", "/team/a b"), ("--cap-drop", "all")),
        *(("--user", user or "1001:121"), ("--env", "MLFLOW_TRACKING_TOKEN"), ("--env", "HOME=/scratch/home")),
        *(("--device", "nvidia.com/gpu=all"), ("--security-opt", "no-new-privileges")),
    ):
        assert pair in pairs
    mounts = [value for option, value in pairs if option == "--mount"]
    assert mounts == [
        "type=bind,source=/scratch,target=/scratch",
        "type=bind,source=/team/a b,target=/team/a b",
        "type=bind,source=/team/a b/.git,target=/team/a b/.git,readonly",
    ]
    assert said[-4:] == ["/usr/bin/python3", f"python@{ZEROS}", "-I", "x.py"]
    with pytest.raises(InputError, match="cannot be handed to a container"):
        engines.Docker().command(replace(work, writable=[Path("/team/a,b")]))


def test_choose__a_builder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="The builder `buildah` is not on this machine"):
        engines.choose("buildah")
    with pytest.raises(InputError, match="No builder of images is"):
        engines.choose("auto")


def test_failed__a_full_disk_is_told_as_such() -> None:
    failure = programs.failed(("buildah", "bud"), 1, "write /var/x: no space left on device", "", "")
    assert isinstance(failure, InputError)
    assert failure.what == "The runner's disk is full."
