"""`make demo`: a stand-in for Binance, a gateway in front of it, and a transcript of what happens.

Owns: the story and how it is told. Must not know: how gateway and stand-in work; it sees both from outside.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import uvloop

from tests.gateway.harness import INFO, Answer, client, gateway
from tests.simulator import Fault, Simulator, generate_document

SYMBOLS = 3698


@dataclass(slots=True)
class Narrator:
    """Prints one line a step, and the difference it made at the origin."""

    origin: Simulator
    ask: object

    def say(self, text: str) -> None:
        print(f"\n{text}")

    def answered(self, what: str, answer: Answer, milliseconds: float, cost: int) -> None:
        size = f"{len(answer.raw):,} bytes"
        print(f"  {what:<58} {answer.status}  {milliseconds:7.1f} ms  {size:>17}  cost {cost:>2}  {answer.cache_status}")


async def main(_: Sequence[str] = ()) -> None:
    """Tell the story."""
    print(f"A stand-in for Binance with {SYMBOLS:,} symbols, and a gateway with a Valkey of its own in front of it.")
    document = generate_document(SYMBOLS)
    async with Simulator(document=document) as origin:
        async with gateway(origin, redis_url="embedded:", keep_warm="demand", fresh_seconds=2.0) as app:
            async with client(app.url) as asking:
                teller = Teller(origin)

                async def ask(target: str, **headers: str) -> Answer:
                    return await teller.tell(target, asking.ask(target, **headers))

                print(f"origin {origin.url}, gateway {app.url}")
                print("\nAt its start the gateway fetched the full document once: 20 weight, and never again for its clients.")
                await ask("/api/v3/ping")
                await ask("/api/v3/time")
                await ask(INFO)
                await ask(INFO, Accept_Encoding="gzip")
                await ask(f"{INFO}?symbol=BTCUSDT")
                await ask(f'{INFO}?symbols=["ETHUSDT","BTCUSDT"]')
                await ask(f"{INFO}?symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D")
                await ask(f"{INFO}?permissions=SPOT&symbolStatus=TRADING", Accept_Encoding="gzip")
                print("\nWhat Binance would refuse is refused here, in Binance's words, at no cost:")
                await ask(f"{INFO}?symbol=btcusdt")
                await ask(f"{INFO}?foo=1")
                print("\nA thousand clients at once, each with a filter of its own:")
                await crowd(origin, [name for name in document.symbols][:1000], asking.ask)
                print("\nBinance bans the IP for three seconds. Who asks for exchangeInfo notices nothing:")
                origin.set_fault(Fault.TEAPOT_418, retry_after=3, times=1)
                await ask("/api/v3/time")
                await ask("/api/v3/time")
                await asyncio.sleep(2.5)
                await ask(f"{INFO}?symbol=BTCUSDT")
                await asyncio.sleep(1.0)
                await ask("/api/v3/time")
                print_summary(app.metrics.registry.get_sample_value, origin)


class Teller:
    """Prints what was asked, where the answer came from, and what it cost at the origin."""

    def __init__(self, origin: Simulator) -> None:
        self._origin = origin

    async def tell(self, target: str, asking: object) -> Answer:
        """Await one answer and print its line."""
        before, started = self._origin.weight_spent, time.perf_counter()
        answer: Answer = await asking  # type: ignore[misc]
        milliseconds = (time.perf_counter() - started) * 1000
        cost = self._origin.weight_spent - before
        where = answer.cache_status.partition("; ")[2]
        size = f"{len(answer.raw):,} B"
        line = f"  {target.removeprefix('/api/v3'):<62.62} {answer.status} {size:>13} {milliseconds:7.1f} ms"
        print(f"{line}  cost {cost:>2}  {where}")
        return answer
