"""TLS of the traffic listener: the certificate, its renewal, and the handshake of a connection.

Owns: when the files are read again, and what a connection is until its handshake is over. Must not know: HTTP.

A connection has its place among the others from its accept on, and the deadline of its first head runs meanwhile: the
event loop's own TLS servers tell of a connection only when its handshake is over.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, cast

from proxy.event_log import log
from proxy.server.bounds import Connections, Slot
from proxy.server.peers import peer_of

LOOK_SECONDS = 60.0
"""How often is looked whether the files have changed."""
BUFFER_BYTES = 64 << 10
"""How much is encrypted ahead of a reader: TLS would take all that it is given."""


class TlsObserver(Protocol):
    """Counts readings of the certificate."""

    def certificate_read(self, *, is_good: bool) -> None:
        """The files were read again. If they are not good, the certificate before them stays in use."""


class Certificate:
    """The certificate and its key, as they were when they last fitted."""

    def __init__(self, certificate: Path, key: Path, observer: TlsObserver) -> None:
        """Raises OSError with a sentence if the files cannot be used."""
        self._certificate, self._key = certificate, key
        self._observer = observer
        self.is_current = True
        """Whether the files hold what is in use; if not, they do not fit each other."""
        self._read_digest = self._digest()
        try:
            self.context = self._load()
        except OSError as error:
            raise OSError(f"SIDECAR_TLS_CERT_FILE={certificate} and SIDECAR_TLS_KEY_FILE={key}: {error}") from error

    def reload(self) -> None:
        """Read the files again. Connections that are open keep the certificate that they have."""
        self._read_digest = self._digest()
        try:
            self.context = self._load()
        except OSError as error:
            log.warning("certificate_kept", file=str(self._certificate), error=str(error))
            self.is_current = False
        else:
            log.info("certificate_loaded", file=str(self._certificate))
            self.is_current = True
        self._observer.certificate_read(is_good=self.is_current)

    async def watch(self) -> None:
        """Read the files again when they have changed, for as long as the gateway lives."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Read the files again if they have changed since they were last read."""
        if await asyncio.to_thread(self._digest) != self._read_digest:
            self.reload()

    def _digest(self) -> bytes:
        """A digest of both files; of what can be read of them."""
        digest = blake2b(digest_size=16)
        for path in (self._certificate, self._key):
            try:
                digest.update(path.read_bytes())
            except OSError as error:
                digest.update(str(error).encode())
            digest.update(b"\0")
        return digest.digest()

    def _load(self) -> ssl.SSLContext:
        """Raises OSError; ssl.SSLError is one."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        # Without a password OpenSSL would ask a person for that of an encrypted key.
        context.load_cert_chain(self._certificate, self._key, password=lambda: b"")
        return context


class Secured(Protocol):
    """A connection that can take the place of its handshake."""

    def take(self, slot: Slot) -> None:
        """Have this place from now on."""


class Handshake(asyncio.Protocol):
    """A connection whose TLS handshake is under way. Then it becomes one that `make` makes."""

    asked = 0
    is_busy = False

    def __init__(
        self,
        certificate: Certificate,
        room: Connections,
        make: Callable[[], asyncio.Protocol],
        *,
        seconds: float,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        """`seconds`: how long the handshake may take. `tasks`: those under way, for whoever stops the server."""
        self._certificate = certificate
        self._room = room
        self._make = make
        self._seconds = seconds
        self._transport: asyncio.Transport | None = None
        self._slot: Slot | None = None
        self._hello: list[bytes] = []
        """What came before the handshake had begun: uvloop reads at once, whatever `connection_made` says."""
        self._early: list[bytes] = []
        """What came behind the handshake before the connection was made."""
        self._has_begun = False
        self._tasks = tasks
        self.idle_since = asyncio.get_running_loop().time()

    def disconnect(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        self._slot = self._room.enter(self, peer_of(transport))
        if self._slot is None:
            self._transport.abort()
            return
        task = asyncio.create_task(self._shake(self._slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def data_received(self, data: bytes) -> None:
        """Keep what the client sends at once."""
        (self._early if self._has_begun else self._hello).append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The handshake failed, or the client left."""
        del exc
        if self._slot is not None:
            self._room.leave(self._slot)

    async def _shake(self, slot: Slot) -> None:
        try:
            secured = await self._handshake()
        except (OSError, RuntimeError) as error:  # ssl.SSLError, a client that left, and the time-out are some
            log.debug("handshake_failed", error=str(error)[:200])
            self._give_up(slot)
            return
        except asyncio.CancelledError:
            self._give_up(slot)
            raise
        if secured is None or secured.is_closing():
            self._room.leave(slot)
            return
        self._go_on(secured, slot)

    async def _handshake(self) -> asyncio.Transport | None:
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        handshake = asyncio.ensure_future(
            loop.start_tls(
                self._transport,
                self,
                self._certificate.context,
                server_side=True,
                ssl_handshake_timeout=self._seconds,
            )
        )
        try:
            await asyncio.sleep(0)  # now it has replaced the protocol, and has scheduled its own beginning
            self._has_begun = True
            loop.call_soon(self._pass_hello)
            return await handshake
        finally:
            handshake.cancel()

    def _pass_hello(self) -> None:
        """Give the handshake what came before it."""
        assert self._transport is not None
        current = self._transport.get_protocol()
        if current is self:  # the handshake has failed already
            return
        protocol = cast("asyncio.BufferedProtocol", current)  # both loops have such a one
        for data in self._hello:
            rest = memoryview(data)
            while rest:
                buffer = memoryview(protocol.get_buffer(len(rest)))
                taken = min(len(buffer), len(rest))
                buffer[:taken] = rest[:taken]
                protocol.buffer_updated(taken)
                rest = rest[taken:]
        self._hello.clear()

    def _give_up(self, slot: Slot) -> None:
        self._room.leave(slot)
        self.disconnect()

    def _go_on(self, secured: asyncio.Transport, slot: Slot) -> None:
        """Let the connection begin that was asked for."""
        connection = self._make()
        cast("Secured", connection).take(slot)
        secured.set_write_buffer_limits(high=BUFFER_BYTES)
        secured.set_protocol(connection)
        connection.connection_made(secured)
        for data in self._early:
            connection.data_received(data)
        self._early.clear()
