"""The ledger that the settings ask for.

Owns: which ledger is built, from which settings. Must not know: how a ledger counts.
"""

from __future__ import annotations

from proxy.core.quota.replicas import ReplicaCount
from proxy.core.quota.view import Ratios
from proxy.ports import BlockKeeper, Clock, LedgerObserver, NullBlockKeeper
from proxy.quota.block_file import SPOT_POOL, BlockFile, file_name
from proxy.quota.limits import KnownLimits
from proxy.quota.local import MemoryLedger
from proxy.quota.scripts import ScriptRunner, domain_key
from proxy.quota.shared import RedisLedger
from proxy.settings import Settings


def build_ledger(
    settings: Settings,
    connection: ScriptRunner | None,
    *,
    clock: Clock,
    replica_count: ReplicaCount,
    observer: LedgerObserver,
    fetch_weight: int,
) -> MemoryLedger | RedisLedger:
    """A ledger with the block of an earlier process in it, if one was kept; in Redis if there is a connection.

    `fetch_weight`: the weight of the full document. Raises OSError if SIDECAR_STATE_DIR cannot be written.
    """
    ratios = Ratios(
        budget=settings.budget_ratio,
        refresh=settings.refresh_budget_ratio,
        local=settings.local_budget_ratio,
        client=settings.client_ratio,
    )
    limits = KnownLimits(refresh_ratio=ratios.refresh, fetch_weight=fetch_weight, observer=observer)
    keeper = _keeper(settings, clock)
    ledger: MemoryLedger | RedisLedger
    if connection is None:
        ledger = MemoryLedger(clock=clock, ratios=ratios, observer=observer, limits=limits, keeper=keeper)
    else:
        ledger = RedisLedger(
            connection,
            domain_key=domain_key(settings.redis_prefix, settings.venue_name, settings.quota_domain),
            clock=clock,
            ratios=ratios,
            replica_count=replica_count,
            observer=observer,
            limits=limits,
            keeper=keeper,
        )
    block = keeper.load()
    if block is not None:
        ledger.restore(block)
    return ledger


def _keeper(settings: Settings, clock: Clock) -> BlockKeeper:
    if settings.state_dir is None:
        return NullBlockKeeper()
    name = file_name(settings.venue_name, settings.quota_domain, SPOT_POOL)
    try:
        return BlockFile(settings.state_dir, name, clock)
    except OSError as error:
        raise OSError(f"SIDECAR_STATE_DIR: {error}") from error
