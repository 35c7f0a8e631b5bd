"""Servers on loopback that stand for stores of data. Each ends with the test, or the module, that started it."""

from __future__ import annotations

import functools
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
import requests

import warm_stage
from slipway import datasets
from slipway.runner.errors import InputError, SlipwayError
from test_training_toy import SCRIPTS, stage_python

Headers = dict[str, str]


@dataclass(frozen=True)
class Asked:
    """A request as it came in. path: percent-signs decoded. query: the first value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: Headers
    body: bytes = b""
    raw_path: str = ""


@dataclass(frozen=True)
class Said:
    """An answer. None as `body` sends none."""

    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=dict)


class HttpDouble:
    """`with HttpDouble(answer) as double:` serves `answer(asked)` at `double.url`; `double.log` holds the requests."""

    def __init__(self, answer: Callable[[Asked], Said]) -> None:
        self.log: list[Asked] = []
        self._answer = answer
        double = self

        class Handler(BaseHTTPRequestHandler):
            # Head and body in one piece: apart, the second would wait for the first's acknowledgement.
            wbufsize = -1

            def log_message(self, *arguments: object) -> None:
                pass

            def do(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                asked = Asked(
                    self.command,
                    unquote(parts.path),
                    {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()},
                    {key.lower(): value for key, value in self.headers.items()},
                    self.rfile.read(length),
                    parts.path,
                )
                double.log.append(asked)
                said = double._answer(asked)
                self.send_response(said.status)
                headers = {"Content-Length": str(len(said.body)), **said.headers}
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HttpDouble:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@functools.cache
def warm_client(kind: str, cache: Path) -> Path:
    """`cache`, in which the client of a kind of store does not import its SDK anew for every call."""
    program = SCRIPTS / "slipway" / "datasets" / "clients" / f"{kind}.py"
    environ = {"PYTHONPATH": str(SCRIPTS), "PYTHONNOUSERSITE": "1"}
    return warm_stage.warm_cache(cache, {stage_python(kind, cache): program}, "-P", "-W", "ignore", **environ)


def refusal(path: str, kind: type[SlipwayError] = InputError) -> SlipwayError:
    """What is said where the dataset cannot be fetched."""
    with pytest.raises(kind) as caught:
        datasets.fetch_missing(path)
    return caught.value


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class S3:
    """moto's server, spoken to without boto3, which this environment does not have."""

    url: str

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> dict[str, str]:
        # moto wants to see a signature and does not check it.
        signed = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        named = {"Authorization": signed, **{key.replace("_", "-"): value for key, value in headers.items()}}
        answer = requests.request(method, f"{self.url}/{path}", data=body, headers=named, timeout=60)
        answer.raise_for_status()
        return {key.lower(): value for key, value in answer.headers.items()}

    def bucket(self, name: str, status: str = "Enabled") -> None:
        self.ask("PUT", name)
        if status:
            versioning = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
            self.ask("PUT", f"{name}?versioning", versioning.encode())

    def put(self, bucket: str, key: str, body: str | bytes, **headers: str) -> str:
        return self.ask(
            "PUT", f"{bucket}/{quote(key)}", body.encode() if isinstance(body, str) else body, **headers
        ).get("x-amz-version-id", "")

    def delete(self, bucket: str, key: str, version: str = "") -> str:
        query = f"?versionId={version}" if version else ""
        return self.ask("DELETE", f"{bucket}/{quote(key)}{query}").get("x-amz-version-id", "")


@contextmanager
def moto(cache: Path) -> Iterator[str]:
    """An S3 server; its address. Its buckets are gone with it."""
    port = free_port()
    program = stage_python("moto", cache).with_name("moto_server")
    server = subprocess.Popen(
        [str(program), "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, server)
        yield url
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers; a minute is far more than it needs."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert server.poll() is None, f"the server ended with {server.returncode}"
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nothing answers at {url}")
