"""The host that GitHub redirects downloads of artifacts to: it takes signed addresses, and must never see a token."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from github_double.world import World


class Storage:
    """`with Storage(world) as storage:` serves the artifacts of `world`.

    log: path and headers of every request. lies: what is sent in place of an artifact, without telling its length.
    status: what it answers with. encoding: how it says that the body is packed. withheld: bytes that it promises and
    does not send.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.log: list[tuple[str, dict[str, str]]] = []
        self.lies: Iterator[bytes] | None = None
        self.status = 200
        self.encoding = ""
        self.withheld = 0
        self.sent = 0
        self._server = _Server(self)
        self.url = world.storage_url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="storage-double")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        super().__init__(("127.0.0.1", 0), _Connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has had enough closes the connection; that is what is tested."""


class _Connection(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        storage = self.server.storage
        storage.log.append((self.path, dict(self.headers.items())))
        artifact = storage.world.artifacts[int(self.path.strip("/").partition(".")[0])]
        self.send_response(storage.status)
        if storage.encoding:
            self.send_header("Content-Encoding", storage.encoding)
        if storage.lies is None:
            self.send_header("Content-Length", str(len(artifact.content) + storage.withheld))
        self.end_headers()
        for part in storage.lies or [artifact.content]:
            storage.sent += len(part)
            self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: `Storage.log` is the log."""
