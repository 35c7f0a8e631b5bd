"""A model's Python whose imports are done, behind a program called `unshare`; what warm_stage.py is for stages.

A model's process spends nearly all of its time on importing MLflow and pandas. `stand_in` starts this file with the
models' Python, which imports them and waits on a socket. A stage finds the stand-in on its PATH where it looks for
`unshare`, and hands it the command that confines a model's worker. A fork of the waiting process then makes the same
namespaces, confines itself by the stage's own confined.py, and runs worker.py. What the fork does not do is start the
model's Python: capabilities within its own namespaces, which end there, it keeps. tests/test_prediction_isolation.py
looks at what is confined and uses no stand-in; nor does the first worker of a session, or any other command.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import shlex
import signal
import socket
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

SOCKET = "WARM_WORKER"
"""Names the socket to the client."""

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
WORKER = SCRIPTS / "slipway" / "prediction" / "worker.py"
CONFINED = SCRIPTS / "slipway" / "prediction" / "confined.py"
NEEDED = ("mlflow.pyfunc", "mlflow.pyfunc.scoring_server", "pandas", "pyarrow.parquet")

NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""Mounts, inter-process communication, users, processes and network."""
RECURSIVE_PRIVATE, NO_PROGRAMS = 0x4000 | 0x40000, 2 | 4 | 8
END_WITH_PARENT = 1


@functools.cache
def stand_in(python: Path, otherwise: str, *modules: str) -> Path:
    """A program to call instead of `unshare` for models of the environment of `python`. otherwise: for all else.
    modules: what these models import besides."""
    import warm_stage

    folder = warm_stage.wait_behind(str(python), "-P", __file__, *modules)
    address = folder / "socket"
    program = warm_stage.place(str(python), otherwise) / f"unshare-{os.getpid()}"
    asking = f"{SOCKET}={shlex.quote(str(address))} exec {shlex.join([sys.executable, '-I', '-S', __file__])}"
    # Wherever the cache of environments is said to be.
    theirs = f"*/{python.parents[1].name}/bin/python -P {WORKER} *"
    program.write_text(
        f"""#!/bin/sh
case "$*" in {theirs.replace(" ", chr(92) + " ")})
  mkdir {folder}/first 2> /dev/null || [ ! -S {address} ] || {asking} {shlex.quote(otherwise)} "$@";;
esac
exec {otherwise} "$@"
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program


def serve(modules: list[str], address: str) -> None:
    """Import, then fork for each connection until nobody holds the pipe at stdin open."""
    if os.fork():  # whoever started this does not wait for its end
        os._exit(0)
    for name in (*NEEDED, *modules):
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
            with suppress(BrokenPipeError):  # who asked was killed
                connection.sendall(str(run(connection)).encode())
            os._exit(0)
        connection.close()
        with suppress(ChildProcessError):  # those that have ended
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def run(connection: socket.socket) -> int:
    """Confine and run what is asked for; how it ended, as `unshare` would say. It is killed with who asked."""
    with connection.makefile("rb") as said:
        length, streams, *_ = socket.recv_fds(connection, 8, 3)
        asked = json.loads(said.read(int.from_bytes(length, "big")))
    os.setsid()
    enter_namespaces()
    first = os.fork()
    if first == 0:
        connection.close()
        become(asked, streams)
        os._exit(confined_run(asked["argv"]))
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(first)
    if ended not in select.select([ended, connection.fileno()], [], [])[0]:
        os.kill(first, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    return code if code >= 0 else 128 - code


def enter_namespaces() -> None:
    """As `unshare --user --map-root-user --net --ipc --pid --mount-proc`; the next child is the first process."""
    user, group = os.getuid(), os.getgid()
    check(libc().unshare(NEW_NAMESPACES), "unshare")
    for name, content in {"setgroups": "deny", "uid_map": f"0 {user} 1", "gid_map": f"0 {group} 1"}.items():
        Path(f"/proc/self/{name}").write_text(content, encoding="ascii")


def become(asked: dict[str, Any], streams: list[int]) -> None:
    """What belongs to the process that asked: streams, folder, environment. The processes that it sees are its own."""
    check(libc().prctl(END_WITH_PARENT, signal.SIGKILL, 0, 0, 0), "prctl")
    check(libc().mount(b"none", b"/", None, RECURSIVE_PRIVATE, None), "mount")
    check(libc().mount(b"proc", b"/proc", b"proc", NO_PROGRAMS, None), "mount of /proc")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # As Python opens them at its start.
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def confined_run(argv: list[str]) -> int:
    """Run the command by confined.py, which runs the worker here where it would start its Python."""
    at = argv.index(str(CONFINED))
    said, *command = argv[at + 1 :]
    found = importlib.util.spec_from_file_location("confined", CONFINED)
    assert found and found.loader
    confined = importlib.util.module_from_spec(found)
    sys.modules["confined"] = confined
    found.loader.exec_module(confined)
    given = json.loads(said)
    limits = confined.Limits(**{**given, "read": tuple(given["read"]), "write": tuple(given["write"])})
    # The program is confined here and then becomes the worker; here it does the work itself, and so it does return.
    os.execv = lambda _, argv: work(list(map(str, argv)))  # type: ignore[assignment,return-value]
    return int(confined.main(limits, command))


def work(command: list[str]) -> None:
    """Run worker.py as its own Python would, and end."""
    sys.argv[:] = command[command.index(str(WORKER)) :]
    code: Any = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:  # as Python itself does
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 255)


@functools.cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def client() -> None:
    """Have the waiting process run the command, with all that belongs to this process. The first word is a program that
    runs it otherwise."""
    environ = dict(os.environ)
    address = environ.pop(SOCKET)
    asked = {"folder": str(Path.cwd()), "argv": sys.argv[2:], "environ": environ}
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:  # it has ended with the process that it was started for
            os.execve(sys.argv[1], sys.argv[1:], environ)  # noqa: S606 - there is no shell to be started
        said = json.dumps(asked).encode()
        socket.send_fds(connection, [len(said).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(said)
        answer = connection.recv(16)
    sys.exit(int(answer or 4))


if __name__ == "__main__":
    client() if SOCKET in os.environ else serve(sys.argv[1:-1], sys.argv[-1])
