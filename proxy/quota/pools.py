"""One ledger for each pool of the origin's limits.

Owns: which ledger a request is charged in, and what is done with all of them. Must not know: how a ledger counts, how
it is built, who sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from proxy.core.endpoints.endpoint import Api, Endpoint
from proxy.core.quota.pools import SPOT, api_pool, pool_of
from proxy.core.quota.view import LedgerView
from proxy.core.quota.windows import Window
from proxy.quota.local import MemoryLedger
from proxy.quota.shared import RedisLedger

AnyLedger = MemoryLedger | RedisLedger


class PoolLedgers:
    """The ledgers of the pools that a gateway uses. That of spot is always there.

    A block holds in its own pool. A pool of its own, such as `funding`, also obeys the block of its API's pool
    (`raise_if_blocked`), because that one is the block of the IP on that API.
    """

    def __init__(self, make: Callable[[str], AnyLedger], pools: Iterable[str] = (SPOT,)) -> None:
        """`make` makes the ledger of a pool."""
        self.by_pool: Mapping[str, AnyLedger] = MappingProxyType(
            {pool: make(pool) for pool in dict.fromkeys((SPOT, *pools))}
        )
        """Each pool and its ledger, spot first."""

    @property
    def spot(self) -> AnyLedger:
        """The ledger of the spot API."""
        return self.by_pool[SPOT]

    def of(self, endpoint: Endpoint) -> AnyLedger:
        """The ledger that a request for this endpoint is charged in. KeyError for one that is not served."""
        return self.by_pool[pool_of(endpoint)]

    def of_api(self, api: Api) -> AnyLedger:
        """The ledger of the API's IP pool. KeyError for an API that is not served."""
        return self.by_pool[api_pool(api)]

    def used_weight(self, pool: str) -> int | None:
        """The last known used weight of a pool in the current minute; None for a pool that is not served. No I/O."""
        ledger = self.by_pool.get(pool)
        return None if ledger is None else ledger.used_weight()

    def all(self) -> tuple[AnyLedger, ...]:
        """Every ledger, spot's first."""
        return tuple(self.by_pool.values())

    def views(self) -> Iterator[tuple[str, LedgerView]]:
        """Each pool as last seen, spot first. No I/O."""
        for pool, ledger in self.by_pool.items():
            yield pool, ledger.view()

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

    async def watch_blocks(self) -> None:
        """Follow the blocks of all pools in Redis. Runs for as long as the process lives; returns without Redis."""
        async with asyncio.TaskGroup() as tasks:
            for ledger in self.all():
                if isinstance(ledger, RedisLedger):
                    tasks.create_task(ledger.watch_block())
