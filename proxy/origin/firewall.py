"""After a 403 to a client's own words: does the firewall refuse the words, or this IP?

Owns: the one ping that tells, and how often it is sent. Must not know: what follows from its answer. A 403 to a ping
blocks, as any 403 does that no words explain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.demand import demand_of
from proxy.core.quota.ratios import Purpose
from proxy.errors import BackedOff, Banned, Paused, SidecarError
from proxy.origin.passage import Passage

PROBE_SECONDS = 1.0
"""A ping speaks for all 403s until so long after it."""


class FirewallProbe:
    """One for all requests of this process to one API."""

    def __init__(
        self,
        ask: Callable[[UpstreamQuery, Passage], Awaitable[object]],
        ping: UpstreamQuery,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._ping = ping
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")

    async def probe(self, deadline: float) -> None:
        """Ask for a ping, unless another request has just done so. Raises the error of the block if there is one.

        A ping that gets no answer, or may not be sent, proves nothing: then nothing is paused.
        """
        async with self._asking:
            if self._monotonic() - self._asked_at < PROBE_SECONDS:
                return
            try:
                await self._ask(
                    self._ping, Passage(demand_of(self._ping.weight, Purpose.PUBLIC, False, None), deadline)
                )
            except (BackedOff, Banned, Paused):
                raise
            except SidecarError:
                return
            finally:
                self._asked_at = self._monotonic()
