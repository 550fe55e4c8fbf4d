"""The ledgers that the settings ask for.

Owns: which ledgers are built, from which settings, and the names of their keys and files. Must not know: how a ledger
counts.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from proxy.core.endpoints.catalogue import Catalogue
from proxy.core.quota.origin_headers import SAPI_USED_WEIGHT_HEADER, USED_WEIGHT_HEADER
from proxy.core.quota.pools import SPOT, default_windows, fetch_weight, is_sapi, pool_label, pools_of
from proxy.core.quota.ratios import Ratios
from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.view import Wording
from proxy.ports import BlockKeeper, Clock, LedgerObserver, NullBlockKeeper
from proxy.quota.block_file import BlockFile, file_name
from proxy.quota.limits import KnownLimits
from proxy.quota.local import MemoryLedger
from proxy.quota.pools import AnyLedger, PoolLedgers
from proxy.quota.scripts import ScriptRunner, domain_key
from proxy.quota.shared import RedisLedger
from proxy.settings import Settings


def build_ledgers(
    settings: Settings,
    connection: ScriptRunner | None,
    *,
    clock: Clock,
    replica_count: ReplicaCount,
    observer_of: Callable[[str], LedgerObserver],
) -> PoolLedgers:
    """A ledger for each pool that the gateway uses; in Redis if there is a connection.

    Each has the block of an earlier process in it, if one was kept. `observer_of`: the observer of a pool. Raises
    OSError if SIDECAR_STATE_DIR cannot be written.
    """
    build = _Build(settings, connection, clock, replica_count, observer_of)
    catalogue = Catalogue(settings.forward, apis=settings.apis)
    return PoolLedgers(build.ledger, pools_of(settings.apis, catalogue.forwards))


class _Build(Struct, frozen=True):
    settings: Settings
    connection: ScriptRunner | None
    clock: Clock
    replica_count: ReplicaCount
    observer_of: Callable[[str], LedgerObserver]

    def ledger(self, pool: str) -> AnyLedger:
        """The ledger of one pool."""
        keeper = self._keeper(pool)
        ledger = self._empty(pool, keeper)
        block = keeper.load()
        if block is not None:
            ledger.restore(block)
        return ledger

    def _empty(self, pool: str, keeper: BlockKeeper) -> AnyLedger:
        settings, observer, ratios = self.settings, self.observer_of(pool_label(pool)), _ratios(self.settings)
        limits = KnownLimits(
            refresh_ratio=ratios.refresh,
            fetch_weight=fetch_weight(pool),
            observer=observer,
            windows=default_windows(pool),
            wording=Wording.SPOT if pool == SPOT or is_sapi(pool) else Wording.FUTURES,
            used_header=SAPI_USED_WEIGHT_HEADER if is_sapi(pool) else USED_WEIGHT_HEADER,
        )
        if self.connection is None:
            return MemoryLedger(clock=self.clock, ratios=ratios, observer=observer, limits=limits, keeper=keeper)
        domain = pool_domain(settings.quota_domain, pool)
        return RedisLedger(
            self.connection,
            domain_key=domain_key(settings.redis_prefix, settings.venue_name, domain),
            clock=self.clock,
            ratios=ratios,
            replica_count=self.replica_count,
            observer=observer,
            limits=limits,
            keeper=keeper,
            leases=settings.quota_leases and not is_sapi(pool),
        )

    def _keeper(self, pool: str) -> BlockKeeper:
        settings = self.settings
        if settings.state_dir is None or is_sapi(pool):  # a limit of /sapi never leads to a ban
            return NullBlockKeeper()
        name = file_name(settings.venue_name, settings.quota_domain, pool)
        try:
            return BlockFile(settings.state_dir, name, self.clock)
        except OSError as error:
            raise OSError(f"SIDECAR_STATE_DIR: {error}") from error


def pool_domain(quota_domain: str, pool: str) -> str:
    """The quota domain in a pool's keys. That of spot is bare, as it was before there were other pools.

    The setting allows no slash, so no quota domain can be mistaken for a pool.
    """
    return quota_domain if pool == SPOT else f"{quota_domain}/{pool}"


def _ratios(settings: Settings) -> Ratios:
    """A budget that is lowered by itself lowers those that are a part of it."""
    budget = settings.budget_ratio
    return Ratios(
        budget=budget,
        refresh=min(settings.refresh_budget_ratio, budget),
        local=min(settings.local_budget_ratio, budget),
        client=settings.client_ratio,
        trading=settings.trading_budget_ratio,
    )
