"""The load of a soak: hits that must all succeed, market data and orders that may fail while a network does.

Owns: the connections, what is asked, the counts. Must not know: what fails.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from tests.chaos.polling import TARGETS
from tests.chaos.trading import CONTRACTS, LIMIT
from tests.gateway.harness import INFO
from tests.gateway.plain import plain
from tests.simulator.account import HMAC_KEY, HMAC_SECRET

CONNECTIONS = 10
FORWARDED_A_SECOND = 8.0
SIGNED_A_SECOND = 2.0
HITS = (f"{INFO}?symbol=BTCUSDT", f"{INFO}?symbol=ETHUSDT", f"{INFO}?symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D")
TRADED = {path: symbol for path, symbol in CONTRACTS.items() if not path.startswith("/dapi")}
ASKED = tuple(target for target in TARGETS if target.startswith(("/api", "/fapi")))
_PATIENCE_SECONDS = 30.0


@dataclass(slots=True)
class Load:
    """What is asked of one gateway, and how it was answered. Status 0: no answer."""

    url: str
    chance: random.Random
    hits: int = 0
    failed: list[str] = field(default_factory=list)
    """Hits that were no 200."""
    slowest_seconds: float = 0.0
    forwarded: Counter[int] = field(default_factory=Counter)
    signed: Counter[int] = field(default_factory=Counter)
    _session: aiohttp.ClientSession | None = None

    async def warm(self) -> None:
        """Let the gateway know the documents, so that hits are hits."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_PATIENCE_SECONDS))
        for target in (INFO, "/fapi/v1/exchangeInfo", *HITS):
            async with self._session.get(URL(self.url + target, encoded=True)) as answer:
                await answer.read()
                assert answer.status == 200, (target, answer.status)

    async def run(self, hits_a_second: float) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(CONNECTIONS):
                tasks.create_task(self._hit(number, hits_a_second / CONNECTIONS))
            tasks.create_task(self._forward())
            tasks.create_task(self._trade())

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _hit(self, number: int, a_second: float) -> None:
        """On one connection, evenly; a connection is left after a minute for a new one."""
        pause, due = 1.0 / a_second, time.monotonic()
        while True:
            left_at = time.monotonic() + self.chance.uniform(20.0, 60.0)
            async with plain(self.url) as connection:
                while time.monotonic() < left_at:
                    due = max(due + pause, time.monotonic() - 1.0)  # a late one does not cause a burst
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    target, began = HITS[(number + self.hits) % len(HITS)], time.monotonic()
                    self.hits += 1
                    try:
                        async with asyncio.timeout(_PATIENCE_SECONDS):
                            status = (await connection.ask(target)).status
                    except (OSError, EOFError, TimeoutError) as error:
                        self.failed.append(f"{target}: {error!r}")
                        break
                    if status != 200:
                        self.failed.append(f"{target}: {status}")
                    self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)

    async def _forward(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(self.chance.expovariate(FORWARDED_A_SECOND))
                tasks.create_task(self._ask(self.forwarded, "GET", self.chance.choice(ASKED)))

    async def _trade(self) -> None:
        """An order, and its end."""
        sent = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(self.chance.expovariate(SIGNED_A_SECOND))
                sent += 1
                tasks.create_task(self._order(self.chance.choice(sorted(TRADED)), f"order-{sent}"))

    async def _order(self, path: str, name: str) -> None:
        symbol = TRADED[path]
        for method, more in (("POST", {"newClientOrderId": name, **LIMIT}), ("DELETE", {"origClientOrderId": name})):
            query = urlencode({"symbol": symbol, **more, "timestamp": str(int(time.time() * 1000))})
            signature = hmac.new(HMAC_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
            await self._ask(self.signed, method, f"{path}?{query}&signature={signature}")

    async def _ask(self, counts: Counter[int], method: str, target: str) -> None:
        assert self._session is not None
        headers = {"X-MBX-APIKEY": HMAC_KEY} if counts is self.signed else {}
        try:
            url = URL(self.url + target, encoded=True)
            async with self._session.request(method, url, headers=headers) as answer:
                await answer.read()
                counts[answer.status] += 1
        except (aiohttp.ClientError, TimeoutError):
            counts[0] += 1
