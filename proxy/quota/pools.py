"""One ledger for each pool of the origin's limits.

Owns: which ledger a request is charged in, and the key of a pool's ledger in Redis. Must not know: how a ledger
counts, who sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.quota.origin_headers import parse_rate_limits
from proxy.core.quota.pools import SPOT, api_pool, pool_of
from proxy.core.quota.view import LedgerView
from proxy.quota.local import MemoryLedger
from proxy.quota.shared import RedisLedger

AnyLedger = MemoryLedger | RedisLedger


class PoolLedgers:
    """The ledgers, each made for its first request. The pool of spot is there from the start."""

    def __init__(self, make: Callable[[str], AnyLedger]) -> None:
        self._make = make
        self._ledgers: dict[str, AnyLedger] = {}
        self.spot = self.of_pool(SPOT)
        """The ledger of the spot exchange."""

    def of_pool(self, pool: str) -> AnyLedger:
        """The ledger of a pool."""
        ledger = self._ledgers.get(pool)
        if ledger is None:
            ledger = self._ledgers[pool] = self._make(pool)
        return ledger

    def of(self, endpoint: Endpoint) -> AnyLedger:
        """The ledger that a request for this endpoint is charged in."""
        return self.of_pool(pool_of(endpoint))

    def of_api(self, endpoint: Endpoint) -> AnyLedger:
        """The ledger of the endpoint's API, whose block holds for every request to that API."""
        return self.of_pool(api_pool(endpoint))

    def views(self) -> Iterator[tuple[str, LedgerView]]:
        """Each pool that was used, as last seen. No I/O."""
        for pool, ledger in self._ledgers.items():
            yield pool, ledger.view()

    def learn(self, endpoint: Endpoint, rate_limits: list[Mapping[str, Any]]) -> None:
        """Adopt the `rateLimits` of an API's exchangeInfo; an empty list changes nothing."""
        windows = parse_rate_limits(rate_limits)
        if windows:
            self.of_api(endpoint).learn(windows)


def pool_domain(quota_domain: str, pool: str) -> str:
    """The part of a pool's keys that stands for the quota domain. A quota domain has no slash in its name."""
    return quota_domain if pool == SPOT else f"{quota_domain}/{pool}"
