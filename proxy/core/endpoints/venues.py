"""The exchanges and their hosts.

Owns: Binance's base URLs and the venue that each host belongs to. Must not know: endpoints, settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from proxy.core.endpoints.endpoint import Api

SPOT_HOSTS = (
    "https://api.binance.com",
    "https://api-gcp.binance.com",
    "https://api1.binance.com",
    "https://api2.binance.com",
    "https://api3.binance.com",
    "https://api4.binance.com",
)
USD_FUTURES_HOSTS = ("https://fapi.binance.com",)
COIN_FUTURES_HOSTS = ("https://dapi.binance.com",)
OPTIONS_HOSTS = ("https://eapi.binance.com",)

PUBLIC_DATA_HOST = "data-api.binance.vision"

VENUES = {
    **{str(urlsplit(url).hostname): "spot" for url in SPOT_HOSTS},
    PUBLIC_DATA_HOST: "spot",
    "api.binance.us": "us",
    "testnet.binance.vision": "testnet",
    "demo-api.binance.com": "demo",
}

DERIVATIVES_HOSTS: Mapping[Api, tuple[str, ...]] = MappingProxyType(
    {Api.USD_FUTURES: USD_FUTURES_HOSTS, Api.COIN_FUTURES: COIN_FUTURES_HOSTS, Api.OPTIONS: OPTIONS_HOSTS}
)
"""The hosts of the APIs beside spot, where the exchange is Binance's main one."""

MAIN_VENUE = "spot"
"""Binance's main exchange."""


def venue_of(base_url: str) -> str:
    """The venue of a host; else the host and its port."""
    parts = urlsplit(base_url)
    host_and_port = re.sub(r"[\[\]]", "", parts.netloc.lower()).replace(":", "-")
    return VENUES.get(str(parts.hostname), host_and_port)
