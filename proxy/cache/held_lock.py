"""A fill lock while it is held.

Owns: its renewal, what it tells the other replicas when it is released. Must not know: how a lock is stored, what is
filled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from proxy.cache import failure_codec
from proxy.cache.fill_lock import LOCK_SECONDS
from proxy.errors import RedisAway, UpstreamFailed
from proxy.ports import FillLock

RENEWALS = 3
"""How often a fill lock is renewed in its lifetime."""


@asynccontextmanager
async def held_lock(lock: FillLock) -> AsyncIterator[None]:
    """Renew the fill lock while the block runs, then release it.

    The lock says `failed` to the other replicas only when the origin failed: after other errors one of them may try.
    """
    renewal = asyncio.create_task(_renew(lock))
    filled, failure = True, b""
    try:
        yield
    except UpstreamFailed as error:
        filled, failure = False, failure_codec.encode(error)
        raise
    finally:
        renewal.cancel()
        try:
            with suppress(RedisAway):
                await lock.release(filled=filled, failure=failure)
        finally:
            await asyncio.wait([renewal])


async def _renew(lock: FillLock) -> None:
    is_held = True
    while is_held:
        await asyncio.sleep(LOCK_SECONDS / RENEWALS)
        with suppress(RedisAway):
            is_held = await lock.renew()
