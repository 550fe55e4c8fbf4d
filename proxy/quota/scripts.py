"""The Lua scripts as typed calls: one round trip each.

Owns: the keys of a quota domain, the order of arguments and results. Must not know: when a script is called, what
happens while Redis is away. Every call raises RedisAway.

Keys: `<domain>:block` and `<domain>:<window>:<start>` are hashes that redis-cli shows as text, `<domain>:clock` is a
number. All have the domain's hash tag, so that one script may use them together on a cluster. Their expiry is a
duration in milliseconds, so Redis' own time does not matter; every decision uses the caller's `now`.

A block is handed on as seconds left. `until` is by the clock of the replica that wrote it, which may be wrong; the
expiry of the hash is the seconds left plus `STRIKE_MEMORY_SECONDS`, counted down by Redis. Where both differ by more
than two seconds the expiry holds. Every version writes both alike, so versions may run side by side.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from proxy.core.quota.block import MAX_DOUBLINGS, PENALTIES, STRIKE_MEMORY_SECONDS, BlockReason, earliest_end
from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import KEEP_SECONDS, Charge, WindowKey, WindowUsage, budget_of
from proxy.core.quota.client_share import MAX_CLIENTS, ClientShare, ClientUsage
from proxy.core.quota.clock_offset import JUMP_SECONDS
from proxy.core.quota.unsynced_usage import Total
from proxy.core.quota.windows import LONGEST_BLOCK_SECONDS
from proxy.quota.script_replies import (
    Reserved,
    Settled,
    StoredBlock,
    read_block,
    read_reserved,
    read_settled,
    read_usage,
)
from proxy.redis_client.clients import Client, is_cluster
from proxy.redis_client.connection import RedisOperation

T = TypeVar("T")
Floors = Mapping[WindowKey, int]
"""The highest usage that stays which Redis reported for each window. If it has less used now, it has lost data."""

CLOCK_SECONDS = LONGEST_BLOCK_SECONDS + STRIKE_MEMORY_SECONDS
"""How long Redis keeps the origin's time: as long as any block, so that a block ends on time for every replica."""


def push_channel(domain_key: str) -> str:
    """The channel of a quota domain. It has the hash tag of the counters, so a cluster serves both on one node."""
    return f"{domain_key}:push"


def push_command(client: Client) -> str:
    """The command that pushes: in a cluster only to the node that has the counters, where it takes no detour."""
    return "SPUBLISH" if is_cluster(client) else "PUBLISH"


class ScriptRunner(Protocol):
    """Runs scripts: `proxy.redis_client.connection.RedisConnection`."""

    @property
    def client(self) -> Client:
        """The driver's client."""

    async def run(self, operation: RedisOperation, call: Callable[[], Awaitable[T]]) -> T:
        """Run one call within the deadline. Raises RedisAway."""


def domain_key(prefix: str, venue: str, quota_domain: str) -> str:
    """The prefix of all keys of a quota domain, such as `binance-sidecar:{spot:default}`."""
    return f"{prefix}:{{{venue}:{quota_domain}}}"


class Request(Struct, frozen=True):
    """A reservation to make: all charges, or none if one of them exceeds a limit."""

    charges: tuple[Charge, ...]
    ratio: float
    """The share of each limit that may be used."""
    client_share: ClientShare | None
    """The client's share of that."""
    at: float
    is_synchronized: bool
    """Whether the caller knows the origin's time. If it does not, it gets that time instead of a reservation."""
    leases: bool = False
    """Whether there may be leases: then a window whose data was lost becomes exact."""


class Scripts:
    """The scripts of one quota domain; `domain_key` holds the hash tag."""

    __slots__ = ("_block", "_connection", "_domain_key", "_merge_unsynced", "_read_block", "_reconcile", "_reserve")

    def __init__(self, connection: ScriptRunner, domain_key: str) -> None:
        self._connection = connection
        self._domain_key = domain_key
        self._reserve = self._load("reserve")
        self._reconcile = self._load("reconcile")
        self._block = self._load("block")
        self._read_block = self._load("read_block")
        self._merge_unsynced = self._load("merge_unsynced")

    async def reserve(
        self, request: Request, *, floors: Floors, client_usages: Mapping[WindowKey, ClientUsage]
    ) -> Reserved | float:
        """Add all charges, or none. Returns only the origin's time to a caller that does not know it."""
        charges, client_share, now = request.charges, request.client_share, request.at
        args: list[str | int] = [
            repr(now),
            "" if client_share is None else client_share.field,
            MAX_CLIENTS,
            int(client_share is not None and not client_share.is_named),
            int(not request.is_synchronized),
            STRIKE_MEMORY_SECONDS,
            repr(JUMP_SECONDS),
            int(request.leases),
        ]
        for charge in charges:
            budget = budget_of(charge.window.limit, request.ratio)
            args += [charge.weight, budget, budget if client_share is None else client_share.of(budget)]
            client_usage = client_usages.get(charge.window_key, ClientUsage())
            args += [floors.get(charge.window_key, 0), client_usage.used, client_usage.others]
            args += [charge.refundable, ttl_ms(charge.window_key)]
        keys = [charge.window_key for charge in charges]
        redis_keys = self._redis_keys("block", "clock", *keys)
        return await self._run(
            RedisOperation.RESERVE, self._reserve, redis_keys, args, read=lambda row: read_reserved(row, charges, now)
        )

    async def reconcile(
        self,
        reservation: Reservation,
        reported: Mapping[WindowKey, int],
        *,
        ok: bool,
        floors: Floors,
        now: float,
        may_teach: bool,
    ) -> Settled:
        """Subtract the pending weight, and adopt the used weight that the origin reported. `ok` also refunds.

        A caller whose clock is confirmed also stores the origin's time.
        """
        first: tuple[str | int, ...] = (int(ok), repr(now) if may_teach else "")
        return await self._settle(RedisOperation.RECONCILE, reservation, reported, first, floors=floors, now=now)

    async def release(self, reservation: Reservation, *, floors: Floors, now: float) -> Settled:
        """Subtract the pending weight: the request was not sent."""
        return await self._settle(RedisOperation.RELEASE, reservation, {}, (0, ""), floors=floors, now=now)

    async def block(self, reason: BlockReason, now: float, *, until: float | None, guard_seconds: float) -> StoredBlock:
        """Block sending until `until`; None: for the reason's penalty. Returns the block that holds now."""
        penalty = PENALTIES[reason]
        args: list[str | int] = [
            repr(now),
            reason.value,
            "" if until is None else repr(until),
            repr(earliest_end(reason, now, guard_seconds)),
            penalty.base_seconds,
            MAX_DOUBLINGS,
            penalty.max_seconds,
            LONGEST_BLOCK_SECONDS,
            STRIKE_MEMORY_SECONDS,
            repr(JUMP_SECONDS),
            push_channel(self._domain_key),
            push_command(self._connection.client),
        ]
        redis_keys = self._redis_keys("block", "leases")
        return await self._run(RedisOperation.BLOCK, self._block, redis_keys, args, read=read_block)

    async def read_block(self, now: float) -> StoredBlock | None:
        """The block that all replicas share; None if Redis has none."""
        args: list[str | int] = [repr(now), STRIKE_MEMORY_SECONDS, repr(JUMP_SECONDS)]
        return await self._run(
            RedisOperation.BLOCK,
            self._read_block,
            self._redis_keys("block"),
            args,
            read=lambda row: read_block(row) if row else None,
        )

    async def merge_unsynced(
        self, process: str, state: int, totals: Mapping[WindowKey, Total], *, floors: Floors
    ) -> Mapping[WindowKey, WindowUsage]:
        """Add the usage that a process counted while Redis was away. Returns the usage of its windows."""
        args: list[str | int] = [process, state]
        for key, total in totals.items():
            args += [total.used, total.pending, total.header, floors.get(key, 0), ttl_ms(key)]
        keys = list(totals)
        return await self._run(
            RedisOperation.RECONCILE,
            self._merge_unsynced,
            self._redis_keys(*keys),
            args,
            read=lambda row: read_usage(keys, row),
        )

    async def _settle(
        self,
        operation: RedisOperation,
        reservation: Reservation,
        reported: Mapping[WindowKey, int],
        first: tuple[str | int, ...],
        *,
        floors: Floors,
        now: float,
    ) -> Settled:
        charges = {charge.window_key: charge for charge in reservation.charges if now < charge.window_key.expires}
        keys = list({**charges, **reported})
        args: list[str | int] = [repr(reservation.at), *first, CLOCK_SECONDS]
        args += [repr(now), STRIKE_MEMORY_SECONDS, repr(JUMP_SECONDS)]
        for key in keys:
            charge = charges.get(key)
            args += [0, 0] if charge is None else [charge.weight, charge.refundable]
            args += [reported.get(key, -1), floors.get(key, 0), ttl_ms(key)]
        redis_keys = self._redis_keys("block", "clock", *keys)
        return await self._run(operation, self._reconcile, redis_keys, args, read=lambda row: read_settled(row, keys))

    def _redis_keys(self, *names: str | WindowKey) -> list[str]:
        return [f"{self._domain_key}:{name if isinstance(name, str) else name.key}" for name in names]

    def _load(self, name: str) -> Callable[..., Awaitable[Any]]:
        source = resources.files("proxy.quota").joinpath("lua", f"{name}.lua").read_bytes()
        script: Callable[..., Awaitable[Any]] = self._connection.client.register_script(source)
        return script

    async def _run(
        self,
        operation: RedisOperation,
        script: Callable[..., Awaitable[Any]],
        keys: list[str],
        args: list[str | int],
        *,
        read: Callable[[list[Any]], T],
    ) -> T:
        """Call a script and read its result: one that cannot be read counts as no answer."""

        async def call() -> T:
            return read(await script(keys=keys, args=args))

        return await self._connection.run(operation, call)


def ttl_ms(key: WindowKey) -> int:
    """How long Redis keeps a window's usage after the last call, in milliseconds.

    It is the same at all times, so that a process whose clock is ahead shortens the life of no window.
    """
    return (key.interval_seconds + KEEP_SECONDS) * 1000
