"""The kinds of settings that tell networks and addresses.

Owns: reading them, and the sentence for one that cannot be read. Must not know: which settings exist, who is compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeVar

from proxy.configuration.kinds import Kind

T = TypeVar("T")
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")
_TARGET = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")


def networks() -> Kind[tuple[Network, ...]]:
    """Networks in CIDR notation, separated by commas. An address alone is a network of one."""
    return _list(_network)


def named_networks() -> Kind[tuple[tuple[str, Network], ...]]:
    """`name=network`, separated by commas. A name may have several networks."""
    return _list(_named)


def addresses() -> Kind[tuple[tuple[str, str, int | None], ...]]:
    """`host=address` or `host=address:port`, separated by commas: host in lower case, address, port.

    A host may have several addresses. An IPv6 address before a port stands in brackets.
    """
    return _list(_target)


def _list(read: Callable[[str], T]) -> Kind[tuple[T, ...]]:
    def read_all(given: str) -> tuple[T, ...]:
        found, faults = [], []
        for part in filter(None, map(str.strip, given.split(","))):
            try:
                found.append(read(part))
            except ValueError as error:
                faults.append(str(error))
        if faults:
            raise ValueError("; ".join(faults))
        return tuple(found)

    return Kind("LIST", read_all, is_list=True)


def _network(given: str) -> Network:
    try:
        network = ip_network(given)
    except ValueError:
        raise ValueError(f"{given} is not a network such as 10.1.0.0/16") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return ip_network(f"{mapped}/{network.prefixlen - _MAPPED.prefixlen}")
    return network


def _named(given: str) -> tuple[str, Network]:
    name, _, network = given.partition("=")
    if _NAME.fullmatch(name) is None or not network:
        raise ValueError(f"{given} is not a name and its network such as bots=10.1.0.0/16")
    return name, _network(network)


def _target(given: str) -> tuple[str, str, int | None]:
    host, _, target = given.partition("=")
    parts = _TARGET.fullmatch(target) or _TARGET.fullmatch(f"[{target}]")
    try:
        if _HOST.fullmatch(host) is None or parts is None:
            raise ValueError
        address = str(ip_address(parts["v6"] or parts["v4"]))
        port = int(parts["port"]) if parts["port"] else None
        if port is not None and not 0 < port <= 65535:
            raise ValueError
    except ValueError:
        raise ValueError(f"{given} is not a host and its address such as api.binance.com=203.0.113.5") from None
    return host.lower().removesuffix("."), address, port
