"""What tests of targets share: versions whose server is a few lines of Python that do as a file says."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slipway.policy.deployment import LocalTarget
from slipway.targets import haproxy, local
from slipway.targets.embedded import EmbeddedTarget
from slipway.targets.processes import Daemon
from slipway.targets.protocol import Servable
from test_training_toy import FOLDER, TOY_MODEL

MODEL = "flights"

SERVER = '''#!{python} -I
"""Answers as packaging/serve.py does, as `model/behaviour.json` beside it says, which is read at every request."""
import json, os, signal, sys, threading, time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PLACE = Path(sys.argv[2]).parent
READY = f"/v2/models/{{os.environ['SLIPWAY_MODEL_NAME']}}/versions/{{os.environ['SLIPWAY_MODEL_VERSION']}}/ready"

def said(name, default=None):
    return json.loads((PLACE / "model" / "behaviour.json").read_text()).get(name, default)

under_way = set()

@contextmanager
def known():
    under_way.add(threading.get_ident())
    try:
        yield
    finally:
        under_way.discard(threading.get_ident())

def end(*_):
    while under_way:
        time.sleep(0.01)
    os._exit(0)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    disable_nagle_algorithm = True

    def log_message(self, *parts):
        pass

    def answer(self, code, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data) + said("lacking", 0)))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = bool(said("lacking"))

    def do_GET(self):
        ok = said("ready", True) and self.path == READY
        self.answer(200 if ok or self.path == "/ping" else 404, {{}})

    def do_POST(self):
        with known():
            self.post()

    def post(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        (PLACE / "began").touch()
        time.sleep(said("delay", 0))
        if said("drop"):
            self.close_connection = True
            return self.connection.close()
        if said("echo"):
            return self.answer(200, {{"path": self.path, "headers": dict(self.headers), "body": body.decode(),
                                     "environ": dict(os.environ)}})
        code, predictions = said("code", 200), said("predictions", [0.5])
        self.answer(code, {{"predictions": predictions}} if code == 200 else {{"error": "as it was told"}})

if said("die"):
    sys.exit(said("die"))
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


def require_haproxy() -> None:
    """Skip where it is missing; in CI that is a failure."""
    if haproxy.program() is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("missing: haproxy (Debian package)")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def toy_model(folder: Path, weights: dict[str, float], misdeed: str = "") -> Path:
    """An MLflow model folder: weights times features."""
    template = folder.with_suffix(".py")
    template.parent.mkdir(parents=True, exist_ok=True)
    template.write_text(TOY_MODEL)
    written: dict[str, Any] = {}
    exec(FOLDER, written)
    return Path(written["save"](folder, weights, "identity", misdeed, template))


@dataclass(frozen=True)
class Answer:
    """What a client was answered."""

    code: int
    headers: dict[str, str]
    body: Any

    @property
    def version(self) -> str:
        return self.headers.get("x-slipway-version", "")


@dataclass
class Stand:
    """A target's folder and port, and the versions that come to it. Every `target()` is another run's."""

    folder: Path
    gateway: str = "builtin"
    port: int = field(default_factory=free_port)
    fetched: list[str] = field(default_factory=list)

    def target(self, **other: Any) -> EmbeddedTarget:
        said = {"folder": str(self.folder / "target"), "port": self.port, "gateway": self.gateway, **other}
        given = {name: said.pop(name) for name in ("model", "ready_seconds") if name in said}
        return local.target(LocalTarget.model_validate(said), **{"model": MODEL, "ready_seconds": 20.0, **given})

    def servable(self, version: str, **behaviour: Any) -> Servable:
        registered = self.folder / "registered" / version
        registered.mkdir(parents=True, exist_ok=True)
        (registered / "behaviour.json").write_text(json.dumps(behaviour))
        program = self.folder / "server"
        program.write_text(SERVER.format(python=sys.executable))
        program.chmod(0o755)

        def fetch() -> Path:
            self.fetched.append(version)
            return registered

        return Servable(MODEL, version, f"sha256:{version}", "", fetch, lambda _: program)

    def start(self, version: str, **behaviour: Any) -> EmbeddedTarget:
        target = self.target()
        target.start(self.servable(version, **behaviour))
        return target

    def behave(self, version: str, **behaviour: Any) -> None:
        """Have a version that runs do otherwise from the next request on."""
        file = self.place(version) / "model" / "behaviour.json"
        # Whole: the gateway asks at any time whether the version is ready, and its server reads the file for that. One
        # that is half there would end a connection that the next request is sent on.
        new = file.with_suffix(".new")
        new.write_text(json.dumps(behaviour))
        new.replace(file)

    def place(self, version: str) -> Path:
        return self.folder / "target" / "versions" / version

    def pid(self, name: str) -> int:
        """Of a version's server, or of the gateway."""
        folder = self.folder / "target" / "gateway" if name == "gateway" else self.place(name)
        return int(json.loads((folder / "process.json").read_text())["pid"])

    def post(self, body: Any = None, *, route: str = "/invocations", **headers: str) -> Answer:
        """A client's request; in a header's name `_` stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {
                name.replace("_", "-"): value for name, value in {"Content_Type": "application/json", **headers}.items()
            }
            connection.request("POST", route, json.dumps(body or {"inputs": [[1.0]]}), sent)
            return _read(connection)
        finally:
            connection.close()

    def get(self, route: str, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", route, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return _read(connection)
        finally:
            connection.close()

    def key_of(self, version: str) -> str:
        """A key that is given to a version. Asking for it is no request that is counted."""
        keys = map(str, range(1000))
        return next(key for key in keys if self.get("/ping", X_Slipway_Key=key).version == version)

    def end(self) -> None:
        """Leave nothing running, whatever the test did."""
        for record in (self.folder / "target").glob("**/process.json"):
            Daemon(record.parent).end(0)

    @property
    def running(self) -> list[str]:
        """Folders of the processes that run."""
        records = (self.folder / "target").glob("**/process.json")
        return sorted(record.parent.name for record in records if Daemon(record.parent).alive())


def _read(connection: http.client.HTTPConnection) -> Answer:
    answer = connection.getresponse()
    body = answer.read()
    with_names = {name.lower(): value for name, value in answer.getheaders()}
    is_json = with_names.get("content-type", "").startswith("application/json")
    return Answer(answer.status, with_names, json.loads(body) if is_json else body)


@contextmanager
def standing(folder: Path, gateway: str = "builtin") -> Iterator[Stand]:
    stand = Stand(folder, gateway)
    try:
        yield stand
    finally:
        stand.end()
