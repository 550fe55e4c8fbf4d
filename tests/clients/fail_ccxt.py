"""ccxt before an origin that fails, blocking or asynchronous by the argument."""

from __future__ import annotations

import sys
from typing import Any

import ccxt
import ccxt.async_support

from tests.clients.failures import TIMEOUT_SECONDS, FailingCall, answer
from tests.clients.run_ccxt import options


def call_of(client: Any, call: FailingCall) -> Any:
    return client.publicGetExchangeInfo() if call is FailingCall.INFO else client.fetch_time()


def settings(url: str) -> dict[str, Any]:
    return options(url) | {"timeout": TIMEOUT_SECONDS * 1000}


def ask(call: FailingCall, url: str) -> Any:
    return call_of(ccxt.binance(settings(url)), call)


async def ask_async(call: FailingCall, url: str) -> Any:
    client = ccxt.async_support.binance(settings(url))
    try:
        return await call_of(client, call)
    finally:
        await client.close()


if __name__ == "__main__":
    answer("ccxt", ask_async if sys.argv[1] == "async" else ask, manner=sys.argv[1])
