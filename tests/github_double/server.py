"""An HTTP double of GitHub's REST API on loopback, for tests of code that talks to GitHub through PyGithub.

Whatever passes is checked against GitHub's description: leaving the `with` block raises when anything differed.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from github_double import operations
from github_double.description import Reading, Request, as_bytes, committed_description
from github_double.routes import OPERATIONS, Answer, Call, RefusedError
from github_double.world import Token, World

# Where GitHub Enterprise Server has it, so that code which loses the path of its base URL is found out.
PREFIX = "/api/v3"
HOME = "https://docs.github.com/rest"
RATE_LIMIT = 1_000


class DescriptionError(AssertionError):
    """A request or an answer was not as GitHub's description has it, or a test did not use what it prepared."""


@dataclass
class Fault:
    """What goes wrong with the next `times` requests: an answer, or None for a connection that is cut."""

    answer: Answer | None
    times: int
    operation: str
    applied: bool
    met: int = 0


@dataclass
class Exchange:
    """One line of the log. `status` is 0 until the request is answered, and stays 0 when the connection was cut."""

    request: Request
    operation: str
    login: str
    status: int = 0


class GitHubDouble:
    """`with GitHubDouble() as hub:` serves `hub.world` under `hub.base_url`.

    `hub.log` holds every request, `hub.violations` every difference from the description.
    """

    def __init__(self) -> None:
        self.log: list[Exchange] = []
        self.violations: list[str] = []
        self._description = committed_description()
        self._server = _Server(self)
        self.html_url = f"http://127.0.0.1:{self._server.server_port}"
        self.base_url = self.html_url + PREFIX
        self.world = World(self.base_url, self.html_url)
        self._faults: list[Fault] = []
        self._hooks: list[tuple[str, Callable[[], object]]] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="github-double")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        # A fault or a hook that no request met means that the test did not test what it says.
        unmet = [f"no request met {fault}" for fault in self._faults if not fault.met]
        unmet += [f"no request met the hook before {operation}" for operation, _ in self._hooks]
        if (self.violations or unmet) and error is None:
            raise DescriptionError("\n".join(self.violations + unmet))

    def fail_next(
        self,
        status: int,
        *,
        times: int = 1,
        operation: str = "",
        message: str = "Server Error",
        headers: Mapping[str, str] | None = None,
        page: str = "",
        applied: bool = False,
    ) -> None:
        """Answer the next `times` requests (of `operation`) with an error.

        `page` sends HTML, as the machines in front of GitHub's API do; `applied` does what was asked all the same.
        """
        answer = Answer(status, page, headers or {}) if page else RefusedError(status, message).answer(HOME, headers)
        self._faults.append(Fault(answer, times, operation, applied))

    def limit_next(self, *, times: int = 1, operation: str = "", retry_after: int | None = None) -> None:
        """Refuse the next `times` requests for the secondary rate limit."""
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.fail_next(403, times=times, operation=operation, message=message, headers=headers)

    def cut_next(self, *, times: int = 1, operation: str = "", applied: bool = False) -> None:
        """Reset the connection of the next `times` requests, before or (`applied`) after doing what was asked."""
        self._faults.append(Fault(None, times, operation, applied))

    def before(self, operation: str, action: Callable[[], object]) -> None:
        """Run `action` once, just before the next request of `operation` takes effect.

        It may talk to the double itself: another run overtakes this one. Or it sleeps: GitHub is slow.
        """
        self._hooks.append((operation, action))

    def requests(self, operation: str) -> list[Request]:
        """The requests of `operation` so far."""
        return [exchange.request for exchange in self.log if exchange.operation == operation]

    def answer(self, request: Request) -> Answer | None:
        """The answer to `request`, or None when the connection is to be cut."""
        token = self.world.tokens.get(request.headers.get("Authorization", "").rpartition(" ")[2])
        with self._lock:
            reading = self._description.read(request, self.base_url)
            name = reading.call.operation if reading.call else ""
            exchange = Exchange(request, name, token.user.login if token else "")
            self.log.append(exchange)
            self._note(request, "request", reading.problems)
            hook = next((each for each in self._hooks if each[0] == name), None)
            if hook:
                self._hooks.remove(hook)
        if hook:
            # Outside of the lock, since the action may send requests of its own.
            hook[1]()
        with self._lock:
            fault = self._next_fault(name)
            handled = self._handled(request, reading, token) if fault is None or fault.applied else None
            given = fault.answer if fault else handled
            if given is not None:
                exchange.status = given.status
                if reading.call and not isinstance(given.body, str):
                    self._note(request, "answer", self._description.problems_of_answer(request, given))
        return given

    def headers(self) -> dict[str, str]:
        """What every answer carries."""
        remaining = max(0, RATE_LIMIT - len(self.log))
        limits = {"Limit": RATE_LIMIT, "Remaining": remaining, "Used": RATE_LIMIT - remaining}
        return {
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Request-Id": f"D0B1:{len(self.log):04X}",
            "X-RateLimit-Resource": "core",
            "X-RateLimit-Reset": str(int(time.time()) + 3600),
            **{f"X-RateLimit-{name}": str(value) for name, value in limits.items()},
        }

    def _handled(self, request: Request, reading: Reading, token: Token | None) -> Answer:
        if reading.call is None:
            return RefusedError(404, "Not Found").answer(HOME)
        call = replace(reading.call, token=token)
        try:
            self._permit(request, call)
            if reading.problems:
                raise RefusedError(422, f"Invalid request.\n\n{reading.problems[0]}")
            return OPERATIONS[call.operation].handle(self.world, call)
        except RefusedError as refusal:
            return refusal.answer(call.documentation, OPERATIONS[call.operation].accepted_permissions())
        except Exception:
            self._note(request, "handler", [traceback.format_exc()])
            return RefusedError(500, "Server Error").answer(HOME)

    def _permit(self, request: Request, call: Call) -> None:
        if call.token is None and "Authorization" in request.headers:
            raise RefusedError(401, "Bad credentials")
        repository = operations.repository_of(self.world, call) if "repo" in call.path else None
        if request.method == "GET" and not (repository and repository.private):
            return
        if call.token is None:
            raise RefusedError(401, "Requires authentication")
        if not OPERATIONS[call.operation].allows(call.token):
            by = "integration" if call.token.installation else "personal access token"
            raise RefusedError(403, f"Resource not accessible by {by}")

    def _next_fault(self, operation: str) -> Fault | None:
        for fault in self._faults:
            if fault.met < fault.times and fault.operation in ("", operation):
                fault.met += 1
                return fault
        return None

    def _note(self, request: Request, side: str, problems: list[str]) -> None:
        self.violations += [f"{side} of {request.method} {request.target}: {problem}" for problem in problems]


class _Server(ThreadingHTTPServer):
    """One thread for each connection, all of which have ended when `server_close` returns."""

    daemon_threads = False

    def __init__(self, double: GitHubDouble) -> None:
        self.double = double
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that gave up waiting is part of a test; anything else is a defect of the double.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.double.violations.append(f"{request} from {client_address}:\n{traceback.format_exc()}")

    def server_close(self) -> None:
        # Clients keep connections open for a next request that will not come.
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was closed in this moment
        super().server_close()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "GitHub.com", ""
    # Headers and body leave together: two small writes would wait 40 ms for each other.
    wbufsize = -1
    server: _Server

    def answer(self) -> None:
        double = self.server.double
        length = int(self.headers.get("Content-Length", 0))
        inside = self.path.startswith(f"{PREFIX}/")
        target = self.path.removeprefix(PREFIX) if inside else f"(outside of {PREFIX}){self.path}"
        headers = {name.title(): value for name, value in self.headers.items()}
        request = Request(self.command, target, headers, self.rfile.read(length))
        given = double.answer(request)
        if given is None:
            self._reset()
            return
        body = as_bytes(given.body)
        self.send_response(given.status)
        kind = "text/html" if isinstance(given.body, str) else "application/json; charset=utf-8"
        for name, value in {"Content-Type": kind, **double.headers(), **given.headers}.items():
            self.send_header(name, value)
        if given.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815  (http.server finds methods by these names)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `GitHubDouble.log` is the log."""

    def _reset(self) -> None:
        # With no time to linger, closing sends a reset instead of a polite end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        os.close(self.connection.detach())
