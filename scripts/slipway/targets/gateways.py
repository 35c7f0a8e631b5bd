"""What stands in front of the servers of this machine and splits the requests."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from slipway.runner import environments
from slipway.runner.environments import REPOSITORY
from slipway.runner.errors import InputError, RemoteError
from slipway.targets.asking import ask
from slipway.targets.kept import Kept
from slipway.targets.models import outliving
from slipway.targets.processes import Daemon, environ_of

GROUP = "local-gateway"
SCRIPTS = REPOSITORY / "scripts"
PROGRAM = SCRIPTS / "slipway" / "targets" / "gateway" / "program.py"
START_SECONDS = 30.0
GRACE_SECONDS = 35.0
"""A little more than the gateway itself gives requests that have begun."""


class Gateway(Protocol):
    """One gateway. The methods that need it start it where it does not run."""

    @property
    def name(self) -> str:
        """Its kind."""

    def check(self, kept: Kept) -> None:
        """InputError where it cannot do this."""

    def serve(self, kept: Kept) -> None:
        """Split the requests as it is kept from now on, at once. InputError where its port is taken."""

    def counters(self) -> Mapping[str, Mapping[str, Any]] | None:
        """By version what an observation's arm holds; None where it cannot count that."""

    def in_flight(self, version: str) -> int:
        """How many requests a version is answering."""

    def end(self) -> None:
        """Let what has begun end, and end."""


@dataclass(frozen=True)
class Builtin:
    """The gateway of our own."""

    folder: Path
    port: int
    lasting: Path
    name: str = "builtin"

    @property
    def _daemon(self) -> Daemon:
        return Daemon(self.folder)

    def check(self, kept: Kept) -> None:
        """It can do all of it."""

    def serve(self, kept: Kept) -> None:
        """Hand over the table."""
        table = {
            "model": kept.model,
            "ports": {name: version.port for name, version in kept.versions.items() if not version.leaving},
            "shares": kept.shares,
            "bounds": kept.bounds,
        }
        if not self._daemon.alive():
            self._start()
        try:
            status, said = self._patiently("PUT", "/table", table)
        except RemoteError:  # it hangs, or has just ended
            self.end()
            self._start()
            status, said = self._patiently("PUT", "/table", table)
        if status == 409:
            self.end()
            raise taken(self.port, said.decode(errors="replace"))
        if status != 200:
            raise RemoteError("The gateway does not take the traffic.", why=f"It answered with status {status}.")

    def counters(self) -> Mapping[str, Mapping[str, Any]]:
        """All that it has counted."""
        return {version: each["arm"] for version, each in self._told().items()}

    def in_flight(self, version: str) -> int:
        """As it says."""
        return int(self._told().get(version, {"in_flight": 0})["in_flight"])

    def end(self) -> None:
        """End its process."""
        self._daemon.end(GRACE_SECONDS)

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "admin.sock").unlink(missing_ok=True)
        with outliving(self.lasting):
            python = environments.for_group(GROUP)
        # -P keeps the folders of the caller and of the program off the module path.
        command = [str(python), "-P", str(PROGRAM), str(self.port)]
        self._daemon.launch(command, environ_of(PYTHONPATH=str(SCRIPTS), PYTHONNOUSERSITE="1"))

    def _told(self) -> dict[str, Any]:
        status, said = self._patiently("GET", "/counters")
        if status != 200:
            raise RemoteError("The gateway does not tell its counters.", why=f"It answered with status {status}.")
        return dict(json.loads(said))

    def _patiently(self, method: str, route: str, body: Any = None) -> tuple[int, bytes]:
        """Ask it, and wait for it where it is only starting."""
        give_up = time.monotonic() + START_SECONDS
        while True:
            running = self._daemon.alive()
            try:
                return ask(self.folder / "admin.sock", method, route, body, seconds=START_SECONDS)
            except (OSError, http.client.HTTPException) as error:
                if not running or time.monotonic() > give_up:
                    raise RemoteError(
                        "The gateway does not answer." if running else "The gateway ended.",
                        why=self._daemon.last_words()[-1_000:] or str(error),
                        fix="Run the job again; it starts the gateway anew where it has ended.",
                    ) from error
            time.sleep(0.02)


def taken(port: int, why: str) -> InputError:
    """The error for a port that somebody else has."""
    return InputError(
        f"The gateway cannot listen on port {port}.",
        why=why[:300],
        fix="Give the target another `port` in the policy, or end what listens there.",
    )
