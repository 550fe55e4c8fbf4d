"""How one process follows the block that all replicas share.

Owns: when Redis is told of a refusal and asked for a block, what is done while Redis is away. Must not know: windows,
usage, which of two blocks holds (`proxy.quota.shared_block`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Budget
from proxy.errors import RedisAway
from proxy.ports import BlockKeeper
from proxy.quota.clock import Anchor
from proxy.quota.scripts import Scripts
from proxy.quota.shared_block import SharedBlock
from proxy.quota.unsynced_sender import UnsyncedSender

BLOCK_READ_SECONDS = 5.0
"""How often the block is read again from Redis while it holds."""


class BlockWatch:
    """Follows the block of one quota domain. No method raises RedisAway."""

    __slots__ = ("_anchor", "_block", "_budget", "_keeper", "_note_away", "_scripts", "_sleep", "_unsynced")

    def __init__(  # noqa: PLR0913 - the parts that it joins
        self,
        scripts: Scripts,
        block: SharedBlock,
        unsynced: UnsyncedSender,
        *,
        budget: Budget,
        anchor: Anchor,
        keeper: BlockKeeper,
        note_away: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`note_away`: Redis did not answer."""
        self._scripts = scripts
        self._block = block
        self._unsynced = unsynced
        self._budget = budget
        self._anchor = anchor
        self._keeper = keeper
        self._note_away = note_away
        self._sleep = sleep

    def held(self) -> Block | None:
        """The block that holds now, as last seen. No I/O."""
        return None if self._budget.last_block is None else self._budget.block_at(self._anchor.now())

    async def refuse(self, reason: BlockReason, until: float | None) -> None:
        """Send nothing until `until`; None: for as long as the reason's penalty says. Returns when it is kept."""
        held = await self._block.refuse(reason, until)
        try:
            await self._unsynced.send_usage(self._anchor.now())
            await self._block.tell(held)
        except RedisAway:
            self._note_away()

    async def run(self) -> None:
        """Read the block again every few seconds while one holds. Runs for as long as the process lives."""
        while True:
            await self._sleep(BLOCK_READ_SECONDS)
            await self.read()

    async def read(self) -> None:
        """Adopt the block as Redis counts it down, if one holds here."""
        now = self._anchor.now()
        if self._budget.block_at(now) is None:
            return
        try:
            await self._unsynced.send(now)
            await self._block.read(now)
        except RedisAway:
            self._note_away()

    async def look(self) -> Block | None:
        """The block that holds here; if there is none, the one that Redis knows."""
        now = self._anchor.now()
        if self._budget.block_at(now) is None:
            with suppress(RedisAway):
                stored = await self._scripts.read_block(now)
                if stored is not None and stored.block.until > now:
                    await self._block.adopt(stored, now)
        return self._budget.block_at(now)

    async def keep(self) -> None:
        """Keep the block anew: this machine's clock was set, by which its end is kept, or it may be lost."""
        block = self.held()
        if block is not None:
            await self._keeper.keep(block)
