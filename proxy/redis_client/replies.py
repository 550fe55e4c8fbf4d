"""What a server says on one connection, after the log-in, reply by reply.

Owns: the reading of a connection's bytes, the time that a reply may take. Must not know: commands, who connects and
logs in, what is done after an error.

redis-py reads through six coroutines and makes an object for each time limit. Here a reply goes from the event loop's
call to whoever waits for it, and one timer bounds the wait.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import hiredis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import InvalidResponse, RedisError

_MOST_WAITING = 1024
"""With so many replies that nobody has asked for, no more are read."""
_NOT_YET = object()


class TooLate(Exception):
    """No reply came in time."""


class Replies(asyncio.Protocol):
    """Takes the place of the stream of a connection that is logged in. One reply is waited for at a time."""

    def __init__(self, transport: asyncio.WriteTransport, *, error_of: Callable[[str], Exception]) -> None:
        """`error_of`: makes the error of a server's words."""
        self.transport = cast("asyncio.Transport", transport)
        self._stream = cast("asyncio.Protocol", self.transport.get_protocol())
        """Its writer still waits for it, so it learns of pauses and of the end."""
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=error_of, notEnoughData=_NOT_YET)
        self._waiting: asyncio.Future[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._came: deque[Any] = deque()
        self._is_paused = False
        self._end: Callable[[], Exception] | None = None
        self.transport.set_protocol(self)

    @property
    def has_any(self) -> bool:
        """Whether a reply, a part of one, or the connection's end has come."""
        return bool(self._came) or self._end is not None or self._reader.has_data()

    def next(self, seconds: float | None) -> asyncio.Future[Any]:
        """The next reply.

        Fails with the error that a reply is, with TooLate after so many seconds, with NoConnection where the
        connection has ended, and with InvalidResponse after bytes that are no reply.
        """
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        if not self._hand_over() and seconds is not None and seconds < math.inf:
            self._timer = loop.call_later(seconds, _give_up, waiting)
        return waiting

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        reader, came = self._reader, self._came
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOT_YET:
                came.append(reply)
        except InvalidResponse as error:
            self._end = partial(InvalidResponse, *error.args)
        if self._waiting is not None:
            self._hand_over()
        elif len(came) > _MOST_WAITING:
            self._is_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool | None:
        """The server sends no more."""
        self._ended(None)
        return self._stream.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._ended(exc)
        self._stream.connection_lost(exc)

    def pause_writing(self) -> None:
        """The server does not read."""
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._stream.resume_writing()

    def _ended(self, error: Exception | None) -> None:
        if self._end is None:
            words = "Connection closed by server." if error is None else f"Connection lost: {error}"
            self._end = partial(NoConnection, words)
        self._hand_over()

    def _hand_over(self) -> bool:
        """Give what has come to whoever waits. Whether nobody waits any more."""
        waiting = self._waiting
        if waiting is None:
            return True
        if not waiting.done():
            if self._came:
                _settle(waiting, self._came.popleft())
            elif self._end is not None:
                waiting.set_exception(self._end())
            else:
                return False
        self._waiting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_paused and not self._came:
            self._is_paused = False
            self.transport.resume_reading()
        return True


def _settle(waiting: asyncio.Future[Any], reply: Any) -> None:
    first = reply[0] if isinstance(reply, list) and reply else None
    if isinstance(reply, RedisError):
        waiting.set_exception(reply)
    elif isinstance(first, NoConnection):  # a transaction that the server broke off, for instance while it loads
        waiting.set_exception(first)
    else:
        waiting.set_result(reply)


def _give_up(waiting: asyncio.Future[Any]) -> None:
    if not waiting.done():
        waiting.set_exception(TooLate)
