"""The user's side of a run under act: the example of the flights as a published repository, and an MLflow store."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from act.harness import PYTHON, SLIPWAY, ActRun, Lab
from github_double.server import GitHubDouble
from slipway.ledger.entries import Entry
from slipway.ledger.place import Place
from slipway.ledger.store import Ledger
from slipway.ledger.verification import records
from slipway.runner import environments
from test_training_toy import empty_store

ROOT = Path(__file__).resolve().parents[2]
NAME, MODEL = "acme/flights", "flight-delays"
SECRET = "correct-horse-battery-staple"
CREDENTIALS = f"TEAM_NAME=acme\nTEAM_TOKEN={SECRET}"

DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
    remote = store
['remote "store"']
    url = {remote}
"""


@dataclass(frozen=True)
class Site:
    """The repository of the example, published, and an MLflow store.

    main: a commit. cache: where environments are kept between jobs. credentials: the workflows' secret of that name.
    """

    lab: Lab
    flights: Path
    cache: Path
    credentials: str = CREDENTIALS
    main: str = ""

    @property
    def store(self) -> Path:
        return self.lab.folder / "mlflow.db"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.store}"

    @property
    def remote(self) -> Path:
        """Where the repository is published."""
        return self.lab.folder / "remotes" / f"{NAME}.git"

    def query(self, sql: str) -> list[Any]:
        """The first column of what MLflow's tables answer."""
        with sqlite3.connect(self.store) as connection:
            found = [row[0] for row in connection.execute(sql)]
        connection.close()
        return found

    def runs(self) -> int:
        """How many runs MLflow knows."""
        return int(self.query("SELECT count(*) FROM runs")[0])

    def commit(self, message: str) -> str:
        """Commit and publish what was changed."""
        commit = self.lab.commit_all(self.flights, message)
        self.lab.publish(self.flights, NAME)
        return commit

    def pin(self, workflow: str, added: str = "") -> None:
        """Let a workflow of the example call Slipway as it is now, and add to it."""
        file = self.flights / workflow
        pinned, count = re.subn(rf"({SLIPWAY}/\S+@)[0-9a-f]{{40}}\b", rf"\g<1>{self.lab.commit}", file.read_text())
        assert count == 1
        file.write_text(pinned + added)

    def start(
        self,
        github: GitHubDouble,
        event: str,
        payload: dict[str, Any],
        commit: str,
        *,
        workflow: str,
        kept: bool = True,
        **rights: str,
    ) -> ActRun:
        """Start a workflow. `kept` keeps environments between jobs, as on a self-hosted runner, to save time.

        rights: what its token may do; by default it may comment.
        """
        rights = rights or {"contents": "read", "pull_requests": "write"}
        return self.lab.run(
            NAME,
            workflow,
            event,
            payload,
            commit=commit,
            api_url=github.base_url,
            secrets={
                # All that the workflow asks for, in any of its jobs.
                "GITHUB_TOKEN": github.world.installation_token(**rights),
                "SLIPWAY_CREDENTIALS": self.credentials,
            },
            variables={"MLFLOW_TRACKING_URI": self.uri},
            environ={"SLIPWAY_CACHE": str(self.cache)} if kept else {},
        )

    def entries(self, scratch: Path) -> list[Entry]:
        """The ledger that the runs have written, oldest entry first."""
        ledger = Ledger(Place(self.remote.as_uri(), scratch / "ledger.git"))
        return [record.entry for record in records(ledger.git, ledger.commits())]

    def promote(self, version: str) -> None:
        """Make a version the one in production, as a person does."""
        promote = (
            "import sys; from slipway.registry.mlflow import PRODUCTION, Registry; "
            "Registry(sys.argv[1]).set_alias(sys.argv[2], PRODUCTION, sys.argv[3])"
        )
        execute(ROOT / "scripts", sys.executable, "-c", promote, self.uri, MODEL, version)


def find_act() -> Path:
    """The program; without it a person's tests are skipped, and those of CI fail."""
    found = os.environ.get("SLIPWAY_ACT") or shutil.which("act")
    if found:
        return Path(found)
    reason = "act 0.2.87 is neither on the PATH nor named by SLIPWAY_ACT"
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


def begin(folder: Path, act: Path, cache: Path, credentials: str = CREDENTIALS) -> Site:
    """The example's files in a repository with a DVC remote, nothing of them committed."""
    lab = Lab(folder, act, ROOT)
    flights = folder / "flights"
    shutil.copytree(ROOT / "examples" / "flights", flights, ignore=shutil.ignore_patterns("data", "mlruns", ".dvc"))
    lab.git(flights, "init", "--quiet")
    (flights / ".dvc").mkdir()
    (flights / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (flights / ".dvc" / "config").write_text(DVC_CONFIG.format(remote=folder / "dvc"))
    return Site(lab, flights, cache, credentials)


def create_store(site: Site) -> None:
    """A tracking server would keep artifacts by itself; a bare database has them where its first user happens to be."""
    create = (
        "import sys; from mlflow import MlflowClient; "
        "MlflowClient(sys.argv[1]).create_experiment(sys.argv[2], artifact_location=sys.argv[3])"
    )
    shutil.copy(empty_store(site.lab.folder, site.cache), site.store)
    execute(site.lab.folder, sys.executable, "-c", create, site.uri, MODEL, str(site.lab.folder / "models"))


def prepare_data(site: Site) -> Path:
    """Prepare the data as the example says; the folder with all months."""
    build = "import pathlib, sys; from slipway.runner.environments import *; print(for_lock(pathlib.Path(sys.argv[1])))"
    lock = str(site.flights / "prepare.txt")
    said = execute(ROOT / "scripts", str(PYTHON), "-c", build, lock, SLIPWAY_CACHE=str(site.cache))
    execute(site.flights, said.splitlines()[-1], "prepare.py")
    return site.flights / "data"


def stage(site: Site, name: str, *options: str) -> None:
    """Run a stage in the repository, as a person does on their machine."""
    build = "import sys; from slipway.runner.environments import *; print(for_group(sys.argv[1]))"
    here = {"SLIPWAY_CACHE": str(site.cache), "SLIPWAY_HOME": str(site.lab.folder / name)}
    said = execute(ROOT / "scripts", str(PYTHON), "-c", build, name, **here)
    execute(
        site.flights, said.splitlines()[-1], str(ROOT / "scripts" / f"{name.replace('-', '_')}.py"), *options, **here
    )


def dvc(folder: Path, command: str, *targets: str) -> None:
    """Run the tests' own DVC."""
    execute(folder, sys.executable, "-m", "dvc", command, "--quiet", *targets)


def damage(month: Path) -> None:
    """Make of a month's file the bad delivery of the example."""
    candidates = ROOT / "examples" / "flights-candidates"
    execute(candidates, sys.executable, "bad-delivery.py", str(month), str(month))


def execute(folder: Path, *command: str, **environ: str) -> str:
    """Run a command that must succeed, and not as a part of the run that the tests may be; what it printed."""
    kept = {name: value for name, value in environments.clean_environ().items() if not name.startswith("GITHUB_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout
