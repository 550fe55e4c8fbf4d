"""TLS between the bytes of a transport and those of an exchange.

Owns: one session with one peer: the handshake, what goes out encrypted, what comes in. Must not know: sockets, who is
trusted (the context does), HTTP.

The TLS of the event loops is a second transport with a state, buffers and timers of its own, which cost more than the
encryption of a small request. Here a request takes one call down and one call up.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

_RECORD_BYTES = 1 << 14
"""The most that one record holds (RFC 8446, section 5.1): a read of so much never leaves a part of it behind."""


class Tls:
    """The client's side of a session."""

    __slots__ = (
        *("_below", "_incoming", "_is_usual", "_object", "_outgoing", "_send", "_shaken", "_waiting"),
        *("is_ended", "is_free", "is_over"),
    )

    def __init__(self, context: ssl.SSLContext, server_name: str, *, below: Tls | None = None) -> None:
        """`below`: the session that this one goes through, if there is one.

        Raises ValueError for a name that no certificate can have.
        """
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._send: Callable[[bytes], None] = _nowhere
        self._below = below
        self._shaken: asyncio.Future[None] | None = None
        """What waits for the handshake."""
        self._waiting = memoryview(b"")
        """What cannot be encrypted before the peer has spoken: it renegotiates."""
        self.is_ended = False
        """Whether the peer has said that it sends no more."""
        self.is_over = False
        """Whether nothing can come any more: this session has ended, or the one below."""
        self.is_free = True
        """Whether all is encrypted, and the session goes on."""
        self._is_usual = False
        """Whether it is free, the handshake is done, and there is no session below: bytes need one call each."""

    def begin(self, send: Callable[[bytes], None]) -> None:
        """Begin the handshake. `send`: takes what is encrypted."""
        self._send = send
        self._shaken = asyncio.get_running_loop().create_future()
        self._is_shaken(self._shaken)
        self._note()

    async def shaken(self) -> None:
        """Wait for its end. Raises ssl.SSLError, and what `lost` was told."""
        assert self._shaken is not None, "it was begun"
        await self._shaken
        self._shaken = None
        self._note()

    def lost(self, error: Exception) -> None:
        """The connection is gone."""
        if self._shaken is not None and not self._shaken.done():
            self._shaken.set_exception(error)
            self._shaken.exception()  # nobody may wait for it any more

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        try:
            count = self._object.write(data) if self._is_usual else 0
        except ssl.SSLWantReadError:
            count = 0
        if count == len(data):
            self._send(self._outgoing.read())
        else:  # it takes one record at a time
            self._write_rest(memoryview(data)[count:])

    def received(self, data: bytes) -> bytes:
        """What the peer said in these bytes; nothing where they concern the session alone. Raises ssl.SSLError."""
        if not self._is_usual:
            return self._received_unusual(data)
        incoming = self._incoming
        incoming.write(data)
        try:
            piece = self._object.read(_RECORD_BYTES)
        except ssl.SSLWantReadError:  # the rest of a record has not come yet
            return self._read_on([])
        if piece and not incoming.pending and not self._outgoing.pending:
            return piece
        return self._read_on([piece])

    def _received_unusual(self, data: bytes) -> bytes:
        if self._below is not None:
            data = self._below.received(data)
        self._incoming.write(data)
        if self._shaken is not None and not self._is_shaken(self._shaken):
            self._note()
            return b""
        return self._read_on([])

    def _read_on(self, pieces: list[bytes]) -> bytes:
        """What the peer said: these pieces and those that follow. The last is empty if it sends no more."""
        incoming, session = self._incoming, self._object
        try:
            while incoming.pending and b"" not in pieces:
                pieces.append(session.read(_RECORD_BYTES))
        except ssl.SSLWantReadError:  # the rest of a record has not come yet
            has_ended = False
        else:
            has_ended = b"" in pieces
        if has_ended or not self._is_usual or self._outgoing.pending:
            self.is_ended = self.is_ended or has_ended
            if self._waiting:
                self._write_waiting()
            self._flush()
            self._note()
        return b"".join(pieces)

    def _is_shaken(self, shaken: asyncio.Future[None]) -> bool:
        """Whether the handshake is done, after what has come."""
        if not shaken.done():
            try:
                self._object.do_handshake()
                shaken.set_result(None)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                shaken.set_exception(error)
            self._flush()
        return shaken.done() and not shaken.cancelled() and shaken.exception() is None

    def _write_waiting(self) -> None:
        with suppress(ssl.SSLWantReadError):
            while self._waiting:
                self._waiting = self._waiting[self._object.write(self._waiting) :]

    def _write_rest(self, data: memoryview) -> None:
        if self._waiting:
            self._waiting = memoryview(bytes(self._waiting) + data)
            return
        self._waiting = data
        self._write_waiting()
        self._flush()
        self._note()

    def _note(self) -> None:
        """Something unusual has happened."""
        below = self._below
        self.is_over = self.is_ended or (below is not None and below.is_over)
        self.is_free = not self._waiting and not self.is_ended and (below is None or below.is_free)
        self._is_usual = self.is_free and below is None and self._shaken is None

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._send(data)


def _nowhere(data: bytes) -> None:
    raise AssertionError("nothing is sent before the handshake has begun")
