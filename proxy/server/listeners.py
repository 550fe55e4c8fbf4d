"""The listeners: which handlers a port serves, and the life of its sockets.

Owns: opening and closing them, one listener for traffic and operations where no second one is asked for.
Must not know: settings, how a reply is made.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from contextlib import AsyncExitStack, suppress

from msgspec import Struct

from proxy.core.endpoints.base_urls import is_loopback
from proxy.server import web
from proxy.server.api import Traffic
from proxy.server.connection import SHORTEST_SECONDS
from proxy.server.ops import Ops
from proxy.server.refusals import NotAllowed
from proxy.server.target import path_of

BACKLOG = 1024
"""Connections that the kernel accepts before this process does."""

PROBES = frozenset({"/livez", "/readyz"})
"""What everybody may ask where one listener serves both: probes come from addresses of their own."""

Address = tuple[str, int]


class TrafficAndOps(Struct, frozen=True):
    """The handler of a listener that serves both."""

    traffic: Traffic
    ops: Ops

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer the ops paths as operations, every other path as traffic."""
        path = path_of(request)
        refused = self.traffic.refusal(request)
        is_served = refused is None or (path in PROBES and isinstance(refused, NotAllowed))
        is_ops = path in self.ops.paths and is_served
        return await (self.ops if is_ops else self.traffic)(request)


async def listen(
    server: web.Server, address: Address, stack: AsyncExitStack, *, shutdown_seconds: float
) -> list[Address]:
    """Serve until the stack is left; requests under way may then take `shutdown_seconds`.

    Returns the addresses that are bound; port 0 binds a free one. Raises OSError, which names host and port, when a
    port is taken or a host cannot be resolved.
    """
    host, port = address
    try:
        listening = await _bind(server, address)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {_reason(error)}") from error
    stack.push_async_callback(_stop, listening, server, shutdown_seconds)
    if is_loopback(host):
        send_at_once(listening)
    names = [one.getsockname() for one in listening.sockets]
    return [(str(name[0]), int(name[1])) for name in names]


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "this port is in use"
    return error.strerror or str(error)


def send_at_once(listening: asyncio.Server) -> None:
    """Let connections within this machine send without a pause: BBR sends by a timer, at the rate of a line.

    A connection has the algorithm of its listener. Reno is allowed to everybody (tcp(7)); the first loss slows it
    down, and on this way nothing is lost.
    """
    if not hasattr(socket, "TCP_CONGESTION"):
        return
    for one in listening.sockets:
        with suppress(OSError):
            if one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).startswith(b"bbr"):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


async def _stop(listening: asyncio.Server, server: web.Server, shutdown_seconds: float) -> None:
    listening.close()
    await asyncio.sleep(0)  # the requests that have come begin
    server.pre_shutdown()
    await server.shutdown(max(shutdown_seconds, SHORTEST_SECONDS))


async def _bind(server: web.Server, address: Address) -> asyncio.Server:
    loop, (host, port) = asyncio.get_running_loop(), address
    if not _is_any_v6(host):
        return await loop.create_server(server, host, port, backlog=BACKLOG)
    # asyncio binds such an address for IPv6 alone.
    both = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=socket.has_dualstack_ipv6())
    return await loop.create_server(server, sock=both, backlog=BACKLOG)


def _is_any_v6(host: str) -> bool:
    """Whether the host is `::`, in any spelling."""
    try:
        return ipaddress.IPv6Address(host).is_unspecified
    except ValueError:
        return False


def base_url(address: Address, *, is_secure: bool = False) -> str:
    """The URL of a listener. `is_secure`: with TLS."""
    host, port = address
    scheme = "https" if is_secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
