"""Whether the work tree is exactly its commit, told from real git repositories."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from slipway.runner import environments
from slipway.runner.errors import InputError
from slipway.training import repository
from test_training_toy import git


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name in ("train.py", "lib/model.py", ".gitignore"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("build/\n" if name == ".gitignore" else f"# {name}\n" * 20)
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change")
    return git(folder, "rev-parse", "HEAD").strip()


def test_look__clean(clone: Path) -> None:
    found = repository.look(clone)
    assert found.clean
    assert found.commit == git(clone, "rev-parse", "HEAD").strip()
    assert len(found.commit) == 40
    repository.require_clean(found, allow_dirty=False)


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ("modified", {"train.py"}),
        ("deleted", {"train.py"}),
        ("untracked", {"new.py"}),
        ("mode", {"train.py"}),
        ("link", {"train.py"}),
    ],
)
def test_look__changes(clone: Path, change: str, staged: bool, changes: set[str]) -> None:
    file = clone / "train.py"
    if change == "modified":
        file.write_text("other\n")
    elif change == "deleted":
        file.unlink()
    elif change == "untracked":
        (clone / "new.py").write_text("x\n")
    elif change == "mode":
        file.chmod(0o755)
    else:
        file.unlink()
        file.symlink_to("lib/model.py")
    if staged:
        git(clone, "add", "--all")
    assert set(repository.look(clone).changes) == changes


def test_look__each_file_of_a_new_folder_is_named(clone: Path) -> None:
    for name in ("new/a.py", "new/deep/b.py"):
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).write_text("x\n")
    assert repository.look(clone).changes == ("new/a.py", "new/deep/b.py")


def test_look__settings_of_a_person_hide_nothing(clone: Path) -> None:
    git(clone, "config", "status.showUntrackedFiles", "no")
    git(clone, "config", "status.relativePaths", "true")
    (clone / "new.py").write_text("x\n")
    assert repository.look(clone).changes == ("new.py",)


def test_look__ignored_files_do_not_count(clone: Path) -> None:
    (clone / "build").mkdir()
    (clone / "build" / "model.bin").write_text("x")
    assert repository.look(clone).clean


def test_look__a_renamed_file_is_one_change(clone: Path) -> None:
    git(clone, "mv", "train.py", "fit.py")
    (clone / "z.py").write_text("x\n")
    assert repository.look(clone).changes == ("fit.py", "z.py")


def test_look__a_rename_that_git_only_intends_is_one_change(clone: Path) -> None:
    (clone / "train.py").rename(clone / "fit.py")
    git(clone, "add", "--intent-to-add", "fit.py")
    assert repository.look(clone).changes == ("fit.py",)


@pytest.mark.parametrize("name", ["a file.py", "a\nline.py", "modèle.py", '"quoted".py', "-n", "tab\t.py", "a -> b"])
def test_look__odd_names(clone: Path, name: str) -> None:
    (clone / name).write_text("x\n")
    found = repository.look(clone)
    assert found.changes == (name,)
    with pytest.raises(InputError, match="differs from commit"):
        repository.require_clean(found, allow_dirty=False)
    git(clone, "add", "--all")
    assert repository.look(clone).changes == (name,)


def test_look__a_name_that_is_no_text(clone: Path) -> None:
    Path(os.fsdecode(os.fsencode(clone) + b"/caf\xe9.py")).write_text("x\n")
    (name,) = repository.look(clone).changes
    assert name.startswith("caf")
    name.encode()


def test_look__from_a_folder_inside_sees_all_of_the_repository(clone: Path) -> None:
    """Code beside the folder can be imported, too: the commit alone would not say what ran."""
    (clone / "train.py").write_text("other\n")
    assert repository.look(clone / "lib").changes == ("train.py",)


def test_look__no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match="`git rev-parse` failed") as caught:
        repository.look(tmp_path / "plain")
    assert "not a git repository" in caught.value.why
    assert "actions/checkout" in caught.value.fix


def test_look__no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(InputError, match="`git rev-parse` failed") as caught:
        repository.look(tmp_path)
    assert "at least one commit" in caught.value.fix


def test_look__no_git(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="git is not installed"):
        repository.look(clone)


def test_look__shallow_clone_and_detached_head(clone: Path, tmp_path: Path) -> None:
    (clone / "train.py").write_text("second\n")
    second = commit(clone)
    git(tmp_path, "clone", "--quiet", "--depth=1", clone.as_uri(), "shallow")
    assert repository.look(tmp_path / "shallow") == repository.Checkout(second, ())
    first = git(clone, "rev-parse", "HEAD^").strip()
    git(clone, "switch", "--quiet", "--detach", first)
    assert repository.look(clone) == repository.Checkout(first, ())


@pytest.mark.parametrize("ignored", [False, True])
def test_look__a_changed_submodule_is_a_change(clone: Path, tmp_path: Path, ignored: bool) -> None:
    shutil.copytree(clone, tmp_path / "other")
    git(clone, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "other"), "vendor")
    if ignored:
        git(clone, "config", "--file", ".gitmodules", "submodule.vendor.ignore", "all")
    commit(clone)
    assert repository.look(clone).clean
    (clone / "vendor" / "train.py").write_text("other\n")
    assert repository.look(clone).changes == ("vendor",)


@pytest.mark.parametrize("place", [".slipway-action", "tools/slip way"])
def test_look__slipways_own_checkout_does_not_count(clone: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    own = clone / place
    (own / "scripts").mkdir(parents=True)
    (own / "scripts" / "train_model.py").write_text("x\n")
    (own.parent / "beside.py").write_text("x\n")
    monkeypatch.setattr(environments, "REPOSITORY", own)
    (beside,) = repository.look(clone).changes
    assert beside.endswith("beside.py")
    (clone / "lib" / "model.py").write_text("other\n")
    assert "lib/model.py" in repository.look(clone).changes
    assert "lib/model.py" in repository.look(clone / "lib").changes


def test_look__slipways_own_repository_does_count(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "REPOSITORY", clone)
    (clone / "train.py").write_text("other\n")
    assert repository.look(clone).changes == ("train.py",)


def test_require_clean__names_five_and_counts_the_rest() -> None:
    checkout = repository.Checkout("c" * 40, tuple(f"{number}.py" for number in range(7)))
    with pytest.raises(InputError) as caught:
        repository.require_clean(checkout, allow_dirty=False)
    assert caught.value.what == (
        f"The work tree differs from commit {'c' * 12}: 0.py, 1.py, 2.py, 3.py, 4.py and 2 more."
    )
    assert "`allow-dirty-tree: true`" in caught.value.fix
    repository.require_clean(checkout, allow_dirty=True)
