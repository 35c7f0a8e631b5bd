"""Upstreams, clones and drafts for tests of the ledger: real git, on this machine and over HTTP."""

from __future__ import annotations

import base64
import os
import subprocess
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from conftest import GitRepository
from http_kit import answering
from slipway.ledger import place
from slipway.ledger.entries import Draft, Evidence, digest, identity
from slipway.ledger.store import Ledger
from slipway.runner.context import Run
from slipway.runner.inputs import NO_SECRET, Secret

WHEN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def draft(number: int = 1, files: dict[str, bytes] | None = None, **said: Any) -> tuple[Draft, dict[str, bytes]]:
    """A draft that no other number has."""
    files = files or {}
    evidence = tuple(Evidence(name=name, digest=digest(raw), bytes=len(raw)) for name, raw in files.items())
    made = {"event": "training", "occurred_at": WHEN, "summary": f"Trained {number}", **said}
    return Draft(id=identity(number), evidence=evidence, **made), files


def clone(upstream: Path, folder: Path) -> GitRepository:
    """A clone of a bare repository, with a commit of its own."""
    if not upstream.exists():
        subprocess.run(["git", "init", "--quiet", "--bare", str(upstream)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(upstream), str(folder)], check=True, capture_output=True)
    made = GitRepository(folder)
    made.commit({"code.py": "print()"}, "Code\n\nFixes #12")
    return made


def ledger(folder: Path, *, remote: str = "", token: Secret = NO_SECRET, run: Run | None = None) -> Ledger:
    """The ledger that a stage finds in a clone."""
    return Ledger(place.find(run or Run(), folder=folder, remote=remote, token=token))


def subjects(repository: Path, branch: str = place.BRANCH) -> list[str]:
    """The entries on a branch as `git log` shows them, oldest first."""
    command = ["git", "log", "--reverse", "--format=%s", branch]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.splitlines()


def served(folder: Path, *, token: str) -> AbstractContextManager[str]:
    """The repositories below `folder` over HTTP by git's own server; whoever has the token may push."""
    return answering(type("Handler", (_Backend,), {"folder": folder, "token": token}))


class _Backend(BaseHTTPRequestHandler):
    """`git http-backend` by CGI. https://git-scm.com/docs/git-http-backend"""

    folder: Path
    token: str

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        expected = "Basic " + base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        said = self.headers.get_all("Authorization") or []
        if "git-receive-pack" in self.path and said != [expected]:
            self.send_response(401 if not said else 403)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environ = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "writer" if said else "",
        }
        done = subprocess.run(["git", "http-backend"], env=environ, input=body, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests look at what git says."""
