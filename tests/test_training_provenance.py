"""What a provenance says of the run, of the machine and of the lock, and how strictly it is read again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import pull_request
from slipway.runner.context import Run
from slipway.runner.errors import InputError
from slipway.training import provenance
from slipway.training.provenance import Base, describe_base, describe_environment, describe_run, read
from test_training_statement import COMMIT, DIGESTS, HERE, MADE


def test_read__gives_back_what_was_written(tmp_path: Path) -> None:
    assert read(MADE.write(tmp_path / "provenance.json")) == MADE


def test_read__takes_one_that_was_written_before_the_newest_fields(tmp_path: Path) -> None:
    written = json.loads(MADE.write(tmp_path / "provenance.json").read_text())
    for name in ("base", "base_model", "job", "started", "finished", "log_digest"):
        del written[name]
    del written["environment"]["hash_locked"]
    (tmp_path / "old.json").write_text(json.dumps(written))
    old = read(tmp_path / "old.json")
    assert (old.base, old.started, old.environment.hash_locked) == (Base(kind="unknown"), "", False)
    assert old.datasets == MADE.datasets


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kept: kept.update(colour="red"), "`colour`"),
        (lambda kept: kept["datasets"]["train"].update(colour="red"), "`datasets.train.colour`"),
        (lambda kept: kept["environment"].pop("python"), "`environment.python`"),
        (lambda kept: kept.update(clean="false"), "`clean`"),
        (lambda kept: kept.update(seed=1.5), "`seed`"),
        (lambda kept: kept.update(schema_version=2), "has version 2 of its format"),
        (lambda kept: kept.update(schema_version="1"), "`schema_version`"),
    ],
)
def test_read__refuses(tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str) -> None:
    kept = json.loads(MADE.write(tmp_path / "provenance.json").read_text())
    change(kept)
    (tmp_path / "provenance.json").write_text(json.dumps(kept))
    with pytest.raises(InputError) as refused:
        read(tmp_path / "provenance.json")
    assert said in str(refused.value)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"null"])
def test_read__refuses_what_is_no_provenance(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "provenance.json").write_bytes(content)
    with pytest.raises(InputError, match=r"is not a provenance of Slipway"):
        read(tmp_path / "provenance.json")
    with pytest.raises(InputError, match=r"cannot be read"):
        read(tmp_path / "elsewhere.json")


def test_describe_run__of_a_push_names_branch_and_people() -> None:
    run = Run(
        repository="octo/models",
        sha=COMMIT,
        ref="refs/heads/main",
        event_name="push",
        run_id=77,
        attempt=2,
        workflow_ref="octo/models/.github/workflows/model.yml@refs/heads/main",
        actor="mona",
        actor_id="583231",
        triggering_actor="hubot",
        server_url="https://github.com",
    )
    assert describe_run(run, COMMIT) == MADE.run


def test_describe_run__of_a_pull_request_names_its_head_and_not_the_merge_commit() -> None:
    event = pull_request(7, head=COMMIT)
    run = Run(repository="octo/models", sha="f" * 40, ref="refs/pull/7/merge", event=event)
    assert describe_run(run, COMMIT)["ref"] == "refs/pull/7/head"
    assert describe_run(run, "f" * 40)["ref"] == "refs/pull/7/merge"
    assert describe_run(run, "e" * 40)["ref"] == "", "of another commit no name is known"


def test_describe_run__outside_of_github_is_empty() -> None:
    assert describe_run(Run(), COMMIT) == HERE


HOSTED = {"ImageOS": "ubuntu24", "ImageVersion": "20261101.1.0"}


@pytest.mark.parametrize(
    ("environ", "files", "expected", "shown"),
    [
        ({}, {}, Base(kind="unknown"), "unknown"),
        ({"ImageOS": "ubuntu24"}, {}, Base(kind="unknown"), "unknown"),
        (
            HOSTED,
            {},
            Base(kind="hosted image", image="ubuntu24", version="20261101.1.0"),
            "hosted image: ubuntu24 20261101.1.0",
        ),
        (HOSTED, {".dockerenv": ""}, Base(kind="container"), "container: not named"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {}, Base(kind="container"), "container: not named"),
        (
            {},
            {"run/.containerenv": 'engine="podman"\nimage="quay.io/octo/train:3"\n'},
            Base(kind="container", image="quay.io/octo/train:3"),
            "container: quay.io/octo/train:3",
        ),
        ({}, {"run/.containerenv": ""}, Base(kind="container"), "container: not named"),
        (
            {"SLIPWAY_CONTAINER_IMAGE": "octo/train@sha256:1"},
            {".dockerenv": ""},
            Base(kind="container", image="octo/train@sha256:1"),
            "container: octo/train@sha256:1",
        ),
    ],
)
def test_describe_base(
    tmp_path: Path, environ: dict[str, str], files: dict[str, str], expected: Base, shown: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    found = describe_base(environ, tmp_path)
    assert (found, str(found)) == (expected, shown)


@pytest.mark.parametrize(("lock", "hashed"), [("numpy==2.0\n", False), ("numpy==2.0 --hash=sha256:1\n", True)])
def test_describe_environment__says_whether_the_lock_has_hashes(tmp_path: Path, lock: str, hashed: bool) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(lock)
    assert describe_environment(Path(sys.executable), file).hash_locked is hashed
    assert describe_environment(Path(sys.executable), None).hash_locked is False


def test_tags__leave_out_what_is_not_known() -> None:
    tags = MADE.tags()
    assert tags["slipway.base"] == "hosted image: ubuntu24 20261101.1"
    assert tags["slipway.workflow_attempt"] == "2"
    assert tags["slipway.finished"] == "2026-11-25T13:05:00Z"
    here = provenance.Provenance(**{**vars(MADE), "run": HERE, "base": Base(kind="unknown"), "started": ""}).tags()
    gone = {"workflow_run", "workflow_attempt", "actor", "actor_id", "triggering_actor", "started"}
    assert tags.keys() - here.keys() == {f"slipway.{name}" for name in gone}
    assert here["slipway.base"] == "unknown"
    assert DIGESTS["model"] == here["slipway.model_digest"]
