"""Runs a user's command: streamed, time-limited, without our secrets, and gone with all its children at the end."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slipway.runner import commands
from slipway.runner.errors import InputError

CHUNK = 1 << 16
GRACE = 10.0
"""Seconds between asking a process group to end and killing it."""

LINGER = 5.0
"""Seconds for which output of left-over children is still read after the command itself has ended."""

SHELL_SIGNS = frozenset({"&&", "||", "|", ";", ">", ">>", "<", "&", "2>&1"})

CHANNELS = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")
"""What a step says to the runner: the command is the pull request's code and must not forge our outputs."""

TOKENS = (
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
)
"""The job's own tokens."""


@dataclass(frozen=True)
class Ended:
    """How a command ended. peak_memory: bytes of its largest process. code: None where the time was over."""

    code: int | None
    seconds: float
    peak_memory: int

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself, with 0."""
        return self.code == 0

    def in_words(self, timeout: float) -> str:
        """How it ended, for people."""
        if self.code is None:
            return f"did not end within {timeout / 60:.3g} minutes and was stopped"
        if self.code < 0:
            name = signal.Signals(-self.code).name
            hint = " (usually: out of memory)" if name == "SIGKILL" else ""
            return f"was ended by {name}{hint} after {self.seconds:.0f} s"
        return f"ended with exit code {self.code} after {self.seconds:.0f} s"


def split(command: str | Sequence[str]) -> list[str]:
    """The command as arguments. No shell reads it, so a sign that only a shell understands is an InputError."""
    if not isinstance(command, str):
        return list(command)
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise InputError(f"The command `{command}` cannot be split: {error}.", fix="Balance its quotes.") from error
    signs = SHELL_SIGNS.intersection(arguments)
    if signs:
        raise InputError(
            f"The command holds `{sorted(signs)[0]}`, and no shell reads it.",
            fix="Put the steps into a script, or write `bash -c '…'`.",
        )
    if not arguments:
        raise InputError("The command is empty.", fix="Name the command in `training.command` of the policy.")
    return arguments


def environ_for(extra: Mapping[str, str], *, path_first: Path | None = None) -> dict[str, str]:
    """The command's environment: the job's, without the runner's channels, our inputs and the job's tokens."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in (*CHANNELS, *TOKENS) and not name.startswith(("INPUT_", "SLIPWAY_"))
    }
    kept["PYTHONUNBUFFERED"] = "1"
    if path_first:
        kept["PATH"] = f"{path_first}{os.pathsep}{kept.get('PATH', '')}"
        kept["VIRTUAL_ENV"] = str(path_first.parent)
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, **extra}


def run(arguments: Sequence[str], environ: Mapping[str, str], *, timeout: float, log: Path) -> Ended:
    """Run the command, copying its output byte by byte to ours and to `log`.

    It runs in a session of its own. When it ends, fails, is timed out or the stage is cancelled, whatever it left
    running is ended too. `timeout` is in seconds.

    Raises InputError where the command cannot be started.
    """
    program = shutil.which(arguments[0], path=environ.get("PATH"))
    if program is None:
        raise InputError(
            f"The command `{arguments[0]}` was not found.",
            fix="Install it in a step before this one, or name the requirements that bring it in "
            "`training.requirements`.",
        )
    started = time.monotonic()
    with log.open("wb") as copy, commands.commands_stopped():
        try:
            process = subprocess.Popen(
                [program, *arguments[1:]],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(f"The command `{arguments[0]}` could not be started.", why=str(error)) from error
        assert process.stdout is not None
        try:
            in_time = _copy(process, process.stdout, copy, deadline=started + timeout)
        finally:
            usage = _end_group(process)
    code = process.returncode if in_time else None
    return Ended(code, time.monotonic() - started, usage.ru_maxrss * 1024)


def _copy(process: subprocess.Popen[bytes], source: IO[bytes], copy: IO[bytes], *, deadline: float) -> bool:
    """Copy until the command has ended and its output is read. False where the deadline came first."""
    os.set_blocking(source.fileno(), False)
    sys.stdout.flush()
    last_call = deadline
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while time.monotonic() < last_call:
            if last_call == deadline and _has_ended(process):
                # A child that holds the pipe open must not hold the stage.
                last_call = min(deadline, time.monotonic() + LINGER)
            if not selector.select(min(0.2, max(0.0, last_call - time.monotonic()))):
                continue
            chunk = source.read(CHUNK)
            if not chunk:
                return _wait_until(deadline, process)
            copy.write(chunk)
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return _has_ended(process)


def _wait_until(deadline: float, process: subprocess.Popen[bytes]) -> bool:
    """Wait for a command that has closed its output. False where the deadline came first."""
    while not _has_ended(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the command has ended; it is not reaped yet, because only `wait4` tells what it used."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """End whatever the command left running, and return what the command and its waited-for children used.

    The group is ours alone: the command was started as the leader of a new session.
    """
    if not _has_ended(process) or _others_alive(process.pid):
        _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and (not _has_ended(process) or _others_alive(process.pid)):
            time.sleep(0.05)
        _signal_group(process.pid, signal.SIGKILL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _others_alive(group: int) -> bool:
    """Whether the group has a living process beside its leader's remains."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # Fields after the command's name, which may itself hold blanks: state, parent, group.
            state, _, its_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and int(stat.parent.name) != group and state != "Z":
                return True
    return False


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
