"""The raw client: one request, as its bytes are, and one answer.

Owns: the order of an exchange (a kept connection or a new one, the check, the write, the answer), the deadline over all
of it, and which error it ends with. Must not know: quota, caching, what an answer means, logs, metrics, the health of
hosts.

It never repeats a request: a connection that proves unusable before the check is replaced, and after the check the
exchange ends with that connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType

from yarl import URL

from proxy.errors import TooSlow
from proxy.forward.answer import AnswerReader, RawResponse
from proxy.forward.connection import Connection
from proxy.forward.dial import Dialer
from proxy.forward.failures import ConnectionEnded, ProxyFailed, unreachable
from proxy.forward.head import render, render_lines
from proxy.forward.known_heads import KnownHeads
from proxy.forward.messages import Headers, RawRequest
from proxy.forward.pool import Pool
from proxy.forward.resolver import FixedAddresses, Resolver
from proxy.forward.route import Route, route_to


class RawClient:
    """Requests to the hosts of one API. Use as an async context manager, once."""

    def __init__(  # noqa: PLR0913 - each is one setting
        self,
        *,
        connect_seconds: float,
        max_body_bytes: int,
        proxies: Mapping[str, URL] | None = None,
        addresses: FixedAddresses | None = None,
        via: str = "",
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connect_seconds` bounds the making of a connection, `max_body_bytes` the body of an answer.

        `proxies`: base URL -> its HTTP proxy. `addresses`: where hosts are connected to. `via`: our name in the header
        Via of every request; empty: none.
        """
        self._connect_seconds = connect_seconds
        self._proxies = proxies or {}
        self._addresses = addresses
        self._lines = f"Via: 1.1 {via}\r\n".encode("ascii") if via else b""
        self._monotonic = monotonic
        self._routes: dict[str, Route] = {}
        self.pool = Pool(monotonic)
        """The kept connections. Whoever takes one gives it back, or begins an exchange."""
        self._reader = partial(AnswerReader, max_body_bytes=max_body_bytes, wall=wall, known=KnownHeads())
        """Makes what reads the answers on a new connection."""
        self._opened: tuple[Dialer, Resolver] | None = None

    async def __aenter__(self) -> RawClient:
        """Open the pool."""
        resolver = Resolver(self._monotonic, self._addresses)
        self._opened = Dialer(resolver, reader=self._reader, lost=self.pool.lost), resolver
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection. Exchanges under way end with a ConnectionLost."""
        if self._opened is not None:
            _, resolver = self._opened
            self._opened = None
            await self.pool.close()
            await resolver.close()

    async def exchange(
        self, base_url: str, request: RawRequest, *, check: Callable[[], None], seconds: float
    ) -> RawResponse:
        """Send one request and return its complete answer, of any status, within `seconds` in all.

        `check` is called right before the first byte is written; what it raises ends the attempt, and nothing is sent.
        Raises Unreachable, or TooSlow, before the check; after it ConnectionLost, AnswerCut, TooSlow or BadAnswer, with
        the answer's headers if they came. Raises ValueError for a request that is not valid HTTP.
        """
        assert self._opened is not None, "the client is used inside its context"
        pool, dialer = self.pool, self._opened[0]
        deadline = asyncio.get_running_loop().time() + seconds
        route = self._routes.get(base_url) or self._add_route(base_url)
        head = render(request, host=route.host, prefix=route.prefix, more=route.lines)
        connection = pool.take(base_url, self._monotonic()) if seconds > 0 else None
        if connection is None:
            connection = await self._dial(route, dialer, deadline)
        try:
            check()
        except BaseException:
            pool.give(base_url, connection, self._monotonic())
            raise
        has_no_body = request.method == "HEAD"
        response = await connection.exchange(head, request.body, deadline=deadline, has_no_body=has_no_body)
        pool.give(base_url, connection, self._monotonic())
        return response

    def lines(self, base_url: str, headers: Headers) -> tuple[bytes, bytes]:
        """What goes before a target, and the lines after the request line but for that of the length."""
        route = self._routes.get(base_url) or self._add_route(base_url)
        return route.prefix, render_lines(headers, host=route.host, more=route.lines)

    def _add_route(self, base_url: str) -> Route:
        route = self._routes[base_url] = route_to(base_url, self._proxies.get(base_url), self._lines)
        return route

    async def _dial(self, route: Route, dialer: Dialer, deadline: float) -> Connection:
        """A new connection. Which limit ends the wait decides the error: too slow, or a host that lets nobody in."""
        connect_until = asyncio.get_running_loop().time() + self._connect_seconds
        limit = asyncio.timeout_at(min(deadline, connect_until))
        try:
            async with limit:
                connection = await dialer.dial(route, self.pool.add)
            if not connection.is_open():
                connection.abort()
                raise ConnectionEnded("closed before a request was sent")
        except TimeoutError as error:
            if limit.expired() and deadline <= connect_until:
                raise TooSlow from error
            raise unreachable(route.name, error) from error
        except (OSError, UnicodeError, ProxyFailed, ConnectionEnded) as error:
            raise unreachable(route.name, error) from error
        return connection
