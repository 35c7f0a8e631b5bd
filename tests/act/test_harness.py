"""The stand-ins behave like the actions that they replace where our workflows can tell, and refuse what those lack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from act.harness import STAND_INS, Lab, StandInError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), Path("act"), ROOT)


def stand_in(script: str, folder: Path, **environ: object) -> subprocess.CompletedProcess[str]:
    given = {
        name: str(value) for name, value in {"GITHUB_WORKSPACE": folder, "PATH": os.environ["PATH"], **environ}.items()
    }
    return subprocess.run(
        [sys.executable, str(STAND_INS / script)], cwd=folder, env=given, capture_output=True, text=True, check=False
    )


def workflow(folder: Path, step: str) -> Path:
    file = folder / "model.yml"
    file.write_text(f"jobs:\n  gate:\n    steps:\n      - {step}\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "file",
    [
        *(f".github/workflows/{name}.yml" for name in ("pipeline", "drift", "retrain")),
        "examples/flights/.github/workflows/model.yml",
        "examples/flights-loop/.github/workflows/retrain.yml",
    ],
)
def test_replacements__every_action_has_one(lab: Lab, file: str) -> None:
    found = lab.replacements(ROOT / file)
    names = {action.partition("@")[0] for action in found}
    assert names >= {f"actions/{name}" for name in ("checkout", "setup-python", "upload-artifact", "download-artifact")}


def test_replacements__an_unknown_input_is_refused(lab: Lab, tmp_path: Path) -> None:
    file = workflow(tmp_path, "{uses: actions/checkout@v7, with: {fetch-deep: 0}}")
    with pytest.raises(StandInError, match="actions/checkout@v7 has no input fetch-deep, but repository, ref"):
        lab.replacements(file)


def test_replacements__an_unknown_action_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(StandInError, match="octo/surprise@v1 has no stand-in"):
        lab.replacements(workflow(tmp_path, "uses: octo/surprise@v1"))


@pytest.mark.parametrize(("depth", "known"), [(1, 1), (0, 2)])
def test_checkout__is_as_deep_as_asked_for(lab: Lab, tmp_path: Path, depth: int, known: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    lab.git(source, "init", "--quiet")
    (source / "file").write_text("1")
    lab.commit_all(source, "first")
    (source / "file").write_text("2")
    second = lab.commit_all(source, "second")
    lab.publish(source, f"acme/depth-{depth}")

    done = stand_in(
        "checkout/checkout.py",
        tmp_path,
        ACT_REMOTES=lab.folder / "remotes",
        GITHUB_REPOSITORY=f"acme/depth-{depth}",
        GITHUB_SHA=second,
        STANDIN_REPOSITORY="",
        STANDIN_REF="",
        STANDIN_PATH="here",
        STANDIN_FETCH_DEPTH=depth,
        STANDIN_PERSIST_CREDENTIALS="false",
        GITHUB_OUTPUT=tmp_path / "output",
    )

    assert (tmp_path / "output").read_text() == f"commit={second}\n"
    assert done.returncode == 0, done.stderr
    assert lab.git(tmp_path / "here", "rev-list", "--all", "--count", "HEAD") == str(known)
    assert "extraheader" not in (tmp_path / "here" / ".git" / "config").read_text()


def test_upload__keeps_visible_files_below_the_folder_and_each_name_once(tmp_path: Path) -> None:
    (tmp_path / "reports" / "deep").mkdir(parents=True)
    for name in ("deep/report.json", ".hidden"):
        (tmp_path / "reports" / name).write_text("{}")
    given = {
        "ACT_ARTIFACTS": tmp_path / "artifacts",
        "STANDIN_NAME": "reports",
        "STANDIN_PATH": tmp_path / "reports",
        "STANDIN_IF_NO_FILES_FOUND": "ignore",
    }

    first, second = (stand_in("upload-artifact/upload.py", tmp_path, **given) for _ in range(2))

    kept = [file for file in (tmp_path / "artifacts").rglob("*") if file.is_file()]
    assert kept == [tmp_path / "artifacts" / "reports" / "deep" / "report.json"]
    assert (first.returncode, second.returncode) == (0, 1)
    assert "already exists" in second.stderr


@pytest.mark.parametrize(("missing", "code"), [("ignore", 0), ("warn", 0), ("error", 1)])
def test_upload__nothing_found(tmp_path: Path, missing: str, code: int) -> None:
    given = {
        "ACT_ARTIFACTS": tmp_path / "artifacts",
        "STANDIN_NAME": "reports",
        "STANDIN_PATH": "absent",
        "STANDIN_IF_NO_FILES_FOUND": missing,
    }
    assert stand_in("upload-artifact/upload.py", tmp_path, **given).returncode == code
    assert not (tmp_path / "artifacts").exists()
