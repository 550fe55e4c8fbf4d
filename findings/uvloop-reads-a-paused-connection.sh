#!/usr/bin/env bash
# On uvloop a server's connection that is paused in connection_made() is read all the same.
#
# Expected: pause_reading() in connection_made() holds until resume_reading(), as asyncio's own loop has it. So a
#           server can first look up whether a client may come in, or prepare loop.start_tls(), and no byte is lost.
# Happens:  uvloop begins to read after connection_made() has returned, paused or not. What a client sends at once
#           comes to data_received() before resume_reading(); where start_tls() follows a turn later, the handshake
#           waits for a hello that it never gets.
# Seen with: uvloop 0.23.0, CPython 3.11, Linux.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" uvloop==0.23.0
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, socket, sys, uvloop

CLIENTS = 400
PAUSE_SECONDS = 0.005


class Paused(asyncio.Protocol):
    """Reads nothing for a moment; counts what comes all the same."""

    early = 0

    def connection_made(self, transport):
        self.transport, self.resumed = transport, False
        transport.pause_reading()
        asyncio.get_running_loop().call_later(PAUSE_SECONDS, self.resume)

    def resume(self):
        self.resumed = True
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data):
        type(self).early += not self.resumed
        self.transport.close()


def ask(address):
    for _ in range(CLIENTS):
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(b"hello")
            client.recv(1)


async def early():
    """How many of the clients were read while their connection was paused."""
    Paused.early = 0
    server = await asyncio.get_running_loop().create_server(Paused, "127.0.0.1", 0)
    async with server:
        await asyncio.to_thread(ask, server.sockets[0].getsockname())
    return Paused.early


plain, other = asyncio.run(early()), uvloop.run(early())
print(f"asyncio: {plain} of {CLIENTS} were read while they were paused")
print(f"uvloop {uvloop.__version__}: {other} of {CLIENTS} were read while they were paused")
as_seen = plain == 0 and other > 0
print("as before" if as_seen else "CHANGED")
sys.exit(not as_seen)
PY
