"""What a training command runs in: this machine, or a container that the policy names."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slipway.policy.model import Policy
from slipway.runner import environments
from slipway.training import command, contained, provenance
from slipway.training.command import Ended


class Place(Protocol):
    """Where a command runs, and what is told of it."""

    def environment(self) -> provenance.Environment:
        """The Python that the command finds first, and its packages."""

    def base(self) -> provenance.Base:
        """What that is built on."""

    def machine(self) -> dict[str, str]:
        """Platform, processor and settings, as `provenance.describe_machine` gives them."""

    @property
    def offline(self) -> bool:
        """Whether the command has no way to the team's store."""

    def require_own(self, folder: Path) -> None:
        """InputError where a folder that the command left may hold what the command was not to read."""

    def run(
        self, arguments: Sequence[str], told: Mapping[str, str], folders: Sequence[Path], *, timeout: float, log: Path
    ) -> Ended:
        """Run the command, as `command.run` does. told: variables that are handed to it. folders: of its store."""


@dataclass(frozen=True)
class Machine:
    """This machine. python: that the command finds first. lock: its environment was built from; None for the job's."""

    python: Path
    lock: Path | None

    def environment(self) -> provenance.Environment:
        """As it is installed."""
        return provenance.describe_environment(self.python, self.lock)

    def base(self) -> provenance.Base:
        """What can be seen of it."""
        return provenance.describe_base()

    def machine(self) -> dict[str, str]:
        """This one's."""
        return provenance.describe_machine()

    @property
    def offline(self) -> bool:
        """It has the job's network."""
        return False

    def require_own(self, folder: Path) -> None:
        """A command on the machine may read all that the job may."""

    def run(
        self,
        arguments: Sequence[str],
        told: Mapping[str, str],
        folders: Sequence[Path],  # noqa: ARG002 - it sees all
        *,
        timeout: float,
        log: Path,
    ) -> Ended:
        """With the job's variables, but for the runner's channels and the job's tokens."""
        environ = command.environ_for(told, path_first=self.python.parent if self.lock else None)
        return command.run(arguments, environ, timeout=timeout, log=log)


def of_policy(policy: Policy) -> Place:
    """The place that the policy names, made ready. Errors as `environments.for_lock` and `contained.made` have them."""
    training = policy.training
    assert training is not None
    lock = Path(training.requirements) if training.requirements else None
    if training.container:
        return contained.made(training.container, policy.training_image, lock)
    if lock:
        return Machine(environments.for_lock(lock), lock)
    found = shutil.which("python") or shutil.which("python3")
    return Machine(Path(found or sys.executable), None)
