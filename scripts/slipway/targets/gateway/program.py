"""The gateway's process: the public port on the loopback, and an admin interface on a socket that only we can open.

    program.py <port>

It works in its folder, where the socket is made. SIGTERM ends it once the requests that have begun are answered.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from slipway.targets.gateway.passing import Gateway, refusal
from slipway.targets.gateway.routing import Table

SOCKET = "admin.sock"
GRACE_SECONDS = 30.0


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    gateway = Gateway()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    public = web.AppRunner(gateway.public(), access_log=None, shutdown_timeout=GRACE_SECONDS)
    inside = web.AppRunner(admin(gateway, public, port), access_log=None)
    for runner in (public, inside):
        await runner.setup()
    Path(SOCKET).unlink(missing_ok=True)
    os.umask(0o177)
    await web.UnixSite(inside, SOCKET).start()
    await ended.wait()
    await public.cleanup()
    await inside.cleanup()


def admin(gateway: Gateway, public: web.AppRunner, port: int) -> web.Application:
    """What only the target reaches. The port opens with the first table: before it nothing could be answered."""

    async def serve(request: web.Request) -> web.Response:
        gateway.serve(Table.of(await request.json()))
        if not public.sites:
            site = web.TCPSite(public, "127.0.0.1", port)
            try:
                await site.start()
            except OSError as error:
                await site.stop()  # it counts as one of the sites, and whoever asks next must be refused, too
                return refusal(409, str(error))
        return web.json_response({})

    async def tell(_: web.Request) -> web.Response:
        return web.json_response(gateway.counters.told())

    app = web.Application()
    app.router.add_put("/table", serve)
    app.router.add_get("/counters", tell)
    return app


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
