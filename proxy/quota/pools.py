"""One ledger for each pool of the origin's limits.

Owns: which ledger a request is charged in, and what is done with all of them. Must not know: how a ledger counts, how
it is built, who sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from proxy.background import tick
from proxy.core.endpoints.endpoint import Api, Endpoint
from proxy.core.endpoints.sapi import SAPI
from proxy.core.quota.budget import Budget
from proxy.core.quota.pools import SPOT, api_pool, is_sapi, pool_of
from proxy.core.quota.view import LedgerView
from proxy.core.quota.windows import Window
from proxy.quota.local import MemoryLedger
from proxy.quota.shared import RedisLedger

AnyLedger = MemoryLedger | RedisLedger
KEEP_SECONDS = 5.0
"""How often blocks are kept anew while they hold."""


class PoolLedgers:
    """The ledgers of the pools that a gateway uses. That of spot is always there.

    The pools of `/sapi` are made for their first request.

    A block holds in its own pool. A pool of its own, such as `funding`, also obeys the block of its API's pool
    (`raise_if_blocked`), because that one is the block of the IP on that API.
    """

    def __init__(self, make: Callable[[str], AnyLedger], pools: Iterable[str] = (SPOT,)) -> None:
        """`make` makes the ledger of a pool."""
        self._make = make
        self._by_pool = {pool: make(pool) for pool in dict.fromkeys((SPOT, *pools))}
        self.by_pool: Mapping[str, AnyLedger] = MappingProxyType(self._by_pool)
        """Each pool and its ledger, spot first."""
        self._was_made = asyncio.Event()
        """Set when a ledger is made for its first request."""

    @property
    def spot(self) -> AnyLedger:
        """The ledger of the spot API."""
        return self.by_pool[SPOT]

    def of(self, endpoint: Endpoint) -> AnyLedger:
        """The ledger that a request for this endpoint is charged in. KeyError for one that is not served."""
        pool = pool_of(endpoint)
        if is_sapi(pool) and pool not in self._by_pool:
            self._by_pool[pool] = self._make(pool)
            self._was_made.set()
        return self._by_pool[pool]

    def of_api(self, api: Api) -> AnyLedger:
        """The ledger of the API's IP pool. KeyError for an API that is not served."""
        return self.by_pool[api_pool(api)]

    def used_weight(self, pool: str) -> int | None:
        """The last known used weight of a pool in the current minute; None for a pool that is not served. No I/O."""
        ledger = self.by_pool.get(pool)
        return None if ledger is None else ledger.used_weight()

    def local_view(self, pool: str | None) -> Budget:
        """The usage of a pool as last seen; that of spot for None, and for a pool that is not served."""
        return self.by_pool.get(pool or SPOT, self.spot).local_view

    def all(self) -> tuple[AnyLedger, ...]:
        """Every ledger, spot's first."""
        return tuple(self.by_pool.values())

    def views(self) -> Iterator[tuple[str, LedgerView]]:
        """Each pool as last seen, spot first. No I/O.

        The pools of `/sapi` are one: that with the most used weight, with the block that ends last of all of them.
        """
        sapi = []
        for pool, ledger in self._by_pool.items():
            if is_sapi(pool):
                sapi.append(ledger.view())
            else:
                yield pool, ledger.view()
        if sapi:
            yield SAPI, _fullest(sapi)

    def learn(self, api: Api, windows: tuple[Window, ...]) -> None:
        """Adopt the limits that the exchangeInfo of this API names; none changes nothing.

        Where two APIs share a pool, the lower of what each named last holds: both count all requests of the IP, and
        the stricter one refuses first.
        """
        self.of_api(api).learn(windows, source=api.value)

    async def raise_if_blocked(self, endpoint: Endpoint) -> None:
        """Raise the SendingRefused of the API's pool if that is blocked and the endpoint has a pool of its own.

        One round trip to Redis, because the block may be another replica's; none where the API's pool is charged
        anyway.
        """
        ledger = self.of_api(endpoint.api)
        if ledger is not self.of(endpoint):
            await ledger.raise_if_blocked()

    async def keep_blocks(self) -> None:
        """Keep all blocks anew: this machine's clock was set, or what was kept may be lost."""
        for ledger in self.all():
            await ledger.keep_block()

    async def watch_kept(self, *, sleep: Callable[[float], Awaitable[None]] = tick) -> None:
        """Keep blocks anew while they hold: the disk was full, or somebody removed the file.

        Runs as long as the process lives.
        """
        while True:
            await sleep(KEEP_SECONDS)
            await self.keep_blocks()

    async def watch_blocks(self) -> None:
        """Follow blocks and leases of all pools in Redis. Runs as long as the process lives; returns without Redis."""
        followed: set[RedisLedger] = set()
        async with asyncio.TaskGroup() as tasks:
            while isinstance(self.spot, RedisLedger):
                self._was_made.clear()
                for ledger in self.all():
                    if isinstance(ledger, RedisLedger) and ledger not in followed:
                        followed.add(ledger)
                        tasks.create_task(ledger.watch_block())
                        tasks.create_task(ledger.run_leases())
                await self._was_made.wait()


def _fullest(views: Sequence[LedgerView]) -> LedgerView:
    """The view with the most used weight, with the block that ends last of all."""
    fullest = max(views, key=lambda view: max((window.used for window in view.windows), default=0))
    blocks = [view.block for view in views if view.block is not None]
    return replace(fullest, block=max(blocks, key=lambda block: block.until, default=None))
