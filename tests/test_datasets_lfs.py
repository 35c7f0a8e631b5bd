"""Datasets in Git LFS: pointers are read without git-lfs; the real git-lfs pulls contents from a real remote."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slipway import datasets
from slipway.datasets import lfs
from slipway.ledger import place
from slipway.reproduction import rebuilding
from slipway.reproduction.worktree import Source
from slipway.runner.context import Run
from slipway.runner.errors import InputError, RemoteError
from store_doubles import refusal
from test_training_toy import git

BODY = "x\n1\n2\n"
OID = hashlib.sha256(BODY.encode()).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(BODY)}\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository, which is also the working folder; git finds no git-lfs."""
    folder = tmp_path / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(without_lfs(tmp_path / "bin")))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def without_lfs(folder: Path) -> Path:
    """A PATH with git and without git-lfs, wherever this machine has them."""
    folder.mkdir()
    (folder / "git").symlink_to(str(shutil.which("git")))
    return folder


@pytest.fixture
def git_lfs(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program; without it a person's tests are skipped, and those of CI fail."""
    found = shutil.which("git-lfs")
    if found:
        return Path(found)
    reason = "git-lfs is not on the PATH"
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


def commit(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change")


def smudge(folder: Path, name: str, body: str = BODY) -> None:
    """What a checkout with git-lfs leaves in the work tree; git without it takes the file for a changed one."""
    (folder / name).write_text(body)


def test_identify__content_without_git_lfs(repository: Path) -> None:
    commit(repository, {"data/a.csv": POINTER, ".gitattributes": "*.csv filter=lfs -text\n"})
    smudge(repository, "data/a.csv")
    found = datasets.identify("data/a.csv")
    assert found == datasets.DatasetVersion(
        path="data/a.csv", kind="lfs", id=f"sha256:{OID}", immutable=True, tracked_by="data/a.csv"
    )
    assert (found.uri, found.digest) == (f"git-lfs:data/a.csv?sha256={OID}", {"sha256": OID})
    assert datasets.fetch_missing("data/a.csv") == "data/a.csv"


@pytest.mark.parametrize("path", ["data", "./data", "data/*.csv"])
def test_identify__a_folder_of_pointers_and_plain_files(repository: Path, path: str) -> None:
    commit(repository, {"data/a.csv": POINTER, "data/plain.csv": "x\n"})
    smudge(repository, "data/a.csv")
    found = datasets.identify(path)
    tree = git(repository, "rev-parse", "HEAD:data").strip()
    assert (found.kind, found.id, found.immutable, found.tree) == ("lfs", tree, True, True)
    assert found.digest == {"gitTree": tree}
    (repository / "data" / "new.csv").write_text("x\n")
    found = datasets.identify(path)
    assert (found.kind, found.immutable) == ("file", False)
    assert "data/new.csv differs from the commit" in found.remark


def test_identify__many_files(repository: Path) -> None:
    files = {f"data/ü {number:03}.csv": POINTER if number % 2 else f"{number}\n" for number in range(60)}
    commit(repository, files)
    for name, text in files.items():
        if text == POINTER:
            smudge(repository, name)
    assert len(lfs.committed(Path("data"))) == 30
    assert datasets.identify("data").kind == "lfs"


def test_identify__from_elsewhere(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repository, {"project/a.csv": POINTER, "shared/b.csv": POINTER})
    for name in ("project/a.csv", "shared/b.csv"):
        smudge(repository, name)
    monkeypatch.chdir(repository / "project")
    for path in ("a.csv", "../shared/b.csv", "../shared", str(repository / "shared" / "b.csv"), "."):
        assert datasets.identify(path).kind == "lfs", path


@pytest.mark.parametrize("body", ["x\n1\n3\n", "longer than it was\n"])
def test_identify__content_that_its_pointer_does_not_name(repository: Path, body: str) -> None:
    commit(repository, {"a.csv": POINTER})
    smudge(repository, "a.csv", body)
    found = datasets.identify("a.csv")
    assert (found.kind, found.immutable) == ("file", False)
    assert found.remark.startswith("differs from what Git LFS tracks: a.csv is not the content of its pointer.")


def test_identify__a_pointer_that_is_staged_and_not_committed(repository: Path) -> None:
    commit(repository, {"a.csv": POINTER})
    (repository / "a.csv").write_text(POINTER.replace(OID, "0" * 64))
    git(repository, "add", "a.csv")
    smudge(repository, "a.csv")
    assert not datasets.identify("a.csv").immutable


@pytest.mark.parametrize("path", ["data/a.csv", "data", "data/*.csv"])
@pytest.mark.parametrize("committed", [True, False])
def test_fetch_missing__only_the_pointer_is_here(repository: Path, path: str, committed: bool) -> None:
    commit(repository, {"data/a.csv": POINTER if committed else "x\n", "data/b.csv": "x\n"})
    (repository / "data" / "a.csv").write_text(POINTER)
    failure = refusal(path)
    assert failure.what == "Only the Git LFS pointer of data/a.csv is here, not its content."
    assert failure.why == f"1 of the files at {path} are pointers of about 130 bytes: the checkout left LFS out."
    assert "`lfs: true` for actions/checkout" in failure.fix


def test_changed_since__by_pointer(repository: Path) -> None:
    commit(repository, {"data/a.csv": POINTER, "data/b.csv": "x\n"})
    first = git(repository, "rev-parse", "HEAD").strip()
    smudge(repository, "data/a.csv")
    before = {path: datasets.identify(path) for path in ("data/a.csv", "data")}
    assert {datasets.changed_since(first, version) for version in before.values()} == {False}
    other = "x\n9\n"
    oid = hashlib.sha256(other.encode()).hexdigest()
    commit(repository, {"data/a.csv": POINTER.replace(OID, oid).replace(f"size {len(BODY)}", f"size {len(other)}")})
    smudge(repository, "data/a.csv", other)
    for path in before:
        assert datasets.identify(path).kind == "lfs"
        assert datasets.changed_since(first, datasets.identify(path))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (POINTER, True),
        (POINTER.rstrip("\n"), True),
        (POINTER.replace("oid", f"ext-0-foo sha256:{'0' * 64}\noid"), True),
        (POINTER.replace("sha256:", "md5:"), False),
        (POINTER + "x,y\n", False),
        (POINTER.replace("\n", "\r\n"), False),
        ("version https://git-lfs.github.com/spec/v1\n", False),
        ("", False),
    ],
)
def test_read_pointer(text: str, is_one: bool) -> None:
    assert (lfs.read_pointer(text.encode()) == lfs.Pointer(OID, len(BODY))) is is_one


# With git-lfs


@pytest.fixture
def clone(git_lfs: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose checkout left LFS out, beside the remote that has the content; git finds git-lfs."""
    (tmp_path / "bin" / "git-lfs").symlink_to(git_lfs)
    for name in ("sh", "bash", "env"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name, path=os.defpath)))
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(repository, "lfs", "install", "--local")
    git(repository, "remote", "add", "origin", remote.as_uri())
    commit(repository, {".gitattributes": "*.csv filter=lfs diff=lfs merge=lfs -text\n"})
    commit(repository, {"data/a.csv": BODY, "data/in, [1]/b.csv": BODY + "3\n", "else/c.csv": "x\n7\n"})
    assert git(repository, "show", "HEAD:data/a.csv") == POINTER
    git(repository, "push", "--quiet", "origin", "main")
    found = tmp_path / "clone"
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    git(tmp_path, "clone", "--quiet", "--branch", "main", remote.as_uri(), str(found))
    monkeypatch.delenv("GIT_LFS_SKIP_SMUDGE")
    git(found, "lfs", "install", "--local")
    monkeypatch.chdir(found)
    return found


@pytest.mark.parametrize("path", ["data/a.csv", "data", "data/in, [[]1]/*.csv"])
def test_fetch_missing__pulls_what_the_remote_has(clone: Path, path: str) -> None:
    datasets.fetch_missing(path)
    assert datasets.identify(path).kind == "lfs"
    assert datasets.identify(path).immutable
    assert (clone / "else" / "c.csv").read_text().startswith("version https://git-lfs")


def test_fetch_missing__pulls_more_files_than_one_argument_can_name(clone: Path) -> None:
    """Linux takes 128 KiB in one argument: a folder of images has more names than that."""
    commit(clone, {f"many/{'x' * 100}{number:04}.csv": POINTER for number in range(1_300)})
    datasets.fetch_missing("many")
    assert {file.read_text() for file in (clone / "many").iterdir()} == {BODY}


def test_fetch_missing__says_what_git_lfs_says(clone: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "remote.git" / "lfs")
    failure = refusal("data/a.csv", RemoteError)
    assert failure.what.startswith("`git lfs pull` of data/a.csv ended with ")
    assert "git lfs push" in failure.fix


def test_identify__what_git_lfs_checked_out(clone: Path) -> None:
    """With its filter git takes the content for unchanged; the identity is the same without."""
    git(clone, "lfs", "pull")
    assert subprocess.run(["git", "status", "--porcelain"], capture_output=True, check=True).stdout == b""
    assert datasets.identify("data/a.csv").id == f"sha256:{OID}"
    assert isinstance(datasets.identify("data"), datasets.DatasetVersion)


def test_require_pinned__takes_lfs_for_pinned(repository: Path) -> None:
    commit(repository, {"a.csv": POINTER})
    smudge(repository, "a.csv")
    assert datasets.bring({"train": "a.csv"}, "fail")["train"].kind == "lfs"
    smudge(repository, "a.csv", POINTER)
    with pytest.raises(InputError, match="Only the Git LFS pointer"):
        datasets.bring({"train": "a.csv"}, "fail")


# A rebuild


@pytest.mark.parametrize("has_content", ["the clone", "the remote", "nobody"])
def test_rebuild__of_data_that_have_moved_on(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_content: str
) -> None:
    """reproduce-model checks the recorded commit out beside the clone and borrows its objects, those in LFS as well."""
    commit_ = git(clone, "rev-parse", "HEAD").strip()
    if has_content == "the clone":
        git(clone, "lfs", "pull")
    recorded = {"train": datasets.DatasetVersion(path="data/a.csv", kind="lfs", id=f"sha256:{OID}", immutable=True)}
    commit(clone, {"data/a.csv": "x\n9\n"})
    git(clone, "push", "--quiet", "origin", "main")
    if has_content != "the remote":
        shutil.rmtree(tmp_path / "remote.git" / "lfs")
    source = Source.around(place.find(Run()))
    before = git(clone, "status", "--porcelain")
    tree = source.check_out(commit_, tmp_path / "tree")
    monkeypatch.chdir(tree)
    assert Path("data/a.csv").read_text() == POINTER
    if has_content == "nobody":
        with pytest.raises(RemoteError, match=r"`git lfs pull` of data/a\.csv ended with"):
            rebuilding.bring(recorded)
        return
    found = rebuilding.bring(recorded)
    assert (found["train"].kind, found["train"].id) == ("lfs", recorded["train"].id)
    assert Path("data/a.csv").read_text() == BODY
    assert git(clone, "status", "--porcelain") == before
