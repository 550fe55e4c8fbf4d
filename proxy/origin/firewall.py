"""After a 403 to a client's own words: does the firewall refuse the words, or this IP?

Owns: the one ping that tells, and how often it is sent. Must not know: what follows from its answer. A 403 to a ping
blocks, as any 403 does that no words explain. It goes where the request went: the host of public data has a firewall of
its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

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
        pings: Mapping[bool, UpstreamQuery],
        *,
        monotonic: Callable[[], float],
    ) -> None:
        """`pings`: by whether the host of public data may be asked."""
        self._ask = ask
        self._pings = pings
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._asked_at = {is_on: float("-inf") for is_on in pings}

    async def probe(self, deadline: float, *, on_public_data: bool) -> None:
        """Ask for a ping, unless another request has just done so. Raises the error of the block if there is one.

        `on_public_data`: whether the host of public data may have answered. A ping that gets no answer, or may not be
        sent, proves nothing: then nothing is paused.
        """
        async with self._asking:
            if self._monotonic() - self._asked_at[on_public_data] < PROBE_SECONDS:
                return
            ping = self._pings[on_public_data]
            try:
                await self._ask(ping, Passage(demand_of(ping.weight, Purpose.PUBLIC, False, None), deadline))
            except (BackedOff, Banned, Paused):
                raise
            except SidecarError:
                return
            finally:
                self._asked_at[on_public_data] = self._monotonic()
