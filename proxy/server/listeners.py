"""The listeners: which handlers a port serves, and the life of its sockets.

Owns: opening and closing them, one listener for traffic and operations where no second one is asked for.
Must not know: settings, how a reply is made.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from proxy.server.api import Traffic
from proxy.server.ops import Ops

BACKLOG = 1024
"""Connections that the kernel accepts before this process does."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class TrafficAndOps:
    """The handler of a listener that serves both."""

    traffic: Traffic
    ops: Ops

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer the ops paths as operations, every other path as traffic."""
        handler = self.ops.paths.get(request.path)
        return await (handler or self.traffic)(request)


async def listen(
    server: web.Server, address: Address, stack: AsyncExitStack, *, shutdown_seconds: float
) -> list[Address]:
    """Serve until the stack is left; requests under way may then take `shutdown_seconds`.

    Returns the addresses that are bound; port 0 binds a free one. Raises OSError when a port is taken.
    """
    runner = web.ServerRunner(server, shutdown_timeout=shutdown_seconds)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    host, port = address
    await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    return [(str(bound[0]), int(bound[1])) for bound in runner.addresses]


def base_url(address: Address) -> str:
    """The URL of a listener."""
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
