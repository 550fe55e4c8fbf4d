"""New connections: names, TCP, TLS, and the tunnel through a proxy.

Owns: the order of these steps, and the TLS contexts. Must not know: requests, pools, deadlines.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

from aiohappyeyeballs import start_connection

from proxy.errors import UpstreamFailed
from proxy.forward.answer import AnswerReader
from proxy.forward.connection import Connection
from proxy.forward.failures import ProxyFailed
from proxy.forward.resolver import Resolver
from proxy.forward.route import Hop, Route
from proxy.forward.tls import Tls

_NEXT_ADDRESS_SECONDS = 0.25
"""After this long without a connection the next address is tried too (RFC 8305, section 5)."""
_KNOWN_BY_THEMSELVES = (TimeoutError, ssl.SSLError, socket.gaierror)
"""Failures on the way to a proxy that say more than that the proxy failed."""


class Dialer:
    """Makes connections."""

    def __init__(
        self, resolver: Resolver, *, reader: Callable[[], AnswerReader], lost: Callable[[Connection], None]
    ) -> None:
        """`reader` makes the reader of each, `lost` is called for each when it is gone."""
        self._resolver = resolver
        self._reader = reader
        self._lost = lost

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """One for all connections, made for the first that needs it: it loads every authority."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def dial(self, route: Route, made: Callable[[Connection], None]) -> Connection:
        """A connection over which requests for this route can be sent. `made` is told of it as soon as it is there.

        Raises OSError, UnicodeError, ProxyFailed and UpstreamFailed.
        """
        if route.proxy is None:
            return await self._connect(route.origin, made)
        try:
            connection = await self._connect(route.proxy, made)
        except _KNOWN_BY_THEMSELVES:
            raise
        except OSError as error:
            raise ProxyFailed(str(error)) from error
        if not route.tunnel:
            return connection
        try:
            await self._open_tunnel(connection, route)
        except BaseException:
            self._drop(connection)
            raise
        return connection

    async def _connect(self, hop: Hop, made: Callable[[Connection], None]) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await self._resolver.addresses(hop.host, hop.port)
        try:
            sock = await start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1, loop=loop
            )
        except (OSError, RuntimeError) as error:  # the latter from uvloop
            self._resolver.forget(hop.host, hop.port)
            if isinstance(error, OSError):
                raise
            raise OSError(str(error)) from error
        tls = Tls(self._tls, hop.server_name) if hop.is_tls else None
        connection = Connection(self._lost, reader=self._reader(), tls=tls)
        try:
            await loop.create_connection(lambda: connection, sock=sock)
            await connection.secured()
        except BaseException:
            self._drop(connection)
            with suppress(OSError):
                sock.close()  # the loop may not have taken it over yet
            raise
        made(connection)
        return connection

    def _drop(self, connection: Connection) -> None:
        """Close a connection on which nothing will be sent. A handshake that fails does not tell of its end."""
        connection.abort()
        self._lost(connection)

    async def _open_tunnel(self, connection: Connection, route: Route) -> None:
        try:
            # The caller's deadline holds: no other is needed here.
            answer = await connection.exchange(route.tunnel, b"", has_no_body=True)
        except UpstreamFailed as error:
            raise ProxyFailed(error.msg) from error
        if answer.status // 100 != 2 or answer.has_surplus:
            raise ProxyFailed(f"the HTTP proxy answered {answer.status}")
        await connection.secure(self._tls, route.origin.server_name)
