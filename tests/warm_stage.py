"""A stage's Python whose imports are done, and which forks a process for each run of the stage's script.

Most of a stage's time in a test is imports (MLflow's alone take over a second). `stand_in` starts this file with the
stage's own Python. It imports the script and what the script imports later, and waits on a socket. The stand-in is
what a step calls instead of that Python: it hands its folder, environment, arguments and streams to a fork of the
waiting process, and ends as that one does. A run is still a process of its own, in the stage's own environment.

The processes of one session of tests (pytest-xdist's workers) share what waits: each holds open the named pipe that the
waiting process reads, which ends once nobody does, however that came.
"""

from __future__ import annotations

import fcntl
import functools
import gc
import hashlib
import importlib
import json
import os
import runpy
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

SOCKET = "WARM_STAGE"
"""Names the socket to the client. Not of a prefix that belongs to the runner."""

HELD: dict[Path, int] = {}
"""The pipes that this process holds open, by the folder of what waits."""

IMPORTED_LATER = {
    "assess_risk": ("mlflow", "github", "tabulate"),
    "audit_trail": ("mlflow", "jinja2", "tabulate", "prometheus_client", "cyclonedx.validation.json"),
    "detect_drift": ("mlflow", "tabulate"),
    "evaluate_model": ("mlflow", "polars", "tabulate"),
    "package_model": (
        *("mlflow", "sigstore.oidc", "sigstore.models", "model_signing.signing", "model_signing.verifying"),
        *("requests", "packageurl", "cyclonedx.model.bom", "cyclonedx.output.json", "tabulate"),
    ),
    "post_report": ("github", "jinja2", "drawsvg"),
    "record_approval": ("mlflow", "github", "tabulate"),
    "reproduce_model": ("mlflow", "polars", "tabulate", "jinja2"),
    "sign_model": ("mlflow", "sigstore.oidc", "sigstore.models", "model_signing.signing", "model_signing.verifying"),
    "train_model": ("mlflow",),
    "validate_data": ("slipway.validating.judging", "tabulate"),
}
"""What the functions of a script import."""
OF_MLFLOW = (
    *("mlflow.artifacts", "mlflow.store.tracking.sqlalchemy_workspace_store", "alembic.command"),
    *("mlflow.store.model_registry.sqlalchemy_workspace_store", "sqlalchemy.dialects.sqlite"),
    *("mlflow.store.artifact.local_artifact_repo", "mlflow.store.db_migrations"),
)
"""What MLflow imports when a database is opened."""

READ_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "OMP_", "TZ", "MALLOC_")
"""Variables that Python and libraries read as they start. With others than the machine's, a run needs its own start."""


def python_for(script: Path, python: str, *options: str) -> str:
    """What to call with `script`: `python` itself the first time in a session, so that every stage is started as on a
    runner at least once, and later a stand-in for it with the same `options` of Python."""
    really = str(Path(python).parent.resolve() / "python")  # a cache of warm_cache has links to environments
    with suppress(FileExistsError):
        place(str(script), really, *options, made="first")
        return python
    return str(stand_in(script, really, options))


@functools.cache
def stand_in(script: Path, python: str, options: tuple[str, ...]) -> Path:
    """A program to call instead of `python` with `script`."""
    folder = wait_behind(python, *options, __file__, str(script))
    address, program = folder / "socket", folder / "python"
    while not address.exists():
        assert is_read(folder / "users"), f"{script.name} cannot be imported"
        time.sleep(0.01)
    text = f'#!/bin/sh\n{asking(address, python)} "$@"\n'
    with locked(folder):
        if not program.exists():
            program.write_text(text, encoding="utf-8")
            program.chmod(0o755)
    return program


def wait_behind(*command: str, **environ: str) -> Path:
    """Have a process wait, one in the session for the same command and environment; its folder, with its `socket`.

    command: is called with the socket's path besides. What waits ends with the last process that has asked for it.
    """
    folder = place(*command, *sorted(f"{name}={value}" for name, value in environ.items()))
    if folder in HELD:
        return folder
    pipe = folder / "users"
    with locked(folder):
        if not pipe.exists():
            os.mkfifo(pipe)
        with suppress(OSError):  # nobody reads it
            HELD[folder] = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            return folder
        (folder / "socket").unlink(missing_ok=True)
        read = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        HELD[folder] = os.open(pipe, os.O_WRONLY)
        subprocess.run(
            [*command, str(folder / "socket")],
            cwd=folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **environ},
            stdin=read,
            check=True,
        )
        os.close(read)
    return folder


def place(*of: str, made: str = "") -> Path:
    """A folder of the session that belongs to these words. made: a folder in it. Raises FileExistsError where that
    is there."""
    folder = session() / hashlib.sha256("\0".join(of).encode()).hexdigest()[:12]
    folder.mkdir(exist_ok=True)
    if made:
        (folder / made).mkdir()
    return folder


@functools.cache
def session() -> Path:
    """The folder that the processes of one session of tests share. The last of them takes it away."""
    which = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"of-{os.getpid()}"
    folder = Path(tempfile.gettempdir()) / f"warm-{which[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / f"process-{os.getpid()}").touch()
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process of the session at a time."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_read(pipe: Path) -> bool:
    """Whether a process waits at this pipe."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def warm_cache(cache: Path, scripts: Mapping[Path, Path], *options: str, **environ: str) -> Path:
    """A folder for SLIPWAY_CACHE: the environments of `cache`, whose Pythons stand in for themselves where they are
    called with their script. options, environ: those that count at its start.

    The first time in a session a script is started as on a runner; so is one that nobody waits with yet.
    """
    waiting = {
        python: wait_behind(str(python), *options, __file__, str(script), **environ)
        for python, script in scripts.items()
    }
    folder = place(str(cache), *map(str, waiting.values()))
    ours = folder / "environments"
    with locked(folder):
        ours.mkdir(exist_ok=True)
        for python, script in scripts.items():
            if not (ours / python.parents[1].name).exists():
                put_before(python, script, waiting[python], ours / python.parents[1].name)
        for known in (cache / "environments").glob("*/slipway-complete"):
            with suppress(FileExistsError):
                (ours / known.parent.name).symlink_to(known.parent)
        if (cache / "uv").is_dir() and not (folder / "uv").exists():
            (folder / "uv").symlink_to(cache / "uv")
    return folder


def put_before(python: Path, script: Path, waiting: Path, ours: Path) -> None:
    """Make of `ours` the environment of `python`, in which who waits is called with `script`."""
    (ours / "bin").mkdir(parents=True)
    for each in (*python.parents[1].iterdir(), *python.parent.iterdir()):
        if each != python.parent:
            (ours / each.relative_to(python.parents[1])).symlink_to(each)
    address = waiting / "socket"
    (ours / "bin" / "python").unlink()
    (ours / "bin" / "python").write_text(
        f"""#!/bin/sh
for said in "$@"; do
  [ "$said" != {script} ] || mkdir {waiting}/first 2> /dev/null || [ ! -S {address} ] || {asking(address, python)} "$@"
done
exec {python} "$@"
""",
        encoding="utf-8",
    )
    (ours / "bin" / "python").chmod(0o755)


def asking(address: Path, python: Path | str) -> str:
    """The shell's words that ask who waits at `address`."""
    words = shlex.join([sys.executable, "-I", "-S", __file__])
    return f"{SOCKET}={shlex.quote(str(address))} SLIPWAY_PYTHON={shlex.quote(str(python))} exec {words}"


def read_at_start(environ: Mapping[str, str]) -> list[str]:
    """The variables, of these and of the machine's, that count at a start only."""
    return [name for name in {*environ, *os.environ} if name.startswith(READ_AT_START)]


def end_all() -> None:
    """Let go of what waits, and take the session's folder away where nobody else needs it."""
    while HELD:
        os.close(HELD.popitem()[1])
    (session() / f"process-{os.getpid()}").unlink()
    if not list(session().glob("process-*")):
        shutil.rmtree(session(), ignore_errors=True)


def serve(script: str, address: str) -> None:
    """Import, then fork for each connection until nobody holds the pipe at stdin open."""
    if os.fork():  # whoever started this does not wait for its end
        os._exit(0)
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="waiting")
    later = IMPORTED_LATER.get(Path(script).stem, ())
    for name in (*later, *(OF_MLFLOW if "mlflow" in later else ())):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{address}-")
    listening.listen(64)
    Path(f"{address}-").rename(address)
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            code = wait_for_run(connection, script)
            connection.sendall(str(code).encode())
            os._exit(0)
        connection.close()
        with suppress(ChildProcessError):  # those that have ended
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
    listening.close()


def wait_for_run(connection: socket.socket, script: str) -> int:
    """Run the script in a process that knows nothing of the connection; how it ended, as subprocess would say."""
    with connection.makefile("rb") as said:
        length, streams, *_ = socket.recv_fds(connection, 8, 3)
        asked = json.loads(said.read(int.from_bytes(length, "big")))
    child = os.fork()
    if child == 0:
        connection.close()
        environ = asked["environ"]
        os.setpgid(0, 0)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        # As Python opens them at its start.
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w", buffering=1 if "PYTHONUNBUFFERED" in environ else -1)
        sys.stderr = os.fdopen(2, "w", buffering=1)
        os.chdir(asked["folder"])
        tempfile.tempdir = None
        os.environ.clear()
        os.environ.update(environ)
        sys.argv[:] = asked["argv"][asked["argv"].index(script) :] if script in asked["argv"] else asked["argv"]
        runpy.run_path(script, run_name="__main__")
        sys.exit(0)
    for stream in streams:
        os.close(stream)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def client() -> None:
    """Have the waiting process run the script, with all that belongs to this process."""
    environ = dict(os.environ)
    address = environ.pop(SOCKET)
    asked = {"folder": str(Path.cwd()), "argv": sys.argv[1:], "environ": environ}
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:  # it has ended with the process that it was started for
            python = environ["SLIPWAY_PYTHON"]
            os.execve(python, [python, *sys.argv[1:]], environ)  # noqa: S606 - there is no shell to be started
        said = json.dumps(asked).encode()
        socket.send_fds(connection, [len(said).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(said)
        code = int(connection.recv(16))
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    client() if SOCKET in os.environ else serve(*sys.argv[1:])
