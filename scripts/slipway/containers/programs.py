"""The command lines of container programs: what they print, and their failures as errors in their own last words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from slipway.runner.errors import InputError, RemoteError, SlipwayError
from slipway.runner.inputs import variable
from slipway.runner.redaction import without_secrets


def said(*command: str, what: str = "", fix: str = "", given: str = "", seconds: float = 3_600) -> str:
    """What a program printed. RemoteError where it fails, InputError where the disk is full."""
    try:
        done = subprocess.run(
            command,
            input=given,
            env=environ(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise RemoteError(f"{command[0]} {command[1]} did not end within {seconds:g} s.", fix=fix) from late
    if done.returncode == 0:
        return done.stdout
    raise failed(command, done.returncode, without_secrets(done.stderr.strip() or done.stdout.strip()), what, fix)


def succeeds(*command: str) -> bool:
    """Whether a program ends well, whatever it prints."""
    return subprocess.run(command, env=environ(), capture_output=True, check=False).returncode == 0


def failed(command: Sequence[str], code: int, why: str, what: str, fix: str) -> SlipwayError:
    """The error for a program that failed, in its own last words."""
    if "no space left on device" in why.lower():
        return InputError(
            "The runner's disk is full.",
            why=why[-500:],
            fix="Free some space (an image needs some four times the size of its packages), or take a larger runner.",
        )
    doing = what or f"{command[0]} {command[1]} failed."
    return RemoteError(doing, why=f"{command[0]} ended with {code}: {why[-1_500:]}", fix=fix)


def environ() -> Mapping[str, str]:
    """The job's environment without the inputs, among which are the tokens."""
    return {name: value for name, value in os.environ.items() if not name.startswith(variable(""))}
