"""ccxt, blocking, on requests."""

from __future__ import annotations

import ccxt

from tests.clients.programs.ccxt_calls import calls, options
from tests.clients.programs.telling import base_url, tell

if __name__ == "__main__":
    tell("ccxt", calls(ccxt.binance(options(base_url()))), manner="sync")
