"""The block that this process holds, and the one that Redis has for all replicas.

Owns: which of the two holds, when Redis must be told ours, what is written to the file. Must not know: windows, usage,
when Redis is asked. Methods that ask Redis raise RedisAway.

The longer block holds, so that no loss of data and no late answer ends one early. There is one exception: if both are
the same block, its end as Redis counts it down holds, because our clock may have stood still. Blocks are told apart by
the end that is written in Redis. It stays as it is while the block is counted down, whoever reads it.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Budget
from proxy.ports import BlockKeeper, Clock
from proxy.quota.clock import Anchor
from proxy.quota.script_replies import StoredBlock
from proxy.quota.scripts import Scripts


class Held(Struct, frozen=True):
    """A refusal that this process obeys already."""

    reason: BlockReason
    until: float | None
    before: Block | None
    """The block that held when it came."""
    block: Block
    """The block that it made here."""


class SharedBlock:
    """Keeps the block in `budget`, in Redis and in the file."""

    __slots__ = ("_anchor", "_budget", "_clock", "_is_unpublished", "_keeper", "_scripts", "_written_until")

    def __init__(self, scripts: Scripts, *, budget: Budget, anchor: Anchor, clock: Clock, keeper: BlockKeeper) -> None:
        self._scripts = scripts
        self._budget = budget
        self._anchor = anchor
        self._clock = clock
        self._keeper = keeper
        self._written_until: str | None = None
        """The end under which Redis has our block; None if it is not known to have it."""
        self._is_unpublished = False
        """Whether Redis must be told our block."""

    async def refuse(self, reason: BlockReason, until: float | None) -> Held:
        """Stop this process at once, before `tell` stops the others. A crash does not forget the block."""
        now = self._anchor.now()
        before = self._budget.block_at(now)
        block = self._budget.block(reason, now, until=until, guard_seconds=self._clock.guard_seconds())
        self._is_unpublished = True
        if before is None or before.until != block.until:
            self._written_until = None
        await self._keeper.keep(block)
        return Held(reason, until, before, block)

    async def tell(self, held: Held) -> None:
        """Tell Redis of a refusal. It knows the strikes of all replicas, so its block replaces the one made here."""
        now, guard_seconds = self._anchor.now(), self._clock.guard_seconds()
        stored = await self._scripts.block(held.reason, now, until=held.until, guard_seconds=guard_seconds)
        self._is_unpublished = False
        ours = self._budget.block_at(now)
        await self._adopt(stored, held.before if ours == held.block else ours)

    async def publish(self, now: float) -> None:
        """Tell Redis our block if it does not know it."""
        block, was_unpublished = self._budget.block_at(now), self._is_unpublished
        self._is_unpublished = False  # one of many tasks is enough
        if not was_unpublished or block is None:
            return
        try:
            guard_seconds = self._clock.guard_seconds()
            stored = await self._scripts.block(block.reason, now, until=block.until, guard_seconds=guard_seconds)
        except BaseException:
            self._is_unpublished = True
            raise
        await self.adopt(stored, now)

    async def read(self, now: float) -> None:
        """Adopt the block as Redis counts it down. If Redis has lost ours, it is told again."""
        stored = await self._scripts.read_block(now)
        if stored is None:
            self._is_unpublished = True
        else:
            await self.adopt(stored, now)
        await self.publish(now)

    async def adopt(self, stored: StoredBlock, now: float) -> None:
        """Hold the block that Redis has, unless ours is another and ends later: then Redis must be told ours."""
        await self._adopt(stored, self._budget.block_at(now))

    async def adopt_pushed(self, stored: StoredBlock, now: float) -> None:
        """The same for a block that is pushed again and again."""
        if stored.written_until != self._written_until:
            await self.adopt(stored, now)

    async def _adopt(self, stored: StoredBlock, ours: Block | None) -> None:
        is_same = stored.written_until == self._written_until
        if ours is None or ours.until <= stored.block.until or is_same:
            self._written_until = stored.written_until
            ours = stored.block
        else:
            self._written_until = None
            self._is_unpublished = True
        self._budget.adopt_block(ours)
        await self._keeper.keep(ours)

    def restore(self, block: Block) -> None:
        """Hold the block that an earlier process kept. Redis, which may have lost it, is told again."""
        self._budget.adopt_block(block)
        self._written_until = None
        self._is_unpublished = True
