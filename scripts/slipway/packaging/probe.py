"""Tries a served model from inside of its container, which has no network but its own loopback.

Runs as `python3 -c`, with the base image's Python and the standard library; imports nothing of ours. Standard input:
one JSON object with port, seconds (to wait), and calls as `[route, body]`; standard output: what was answered and
measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def main() -> None:
    """Wait until the server answers, make the calls, measure the first process."""
    asked = json.load(sys.stdin)
    base = f"http://127.0.0.1:{asked['port']}"
    give_up = time.monotonic() + asked["seconds"]
    while call(base + "/v2/health/ready")[0] != 200:
        if time.monotonic() > give_up:
            print(json.dumps({"ready": False}))
            return
        time.sleep(0.02)
    said = {
        "ready": True,
        "startup_seconds": age(),
        "answers": [call(base + route, body) for route, body in asked["calls"]],
    }
    print(json.dumps({**said, "peak_bytes": peak(), **surroundings()}))


def call(address: str, body: object = None) -> tuple[int, str]:
    """Status and text of an answer; 0 where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


def age() -> float:
    """Seconds since the container's first process began."""
    ticks = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak() -> int:
    """Peak resident memory of the container's first process, in bytes."""
    (line,) = (line for line in Path("/proc/1/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def surroundings() -> dict[str, object]:
    """As whom it runs, and whether the root can be written to."""
    try:
        Path("/slipway-probe").touch()
        writable = True
    except OSError:
        writable = False
    devices = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    return {"user": os.getuid(), "root_writable": writable, "devices": devices}


main()
