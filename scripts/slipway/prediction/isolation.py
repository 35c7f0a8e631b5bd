"""What a model's or a scorer's process is kept from here: the network, other files and processes, the job's secrets."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from slipway.policy.evaluation import Isolation
from slipway.prediction.confined import Limits
from slipway.runner.errors import GateError

CONFINED = Path(__file__).with_name("confined.py")
NAMESPACES = (
    *("--user", "--map-root-user", "--net", "--ipc"),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""Namespaces of its own, as `unshare` makes them where the kernel lets everybody. With the first process of its
process namespace, everything in it ends."""

READABLE = ("/bin", "/etc", "/lib", "/lib32", "/lib64", "/nix/store", "/proc", "/sbin", "/sys", "/usr")
"""Where programs and libraries lie. No home, no checkout, no folder of the runner."""
WRITABLE = ("/dev",)
FILE_BYTES = 8 * 2**30
"""No file that a model writes may be larger."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""All that a model's process sees of the job's environment: no token is among it."""


@dataclass(frozen=True)
class Confinement:
    """What can be taken from a process here.

    network: whether it has none. files: whether it reads no file but its own and the system's. processes: whether it
    sees no process but its own. readable: further folders that the policy lets it read.
    """

    network: bool
    files: bool
    processes: bool
    readable: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """For the report's provenance."""
        return ", ".join(
            (
                f"network {'off' if self.network else 'on'}",
                "own files only" if self.files else "all files of the job's user",
                "own processes only" if self.processes else "processes of the job's user visible",
            )
        )

    def command(self, command: Sequence[str], *, read: Sequence[Path], write: Path, usage: Path) -> list[str]:
        """`command` so that it runs confined. read, write: the only files and folders of the job that it needs."""
        python = Path(command[0])
        libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        limits = Limits(
            namespaces=self.processes,
            network=self.network,
            files=self.files,
            read=(
                *(*READABLE, *filter(None, libraries), *self.readable),
                # The environment, and the Python that it was made from.
                *map(str, (python.parent.parent, python.resolve().parent.parent, *read)),
            ),
            write=(*WRITABLE, str(write)),
            file_bytes=FILE_BYTES,
            usage=str(usage),
        )
        outside = [_unshare(), *NAMESPACES] if self.processes else []
        return [*outside, sys.executable, "-I", "-S", str(CONFINED), json.dumps(asdict(limits)), *command]


def confinement(isolation: Isolation) -> Confinement:
    """What this machine can do of what the policy asks. Raises GateError where it demands what is not possible."""
    wanted = isolation.network != "allow"
    files, sockets, namespaces = _possible(_unshare())
    if isolation.network == "deny" and not sockets:
        raise GateError(
            "This machine cannot take the network from a model, and the policy says `network: deny`.",
            why="That needs Linux with seccomp, on x86-64 or 64-bit ARM.",
            fix="Evaluate on such a runner, or say `network: deny_if_possible` under `evaluation.isolation`.",
        )
    # Namespaces take the network along, so a model that may use it stays in the job's.
    return Confinement(wanted and sockets, files, wanted and sockets and namespaces, isolation.readable)


def clean_environ(python: Path) -> dict[str, str]:
    """The environment of a process that runs a team's code: no token of the job is in it."""
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**environ, "PYTHONNOUSERSITE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}


def environ_of(python: Path, output: Path) -> dict[str, str]:
    """A model's environment: a few named variables, and a home and a temporary folder of its own below `output`."""
    home, temporary = output / "home", output / "tmp"
    for folder in (home, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    return clean_environ(python) | {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        # The model's own folder is all it needs; a store of its own keeps it from looking for one.
        "MLFLOW_TRACKING_URI": f"sqlite:///{output}/unused.db",
    }


def ended(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Whether the process ended before `deadline` (of the monotonic clock); what it left running is killed then.

    At once, and not later: as soon as nothing of the group is left, its number may be that of somebody else's group.
    """
    try:
        process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    _kill_group(process)
    return True


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all of its group, which it leads, unless `ended` has done it; close its pipes."""
    if process.returncode is None:
        _kill_group(process)
        process.wait()
    for pipe in filter(None, (process.stdin, process.stdout)):
        pipe.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(process.pid, signal.SIGKILL)


def read_left(path: Path, most: int) -> bytes:
    """What a confined process left in a file: anybody may have put anything in its place.

    Raises OSError where it cannot be read, ValueError where it is no ordinary file or has more than `most` bytes.
    """

    def opener(name: str, flags: int) -> int:
        # A link is not followed, and a named pipe without a writer is not waited for.
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)

    with open(path, "rb", opener=opener) as file:
        check_ordinary(path, os.fstat(file.fileno()), most)
        return file.read(most)


def check_ordinary(path: Path, found: os.stat_result, most: int) -> None:
    """Raises ValueError where this is no ordinary file, or one of more than `most` bytes."""
    if not stat.S_ISREG(found.st_mode) or found.st_size > most:
        raise ValueError(f"{path.name} is no ordinary file, or larger than {most:,} bytes.")


@functools.cache
def _possible(unshare: str) -> tuple[bool, bool, bool]:
    """Whether files, sockets and namespaces can be taken from a process here: each is tried on one that does nothing.

    Many systems forbid namespaces to ordinary users, and some containers forbid Landlock.
    """

    def works(limits: Limits, outside: Sequence[str] = ()) -> bool:
        tried = [*outside, sys.executable, "-I", "-S", str(CONFINED), json.dumps(asdict(limits))]
        done = subprocess.run([*tried, sys.executable, "-I", "-S", "-c", ""], capture_output=True, check=False)
        return done.returncode == 0

    if sys.platform != "linux":
        return False, False, False
    return (
        works(Limits(files=True, read=("/",), write=WRITABLE)),
        works(Limits(network=True)),
        bool(unshare) and works(Limits(namespaces=True), [unshare, *NAMESPACES]),
    )


def _unshare() -> str:
    return shutil.which("unshare") or ""
