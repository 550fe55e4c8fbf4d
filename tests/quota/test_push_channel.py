"""The subscription ends quietly, whatever its last message was."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, cast

import pytest

from proxy.quota.push_channel import PushChannel
from proxy.redis_client.clients import Client


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
