"""Passes each request on to one version's server, and its answer back. It never asks another version instead."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from time import perf_counter
from typing import Any
from urllib.parse import quote

from aiohttp import ClientConnectorError, ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from yarl import URL

from slipway.targets.gateway.counting import Counters, Exposition, prediction_of
from slipway.targets.gateway.routing import KEY_COOKIE, KEY_HEADER, VERSION_HEADER, Table

LARGEST_REQUEST = 64 * 2**20
HELD = 2**20
"""An answer up to this size is held until it is whole and looked into for predictions; a larger one flows."""

CONNECT_SECONDS, SILENT_SECONDS = 5, 300
CHECK_SECONDS = 1.0
IDLE_SECONDS = 2
"""Shorter than the server's own 5 s: a connection that it closes while a request travels would look like an error."""

COOKIE = f"HttpOnly; Max-Age={90 * 86_400}; Path=/; SameSite=Lax"
Headers = CIMultiDict[str]

OF_THE_CONNECTION = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "content-length"),
    )
)
"""Headers that are between two neighbours, https://www.rfc-editor.org/rfc/rfc9110#name-connection; the length is told
anew."""

WITHOUT = frozenset(("Accept", "Accept-Encoding", "Content-Type", "User-Agent"))
"""Headers that the client library would add of its own."""


class Gateway:
    """The table and the counters, and what is done with requests."""

    def __init__(self) -> None:
        self.table = Table()
        self.counters = Counters()
        self.exposition = Exposition(self.counters)
        self.registry = CollectorRegistry()
        self.registry.register(self.exposition)
        self.session: ClientSession

    def serve(self, table: Table) -> None:
        """Serve by another table from the next request on."""
        self.counters.serve(table.ports, table.bounds)
        self.exposition.shares = dict(table.shares)
        self.table = table

    def public(self) -> web.Application:
        """What clients reach."""
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        app.cleanup_ctx.append(self._connections)
        return app

    async def _connections(self, _: web.Application) -> Any:
        self.session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS),
            auto_decompress=False,
            skip_auto_headers=WITHOUT,
        )
        checking = asyncio.create_task(self._check())
        yield
        checking.cancel()
        await self.session.close()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if (request.content_length or 0) > LARGEST_REQUEST:
            return refusal(413, "The request is too large.")
        body = await request.read()  # which refuses a larger one without a length in the same way
        # Only now: the traffic may be another one when a slow request is here at last.
        table, asked = self.table, request.headers.get(VERSION_HEADER)
        given = request.headers.get(KEY_HEADER) or request.cookies.get(KEY_COOKIE)
        key = given or secrets.token_urlsafe(16)
        version = table.assigned(key) if asked is None else asked
        if version is None:
            return refusal(503, "No version has any traffic here.")
        if version not in table.ports or not request.raw_path.startswith("/"):
            return refusal(404, "There is no such version here.")
        own = CIMultiDict({VERSION_HEADER: version})
        if given is None and asked is None:
            own["Set-Cookie"] = f"{KEY_COOKIE}={key}; {COOKIE}"
        self.counters.in_flight[version] += 1
        try:
            return await self._answered(request, version, table.ports[version], body, own, counts=asked is None)
        finally:
            self.counters.in_flight[version] -= 1

    async def _answered(
        self, request: web.Request, version: str, port: int, body: bytes, own: Headers, *, counts: bool
    ) -> web.StreamResponse:
        """What the version answers, or what is said instead. counts: whether it was the traffic that chose it. own:
        headers of the answer that are ours.

        Only what is posted is counted: it asks for predictions, and everything else for health.
        """
        began, code, held = perf_counter(), 502, None
        broken = ""
        try:
            address = URL(f"http://127.0.0.1:{port}{request.raw_path}", encoded=True)
            async with self.session.request(
                request.method,
                address,
                headers=CIMultiDict(_passed(request.headers.items())),
                data=body or None,
                allow_redirects=False,
            ) as answer:
                code = answer.status
                headers = CIMultiDict(_passed(answer.headers.items()))
                headers.extend(own)
                if answer.content_length is None or answer.content_length > HELD:
                    return await self._flowing(request, answer, headers)
                held = await answer.read()
                said = web.Response(status=code, headers=headers, body=held)
        except ClientConnectorError:
            code, broken = 503, "The version does not answer."
        except TimeoutError:
            code, broken = 504, "The version did not answer in time."
        except (ClientError, OSError, ValueError):
            code, broken = 502, "The version broke off its answer."
        finally:
            if counts and request.method == "POST":
                found = prediction_of(request.path, held) if held is not None and code == 200 else None
                self.counters.count(version, code, perf_counter() - began, found)
        return refusal(code, broken, own) if broken else said

    async def _flowing(self, request: web.Request, answer: ClientResponse, headers: Headers) -> web.StreamResponse:
        """An answer as it comes. Where it breaks off, so does ours: the client must not take it for whole."""
        said = web.StreamResponse(status=answer.status, headers=headers)
        said.content_length = answer.content_length
        # A client that has gone says nothing of the version: its answer is read to the end.
        there = await _taken(said.prepare(request))
        try:
            async for part in answer.content.iter_any():
                there = there and await _taken(said.write(part))
        except (ClientError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
            raise
        return said

    async def _check(self) -> None:
        """Ask every version again and again whether it is ready, for the metrics."""
        while True:
            await asyncio.gather(*(self._ask_ready(version) for version in self.table.ports))
            await asyncio.sleep(CHECK_SECONDS)

    async def _ask_ready(self, version: str) -> None:
        port, arm, ready = self.table.ports.get(version), self.counters.arms.get(version), False
        with suppress(ClientError, TimeoutError, OSError, ValueError):
            path = f"/v2/models/{quote(self.table.model, safe='')}/versions/{version}/ready"
            address = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
            async with self.session.get(address, timeout=ClientTimeout(total=2 * CHECK_SECONDS)) as answer:
                ready = answer.status == 200
        if arm is not None:
            arm.ready = ready


async def _taken(writing: Awaitable[Any]) -> bool:
    """Whether the client is still there."""
    try:
        await writing
    except ConnectionError:
        return False
    return True


def refusal(code: int, why: str, headers: Headers | None = None) -> web.Response:
    """An answer of the gateway's own."""
    return web.json_response({"error": why}, status=code, headers=headers)


def _passed(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers that go on to the next one."""
    headers = list(headers)
    named = {
        each.strip().lower() for name, value in headers if name.lower() == "connection" for each in value.split(",")
    }
    unwanted = OF_THE_CONNECTION | named
    return [(name, value) for name, value in headers if name.lower() not in unwanted]
