"""What many tests need: events as GitHub sends them, a git repository, and the environments of the stages."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import bytecode
import warm_stage
from slipway.runner import environments

pytest_plugins = ["github_double.fixtures", "deploy_kit"]

# A timing decides no test: a busy machine must not turn one red.
# In CI the examples are the same in every run, so that a change is judged by its own merits; here they are searched.
settings.register_profile("slipway", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("slipway")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What thousands of tests are made of is looked through only once for what could be freed.

    pytest-xdist says the group of a test in its name; a pytest that it does not know keeps no group together, silently.
    """
    if getattr(session.config.option, "loadgroup", False):
        lost = [
            item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
        ]
        assert not lost, f"pytest-xdist keeps no groups together with pytest {pytest.__version__}: {lost[:3]}"
    gc.collect()
    gc.freeze()


def pull_request(
    number: int = 7, *, base: str = "b" * 40, head: str = "a" * 40, fork: bool = False, repository: str = "octo/models"
) -> dict[str, Any]:
    """The payload of `pull_request`, as far as anybody reads it."""
    head_repository = "mona/models" if fork else repository
    return {
        "action": "synchronize",
        "number": number,
        "pull_request": {
            "number": number,
            "base": {"ref": "main", "sha": base, "repo": {"full_name": repository}},
            "head": {"ref": "change", "sha": head, "repo": {"full_name": head_repository, "fork": fork}},
        },
        "repository": {"full_name": repository},
    }


def push(*, after: str = "a" * 40, before: str = "b" * 40, ref: str = "refs/heads/main") -> dict[str, Any]:
    """The payload of `push`."""
    return {"ref": ref, "before": before, "after": after, "repository": {"full_name": "octo/models"}}


def schedule(cron: str = "17 5 * * 1") -> dict[str, Any]:
    """The payload of `schedule`."""
    return {"schedule": cron, "repository": {"full_name": "octo/models"}}


@dataclass(frozen=True)
class GitRepository:
    """A git repository of one test."""

    path: Path

    def git(self, *arguments: str) -> str:
        """Run git in it."""
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.path, check=True, capture_output=True, text=True, env=git_environ()
        )
        return done.stdout.strip()

    def commit(self, files: dict[str, str], message: str = "Change") -> str:
        """Write the files, commit everything, and return the commit."""
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


def git_environ() -> dict[str, str]:
    """An environment in which neither the person's nor the machine's git settings count."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    """An empty git repository with the branch `main`."""
    made = GitRepository(tmp_path / "repository")
    made.path.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    return made


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one session: its processes have theirs beside each other."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def environments_cache(shared: Path) -> Path:
    """Where the tests keep the stages' environments: they are built once, by whichever process comes first."""
    given = os.environ.get("SLIPWAY_CACHE") or os.environ.get("SLIPWAY_HOME")
    return Path(given).resolve() if given else shared / "environments-cache"


def made_once(path: Path, make: Callable[[], None]) -> Path:
    """What `make` leaves at `path`, made by whichever process comes first; the others wait for it."""
    done = path.with_name(f"{path.name}.made")
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make()
            done.touch()
    return path


@pytest.fixture(scope="session")
def comparison_environment(environments_cache: Path) -> Path:
    """The Python with which deliveries are compared, built where the machine's settings for its index are known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_CACHE", str(environments_cache))
        python = environments.for_group("detect-drift")
    bytecode.share(python)
    return python


@pytest.fixture
def data_job(tmp_path: Path, environments_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a job with a folder of its own, and without the machine's credentials for stores of data."""
    stores = ("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "STORAGE_", "HF_", "HUGGING", "LAKECTL_")
    for name in [name for name in os.environ if name.startswith(stores)]:
        monkeypatch.delenv(name)
    ours = {"SLIPWAY_HOME": str(tmp_path / "home"), "SLIPWAY_CACHE": str(environments_cache), "SLIPWAY_JOB": "1"}
    empty = tmp_path / "empty"
    empty.touch()
    aws = {"AWS_CONFIG_FILE": str(empty), "AWS_SHARED_CREDENTIALS_FILE": str(empty), "AWS_DEFAULT_REGION": "us-east-1"}
    others = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "HF_HOME": str(tmp_path / "hf"),
        "LAKECTL_CONFIG_FILE": str(tmp_path / "none"),
    }
    google = {"NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")}
    for name, value in {**ours, **aws, **others, **google}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def on_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a step on GitHub Actions."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")


@pytest.fixture
def off_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a person's shell."""
    for name in [name for name in os.environ if name.startswith(("GITHUB_", "INPUT_", "RUNNER_", "SLIPWAY_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def stages_waiting() -> Iterator[None]:
    """The processes that wait with a stage's imports done end with the session."""
    warm_stage.session()
    yield
    warm_stage.end_all()


@pytest.fixture
def signals_restored() -> Iterator[None]:
    """A stage that runs in this process sets handlers of signals; they end with the test."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
