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
        self._count = 0
        """Of the replies that are waited for together; 0: one by itself."""
        self._timer: asyncio.TimerHandle | None = None
        self._came: deque[Any] = deque()
        self._is_paused = False
        self._end: Callable[[], Exception] | None = None
        self.transport.set_protocol(self)

    @property
    def has_any(self) -> bool:
        """Whether a reply, a part of one, or the connection's end has come."""
        return bool(self._came) or self._end is not None or self._reader.has_data()

    def next(self, seconds: float | None, *, count: int = 0) -> asyncio.Future[Any]:
        """The next reply, or a list of the next `count`.

        Fails with TooLate after so many seconds, with NoConnection where the connection has ended, with
        InvalidResponse after bytes that are no reply, and with the error that a reply is, but not one of several.
        """
        loop = asyncio.get_running_loop()
        waiting, self._count = loop.create_future(), count
        if len(self._came) >= (count or 1) or self._end is not None:
            self._settle(waiting)
            return waiting
        self._waiting = waiting
        if seconds is not None and seconds < math.inf:
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
            self._hand_over(self._waiting)
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
        if self._waiting is not None:
            self._hand_over(self._waiting)

    def _hand_over(self, waiting: asyncio.Future[Any]) -> None:
        """Give what has come to whoever waits, if it suffices."""
        if not waiting.done():
            if len(self._came) < (self._count or 1) and self._end is None:
                return
            self._settle(waiting)
        self._waiting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self, waiting: asyncio.Future[Any]) -> None:
        came, count = self._came, self._count
        if self._end is not None and len(came) < (count or 1):
            waiting.set_exception(self._end())
        elif count:
            waiting.set_result([came.popleft() for _ in range(count)])
        else:
            reply = came.popleft()
            # A transaction that was broken off, for instance by a server that loads, is a list of errors.
            failure = reply[0] if isinstance(reply, list) and reply else reply
            if isinstance(reply, RedisError) or isinstance(failure, NoConnection):
                waiting.set_exception(failure)
            else:
                waiting.set_result(reply)
        if self._is_paused and not came:
            self._is_paused = False
            self.transport.resume_reading()


def _give_up(waiting: asyncio.Future[Any]) -> None:
    if not waiting.done():
        waiting.set_exception(TooLate)
