"""The first process of a container: starts the command, hands signals on, waits for everything, says how it ended.

Runs with the image's own Python, from 3.8 on, and the standard library; imports nothing of ours. Without it the command
would be the first process itself, which no signal ends that it does not handle, and nobody would know its memory.

Arguments: a file for the answer, seconds after which all is killed, the processors that may be used (`0,1`; empty for
all), the command. The answer: `{"code": …, "peak_memory": …}` (bytes, of the largest process), or `{"missing": "…"}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

LINGER = 10.0
"""Seconds that processes which the command left running have to end after SIGTERM."""


def main(answer: str, seconds: str, processors: str, program: str, *arguments: str) -> None:
    """Run the command to its end."""
    if os.getpid() != 1:
        sys.exit("This runs as the first process of a container: it signals all others.")
    with contextlib.suppress(OSError, ValueError):
        os.sched_setaffinity(0, {int(each) for each in processors.split(",")})
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: signal_all(number))
    signal.signal(signal.SIGALRM, lambda *_: signal_all(signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    found = shutil.which(program)
    try:
        if found is None:
            raise FileNotFoundError("it is not on the PATH")
        # Python ignores these, which a program does not expect.
        ignored = (signal.SIGPIPE, signal.SIGXFSZ)
        child = os.posix_spawn(found, [program, *arguments], os.environ, setsigdef=ignored)
    except OSError as error:
        say(answer, {"missing": str(error)})
        sys.exit(127)
    code, peak = wait_for(child)
    say(answer, {"code": code, "peak_memory": max(peak, end_others()) * 1024})
    sys.exit(code if code >= 0 else 128 - code)


def wait_for(child: int) -> tuple[int, int]:
    """How the command ended (negative: by which signal), and the peak memory of what has ended by then, in KiB."""
    peak = 0
    while True:
        process, status, usage = os.wait4(-1, 0)
        peak = max(peak, usage.ru_maxrss)
        if process == child:
            return (-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), peak


def end_others() -> int:
    """Ask what is left to end, and wait a while. The kernel kills the rest when this process ends. Peak memory, KiB."""
    peak, deadline = 0, time.monotonic() + LINGER
    signal_all(signal.SIGTERM)
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            process, _, usage = os.wait4(-1, os.WNOHANG)
            peak = max(peak, usage.ru_maxrss if process else 0)
            if not process:
                time.sleep(0.02)
    return peak


def signal_all(number: int) -> None:
    """A signal to every process of the container but this one."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, number)


def say(answer: str, what: dict[str, int | str]) -> None:
    """Write the answer, all of it or nothing."""
    part = Path(f"{answer}-")
    part.write_text(json.dumps(what), encoding="utf-8")
    part.replace(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
