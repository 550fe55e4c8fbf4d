"""The subscription to what is pushed.

Owns: the connection that is subscribed, and its renewal. Must not know: what a push says, whether it proves anything.

A subscribed connection that is silent is no proof of anything, and the driver does not notice a server that is frozen.
So whoever listens renews it when nothing came for too long (`renew`). In a cluster the subscription is that of the
node that has the counters.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum
from typing import Any

from redis.exceptions import RedisError, ResponseError

from proxy.event_log import log
from proxy.redis_client.clients import Client, is_cluster

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
REFUSED_SECONDS = 30.0
"""How long after a refusal it is tried again."""
_CLUSTER_POLL_SECONDS = 0.1
_CLOSE_SECONDS = 0.25
_SAID = (b"message", b"smessage")
_SUBSCRIBED = (b"subscribe", b"ssubscribe")


class ChannelState(Enum):
    """The value is the word on the status page."""

    OPENING = "opening"
    OPEN = "open"
    REFUSED = "refused"
    """The server answered with an error: this user has no right, or the server has no such command."""


class PushChannel:
    """One subscription for as long as `run` runs."""

    def __init__(
        self,
        client: Client,
        channel: str,
        *,
        on_push: Callable[[bytes | str], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.state = ChannelState.OPENING
        self._client = client
        self._channel = channel
        self._on_push = on_push
        self._sleep = sleep
        self._listening: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Listen until cancelled; subscribe again after each failure."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            self._listening = listening = asyncio.create_task(self._listen())
            try:
                await asyncio.wait([listening])
            except asyncio.CancelledError:
                await self._end(listening)
                raise
            error = None if listening.cancelled() else listening.exception()
            was_open = self.state is ChannelState.OPEN
            if isinstance(error, ResponseError):
                self._refuse(error)
                pause_seconds = REFUSED_SECONDS
            else:
                self.state = ChannelState.OPENING
                pause_seconds = FIRST_PAUSE_SECONDS if was_open else min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            await self._sleep(pause_seconds)

    def renew(self) -> None:
        """Subscribe anew: nothing came for too long."""
        if self._listening is not None and self.state is ChannelState.OPEN:
            self._listening.cancel()

    async def _end(self, listening: asyncio.Task[None]) -> None:
        """End what listens, where `run` is cancelled: one more cancellation adds nothing."""
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait([listening])
        if listening.done() and not listening.cancelled():
            listening.exception()  # retrieved: nobody else asks

    def _refuse(self, error: ResponseError) -> None:
        if self.state is not ChannelState.REFUSED:
            log.warning("push_channel_refused", error=str(error)[:200])
        self.state = ChannelState.REFUSED

    async def _listen(self) -> None:
        subscription: Any = self._client.pubsub()
        try:
            if is_cluster(self._client):
                await subscription.ssubscribe(self._channel)
                while True:
                    message = await subscription.get_sharded_message(timeout=_CLUSTER_POLL_SECONDS)
                    if message is not None:
                        await self._take(message["type"].encode(), message["data"])
            await subscription.subscribe(self._channel)
            read = subscription.connection.read_response
            timeout_seconds: float | None = None  # the server confirms in the time of any reply, then may be silent
            while True:
                # What the driver does around this serves those who subscribe to much, or never hear anything.
                kind, _, data = await read(timeout=timeout_seconds, disconnect_on_error=False, push_request=True)
                await self._take(kind, data)
                timeout_seconds = math.inf
        finally:
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await subscription.aclose()

    async def _take(self, kind: bytes, data: bytes | str) -> None:
        if kind in _SAID:
            await self._on_push(data)
        elif kind in _SUBSCRIBED:
            self.state = ChannelState.OPEN
