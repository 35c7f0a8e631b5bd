"""Which version of a dataset lies here: against real DVC repositories, DVC's own digests, and git."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway import datasets
from slipway.datasets import dvc
from slipway.runner.errors import InputError, RemoteError
from test_training_toy import git

DVC = Path(sys.executable).with_name("dvc")

DvcRun = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository, which is also the working folder."""
    folder = tmp_path / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "data").mkdir()
    return folder


@pytest.fixture
def run_dvc(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DvcRun:
    """DVC in the repository, with a local remote; it is also the one that Slipway finds."""
    environ = {**os.environ, "DVC_NO_ANALYTICS": "true", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PATH", f"{DVC.parent}{os.pathsep}{os.environ['PATH']}")

    def run(*arguments: str) -> str:
        done = subprocess.run([str(DVC), *arguments], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # What `dvc init` and `dvc remote add` write; they would take half of these tests' time.
    config = f"[core]\n    remote = local\n['remote \"local\"']\n    url = {tmp_path / 'remote'}\n"
    write(repository, {".dvc/config": config, ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n", ".dvcignore": ""})
    return run


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change")


def refusal(path: str) -> InputError:
    with pytest.raises(InputError) as caught:
        datasets.identify(path)
    return caught.value


ODD = {
    "a/b/x": "1",
    "a-b/x": "2",
    "a b/c": "3",
    "a.txt": "4",
    "a/b.csv": "5",
    "Ünïcode/ö.csv": "6",
    'q"uo\\te': "7",
    "new\nline": "8",
    ".hidden/y": "9",
    "crlf.txt": "a\r\nb\r\n",
    "empty": "",
    "B": "10",
    "_": "11",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())


# DVC


def test_identify__dvc_file(repository: Path, run_dvc: DvcRun) -> None:
    (repository / "data" / "train.csv").write_text("x\n1\n")
    run_dvc("add", "--quiet", "data/train.csv")
    found = datasets.identify("data/train.csv")
    md5 = hashlib.md5(b"x\n1\n").hexdigest()
    assert found == datasets.DatasetVersion(
        path="data/train.csv", kind="dvc", id=f"md5:{md5}", immutable=True, tracked_by="data/train.csv.dvc"
    )
    assert str(found) == f"dvc:{found.id}"
    assert found.in_words == f"data/train.csv dvc {found.id}"


def test_identify__dvc_folder_has_dvcs_own_digest(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "data", ODD)
    (repository / "data" / "leer").mkdir()
    (repository / "data" / "link").symlink_to("a.txt")
    run_dvc("add", "--quiet", "data")
    assert run_dvc("status").strip() == "Data and pipelines are up to date."
    found = datasets.identify("data")
    assert (found.kind, found.immutable, found.remark) == ("dvc", True, "")
    assert found.id.endswith(".dir")
    assert f"md5: {found.id.removeprefix('md5:')}" in (repository / "data.dvc").read_text()


def test_identify__what_dvc_ignores_does_not_change_a_folder(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "data", {"x": "1", "in/y": "2", "skip.log": "no", "in/deep/skip.log": "no", ".git/config": "no"})
    (repository / ".dvcignore").write_text("# comment\n*.log\n/data/private\n")
    run_dvc("add", "--quiet", "data")
    write(repository / "data", {"private/z": "no", "in/new.log": "no"})
    assert run_dvc("status").strip() == "Data and pipelines are up to date."
    assert datasets.identify("data").kind == "dvc"
    write(repository / "data", {"in/kept": "yes"})
    assert datasets.identify("data").kind == "file"


def test_identify__a_part_of_a_dvc_folder(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "data", {"2026/jan.csv": "1", "2026/feb.csv": "2"})
    run_dvc("add", "--quiet", "data")
    whole = datasets.identify("data").id
    assert datasets.identify("data/2026/jan.csv").id == f"{whole}#2026/jan.csv"
    assert datasets.identify("data/2026/*.csv").id == f"{whole}#2026"
    assert datasets.identify("data/*/*.csv").id == whole


def test_identify__a_dvc_file_in_a_folder_above(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "project" / "data", {"raw/a.csv": "1"})
    run_dvc("add", "--quiet", "project/data")
    assert datasets.identify("project/data/raw/a.csv").kind == "dvc"


def test_identify__output_of_a_stage(repository: Path, run_dvc: DvcRun) -> None:
    (repository / "dvc.yaml").write_text(
        "stages:\n"
        "  split:\n    cmd: mkdir -p data/train && echo 1 > data/train/a && echo 2 > data/holdout\n"
        "    outs: [data/train, data/holdout]\n"
        "  elsewhere:\n    wdir: data\n    cmd: echo 3 > there\n    outs: [there]\n"
        "  each:\n    foreach: [one, two]\n    do:\n      wdir: data\n      cmd: echo ${item} > ${item}\n"
        "      outs: ['${item}']\n"
    )
    run_dvc("repro", "--quiet")
    for path in ("data/train", "data/train/a", "data/holdout", "data/there", "data/one", "data/two"):
        assert datasets.identify(path).kind == "dvc", path
    (repository / "data" / "there").write_text("other")
    assert datasets.identify("data/there").kind == "file"


@pytest.mark.parametrize("path", ["./data/a.csv", "data/../data/a.csv", "data//a.csv"])
def test_identify__other_spellings_of_a_path(repository: Path, run_dvc: DvcRun, path: str) -> None:
    write(repository / "data", {"a.csv": "1"})
    run_dvc("add", "--quiet", "data/a.csv")
    assert datasets.identify(path).kind == "dvc"


def test_identify__an_absolute_path(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "data", {"a.csv": "1", "committed.csv": "2"})
    run_dvc("add", "--quiet", "data/a.csv")
    commit(repository)
    assert datasets.identify(str(repository / "data" / "a.csv")).kind == "dvc"
    assert datasets.identify(str(repository / "data" / "committed.csv")).kind == "git"


@pytest.mark.parametrize("folder", [False, True])
def test_identify__changed_since_dvc_saw_it(repository: Path, run_dvc: DvcRun, folder: bool) -> None:
    write(repository / "data", {"train/a.csv": "1"})
    place = "data/train" if folder else "data/train/a.csv"
    run_dvc("add", "--quiet", place)
    (repository / "data" / "train" / "a.csv").unlink()
    write(repository / "data", {"train/a.csv": "2"})
    found = datasets.identify(place)
    assert (found.kind, found.immutable) == ("file", False)
    assert found.remark.startswith(f"differs from what {place}.dvc tracks: it is ")
    assert found.remark.endswith(f"Run `dvc add {place}` (or `dvc repro`).")


def test_identify__tracked_and_not_here(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "data", {"a.csv": "1"})
    run_dvc("add", "--quiet", "data/a.csv")
    (repository / "data" / "a.csv").unlink()
    failure = refusal("data/a.csv")
    assert failure.what == "The dataset data/a.csv is not here."
    assert failure.fix == "Run `dvc pull data/a.csv`."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("outs: [", "cannot be read"),
        ("\x00", "cannot be read"),
        ("outs:\n- path: a.csv\n", "has an output without 'md5'"),
        ("outs:\n- path: a.csv\n  etag: '\"1\"'\n", "has an output without 'md5'"),
    ],
)
def test_identify__a_broken_tracking_file(repository: Path, content: str, said: str) -> None:
    write(repository / "data", {"a.csv": "1", "a.csv.dvc": content})
    failure = refusal("data/a.csv")
    assert said in failure.what
    assert failure.file == "data/a.csv.dvc"


@pytest.mark.parametrize("content", ["", "outs:\n", "outs: no list\n", "[1, 2]\n", "outs:\n- text\n", "stages:\n"])
def test_identify__a_tracking_file_that_tracks_nothing(repository: Path, content: str) -> None:
    write(repository, {"data/a.csv": "1", "data/a.csv.dvc": content, "dvc.lock": content})
    assert datasets.identify("data/a.csv").kind == "file"


def test_identify__outputs_of_others_need_no_md5(repository: Path) -> None:
    """Remote outputs in the same lock are identified in other ways; they are not asked for."""
    (repository / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  s:\n    outs:\n    - path: s3://bucket/x\n      etag: abc\n"
        f"    - path: data/a.csv\n      md5: {hashlib.md5(b'1').hexdigest()}\n"
    )
    write(repository / "data", {"a.csv": "1", "b.csv": "2"})
    assert datasets.identify("data/a.csv").kind == "dvc"
    assert datasets.identify("data/b.csv").kind == "file"


# Pulling


def test_fetch_missing__pulls_what_the_remote_has(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "data", {"train/a.csv": "1", "train/in/b.csv": "2"})
    run_dvc("add", "--quiet", "data/train")
    run_dvc("push", "--quiet")
    before = datasets.identify("data/train")
    shutil.rmtree(repository / "data" / "train")
    shutil.rmtree(repository / ".dvc" / "cache")
    datasets.fetch_missing("data/train/*.csv")
    assert (repository / "data" / "train" / "in" / "b.csv").read_text() == "2"
    assert datasets.identify("data/train") == before


def test_fetch_missing__says_what_dvc_says(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "data", {"a.csv": "1"})
    run_dvc("add", "--quiet", "data/a.csv")
    (repository / "data" / "a.csv").unlink()
    shutil.rmtree(repository / ".dvc" / "cache")
    with pytest.raises(RemoteError, match=r"`dvc pull data/a\.csv` ended with 1") as caught:
        datasets.fetch_missing("data/a.csv")
    assert "data/a.csv" in caught.value.why
    assert "dvc push" in caught.value.fix


@pytest.mark.parametrize("path", ["data", "nowhere.csv", "data/*.csv"])
def test_fetch_missing__does_nothing_otherwise(repository: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    datasets.fetch_missing(path)


# Git, and nothing


def test_identify__committed_file_and_folder(repository: Path) -> None:
    write(repository / "data", {"a.csv": "1", "in/b.csv": "2"})
    commit(repository)
    blob = git(repository, "rev-parse", "HEAD:data/a.csv").strip()
    tree = git(repository, "rev-parse", "HEAD:data").strip()
    assert datasets.identify("data/a.csv") == datasets.DatasetVersion(
        path="data/a.csv", kind="git", id=blob, immutable=True, tracked_by="data/a.csv"
    )
    assert datasets.identify("data").id == tree
    assert datasets.identify("data/*.csv").id == tree


def test_identify__committed_and_changed(repository: Path) -> None:
    write(repository / "data", {"a.csv": "1"})
    commit(repository)
    write(repository / "data", {"a.csv": "2"})
    found = datasets.identify("data/a.csv")
    assert (found.kind, found.immutable) == ("file", False)
    assert found.remark == (
        "differs from the commit. Commit it, or bring the committed one back: `git checkout -- data/a.csv`."
    )


@pytest.mark.parametrize("extra", ["new.csv", "ignored.csv"])
def test_identify__a_committed_folder_with_a_file_that_is_not(repository: Path, extra: str) -> None:
    write(repository, {"data/a.csv": "1", ".gitignore": "ignored.csv\n"})
    commit(repository)
    write(repository / "data", {extra: "2"})
    assert datasets.identify("data").kind == "file"


@pytest.mark.parametrize("path", ["data/a.csv", "data", "data/*.csv", "elsewhere", "elsewhere/*.csv", "nested"])
def test_identify__a_committed_link_to_data_that_git_does_not_keep(repository: Path, path: str) -> None:
    """git keeps where a link leads, and not what lies there: that changes without a commit."""
    outside = repository.with_name("outside")
    write(outside, {"a.csv": "1"})
    (repository / "data" / "a.csv").symlink_to(outside / "a.csv")
    (repository / "elsewhere").symlink_to(outside)
    write(repository, {"nested/b.csv": "2"})
    (repository / "nested" / "deep").symlink_to(outside)
    commit(repository)
    found = datasets.identify(path)
    assert (found.kind, found.immutable) == ("file", False)
    assert found.remark.startswith("goes through the link ")


def test_identify__a_committed_link_to_what_the_same_folder_holds(repository: Path) -> None:
    write(repository, {"data/in/a.csv": "1"})
    (repository / "data" / "newest.csv").symlink_to("in/a.csv")
    commit(repository)
    assert datasets.identify("data").kind == "git"
    # The blob of the link alone is no version of what it leads to.
    assert datasets.identify("data/newest.csv").kind == "file"


def test_identify__from_a_folder_inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(repository, {"project/data/a.csv": "1", "shared/b.csv": "2"})
    commit(repository)
    monkeypatch.chdir(repository / "project")
    assert datasets.identify("data/a.csv").kind == "git"
    assert datasets.identify("../shared/b.csv").kind == "git"


def test_identify__not_versioned(repository: Path) -> None:
    write(repository / "data", {"a.csv": "1"})
    found = datasets.identify("data/a.csv")
    assert (found.kind, found.immutable) == ("file", False)
    assert found.id.startswith("sha256:")
    why = "is not versioned, so it can change under its name. "
    assert found.remark == why + "Commit it, or have DVC track it (docs/datasets.md)."
    write(repository, {".dvc/config": ""})
    assert datasets.identify("data/a.csv").remark == why + "Run `dvc add data/a.csv` and commit data/a.csv.dvc."


def test_identify__without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    (tmp_path / "a.csv").write_text("1")
    assert datasets.identify("a.csv").kind == "file"


def test_identify__a_changed_dvc_folder_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(repository, {"data/a.csv": "1", "data.dvc": f"outs:\n- path: data\n  md5: {'0' * 32}.dir\n"})
    monkeypatch.setenv("PATH", "/nowhere")
    found = datasets.identify("data")
    assert (found.kind, found.immutable) == ("file", False)


def test_identify__a_file_name_that_is_no_text(repository: Path) -> None:
    write(repository, {"data/a.csv": "1"})
    before = datasets.identify("data").id
    Path(os.fsdecode(b"data/\xff.csv")).write_text("2")
    assert datasets.identify("data").id != before


@pytest.mark.parametrize("path", ["nowhere.csv", "nowhere/*.csv", "data/*.parquet"])
def test_identify__nothing_there(repository: Path, path: str) -> None:
    assert refusal(path).what == f"There are no data at {path}."


def test_identify__a_glob_names_only_what_it_matches(repository: Path) -> None:
    """What else lies in the folder (a store, a log) is no part of the dataset."""
    write(repository, {"a.csv": "1", "b.csv": "2"})
    before = datasets.identify("*.csv")
    (repository / "mlflow.db").write_text("changes all the time")
    assert datasets.identify("*.csv") == before
    (repository / "b.csv").write_text("3")
    assert datasets.identify("*.csv").id != before.id


def test_identify__is_deterministic(repository: Path) -> None:
    write(repository / "data", ODD)
    shutil.copytree(repository / "data", repository / "copy")
    for file in (repository / "copy").rglob("*"):
        os.utime(file, (0, 0))
    ids = {datasets.identify(path).id for path in ("data", "copy", "data")}
    assert len(ids) == 1
    (repository / "copy" / "B").rename(repository / "copy" / "C")
    assert datasets.identify("copy").id not in ids


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("data/*.csv", "data"),
        ("data/a?/x/*", "data"),
        ("*.csv", "."),
        ("data/x.csv", "data/x.csv"),
        ("a/[bc].csv", "a"),
    ],
)
def test_without_glob(path: str, place: str) -> None:
    assert datasets.without_glob(path) == Path(place)


def test_find__stops_nowhere_but_at_the_output(repository: Path, run_dvc: DvcRun) -> None:
    write(repository / "data", {"a.csv": "1", "a.csv.bak": "2"})
    run_dvc("add", "--quiet", "data/a.csv")
    assert dvc.find(Path("data/a.csv.bak")) is None
    assert dvc.find(Path("data")) is None
