"""python-binance before an origin that fails, blocking or asynchronous by the argument."""

from __future__ import annotations

import sys
from typing import Any

from binance.async_client import AsyncClient
from binance.client import Client

from tests.clients.failures import TIMEOUT_SECONDS, FailingCall, answer


def call_of(client: Any, call: FailingCall) -> Any:
    return client.get_exchange_info() if call is FailingCall.INFO else client.get_server_time()


def ask(call: FailingCall, url: str) -> Any:
    Client.API_URL = f"{url}/api"
    return call_of(Client(requests_params={"timeout": TIMEOUT_SECONDS}, ping=False), call)


async def ask_async(call: FailingCall, url: str) -> Any:
    AsyncClient.API_URL = f"{url}/api"
    AsyncClient.REQUEST_TIMEOUT = TIMEOUT_SECONDS
    client = AsyncClient()
    try:
        return await call_of(client, call)
    finally:
        await client.close_connection()


if __name__ == "__main__":
    answer("python-binance", ask_async if sys.argv[1] == "async" else ask, manner=sys.argv[1])
