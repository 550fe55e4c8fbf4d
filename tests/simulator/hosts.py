"""The addresses: one that serves every API, and one for each API.

Owns the sockets. Must not know what is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from tests.simulator.endpoints import ApiName
from tests.simulator.listener import Listener

Handler: TypeAlias = Callable[[ApiName | None, web.BaseRequest], Awaitable[web.StreamResponse]]

_LARGEST_BODY_BYTES = 8 * 1024 * 1024


class Hosts:
    """Listens on all addresses at once, or on none. The first address is that of the host None."""

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        """Bind the ports (0: a free one; the APIs' own ones always are). OSError if it is taken."""
        self._servers: dict[ApiName | None, web.Server] = {}
        self._listeners: dict[ApiName | None, Listener] = {}
        for api in (None, *ApiName):
            # Bodies stay as they were sent: auto_decompress would decode a Content-Encoding.
            server = web.Server(
                partial(handler, api),
                handler_cancellation=True,
                access_log=None,
                request_factory=_request,
                auto_decompress=False,
            )
            self._listeners[api] = Listener(server, host=host, port=port if api is None else 0)
            self._servers[api] = server
        self.listen()

    def listen(self) -> None:
        for listener in self._listeners.values():
            listener.listen()

    def refuse(self) -> None:
        """Refuse connections, keep the ports, and cut what is open."""
        for api, listener in self._listeners.items():
            listener.refuse()
            _cut(self._servers[api])

    async def close(self) -> None:
        """Close the sockets and cut every connection."""
        for api, listener in self._listeners.items():
            listener.close()
            _cut(self._servers[api])
        for server in self._servers.values():
            await server.shutdown(1.0)

    def port(self, api: ApiName | None = None) -> int:
        return self._listeners[api].port

    def url(self, api: ApiName | None = None) -> str:
        """`http://host:port`, without a slash at the end."""
        host, port = self._listeners[api].host, self.port(api)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY_BYTES)


def _cut(server: web.Server) -> None:
    for connection in server.connections:
        if connection.transport is not None:
            connection.transport.abort()
