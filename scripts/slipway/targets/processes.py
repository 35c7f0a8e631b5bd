"""Processes that outlive the job that starts them: who they are, whether they run, and how they end.

The runner ends what carries its RUNNER_TRACKING_ID when a job is over; ours are given a few named variables, and it is
not among them. They are recognised by their number, when they began and since when the machine runs, so that another
process that was given the number later is never taken for one of ours. What one that crashed has left is recognised by
its session, and by a random mark that everything inherits which it has started.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
)
"""All that they see of the job's environment: no token is among it."""

MARK = "SLIPWAY_STARTED_AS"
"""Variable that tells a process, and all that it starts, from every other one."""

KILL_SECONDS = 10.0
SAID_BYTES = 4_000
ENDED = ("Z", "X")
BOOT = Path("/proc/sys/kernel/random/boot_id")

LAUNCHER = """
import json, os, sys
record, *command = sys.argv[1:]
done, ours = os.pipe()
if os.fork():
    os.close(ours)
    os.read(done, 1)
    os._exit(0)
os.setsid()
with open("/proc/self/stat") as file:
    started = int(file.read().rpartition(")")[2].split()[19])
with open("/proc/sys/kernel/random/boot_id") as file:
    said = {"pid": os.getpid(), "started": started, "boot": file.read().strip()}
said["mark"] = os.environ["SLIPWAY_STARTED_AS"]
with open(record + ".new", "w") as file:
    json.dump(said, file)
os.replace(record + ".new", record)
os.write(ours, b".")
os.execv(command[0], command)
"""
"""Leaves the process to the system's first one, and writes down who it is before it becomes the command: whoever is
killed at any moment leaves nothing that the next run could not find."""


@dataclass(frozen=True)
class Daemon:
    """A process with a folder of its own, where it works and where its record and log lie."""

    folder: Path

    @property
    def _record(self) -> Path:
        return self.folder / "process.json"

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def launch(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start it. Its log begins anew, and what an earlier one has left here that crashed ends."""
        if not self.alive():
            self._end_left()
        with self._log.open("wb") as log:
            launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(self._record)]
            subprocess.run(
                [*launcher, *command],
                cwd=self.folder,
                env={**environ, MARK: secrets.token_hex(16)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )

    def alive(self) -> bool:
        """Whether it runs."""
        return self._pid() is not None

    def last_words(self) -> str:
        """The end of what it wrote."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, log.seek(0, 2) - SAID_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def end(self, seconds: float, number: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM, and SIGKILL where it has not ended after so many seconds; what it has started ends with it.

        number: the signal that asks it to end, where it is another one. Also what one has left that crashed ends.
        """
        pid = self._pid()
        if pid is not None:
            self._end(pid, seconds, number)
        if not self.alive():
            self._end_left()

    def _end(self, pid: int, seconds: float, number: signal.Signals) -> None:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if self._pid() != pid:  # the handle is another's: it ended between the two calls
                return
            signal.pidfd_send_signal(handle, number)
            _ended(handle, seconds)
            # Its number names its group as long as one of it is left, and is given to another only after all others.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            _ended(handle, KILL_SECONDS)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)

    def _end_left(self) -> None:
        """Kill what is left of the session, again as long as something is: it may have started more meanwhile."""
        until = time.monotonic() + KILL_SECONDS
        while (left := self._left()) and time.monotonic() < until:
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    handle = os.pidfd_open(pid)
                    try:
                        if pid in self._left():  # and the handle is not another's
                            signal.pidfd_send_signal(handle, signal.SIGKILL)
                            _ended(handle, KILL_SECONDS)
                    finally:
                        os.close(handle)

    def _left(self) -> list[int]:
        """The processes of its session that run, whose mark says that it has started them."""
        try:
            said = json.loads(self._record.read_bytes())
            session, began, mark = int(said["pid"]), int(said["started"]), str(said["mark"] or "")
            here = said["boot"] == BOOT.read_text(encoding="ascii").strip()
        except (OSError, ValueError, LookupError, TypeError):
            return []
        if not (here and mark):
            return []
        carried, found = f"{MARK}={mark}".encode(), []
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, LookupError, ValueError):  # it has ended, or is another user's
                stat = _stat(int(place.name))
                ours = int(stat[3]) == session and int(stat[19]) >= began and stat[0] not in ENDED
                if ours and carried in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
        return found

    def _pid(self) -> int | None:
        """Its number; None where it does not run."""
        try:
            said = json.loads(self._record.read_bytes())
            pid = int(said["pid"])
            stat = _stat(pid)
            same = said["boot"] == BOOT.read_text(encoding="ascii").strip() and said["started"] == int(stat[19])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return pid if same and stat[0] not in ENDED else None


def environ_of(**more: str) -> dict[str, str]:
    """The environment of a process that outlives the job."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | more


def _stat(pid: int) -> list[str]:
    """What Linux says of a process, from its state on: proc_pid_stat(5), whose third field is the first here."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()


def _ended(handle: int, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))
