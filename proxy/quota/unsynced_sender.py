"""What this process counted alone, on its way to Redis.

Owns: when usage and block are sent that Redis missed. Must not know: who counted them, what is reserved.
"""

from __future__ import annotations

import secrets

from proxy.core.quota.replica_view import ReplicaView
from proxy.quota.scripts import Scripts
from proxy.quota.shared_block import SharedBlock


class UnsyncedSender:
    """Sends what Redis lacks. Each method raises RedisAway."""

    __slots__ = ("_block", "_process", "_scripts", "_seen")

    def __init__(self, scripts: Scripts, seen: ReplicaView, block: SharedBlock) -> None:
        self._scripts = scripts
        self._seen = seen
        self._block = block
        self._process = f"alone-{secrets.token_hex(4)}"

    async def send(self, now: float) -> None:
        """Send Redis the usage and the block that it missed."""
        await self.send_usage(now)
        await self._block.publish(now)

    async def send_usage(self, now: float) -> None:
        """Several tasks may do this at once: the script adds nothing twice."""
        unsynced = self._seen.unsynced
        totals = unsynced.to_merge(now)
        if totals:
            usage = await self._scripts.merge_unsynced(self._process, unsynced.state, totals, floors=self._seen.floors)
            unsynced.mark_merged(totals)
            self._seen.adopt(usage)
