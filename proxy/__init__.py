"""binance-sidecar: a cache and a quota guard in front of Binance's public data."""

from __future__ import annotations

__version__ = "0.1.0"
