"""One client that trades while many poll: whether its orders come through when they have used up the public budget.

Owns: the orders, and how each was answered. Run by hand for two minutes of real time:
`python -m tests.chaos.trading --minutes 2`. Must not know: what a test expects.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from proxy.app import Application
from tests.chaos.polling import MINUTE_SECONDS, TARGETS, learn_limits, poll, replicas
from tests.redis_client.valkey import Valkey
from tests.simulator import OrderSizes, Simulator
from tests.simulator.account import HMAC_KEY, HMAC_SECRET

CONTRACTS = {"/api/v3/order": "BTCUSDT", "/fapi/v1/order": "BTCUSDT", "/dapi/v1/order": "BTCUSD_PERP"}
LIMIT = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "0.5"}
MANY_ORDERS = OrderSizes(spot=(10**6, 10**6), usd_futures=(10**6, 10**6))
"""The account's limits of orders are not the subject."""


@dataclass(slots=True)
class Trader:
    """Places an order in each market and cancels it, at another replica each time.

    `answered` counts (method, path, status); `slowest_seconds` is the longest that one took.
    """

    apps: Sequence[Application]
    now: Callable[[], float]
    answered: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    sent: int = 0

    async def trade(self, session: aiohttp.ClientSession) -> None:
        """One round."""
        for path, symbol in CONTRACTS.items():
            name = f"order-{self.sent}"
            await self._ask(session, "POST", path, {"symbol": symbol, "newClientOrderId": name, **LIMIT})
            await self._ask(session, "DELETE", path, {"symbol": symbol, "origClientOrderId": name})

    async def _ask(self, session: aiohttp.ClientSession, method: str, path: str, parameters: dict[str, str]) -> None:
        query = urlencode({**parameters, "timestamp": str(int(self.now() * 1000))})
        signature = hmac.new(HMAC_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
        app = self.apps[self.sent % len(self.apps)]
        headers = {"X-MBX-APIKEY": HMAC_KEY, "X-Sidecar-Client": "trader"}
        began = time.monotonic()
        url = URL(f"{app.url}{path}?{query}&signature={signature}", encoded=True)
        async with session.request(method, url, headers=headers) as answer:
            await answer.read()
        self.sent += 1
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
        self.answered[method, path, answer.status] += 1


async def trade_while_others_poll(trader: Trader, *, rounds: int, pause_seconds: float = 0.0) -> Counter[int]:
    """Rounds of the trader while 64 clients poll without a pause. Returns how often they got each status."""
    is_trading = True
    polling = asyncio.create_task(poll(trader.apps, named=True, goes_on=lambda *_: is_trading, pause_seconds=0.2))
    try:
        async with aiohttp.ClientSession() as session:
            for _ in range(rounds):
                await trader.trade(session)
                await asyncio.sleep(pause_seconds)
    finally:
        is_trading = False
        statuses = await polling
    return statuses


async def use_up_the_budget(apps: Sequence[Application]) -> None:
    """Poll until each client was refused for every target in a row."""
    refused: Counter[int] = Counter()

    def goes_on(number: int, status: int) -> bool:
        refused[number] = refused[number] + 1 if status == 429 else 0
        return refused[number] <= len(TARGETS)

    await poll(apps, named=True, goes_on=goes_on, pause_seconds=0.01)


async def run(minutes: float) -> bool:
    """Poll and trade in real time, and print what came of it. Returns whether all is well."""
    async with Simulator(order_sizes=MANY_ORDERS) as origin:
        valkey = Valkey().start()
        try:
            async with replicas(origin, valkey.url, None, forward="all") as apps:
                await learn_limits(apps)
                trader = Trader(apps, time.time)
                rounds = round(minutes * MINUTE_SECONDS)
                polled = await trade_while_others_poll(trader, rounds=rounds, pause_seconds=1.0)
        finally:
            valkey.kill()
            shutil.rmtree(valkey.folder)
    print(f"polling: answers {dict(polled)}; origin's 429: {origin.answers_429}")
    for (method, path, status), count in sorted(trader.answered.items()):
        print(f"  {method} {path}: {status}, {count} times")
    print(f"  the slowest took {trader.slowest_seconds:.2f} s")
    statuses = {status for _, _, status in trader.answered}
    return origin.answers_429 == 0 and statuses == {200} and polled[429] > 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    return 0 if asyncio.run(run(parser.parse_args().minutes)) else 1


if __name__ == "__main__":
    sys.exit(main())
