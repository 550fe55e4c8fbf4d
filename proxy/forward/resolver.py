"""The addresses of names: those that are fixed, else those that the system says, kept for a minute.

Owns: the cache, and one lookup at a time for a name. Must not know: who connects, and why.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence

from aiohappyeyeballs import AddrInfoType

REMEMBER_SECONDS = 60.0

Addresses = Sequence[AddrInfoType]
FixedAddresses = Mapping[str, Sequence[tuple[str, int | None]]]
"""Name -> addresses, each with a port of its own or None: that of the URL."""


class Resolver:
    """Use `close` at the end."""

    def __init__(self, monotonic: Callable[[], float], fixed: FixedAddresses | None = None) -> None:
        """`fixed`: where names are connected to, whatever the system says; names in lower case."""
        self._monotonic = monotonic
        self._fixed = fixed or {}
        self._lookups: dict[tuple[str, int], tuple[float, asyncio.Task[Addresses]]] = {}
        """With the time at which each began; some are still under way."""

    async def addresses(self, host: str, port: int) -> Addresses:
        """All addresses, in the system's order. Raises OSError and UnicodeError."""
        fixed = self._fixed.get(host.lower().rstrip("."))
        if fixed is not None:
            return [found for address, own_port in fixed for found in _numeric(address, own_port or port)]
        try:
            return _numeric(host, port)
        except (OSError, UnicodeError):
            pass
        kept = self._lookups.get((host, port))
        if kept is None or self._monotonic() - kept[0] >= REMEMBER_SECONDS:
            kept = self._look_up(host, port)
        # Shielded: others may wait for the same lookup.
        return await asyncio.shield(kept[1])

    def forget(self, host: str, port: int) -> None:
        """None of the addresses can be reached: they may be old."""
        kept = self._lookups.get((host, port))
        if kept is not None and kept[1].done():
            del self._lookups[host, port]

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = [task for _, task in self._lookups.values()]
        self._lookups.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _look_up(self, host: str, port: int) -> tuple[float, asyncio.Task[Addresses]]:
        task = asyncio.get_running_loop().create_task(_system(host, port))
        kept = self._lookups[host, port] = (self._monotonic(), task)

        def ended(_: asyncio.Task[Addresses]) -> None:
            is_useless = task.cancelled() or task.exception() is not None
            if is_useless and self._lookups.get((host, port)) is kept:
                del self._lookups[host, port]

        task.add_done_callback(ended)
        return kept


def _numeric(host: str, port: int) -> Addresses:
    """The address that `host` is. Asks no server. Raises OSError for a name."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)


async def _system(host: str, port: int) -> Addresses:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return found
