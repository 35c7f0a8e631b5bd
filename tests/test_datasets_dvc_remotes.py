"""DVC with remotes: the real DVC of requirements/dvc-s3.txt, a real S3 server (moto), and real repositories."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway import datasets
from slipway.datasets import dvc
from slipway.runner.errors import RemoteError
from store_doubles import S3, moto, refusal
from test_training_toy import git, stage_python

pytestmark = pytest.mark.xdist_group("dvc-remotes")
SECRET = "wJalrXUtnFEMI-not-a-real-one"

DvcRun = Callable[..., str]


@pytest.fixture(scope="module")
def server(environments_cache: Path) -> Iterator[str]:
    with moto(environments_cache) as url:
        yield url


@pytest.fixture
def bucket(server: str, data_job: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket that keeps versions; this process has credentials for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    store = S3(server)
    store.ask("POST", "moto-api/reset")
    store.bucket("data")
    return "s3://data"


@pytest.fixture(scope="module")
def program(environments_cache: Path) -> Path:
    """The DVC with the plugin for S3. The one without is built, too, while there still is all that builds it."""
    stage_python("dvc", environments_cache)
    return stage_python("dvc-s3", environments_cache).with_name("dvc")


@pytest.fixture
def repository(program: Path, data_job: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository, which is also the working folder. No DVC is on the PATH, so that Slipway brings its own."""
    folder = tmp_path / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh", "bash", "mkdir", "uv"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return folder


@pytest.fixture
def run_dvc(repository: Path, program: Path) -> DvcRun:
    """DVC in the working folder; the repository has it set up."""

    def run(*arguments: str) -> str:
        done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("init", "--quiet")
    return run


def add_remote(run_dvc: DvcRun, url: str, *, versions: bool = False) -> None:
    run_dvc("remote", "add", "--quiet", "--default", "store", url)
    if versions:
        run_dvc("remote", "modify", "store", "version_aware", "true")


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change")
    return git(folder, "rev-parse", "HEAD").strip()


def fresh_clone(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone without data and without a cache, which becomes the working folder."""
    commit(repository)
    clone = repository.with_name("clone")
    git(repository.parent, "clone", "--quiet", str(repository), str(clone))
    monkeypatch.chdir(clone)
    return clone


@pytest.mark.parametrize("versions", [True, False])
def test_fetch_missing__from_s3(
    repository: Path, run_dvc: DvcRun, bucket: str, monkeypatch: pytest.MonkeyPatch, versions: bool
) -> None:
    """A remote that keeps versions leaves no digest of the folder in its `.dvc` file, only one of each file."""
    add_remote(run_dvc, f"{bucket}/store", versions=versions)
    write(repository, {"data/a.csv": "1\n", "data/in/ü b.csv": "2\n", "one.csv": "3\n"})
    run_dvc("add", "--quiet", "data", "one.csv")
    before = {path: datasets.identify(path) for path in ("data", "data/in", "one.csv")}
    run_dvc("push", "--quiet")
    assert ("version_id" in Path("data.dvc").read_text()) is versions
    assert {path: datasets.identify(path) for path in before} == before
    clone = fresh_clone(repository, monkeypatch)
    for path in before:
        datasets.fetch_missing(path)
    assert {path: datasets.identify(path) for path in before} == before
    assert all(version.immutable for version in before.values())
    assert (clone / "data" / "in" / "ü b.csv").read_text() == "2\n"
    head = git(clone, "rev-parse", "HEAD").strip()
    assert not any(datasets.changed_since(head, version) for version in before.values())


def test_fetch_missing__an_old_version_from_s3(
    repository: Path, run_dvc: DvcRun, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(run_dvc, f"{bucket}/store", versions=True)
    write(repository, {"data/a.csv": "1\n", "data/same.csv": "0\n"})
    run_dvc("add", "--quiet", "data")
    run_dvc("push", "--quiet")
    first, before = commit(repository), datasets.identify("data")
    write(repository, {"data/a.csv": "2\n"})
    run_dvc("add", "--quiet", "data")
    run_dvc("push", "--quiet")
    after = datasets.identify("data")
    assert after.id != before.id
    assert datasets.changed_since(first, after)
    assert not datasets.changed_since(first, before)
    clone = fresh_clone(repository, monkeypatch)
    git(clone, "checkout", "--quiet", first)
    datasets.fetch_missing("data")
    assert datasets.identify("data") == before
    assert (clone / "data" / "a.csv").read_text() == "1\n"


def test_identify__stages_pushed_to_a_remote_that_keeps_versions(
    repository: Path, run_dvc: DvcRun, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(run_dvc, f"{bucket}/store", versions=True)
    stage = "stages:\n  s:\n    cmd: mkdir -p out && echo 1 > out/x && echo 2 > f\n    outs: [out, f]\n"
    write(repository, {"dvc.yaml": stage})
    run_dvc("repro", "--quiet")
    before = {path: datasets.identify(path) for path in ("out", "out/x", "f")}
    run_dvc("push", "--quiet")
    assert "version_id" in Path("dvc.lock").read_text()
    fresh_clone(repository, monkeypatch)
    for path in before:
        datasets.fetch_missing(path)
    assert {path: datasets.identify(path) for path in before} == before
    assert {version.tracked_by for version in before.values()} == {"dvc.lock"}


def test_fetch_missing__an_import_of_object_versions(
    repository: Path, run_dvc: DvcRun, server: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dvc import-url --version-aware` pins the source's own versions, and they are fetched after it has moved on."""
    S3(server).put("data", "raw/a.csv", "1\n")
    S3(server).put("data", "raw/b.csv", "2\n")
    run_dvc("import-url", "--quiet", "--version-aware", f"{bucket}/raw", "raw")
    before = datasets.identify("raw")
    assert (before.kind, before.immutable, before.tracked_by) == ("dvc", True, "raw.dvc")
    S3(server).put("data", "raw/a.csv", "moved on\n")
    clone = fresh_clone(repository, monkeypatch)
    datasets.fetch_missing("raw")
    assert datasets.identify("raw") == before
    assert (clone / "raw" / "a.csv").read_text() == "1\n"


def test_fetch_missing__an_import_whose_source_has_moved_on(
    repository: Path, run_dvc: DvcRun, server: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without object versions the source's new content is not taken for the old one: the pull fails."""
    S3(server).bucket("loose", status="")
    S3(server).put("loose", "raw.csv", "1\n")
    run_dvc("import-url", "--quiet", "s3://loose/raw.csv", "raw.csv")
    assert datasets.identify("raw.csv").immutable
    S3(server).put("loose", "raw.csv", "moved on\n")
    fresh_clone(repository, monkeypatch)
    refusal("raw.csv", RemoteError)
    assert not Path("raw.csv").exists()


def test_fetch_missing__an_import_from_another_repository(
    repository: Path, run_dvc: DvcRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dvc import` locks the other repository's commit."""
    add_remote(run_dvc, str(tmp_path / "store"))
    write(repository, {"data/a.csv": "1\n"})
    run_dvc("add", "--quiet", "data")
    run_dvc("push", "--quiet")
    commit(repository)
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    git(other, "init", "--quiet", "--initial-branch=main")
    run_dvc("init", "--quiet")
    run_dvc("import", "--quiet", str(repository), "data", "--out", "imported")
    before = datasets.identify("imported")
    assert (before.kind, before.immutable) == ("dvc", True)
    assert "rev_lock" in Path("imported.dvc").read_text()
    # The other repository's data move on; what was imported is still what is brought.
    write(repository, {"data/a.csv": "2\n"})
    shutil.rmtree(repository / ".dvc" / "cache")
    fresh_clone(other, monkeypatch)
    datasets.fetch_missing("imported/*.csv")
    assert datasets.identify("imported") == before


def test_fetch_missing__what_was_never_pushed(
    repository: Path, run_dvc: DvcRun, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(run_dvc, f"{bucket}/store")
    write(repository, {"data/a.csv": "1\n"})
    run_dvc("add", "--quiet", "data")
    fresh_clone(repository, monkeypatch)
    failure = refusal("data", RemoteError)
    assert failure.what == "`dvc pull data` ended with 1."
    assert SECRET not in str(failure)


@pytest.mark.parametrize(
    ("config", "deps", "group"),
    [
        ("['remote \"r\"']\n    url = s3://b/x\n", "", "dvc-s3"),
        ("['remote \"r\"']\n    url = /mnt/x\n", "", "dvc"),
        ("[core]\n    remote = r\n", "deps:\n- path: s3://b/x\n", "dvc-s3"),
        ("[core]\n    remote = r\n", "deps:\n- path: /mnt/x\n", "dvc"),
        ("not = a config\n", "", "dvc"),
        ("", "deps: 7\n", "dvc"),
    ],
)
def test_group_for__the_remotes_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, deps: str, group: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {".dvc/config": config, "in/a.csv.dvc": f"{deps}outs:\n- path: a.csv\n  md5: {'a' * 32}\n"})
    tracked = dvc.find(Path("in/a.csv"))
    assert tracked is not None
    assert dvc.group_for(tracked) == group


@pytest.mark.parametrize("files", ["7", "[]", "[{relpath: a}]", "[{md5: x}]", "[text]"])
def test_find__an_output_whose_files_have_no_md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"d.dvc": f"outs:\n- path: d\n  files: {files}\n", "d/a": "1"})
    failure = refusal_of_identify("d")
    assert "has an output without 'md5'" in failure


def refusal_of_identify(path: str) -> str:
    with pytest.raises(Exception, match="md5") as caught:
        datasets.identify(path)
    return str(caught.value)


def test_versions_in__a_file_that_is_no_yaml() -> None:
    assert dvc.versions_in("outs: [") == set()
    assert dvc.versions_in("stages:\n  a:\n    outs:\n    - md5: x\n  b: 7\n") == {"x"}
