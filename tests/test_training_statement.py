"""The provenance statement: held to the published protobufs of in-toto and SLSA, and field by field by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

from slipway.datasets import DatasetVersion
from slipway.registry.digests import DOWNLOAD_MARK, digest, file_digests, listing
from slipway.training import statement
from slipway.training.provenance import Base, Environment, Provenance

COMMIT, MD5 = "c" * 40, "a1" * 16
DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(("policy", "model", "lock", "log", "data"), 1)}
RUN: dict[str, str | int] = {
    "url": "https://github.com/octo/models/actions/runs/77",
    "id": 77,
    "attempt": 2,
    "event": "push",
    "actor": "mona",
    "actor_id": "583231",
    "triggering_actor": "hubot",
    "repository": "https://github.com/octo/models",
    "ref": "refs/heads/main",
    "workflow": "https://github.com/octo/models/.github/workflows/model.yml@refs/heads/main",
}
DATASETS = {
    "train": DatasetVersion(path="data/train.csv", kind="dvc", id=f"md5:{MD5}", immutable=True, tracked_by="t.csv.dvc"),
    "days": DatasetVersion(path="data/days", kind="dvc", id=f"md5:{MD5}.dir", immutable=True, tracked_by="days.dvc"),
    "holdout": DatasetVersion(path="data/h.csv", kind="git", id="b" * 40, immutable=True, tracked_by="data/h.csv"),
    "loose": DatasetVersion(path="x.csv", kind="file", id=DIGESTS["data"], immutable=False, remark="is not versioned"),
}
MADE = Provenance(
    model="toy",
    commit=COMMIT,
    clean=True,
    changes=(),
    datasets=DATASETS,
    parameters={"depth": "3"},
    environment=Environment(
        python="3.11.7",
        packages=("Foo_Bar==1.0+local", "numpy==2.0"),
        lock="numpy==2.0",
        lock_digest=DIGESTS["lock"],
        hash_locked=True,
    ),
    command=["python", "train.py"],
    seed=0,
    policy={"policy": "slipway.yml", "policy_digest": DIGESTS["policy"], "gates_from": "work tree"},
    machine={"platform": "Linux", "machine": "x86_64", "processor": ""},
    run=RUN,
    model_digest=DIGESTS["model"],
    mlflow_run="r1",
    base=Base(kind="hosted image", image="ubuntu24", version="20261101.1"),
    started="2026-11-25T13:00:00Z",
    finished="2026-11-25T13:05:00Z",
    log_digest=DIGESTS["log"],
)
FILES = {"MLmodel": "1" * 64, "data/weights.json": "2" * 64}


def built(**change: Any) -> dict[str, Any]:
    return statement.build(dataclasses.replace(MADE, **change), FILES, kept_in="slipway", record=f"sha256:{'e' * 64}")


def dependencies(said: dict[str, Any], role: str) -> list[dict[str, Any]]:
    found = said["predicate"]["buildDefinition"]["resolvedDependencies"]
    return [each for each in found if each["annotations"]["role"] == role]


def hold_to_the_protobufs(said: dict[str, Any]) -> None:
    """Both published messages take all of it, field for field, and give it back."""
    whole = ParseDict(said, statement_pb2.Statement())
    Statement.copy_from_pb(whole).validate()
    predicate = ParseDict(said["predicate"], provenance_pb2.Provenance())
    assert MessageToDict(predicate) == json.loads(json.dumps(said["predicate"]))
    for each in (*predicate.build_definition.resolved_dependencies, *predicate.run_details.byproducts):
        ResourceDescriptor.copy_from_pb(each).validate()


HERE: dict[str, str | int] = dict.fromkeys(RUN, "") | {"id": 0, "attempt": 0}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"run": HERE, "seed": None, "clean": False, "changes": ("a.py",)},
        {"environment": Environment(python="3.11.7", packages=()), "datasets": {}, "parameters": {}},
        {"base": Base(kind="container", image=f"ghcr.io/octo/train@sha256:{'9' * 64}"), "base_model": "bert"},
        {"job": "ray:http://ray.internal:8265/slipway-1"},
    ],
)
def test_statement__holds_to_the_published_protobufs(change: dict[str, Any]) -> None:
    hold_to_the_protobufs(built(**change))


@pytest.mark.parametrize(
    ("place", "field"),
    [
        (("predicate", "buildDefinition"), "resolved"),
        (("predicate", "runDetails", "builder"), "name"),
        (("predicate", "runDetails", "metadata"), "invocation"),
    ],
)
def test_protobufs__refuse_a_field_that_the_specification_does_not_know(place: tuple[str, ...], field: str) -> None:
    said = built()
    inner = said
    for key in place:
        inner = inner[key]
    inner[field] = "x"
    with pytest.raises(Exception, match=field):
        hold_to_the_protobufs(said)


def test_statement__names_every_file_and_the_whole() -> None:
    said = built()
    assert (said["_type"], said["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    assert said["subject"] == [
        {"name": "toy", "digest": {"sha256": f"{2:064x}"}},
        {"name": "toy/MLmodel", "digest": {"sha256": "1" * 64}},
        {"name": "toy/data/weights.json", "digest": {"sha256": "2" * 64}},
    ]


def test_statement__says_what_was_asked_for_and_how_it_ran() -> None:
    predicate = built()["predicate"]
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    assert definition["buildType"].endswith("docs/provenance.md#build-type-train-model-v1")
    assert definition["externalParameters"] == {
        "model": "toy",
        "command": ["python", "train.py"],
        "parameters": {"depth": "3"},
        "seed": "0",
        "policy": "slipway.yml",
    }
    assert definition["internalParameters"]["base"] == {
        "kind": "hosted image",
        "image": "ubuntu24",
        "version": "20261101.1",
    }
    github = definition["internalParameters"]["github"]
    assert (github["actor"], github["actor_id"], github["triggering_actor"]) == ("mona", "583231", "hubot")
    assert details["builder"] == {"id": RUN["workflow"]}
    assert details["metadata"] == {
        "invocationId": "https://github.com/octo/models/actions/runs/77/attempts/2",
        "startedOn": "2026-11-25T13:00:00Z",
        "finishedOn": "2026-11-25T13:05:00Z",
    }
    assert details["byproducts"] == [
        {"name": "training.log", "uri": "runs:/r1/slipway/training.log", "digest": {"sha256": f"{4:064x}"}},
        {"name": "provenance.json", "uri": "runs:/r1/slipway/provenance.json", "digest": {"sha256": "e" * 64}},
    ]


def test_statement__resolves_commit_policy_lock_and_packages() -> None:
    said = built()
    assert dependencies(said, "source") == [
        {
            "uri": "git+https://github.com/octo/models@refs/heads/main",
            "digest": {"gitCommit": COMMIT},
            "annotations": {"role": "source", "clean": True},
        }
    ]
    (policy,) = dependencies(said, "policy")
    assert (policy["name"], policy["digest"]) == ("slipway.yml", {"sha256": f"{1:064x}"})
    assert policy["annotations"]["gates_from"] == "work tree"
    assert dependencies(said, "environment lock") == [
        {
            "name": "requirements.txt",
            "uri": "runs:/r1/slipway/requirements.txt",
            "digest": {"sha256": f"{3:064x}"},
            "annotations": {"role": "environment lock", "hashLocked": True},
        }
    ]
    assert [each["uri"] for each in dependencies(said, "package")] == [
        "pkg:pypi/foo-bar@1.0%2Blocal",
        "pkg:pypi/numpy@2.0",
    ]


def test_statement__gives_a_dataset_the_digest_of_its_bytes_or_none() -> None:
    train, days, held, loose = dependencies(built(), "dataset")
    assert train["digest"] == {"md5": MD5}
    assert train["uri"] == f"git+https://github.com/octo/models@{COMMIT}#t.csv.dvc"
    assert "digest" not in days, "the MD5 of DVC's list of a folder is the MD5 of no file that anybody has"
    assert days["annotations"]["id"] == f"md5:{MD5}.dir"
    assert "digest" not in held
    assert held["annotations"] == {
        "role": "dataset",
        "dataset": "holdout",
        "kind": "git",
        "id": "b" * 40,
        "immutable": True,
    }
    assert loose["digest"] == {"sha256": f"{5:064x}"}
    assert loose["annotations"]["immutable"] is False
    assert loose["annotations"]["remark"] == "is not versioned"
    assert "uri" not in loose


def test_statement__names_remote_data_by_their_pinned_address() -> None:
    pinned = "s3://bucket/flights.parquet?versionId=abc"
    remote = DatasetVersion(
        path="s3://bucket/flights.parquet", kind="s3", id="abc", immutable=False, pinned=pinned, sha256="c" * 64
    )
    (found,) = dependencies(built(datasets={"train": remote}), "dataset")
    assert found["uri"] == pinned
    assert found["digest"] == {"sha256": "c" * 64}


def test_statement__outside_of_github_claims_no_builder_and_no_address() -> None:
    said = built(run=HERE, base=Base(kind="unknown"))
    details = said["predicate"]["runDetails"]
    assert details["builder"]["id"].endswith("docs/provenance.md#outside-of-github-actions")
    assert details["metadata"]["invocationId"] == "runs:/r1"
    assert dependencies(said, "source") == [
        {"name": "source", "digest": {"gitCommit": COMMIT}, "annotations": {"role": "source", "clean": True}}
    ]
    internal = said["predicate"]["buildDefinition"]["internalParameters"]
    assert internal["base"] == {"kind": "unknown"}
    assert "github" not in internal
    assert "github.com/octo" not in json.dumps(said)


def test_statement__of_a_commit_that_is_no_tip_names_the_commit() -> None:
    (source,) = dependencies(built(run={**RUN, "ref": ""}), "source")
    assert source["uri"] == f"git+https://github.com/octo/models@{COMMIT}"


def test_statement__of_a_dirty_tree_says_so() -> None:
    (source,) = dependencies(built(clean=False, changes=("train.py", "new.py")), "source")
    assert source["annotations"] == {"role": "source", "clean": False, "changes": ["train.py", "new.py"]}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("bert-base-uncased", {"name": "bert-base-uncased"}),
        ("models:/toy/3", {"uri": "models:/toy/3"}),
        (f"hf://org/bert@{'4' * 40}", {"uri": f"hf://org/bert@{'4' * 40}", "digest": {"gitCommit": "4" * 40}}),
        (
            f"oci://host/x@sha256:{'5' * 64}",
            {"uri": f"oci://host/x@sha256:{'5' * 64}", "digest": {"sha256": "5" * 64}},
        ),
    ],
)
def test_statement__base_model(named: str, expected: dict[str, Any]) -> None:
    assert dependencies(built(base_model=named), "base model") == [
        {**expected, "annotations": {"role": "base model", "saidBy": "the run"}}
    ]
    assert dependencies(built(), "base model") == []


def test_statement__the_job_elsewhere_is_what_the_run_says() -> None:
    job = {"name": "ray:http://ray.internal:8265/slipway-1", "saidBy": "the run"}
    assert built(job=job["name"])["predicate"]["buildDefinition"]["internalParameters"]["job"] == job
    assert "job" not in built()["predicate"]["buildDefinition"]["internalParameters"]


def test_statement__container_with_its_digest() -> None:
    image = f"ghcr.io/octo/train@sha256:{'9' * 64}"
    (container,) = dependencies(built(base=Base(kind="container", image=image)), "container")
    assert (container["name"], container["digest"]) == (image, {"sha256": "9" * 64})
    assert dependencies(built(base=Base(kind="container")), "container") == []


def test_write_evidence__names_digests_that_the_files_have(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "data").mkdir(parents=True)
    (model / "MLmodel").write_text("{}")
    (model / "data" / "weights").write_bytes(b"\0\1")
    made = dataclasses.replace(MADE, model_digest=digest(model))
    (model / DOWNLOAD_MARK).write_text("model_name: null")  # MLflow's, in every copy
    written = statement.write_evidence(made, model, tmp_path, kept_in="slipway")
    assert [file.name for file in written] == ["provenance.json", "requirements.txt", "provenance.intoto.json"]
    said = json.loads(written[-1].read_text(encoding="utf-8"))
    subjects = {each["name"]: each["digest"]["sha256"] for each in said["subject"]}
    assert subjects == {
        "toy": hashlib.sha256(listing(file_digests(model)).encode()).hexdigest(),
        "toy/MLmodel": hashlib.sha256(b"{}").hexdigest(),
        "toy/data/weights": hashlib.sha256(b"\0\1").hexdigest(),
    }
    record = said["predicate"]["runDetails"]["byproducts"][1]
    assert record["digest"]["sha256"] == hashlib.sha256(written[0].read_bytes()).hexdigest()
    assert digest(model) == f"sha256:{subjects['toy']}"
    hold_to_the_protobufs(said)
