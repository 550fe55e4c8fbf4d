"""A request that goes out in the turn of the loop in which it came, on a connection that is there.

Owns: the exchange of one request and its answer. Must not know: quota, which host is asked, what an answer means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import UpstreamFailed
from proxy.event_log import log
from proxy.forward.answer import RawResponse
from proxy.forward.client import RawClient
from proxy.forward.connection import Connection
from proxy.origin.query_heads import QueryHeads
from proxy.origin.sending import decoded
from proxy.ports import Outbound


class Told(Protocol):
    """Who keeps account of the hosts."""

    def answered(self, base_url: str, status: int, seconds: float) -> None:
        """An exchange got an answer, after so many seconds."""

    def failed(self, base_url: str, error: UpstreamFailed, seconds: float) -> None:
        """It got none that can be used."""


class DirectClient:
    """Shares the connections of a raw client."""

    def __init__(
        self,
        raw: RawClient,
        *,
        max_body_bytes: int,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        told: Told,
    ) -> None:
        """`told` is told of each exchange, once it has ended."""
        self.pool = raw.pool
        self.told = told
        self._max_body_bytes = max_body_bytes
        self._wall = wall
        self.monotonic = monotonic
        self._tells = log.tells_debug()
        self._heads = QueryHeads(raw)
        self._unpacking: set[asyncio.Task[None]] = set()
        self.is_closed = False
        """Whether nobody waits for an answer any more."""

    async def close(self) -> None:
        """Give up what is under way: that its connections end from now on is not the origin's doing."""
        self.is_closed = True
        tasks = list(self._unpacking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(
        self,
        base_url: str,
        query: UpstreamQuery,
        *,
        flight: Outbound,
        seconds: float,
    ) -> bool:
        """Write one request now, on a kept connection. False: there is none, and nothing is sent.

        What `flight.check` raises is raised here. Raises ValueError for a request that is not valid HTTP.
        """
        pool, wall, monotonic = self.pool, self._wall, self.monotonic
        now = monotonic()
        connection = pool.take(base_url, now)
        if connection is None:
            return False
        try:
            known = None if query.is_keyed else self._heads.known.get((base_url, id(query)))
            head = self._heads.render(base_url, query) if known is None else known[1]
            flight.check()
        except BaseException:
            pool.give(base_url, connection, now)
            raise
        if self._tells:
            log.debug("sending")
        sent_at = wall()
        connection.send(head, query.body)
        exchange = _Exchange(self, base_url, connection, sent_at, now, flight)
        connection.expect(exchange, deadline=connection.loop.time() + seconds)
        return True

    def unpack(self, exchange: _Exchange, answer: RawResponse) -> None:
        """Decompress an answer, in a task, because a long one is unpacked in a thread."""

        async def work() -> None:
            try:
                body = await decoded(answer.body, answer.texts, max_bytes=self._max_body_bytes)
            except UpstreamFailed as error:
                exchange.failed(error)
            else:
                exchange.unpacked(answer, body)

        task = asyncio.get_running_loop().create_task(work())
        self._unpacking.add(task)
        task.add_done_callback(self._unpacking.discard)


class _Exchange(Struct, eq=False):
    """One request on the wire."""

    client: DirectClient
    base_url: str
    connection: Connection
    sent_at: float
    """By the wall clock."""
    started: float
    """By the monotonic clock."""
    flight: Outbound

    def answered(self, answer: RawResponse) -> None:
        """There is a whole answer."""
        client, base_url, head = self.client, self.base_url, answer.head
        headers, monotonic = head.texts, client.monotonic
        now = monotonic()
        if "content-encoding" in headers:
            client.pool.give(base_url, self.connection, now)
            client.unpack(self, answer)
            return
        response = OriginResponse(
            status=head.status,
            headers=headers,
            body=answer.body,
            sent_at=self.sent_at,
            received_at=answer.received_at,
        )
        try:
            self.flight.landed(response)  # first: a client waits
        finally:
            client.pool.give(base_url, self.connection, now)
            client.told.answered(base_url, head.status, now - self.started)

    def failed(self, error: UpstreamFailed) -> None:
        """There is no answer that can be used."""
        client = self.client
        if client.is_closed:
            return
        client.told.failed(self.base_url, error, client.monotonic() - self.started)
        self.flight.landed(error)

    def unpacked(self, answer: RawResponse, body: bytes) -> None:
        """There is a whole answer, and this is its body."""
        client, head = self.client, answer.head
        client.told.answered(self.base_url, head.status, client.monotonic() - self.started)
        response = OriginResponse(
            status=head.status,
            headers=head.texts,
            body=body,
            gzip=answer.body if body is not answer.body else None,
            sent_at=self.sent_at,
            received_at=answer.received_at,
        )
        self.flight.landed(response)
