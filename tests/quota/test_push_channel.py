"""The subscription ends quietly, whatever its last message was, and is tried again until it is confirmed."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as NoConnection

from proxy.quota.push_channel import PushChannel
from proxy.redis_client.clients import Client
from tests.redis_client.fixtures import Opener


class Nonsense:
    """A client whose server has begun an answer that the driver cannot read."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    def pubsub(self) -> Nonsense:
        return self

    async def subscribe(self, _: str) -> None:
        self.is_asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise AttributeError("'list' object has no attribute 'get'")

    async def aclose(self) -> None:
        """Nothing is open."""


async def test_an_error_after_the_end_is_retrieved(caplog: pytest.LogCaptureFixture) -> None:
    async def on_push(_: Any) -> None:
        raise AssertionError("nothing is pushed")

    client = Nonsense()
    listener = asyncio.create_task(PushChannel(cast(Client, client), "channel", on_push=on_push).run())
    await client.is_asked.wait()
    listener.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listener
    del listener
    gc.collect()
    assert caplog.records == []


class Away(Nonsense):
    """A client that cannot connect."""

    async def subscribe(self, _: str) -> None:
        await asyncio.sleep(0)
        raise NoConnection


@pytest.mark.parametrize("turns", range(16))
async def test_it_ends_whenever_it_is_cancelled(turns: int) -> None:
    async def on_push(_: Any) -> None:
        raise AssertionError("nothing is pushed")

    async def pause(_: float) -> None:
        await asyncio.sleep(0)

    channel = PushChannel(cast(Client, Away()), "channel", on_push=on_push, sleep=pause)
    listener = asyncio.create_task(channel.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    listener.cancel()
    async with asyncio.timeout(10.0):
        await asyncio.wait([listener])
    assert listener.cancelled()


async def test_a_subscription_that_is_never_confirmed_is_tried_again(opened: Opener) -> None:
    subscribed = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(1024)) and b"SUBSCRIBE" not in data:
            writer.write(b"+OK\r\n")
        subscribed.release()
        await reader.read()
        writer.close()

    async def on_push(_: Any) -> None:
        raise AssertionError("nothing is pushed")

    async def pause(_: float) -> None:
        await asyncio.sleep(0)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = opened(f"redis://127.0.0.1:{port}", deadline_seconds=0.05).client
        listener = asyncio.create_task(PushChannel(client, "channel", on_push=on_push, sleep=pause).run())
        async with asyncio.timeout(10.0):
            for _ in range(2):
                await subscribed.acquire()
        listener.cancel()
        await asyncio.wait([listener])
        await client.aclose()
