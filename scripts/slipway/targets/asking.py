"""Short questions over HTTP, to a port of the loopback or a socket in a folder."""

from __future__ import annotations

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any

LARGEST = 64 * 2**20


class _OverSocket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect; by the folder's handle, since the name of a socket has at most 107 bytes."""
        folder = os.open(self.path.parent, os.O_PATH)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{folder}/{self.path.name}")
        finally:
            os.close(folder)


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
