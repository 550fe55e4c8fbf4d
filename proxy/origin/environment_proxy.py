"""The HTTP proxy of the environment: which base URL is reached through which proxy.

Owns: the reading of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in capitals or not. Must not know: how a proxy is
used. The rules are those that curl and requests share: the variable in lower case wins; NO_PROXY is a list of `*`, host
names (which cover the names below them), addresses, networks, each but a network with a port if one is meant.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from yarl import URL

_DEFAULT_PORTS = {"http": 80, "https": 443}


def environment_proxies(base_urls: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, URL]:
    """Base URL -> its proxy, without those that are reached directly. Raises ValueError for an unusable proxy."""
    bypassed = _variable(environment, "no_proxy")[1]
    chosen = {}
    for base_url in base_urls:
        parts = urlsplit(base_url)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        name, text = _variable(environment, f"{parts.scheme}_proxy")
        if not text:
            name, text = _variable(environment, "all_proxy")
        if text and not is_bypassed(parts.hostname or "", port, bypassed):
            chosen[base_url] = _proxy_url(name, text)
    return chosen


def is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY names this host."""
    return any(_names(item, host.lower().rstrip("."), port) for item in no_proxy.lower().replace(",", " ").split())


def masked(proxy: URL) -> str:
    """The proxy without its credentials."""
    return str(proxy.with_user(None).with_user("***") if proxy.user or proxy.password else proxy)


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """The name under which a variable is set, and its value."""
    for spelling in (name, name.upper()):
        value = environment.get(spelling, "").strip()
        if value:
            return spelling, value
    return name, ""


def _proxy_url(name: str, text: str) -> URL:
    fault = f"{name} is not the URL of an HTTP proxy, such as http://proxy.example:3128"
    try:
        url = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        raise ValueError(fault) from None  # the cause would show the password
    if url.scheme not in ("http", "https") or not url.host or url.port is None:
        raise ValueError(fault)
    return url


def _names(item: str, host: str, port: int) -> bool:
    """Whether one item of NO_PROXY covers the host."""
    if item == "*":
        return True
    address = _address(host)
    if address is not None and "/" in item:
        return _in_network(address, item)
    name, item_port = _split_port(item)
    if item_port is not None and item_port != port:
        return False
    if address is not None:
        return address == _address(name)
    name = name.lstrip(".").removeprefix("*.").rstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, item: str) -> bool:
    try:
        return address in ipaddress.ip_network(item, strict=False)
    except ValueError:
        return False


def _split_port(item: str) -> tuple[str, int | None]:
    """`name:port`, `[address]:port`, or neither; an address of IPv6 without brackets has no port."""
    if item.startswith("["):
        name, _, rest = item[1:].partition("]")
        return name, int(rest[1:]) if rest[:1] == ":" and rest[1:].isdecimal() else None
    name, colon, port = item.partition(":")
    if colon and port.isascii() and port.isdecimal():
        return name, int(port)
    return item, None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
