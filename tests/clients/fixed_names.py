"""A program whose base URLs are fixed, on a machine that resolves Binance's names to the gateway.

Runs in the clients' environment: `fixed_names.py ADDRESS PORT LIBRARY`. Owns: the resolution of names in its own
process, in place of a DNS server, and one call of each library. Must not know: where the certificate comes from.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

_system = socket.getaddrinfo


def resolve_to(address: str, port: int) -> None:
    """Let every name of Binance lead to this address. HTTPS is on another port here, since 443 needs rights."""

    def resolve(host: Any, service: Any, *arguments: Any, **named: Any) -> Any:
        if str(host).endswith(".binance.com"):
            return _system(address, port, *arguments, **named)
        return _system(host, service, *arguments, **named)

    socket.getaddrinfo = resolve  # type: ignore[assignment]


def with_ccxt() -> Any:
    """ccxt, which reads REQUESTS_CA_BUNDLE only if it is told so: else it trusts the list of certifi alone."""
    import ccxt  # noqa: PLC0415 - one library a run

    return ccxt.binance({"requests_trust_env": True, "options": {"fetchMarkets": ["spot"]}}).fetch_markets()[0]["id"]


def with_binance_connector() -> Any:
    """The older official library."""
    from binance.spot import Spot  # noqa: PLC0415 - one library a run

    return Spot().exchange_info(symbol="BTCUSDT")["symbols"][0]["symbol"]


LIBRARIES: dict[str, Callable[[], Any]] = {
    "ccxt": with_ccxt,
    "binance-connector": with_binance_connector,
}

if __name__ == "__main__":
    resolve_to(sys.argv[1], int(sys.argv[2]))
    print(json.dumps(LIBRARIES[sys.argv[3]]()))
