"""binance-sdk-spot before an origin that fails. It tries once."""

from __future__ import annotations

from typing import Any

from tests.clients.failures import TIMEOUT_SECONDS, FailingCall, answer
from tests.clients.run_binance_sdk_spot import api


def ask(call: FailingCall, url: str) -> Any:
    client = api(url, timeout=TIMEOUT_SECONDS * 1000)
    response = client.exchange_info() if call is FailingCall.INFO else client.time()
    return response.data()


if __name__ == "__main__":
    answer("binance-sdk-spot", ask, manner="")
