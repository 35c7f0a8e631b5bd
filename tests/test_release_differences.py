"""What differs between two versions, and the tier that follows."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from slipway.datasets import DatasetVersion
from slipway.policy.release import Release
from slipway.release import architecture, tiers
from slipway.release.differences import Difference, Files, Version, between, columns, matches
from slipway.release.seal import Sealed, differences, read
from slipway.runner.errors import InputError
from slipway.training.provenance import Base, Environment
from test_training_statement import MADE

ENVIRONMENTS = {
    "low": {"name": "production-low"},
    "medium": {"name": "production", "reviewers": ["team/ml"]},
    "high": {"name": "production-high", "reviewers": ["mona"]},
}
INPUTS = ("distance: double", "carrier: string")
NONE = Files(())


def rules(**change: Any) -> Release:
    return Release.model_validate({"environments": ENVIRONMENTS, **change})


def version(number: str = "2", **change: Any) -> Version:
    """A version; `made` takes changes of its provenance."""
    made = dataclasses.replace(MADE, **change.pop("made", {}))
    return Version(**{"version": number, "made": made, "inputs": INPUTS, "policy": {}, **change})


def kinds(candidate: Version, production: Version | None = None, files: Files = NONE, **how: Any) -> list[str]:
    found = between(candidate, production or version("1"), files, covered=how.pop("covered", ()), **how)
    return [each.kind for each in found]


CONTAINER = Base(kind="container", image=f"ghcr.io/octo/train@sha256:{'1' * 64}", id=f"sha256:{'2' * 64}")


def test_between__another_container_is_told_once() -> None:
    """By its digest: what was built above it differs with the packages, and these are told by name."""
    key = "training.container.image"
    before = version("1", made={"base": CONTAINER}, policy={key: CONTAINER.image})
    other = dataclasses.replace(CONTAINER, image=CONTAINER.image.replace("1" * 64, "3" * 64))
    now = version(made={"base": other}, policy={key: other.image})
    (found,) = between(now, before, NONE, covered=())
    assert (found.kind, found.name) == ("image", "trained on")
    assert (found.production, found.candidate) == (f"container: {CONTAINER.image}", f"container: {other.image}")
    rebuilt = version(made={"base": dataclasses.replace(CONTAINER, id="sha256:4")}, policy={key: CONTAINER.image})
    assert kinds(rebuilt, before) == []
    network = {"training.container.network": "deny", key: CONTAINER.image}
    assert kinds(version(made={"base": CONTAINER}, policy=network), before) == ["policy"]


def test_between__the_same_again() -> None:
    assert kinds(version()) == []
    assert tiers.assess([], rules(), [], inside_envelope=False).tier == "low"


DATA = DatasetVersion(path="data/train", kind="dvc", id=f"md5:{'1' * 32}", immutable=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"parameters": {"C": "0.5"}}, ["parameters"]),
        ({"parameters": {"decision_threshold": "0.4"}}, ["threshold"]),
        ({"made": {"parameters": {"depth": "4"}}}, ["parameters"]),
        ({"made": {"seed": 8}}, ["parameters"]),
        ({"made": {"command": ["python", "other.py"]}}, ["parameters"]),
        ({"made": {"base_model": "hf://org/b@" + "4" * 40}}, ["base_model"]),
        ({"made": {"datasets": {**MADE.datasets, "train": DATA}}}, ["data"]),
        ({"made": {"base": Base(kind="container", image="python:3.12")}}, ["image"]),
        ({"made": {"environment": dataclasses.replace(MADE.environment, python="3.12.1")}}, ["dependencies"]),
        ({"inputs": ("carrier: string", "distance: double")}, ["features"]),
        ({"inputs": ("distance: float", "carrier: string")}, ["features"]),
        ({"outputs": ("probability: double",)}, ["features"]),
        ({"architecture": {"flavour xgboost": "yes"}}, ["architecture"]),
        ({"policy": {"evaluation.threshold": "0.4"}}, ["threshold"]),
        ({"policy": {"evaluation.min_rows": "50"}}, ["policy"]),
        ({"policy": {"data.train.schema": "other.yml"}}, ["features"]),
        ({"policy": {"data.train.path": "s3://b/train?versionId=2"}}, []),
        ({"policy": None}, ["unknown"]),
    ],
)
def test_between__each_kind(change: dict[str, Any], expected: list[str]) -> None:
    assert kinds(version(**change)) == expected


def test_between__a_package_by_its_name() -> None:
    newer = Environment(python=MADE.environment.python, packages=("foo-bar==1.1", "numpy==2.0", "new==1"))
    found = between(version(made={"environment": newer}), version("1"), NONE, covered=())
    assert [(each.name, each.production, each.candidate) for each in found] == [
        ("foo-bar", "1.0+local", "1.1"),
        ("new", "", "1"),
    ]


def test_between__without_a_production_or_a_record() -> None:
    assert kinds(version(), Version(version="1", made=None)) == ["unknown"]
    assert [each.kind for each in between(version(), None, NONE, covered=())] == ["first_release"]


def test_between__files() -> None:
    changed = Files(("train.py", "prompts/a.txt", "data/train.dvc", "slipway.yml"))
    found = kinds(version(), files=changed, prompts=["prompts/**"], covered=["data/train.dvc", "slipway.yml"])
    assert found == ["code", "prompt"]
    assert kinds(version(), files=Files(None, "shallow")) == ["unknown"]


def test_between__what_only_loading_would_tell_is_high_where_the_code_has_changed() -> None:
    pickled = {"opaque model.pkl": "only loading it would tell"}
    old, new = version("1", architecture=pickled), version(architecture=pickled)
    assert kinds(new, old) == []
    assert kinds(new, old, Files(("README.md", "data.dvc"))) == ["code", "code"]
    assert kinds(new, old, Files(("train.py",))) == ["architecture", "code"]


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("prompts/a.txt", "prompts/**", True),
        ("prompts/deep/a.txt", "prompts/**", True),
        ("prompts/deep/a.txt", "prompts/*", False),
        ("prompts", "prompts/**", False),
        ("a/b/c.py", "**/*.py", True),
        ("c.py", "**/*.py", True),
        ("a/x/b", "a/**/b", True),
        ("a/b", "a/**/b", True),
        ("docs.md", "*.md", True),
        ("docs/x.md", "*.md", False),
    ],
)
def test_matches(name: str, pattern: str, expected: bool) -> None:
    assert matches(name, [pattern]) is expected


def of(kind: str, name: str = "x") -> Difference:
    return Difference(kind, name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["prompt"], "low"),
        (["threshold", "prompt"], "low"),
        (["data"], "medium"),
        (["parameters", "threshold"], "medium"),
        (["data", "features"], "high"),
        (["architecture"], "high"),
        (["base_model"], "high"),
        (["first_release"], "high"),
        (["unknown"], "high"),
        (["evaluation"], "high"),
    ],
)
def test_assess__the_highest_counts(found: list[str], expected: str) -> None:
    assert tiers.assess([of(kind) for kind in found], rules(), [], inside_envelope=False).tier == expected


def test_assess__the_envelope_speaks_of_data_alone() -> None:
    assert tiers.assess([of("data")], rules(), [], inside_envelope=True).tier == "low"
    both = tiers.assess([of("data"), of("dependencies", "numpy")], rules(), [], inside_envelope=True)
    assert both.tier == "medium"
    assert both.rated[0].difference.name == "numpy", "the highest first"


def test_assess__a_label_raises_and_never_lowers() -> None:
    known = rules(labels={"careful": "high", "risk: low": "low"})
    assert tiers.assess([of("prompt")], known, ["careful", "unknown"], inside_envelope=False).tier == "high"
    lowered = tiers.assess([of("features")], known, ["risk: low"], inside_envelope=False)
    assert (lowered.tier, len(lowered.reasons)) == ("high", 1)


def test_assess__patterns_of_files_and_parameters() -> None:
    known = rules(paths={"docs/**": "low", "serving/**": "high"}, parameters={"model.*": "high"})
    rated = {
        name: tiers.tier_of(of(kind, name), known, inside_envelope=False)
        for kind, name in (("code", "docs/a.md"), ("code", "serving/a.py"), ("code", "a.py"), ("parameters", "model.x"))
    }
    assert rated == {"docs/a.md": "low", "serving/a.py": "high", "a.py": "medium", "model.x": "high"}


def test_policy__medium_and_high_need_reviewers() -> None:
    alone = {**ENVIRONMENTS, "high": {"name": "production-high"}}
    with pytest.raises(ValueError, match="needs `reviewers`"):
        rules(environments=alone)
    assert rules(environments=alone, approval="pull_request_review").approval == "pull_request_review"


def test_policy__one_environment_is_not_protected_in_two_ways() -> None:
    twice = {**ENVIRONMENTS, "high": {"name": "Production", "reviewers": ["mona"]}}
    with pytest.raises(ValueError, match="one environment"):
        rules(environments=twice)


def test_columns__of_a_signature() -> None:
    said = [{"type": "double", "name": "x", "required": True}, {"type": "tensor", "tensor-spec": {"shape": [-1, 3]}}]
    assert columns(json.dumps(said)) == ("x: double", '1: {"shape": [-1, 3]}')
    assert columns(None) == ()
    assert columns("{broken") == ("not readable: {broken",)


# Architecture


def test_describe__a_forest_of_any_size_is_one_and_another_estimator_is_not(tmp_path: Path) -> None:
    import skops.io
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    x, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    told = []
    for place, each in enumerate(
        (RandomForestClassifier(2, random_state=1), RandomForestClassifier(5, random_state=2), LogisticRegression())
    ):
        folder = tmp_path / str(place)
        folder.mkdir()
        skops.io.dump(each.fit(x, y), folder / "model.skops")
        told.append(architecture.describe(folder, {"flavors": {"sklearn": {}}}))
    assert told[0] == told[1]
    assert told[0] != told[2]
    assert any("RandomForestClassifier" in kind for kind in told[0].values())
    assert not any(name.startswith("opaque") for name in told[0])


def test_describe__shapes_of_tensors_and_files_that_say_nothing(tmp_path: Path) -> None:
    header = json.dumps({"layer.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 48)
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04.")
    with zipfile.ZipFile(tmp_path / "broken.skops", "w") as archive:
        archive.writestr("other.json", "{}")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    found = architecture.describe(tmp_path, {"flavors": {"python_function": {"loader_module": "m", "env": {}}}})
    assert found == {
        "flavour python_function": "loader_module m",
        "model.safetensors: layer.weight": "F32 [3, 4]",
        "opaque broken.skops": "only loading it would tell",
        "opaque model.pkl": "only loading it would tell",
    }


def test_mlmodel__broken(tmp_path: Path) -> None:
    for text in ("[1]", "flavors: 3", "{", None):
        if text is not None:
            (tmp_path / "MLmodel").write_text(text)
        with pytest.raises(InputError):
            architecture.mlmodel(tmp_path)
        (tmp_path / "MLmodel").unlink(missing_ok=True)


# The seal

SEALED = Sealed(
    model="toy",
    version="2",
    model_digest=f"sha256:{'1' * 64}",
    commit="c" * 40,
    image="",
    data={"train": "dvc:md5:1"},
    evaluation=f"sha256:{'2' * 64}",
    policy=f"sha256:{'3' * 64}",
    tier="high",
    environment="production-high",
    deploys_to="production",
    replaces="1",
)


def test_seal__is_of_every_field(tmp_path: Path) -> None:
    assert read(SEALED.write(tmp_path / "seal.json")) == SEALED
    others = {
        Sealed(**{**dataclasses.asdict(SEALED), name: {"train": "x"} if name == "data" else "x"}).digest
        for name in ("model", "version", "model_digest", "commit", "image", "data", "evaluation", "policy", "tier")
    }
    assert len(others | {SEALED.digest}) == 10
    now = dataclasses.replace(SEALED, image="r@sha256:9", tier="low")
    assert differences(SEALED, now) == ("image was `none`, and is `r@sha256:9`", "tier was `high`, and is `low`")


def test_seal__is_what_anybody_can_compute(tmp_path: Path) -> None:
    import hashlib

    file = SEALED.write(tmp_path / "seal.json")
    plain = json.dumps(dataclasses.asdict(SEALED), sort_keys=True, separators=(",", ":"))
    assert file.read_text() == plain
    assert SEALED.digest == "sha256:" + hashlib.sha256(plain.encode()).hexdigest()


@pytest.mark.parametrize("text", ["", "{}", '{"model": 3}', "[]"])
def test_seal__that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "seal.json").write_text(text)
    with pytest.raises(InputError, match="is no seal"):
        read(tmp_path / "seal.json")
