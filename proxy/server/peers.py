"""Who a connection comes from: whether it is served, and what its client is called.

Owns: the address of a peer as it is compared and named. Must not know: what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

from proxy.core.quota.client_share import Address

Network = IPv4Network | IPv6Network

_MAPPED = "::ffff:"
"""An IPv4 address where a listener serves both families (RFC 4291, section 2.5.5.2)."""
_REMEMBERED = 4096
_NAME_CHARACTERS = 64


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The address of the other end; empty if that is gone already."""
    name = transport.get_extra_info("peername")
    return plain(name[0]) if name else ""


def plain(address: str) -> str:
    """An address in the form of its own family."""
    return address.removeprefix(_MAPPED)


class Peers:
    """What the settings say about addresses. Those that were asked about last are remembered."""

    def __init__(self, allowed: Sequence[Network] = (), named: Sequence[tuple[str, Network]] = ()) -> None:
        """`allowed`: networks that are served; none: all. `named`: names of clients; none: clients name themselves."""
        self._allowed = tuple(allowed)
        self._named = sorted(named, key=lambda pair: -pair[1].prefixlen)
        self._look_up = lru_cache(_REMEMBERED)(self._find)

    def is_allowed(self, peer: str) -> bool:
        """Whether this address is served."""
        return not self._allowed or self._look_up(peer)[0]

    def client(self, peer: str, claimed: str) -> str:
        """Who a request is charged to: the name of the smallest network that holds the address, else the address.

        Only where no network has a name, the one that the client claims counts.
        """
        if not self._named:
            return claimed[:_NAME_CHARACTERS] or Address(peer)
        return self._look_up(peer)[1] or Address(peer)

    def _find(self, peer: str) -> tuple[bool, str]:
        """Whether the address is in an allowed network, and the name of its network."""
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:  # the client is gone already
            return False, ""
        is_allowed = any(address in network for network in self._allowed)
        return is_allowed, next((name for name, network in self._named if address in network), "")
