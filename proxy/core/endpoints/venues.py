"""The exchanges and their hosts.

Owns: Binance's base URLs and the venue that each host belongs to. Must not know: endpoints, settings.
"""

from __future__ import annotations

from urllib.parse import urlsplit

SPOT_HOSTS = (
    "https://api.binance.com",
    "https://api-gcp.binance.com",
    "https://api1.binance.com",
    "https://api2.binance.com",
    "https://api3.binance.com",
    "https://api4.binance.com",
)


PUBLIC_DATA_HOST = "data-api.binance.vision"


VENUES = {
    **{str(urlsplit(url).hostname): "spot" for url in SPOT_HOSTS},
    PUBLIC_DATA_HOST: "spot",
    "api.binance.us": "us",
    "testnet.binance.vision": "testnet",
    "demo-api.binance.com": "demo",
}
