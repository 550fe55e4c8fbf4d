"""`python -m tests.chaos.few`: more connections than the descriptor limit allows, while probes ask the ops listener.

Owns: the ordeal, its figures, and what must be true of them. Must not know: how the gateway keeps its bounds.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from tests.chaos.hits import ONE
from tests.chaos.listening import Gateway, command, connect
from tests.environment import allow_open_files
from tests.simulator import Simulator


@dataclass(slots=True)
class Few:
    """What came of too many connections."""

    limit: int
    connections: int
    probes: list[int] = field(default_factory=list)
    """The statuses of the probes; 0: none."""
    served: list[int] = field(default_factory=list)
    """The same of clients that came last."""
    shed: float = 0.0

    def faults(self) -> list[str]:
        """What must be true and is not."""
        probes, served = (len(found) - found.count(200) for found in (self.probes, self.served))
        told = {
            f"{probes} of {len(self.probes)} probes failed": probes > 0 or not self.probes,
            f"{served} new clients were not served": served > 0 or not self.served,
            "no connection was closed for another": self.shed == 0,
        }
        return [fault for fault, holds in told.items() if holds]

    def __str__(self) -> str:
        return (
            f"descriptor limit {self.limit}, {self.connections} connections: {self.probes.count(200)} of "
            f"{len(self.probes)} probes and {self.served.count(200)} of {len(self.served)} new clients got 200, "
            f"{self.shed:.0f} connections were closed for others"
        )


async def few(limit: int = 256, connections: int = 600, clients: int = 20) -> Few:
    """Open more connections than there are descriptors, some silent and some idle, and see who is served."""
    outcome = Few(limit, connections)
    allow_open_files(connections + 500)
    async with Simulator() as origin, command(origin, descriptors=limit) as gateway:
        probing = asyncio.create_task(probe(gateway, outcome))
        with ExitStack() as stack:
            opened = await connect(gateway.port, connections, stack)
            for one in opened[::2]:
                with suppress(OSError):
                    one.send(ONE)
            await asyncio.sleep(1.5)
            for _ in range(clients):
                outcome.served.append(await status(gateway.port, ONE))
        probing.cancel()
        with suppress(asyncio.CancelledError):
            await probing
        outcome.shed = await gateway.metric('connections_closed_total{reason="idle"}')
    return outcome


async def probe(gateway: Gateway, outcome: Few) -> None:
    """Ask /livez on a new connection each time, as the kubelet does."""
    port = int(gateway.ops.url.rpartition(":")[2])
    while True:
        outcome.probes.append(await status(port, b"GET /livez HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"))
        await asyncio.sleep(0.02)


async def status(port: int, request: bytes) -> int:
    """Of the answer on a connection of its own; 0: there was none."""
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(3.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                return int((await reader.readexactly(12))[9:])
            finally:
                writer.transport.abort()
    return 0


def main() -> int:
    """Exit status 0, or 1 when something is not true that must be."""
    outcome = asyncio.run(few())
    print(outcome, *(f"    BROKEN: {fault}" for fault in outcome.faults()), sep="\n")
    return int(bool(outcome.faults()))


if __name__ == "__main__":
    sys.exit(main())
