"""A request that goes out in the turn of the loop in which it came, on a connection that is there.

Owns: the exchange of one request and its answer. Must not know: quota, which host is asked, what an answer means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import UpstreamFailed
from proxy.event_log import log
from proxy.forward.answer import AnswerReader
from proxy.forward.client import RawClient
from proxy.forward.connection import Connection
from proxy.forward.pool import Pool
from proxy.origin.query_heads import QueryHeads
from proxy.origin.sending import decoded
from proxy.ports import Outbound

Outcome = OriginResponse | UpstreamFailed


class DirectClient:
    """Shares the connections of a raw client."""

    def __init__(
        self,
        raw: RawClient,
        *,
        max_body_bytes: int,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        told: Callable[[str, float, Outcome], None],
    ) -> None:
        """`told` gets the base URL of each exchange, how many seconds it took, and how it ended."""
        self.raw = raw
        self.told = told
        self._max_body_bytes = max_body_bytes
        self._wall = wall
        self.monotonic = monotonic
        self._tells = log.tells_debug()
        self._heads = QueryHeads(raw)
        self._unpacking: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up what is being unpacked."""
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
        raw, pool = self.raw, self.raw.pool
        connection = pool.take(base_url)
        if connection is None:
            return False
        try:
            known = self._heads.known.get((base_url, id(query)))
            head = self._heads.render(base_url, query) if known is None else known[1]
            flight.check()
        except BaseException:
            pool.give(base_url, connection)
            raise
        if self._tells:
            log.debug("sending")
        reader = AnswerReader(max_body_bytes=self._max_body_bytes, wall=self._wall, known=raw.known)
        wall, monotonic = self._wall, self.monotonic
        exchange = _Exchange(self, base_url, pool, connection, reader, wall(), monotonic(), flight)
        deadline = connection.loop.time() + seconds
        connection.send(head, query.body, reader=reader, deadline=deadline, asker=exchange)
        return True

    def unpack(self, exchange: _Exchange) -> None:
        """Decompress an answer, in a task, because a long one is unpacked in a thread."""

        async def work() -> None:
            raw = exchange.reader.response()
            outcome: Outcome
            try:
                body = await decoded(raw.body, raw.texts, max_bytes=self._max_body_bytes)
                outcome = exchange.unpacked(raw.body, body)
            except UpstreamFailed as error:
                outcome = error
            exchange.tell(outcome)

        task = asyncio.get_running_loop().create_task(work())
        self._unpacking.add(task)
        task.add_done_callback(self._unpacking.discard)


class _Exchange(Struct, eq=False):
    """One request on the wire."""

    client: DirectClient
    base_url: str
    pool: Pool
    connection: Connection
    reader: AnswerReader
    sent_at: float
    """By the wall clock."""
    started: float
    """By the monotonic clock."""
    flight: Outbound

    def ended(self, error: UpstreamFailed | None) -> None:
        """There is a whole answer, or none will come."""
        if error is not None:
            self.tell(error)
            return
        client, reader, base_url = self.client, self.reader, self.base_url
        self.pool.give(base_url, self.connection)
        head, body = reader.head, reader.whole
        assert head is not None  # the answer is whole
        if "content-encoding" in head.texts:
            client.unpack(self)
            return
        if body is None:
            body = reader.response().body
        response = OriginResponse(
            status=head.status, headers=head.texts, body=body, sent_at=self.sent_at, received_at=reader.received_at
        )
        told, monotonic = client.told, client.monotonic
        seconds = monotonic() - self.started
        self.flight.landed(response)  # first: a client waits
        told(base_url, seconds, response)

    def unpacked(self, raw: bytes, body: bytes) -> OriginResponse:
        """The answer. `raw`: the body as it came."""
        head = self.reader.head
        assert head is not None
        return OriginResponse(
            status=head.status,
            headers=head.texts,
            body=body,
            gzip=raw if body is not raw else None,
            sent_at=self.sent_at,
            received_at=self.reader.received_at,
        )

    def tell(self, outcome: Outcome) -> None:
        """Tell all that want to know."""
        self.client.told(self.base_url, self.client.monotonic() - self.started, outcome)
        self.flight.landed(outcome)
