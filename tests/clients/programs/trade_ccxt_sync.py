"""ccxt trades, blocking, on requests, with a key of each kind."""

from __future__ import annotations

import ccxt

from tests.clients.programs.telling import base_url, keys, tell
from tests.clients.programs.trade_ccxt_calls import calls, signed_options

if __name__ == "__main__":
    for kind in keys():
        tell("ccxt", calls(ccxt.binance(signed_options(base_url(), kind)), kind), manner=f"sync {kind}")
