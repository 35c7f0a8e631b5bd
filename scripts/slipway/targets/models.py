"""A version's server as a process of the version's own locked environment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from slipway.runner.environments import REPOSITORY
from slipway.targets.processes import Daemon, environ_of
from slipway.targets.protocol import Servable

SERVE = REPOSITORY / "scripts" / "slipway" / "packaging" / "serve.py"
"""The server that images have, too."""

CACHE = "SLIPWAY_CACHE"
Launch = Callable[[int], None]
"""Starts the server on a port of the loopback."""


class Servers(Protocol):
    """How the servers of versions are run. Each has a folder of its own."""

    @property
    def name(self) -> str:
        """Their kind."""

    def identity(self, servable: Servable) -> str:
        """Digest of what is served. InputError where the version has not what it takes."""

    def prepare(self, servable: Servable, folder: Path) -> Launch:
        """Bring all that the server needs, where it is not here."""

    def alive(self, folder: Path) -> bool:
        """Whether the server runs."""

    def last_words(self, folder: Path) -> str:
        """The end of what it wrote."""

    def end(self, folder: Path, seconds: float) -> None:
        """SIGTERM, and SIGKILL after so many seconds; nothing where it does not run."""

    def remove(self, folder: Path) -> None:
        """Remove all that was brought for one that has ended."""


@dataclass(frozen=True)
class Processes:
    """Servers that are processes. lasting: where environments are kept that outlive the job."""

    lasting: Path
    name: str = "process"

    def identity(self, servable: Servable) -> str:
        """Digest of the model's files."""
        return servable.model_digest

    def prepare(self, servable: Servable, folder: Path) -> Launch:
        """Copy the files, build the environment."""
        model = folder / "model"
        if not model.is_dir():
            with TemporaryDirectory(prefix="model-", dir=folder) as beside:
                copied = shutil.copytree(servable.fetch(), Path(beside) / "model")
                try:
                    copied.rename(model)
                except OSError:
                    if not model.is_dir():
                        raise
                    # Another run was faster.
        shutil.copyfile(SERVE, folder / SERVE.name)
        for name in ("home", "tmp"):
            (folder / name).mkdir(exist_ok=True)
        with outliving(self.lasting):
            python = servable.python(model)
        (folder / "python").write_text(str(python), encoding="utf-8")

        def launch(port: int) -> None:
            environ = environ_of(
                HOME=str(folder / "home"),
                TMPDIR=str(folder / "tmp"),
                MLFLOW_DISABLE_TELEMETRY="true",
                # The model's own folder is all it needs; a store of its own keeps it from looking for one.
                MLFLOW_TRACKING_URI=f"sqlite:///{folder}/unused.db",
                PYTHONNOUSERSITE="1",
                PYTHONUNBUFFERED="1",
                SLIPWAY_MODEL_NAME=servable.model,
                SLIPWAY_MODEL_VERSION=servable.version,
                SLIPWAY_HOST="127.0.0.1",
                PORT=str(port),
            )
            # Not resolved: the link is what makes it the environment's.
            Daemon(folder).launch([str(python.absolute()), "-P", str(folder / SERVE.name)], environ)

        return launch

    def alive(self, folder: Path) -> bool:
        """Whether the process runs."""
        return Daemon(folder).alive()

    def last_words(self, folder: Path) -> str:
        """The end of its log."""
        return Daemon(folder).last_words()

    def end(self, folder: Path, seconds: float) -> None:
        """End the process."""
        Daemon(folder).end(seconds)

    def remove(self, folder: Path) -> None:
        """Remove its files, and its environment if it lies here and no other version has it."""
        used = {place.parent.name: place.read_text(encoding="utf-8") for place in folder.parent.glob("*/python")}
        python = used.pop(folder.name, "")
        shutil.rmtree(folder, ignore_errors=True)
        environment = Path(python).parent.parent
        if python not in used.values() and self.lasting in environment.parents:
            shutil.rmtree(environment, ignore_errors=True)


@contextmanager
def outliving(folder: Path) -> Iterator[None]:
    """Environments that are built within this lie in `folder`: the job's own folder is emptied when it ends."""
    if os.environ.get(CACHE):
        yield
        return
    os.environ[CACHE] = str(folder)
    try:
        yield
    finally:
        del os.environ[CACHE]
