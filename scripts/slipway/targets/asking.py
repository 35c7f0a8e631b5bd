"""Short questions over HTTP, to a port of the loopback or a socket in a folder."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any

from slipway.runner.errors import RemoteError

LARGEST = 64 * 2**20

GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST, FEWEST = 20_000, 1_000
"""Ports of servers lie from the lowest on, below those that the system gives out, if there are at least so many."""


class _OverSocket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path, self.seconds = path, timeout

    def connect(self) -> None:
        """Connect."""
        self.sock = connected(self.path, self.seconds)


def connected(path: Path, seconds: float) -> socket.socket:
    """A connection to a Unix socket; by its folder's handle, since a socket's name has at most 107 bytes."""
    folder = os.open(path.parent, os.O_PATH)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(seconds)
        line.connect(f"/proc/self/fd/{folder}/{path.name}")
    except BaseException:
        line.close()
        raise
    finally:
        os.close(folder)
    return line


def ask(place: int | Path, method: str, route: str, body: Any = None, *, seconds: float) -> tuple[int, bytes]:
    """Status and body of the answer. place: a port or a socket. body: sent as JSON.

    Raises OSError or http.client.HTTPException where there is no answer.
    """
    connection = (
        _OverSocket(place, seconds)
        if isinstance(place, Path)
        else http.client.HTTPConnection("127.0.0.1", place, timeout=seconds)
    )
    try:
        sent = None if body is None else json.dumps(body).encode()
        connection.request(method, route, sent, {} if body is None else {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read(LARGEST)
    finally:
        connection.close()


def free_port(taken: Collection[int] = ()) -> int:
    """A free port of the loopback, none of `taken`, that the system gives to no outgoing connection meanwhile.

    A server takes seconds to load its model before it listens.
    """
    try:
        lowest = int(GIVEN_OUT.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        lowest = 32_768
    # Where all is given out there is no safe place.
    ports = range(LOWEST, lowest) if lowest > LOWEST + FEWEST else range(LOWEST, 65_536)
    for port in random.sample(ports, len(ports)):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in taken:
                return port
    raise RemoteError("No port of this machine is free.")
