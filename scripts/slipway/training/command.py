"""Runs a user's command: streamed, time-limited, without our secrets, and gone with all its children at the end."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import secrets
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slipway.runner import commands
from slipway.runner.errors import InputError

CHUNK = 1 << 16
GRACE = 10.0
"""Seconds between asking a command to end and killing it."""

GRACE_WHEN_CANCELLED = 3.0
"""The same in a cancelled job: GitHub kills the stage itself 10 s after its first signal, and the run must be ended."""

LINGER = 5.0
"""Seconds for which output of left-over children is still read after the command itself has ended."""

MARK = "SLIPWAY_COMMAND"
"""Variable by which a process is known as the command's, even where it has left the command's session."""

QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", flags=re.DOTALL)
SHELL_SIGN = re.compile(r"2>&1|&&|\|\||>>|[|;<>&]|\n")
"""What a shell would act upon where it is not quoted."""

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
            named = {number.value: number.name for number in signal.Signals}
            hint = " (usually: out of memory)" if -self.code == signal.SIGKILL else ""
            return f"was ended by {named.get(-self.code, f'signal {-self.code}')}{hint} after {self.seconds:.0f} s"
        return f"ended with exit code {self.code} after {self.seconds:.0f} s"


def split(command: str | Sequence[str]) -> list[str]:
    """The command as arguments. No shell reads it, so a sign that only a shell understands is an InputError."""
    arguments = list(command) if not isinstance(command, str) else _split_text(command)
    if not arguments:
        raise InputError("The command is empty.", fix="Name the command in `training.command` of the policy.")
    return arguments


def _split_text(command: str) -> list[str]:
    command = command.replace("\\\n", " ").strip()
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise InputError(f"The command `{command}` cannot be split: {error}.", fix="Balance its quotes.") from error
    sign = SHELL_SIGN.search(QUOTED.sub("", command))
    if sign:
        shown = "several lines" if sign.group() == "\n" else f"`{sign.group()}`"
        raise InputError(
            f"The command holds {shown}, and no shell reads it.",
            fix="Put the steps into a script, or write `bash -c '…'`. What is meant as text needs quotes.",
        )
    return arguments


def in_run(arguments: Sequence[str], run_id: str) -> list[str]:
    """The command inside of the MLflow run; `mlflow run` would start one of its own where it is not told."""
    starts_project = Path(arguments[0]).name == "mlflow" and arguments[1:2] == ["run"]
    told = any(each.partition("=")[0] == "--run-id" for each in arguments)
    return [*arguments, "--run-id", run_id] if starts_project and not told else list(arguments)


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


def run(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    timeout: float,
    log: Path,
    elsewhere: Callable[[], None] | None = None,
) -> Ended:
    """Run the command, copying its output byte by byte to ours and to `log`.

    It runs in a session of its own. When it ends, fails, is timed out or the stage is cancelled, whatever it left
    running is ended too, daemons included. `timeout` is in seconds. elsewhere: ends what the command only stands for, a
    container, whose processes are then its engine's to end.

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
    mark = secrets.token_hex(16)
    with log.open("wb") as copy, commands.commands_stopped():
        try:
            process = subprocess.Popen(
                [program, *arguments[1:]],
                env={**environ, **({} if elsewhere else {MARK: mark})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(f"The command `{arguments[0]}` could not be started.", why=str(error)) from error
        assert process.stdout is not None
        grace = GRACE
        try:
            with process.stdout as source:
                in_time = _copy(process, source, copy, deadline=started + timeout)
        except KeyboardInterrupt:
            grace = GRACE_WHEN_CANCELLED
            raise
        finally:
            try:
                usage = _end_all(process, mark, grace)
            finally:
                if elsewhere:
                    elsewhere()
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


def _end_all(process: subprocess.Popen[bytes], mark: str, grace: float) -> resource.struct_rusage:
    """End whatever the command left running, and return what the command and its waited-for children used.

    The group is ours alone: the command was started as the leader of a new session.
    """
    try:
        if not _has_ended(process) or _left_over(process.pid, mark):
            _signal_all(process.pid, mark, signal.SIGTERM)
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline and (not _has_ended(process) or _left_over(process.pid, mark)):
                time.sleep(0.05)
    finally:
        # Also where a person at a keyboard insists.
        _signal_all(process.pid, mark, signal.SIGKILL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _left_over(group: int, mark: str) -> list[int]:
    """Living processes of the command beside its leader: those of its group, and daemons that carry its mark."""
    marked = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            # Fields after the command's name, which may itself hold blanks: state, parent, group.
            state, _, its_group = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
            if state == "Z" or int(folder.name) == group:
                continue
            if int(its_group) == group or marked in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def _signal_all(group: int, mark: str, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for process in _left_over(group, mark):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)
