"""Replies reach whoever waits for them, in order, however the bytes are cut, and the end is told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import InvalidResponse, NoScriptError, ResponseError

from proxy.redis_client.replies import Replies, TooLate

REPLIES: dict[bytes, Any] = {
    b"+OK\r\n": b"OK",
    b":7\r\n": 7,
    b"$-1\r\n": None,
    b"$5\r\nab\r\nc\r\n": b"ab\r\nc",
    b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n": [b"message", b"c", b""],
}


class Transport:
    """A transport that notes what is asked of it."""

    def __init__(self) -> None:
        self.protocol: asyncio.BaseProtocol = Stream()
        self.reads = True

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        self.reads = True


class Stream(asyncio.Protocol):
    """What reads before: it must still learn of the end and of pauses."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


def opened() -> tuple[Replies, Transport]:
    transport = Transport()
    return Replies(cast("asyncio.WriteTransport", transport), error_of=DefaultParser.parse_error), transport


@given(st.lists(st.sampled_from(sorted(REPLIES)), min_size=1), st.data())
def test_replies_come_in_order_however_they_are_cut(said: list[bytes], data: st.DataObject) -> None:
    async def read() -> list[Any]:
        replies, _ = opened()
        rest = b"".join(said)
        read: list[Any] = []
        while len(read) < len(said):
            waiting = replies.next(None)
            while not waiting.done():
                cut = data.draw(st.integers(1, len(rest)))
                replies.data_received(rest[:cut])
                rest = rest[cut:]
            read.append(await waiting)
        assert not replies.has_any
        return read

    assert asyncio.run(read()) == [REPLIES[one] for one in said]


async def test_a_reply_that_nobody_asked_for_shows() -> None:
    for begun in (b"+OK\r\n", b"+O"):
        replies, _ = opened()
        assert not replies.has_any
        replies.data_received(begun)
        assert replies.has_any


async def test_an_error_is_raised_as_redis_py_names_it() -> None:
    replies, _ = opened()
    replies.data_received(
        b"-NOSCRIPT No matching script.\r\n-ERR other\r\n*1\r\n-LOADING it loads\r\n-LOADING it loads\r\n"
    )
    with pytest.raises(NoScriptError):
        await replies.next(None)
    with pytest.raises(ResponseError, match="other"):
        await replies.next(None)
    for _ in range(2):
        with pytest.raises(NoConnection, match="it loads"):
            await replies.next(None)


async def test_a_reply_after_the_time_is_kept_for_the_next() -> None:
    replies, _ = opened()
    with pytest.raises(TooLate):
        await replies.next(0.001)
    replies.data_received(b":1\r\n:2\r\n")
    assert [await replies.next(0.001), await replies.next(0.001)] == [1, 2]


async def test_after_the_end_what_came_is_read_and_then_every_wait_fails() -> None:
    replies, transport = opened()
    stream = cast(Stream, replies._stream)
    replies.data_received(b":1\r\n")
    assert replies.eof_received()
    replies.connection_lost(OSError("gone"))
    assert await replies.next(None) == 1
    for _ in range(2):
        with pytest.raises(NoConnection, match="closed by server"):
            await replies.next(None)
    assert replies.has_any
    assert stream.told == ["eof", "lost"]
    assert transport.protocol is replies


async def test_a_lost_connection_ends_the_wait() -> None:
    replies, _ = opened()
    waiting = replies.next(None)
    replies.connection_lost(OSError("gone"))
    with pytest.raises(NoConnection, match="gone"):
        await waiting


async def test_bytes_that_are_no_reply_end_every_wait() -> None:
    replies, _ = opened()
    waiting = replies.next(None)
    replies.data_received(b"HTTP/1.1 400 Bad Request\r\n")
    for wait in (waiting, replies.next(None)):
        with pytest.raises(InvalidResponse):
            await wait


async def test_a_server_that_talks_without_being_asked_is_not_read_for_ever() -> None:
    replies, transport = opened()
    sent = 0
    while transport.reads:
        replies.data_received(b":1\r\n" * 100)
        sent += 100
        assert sent <= 10_000
    for _ in range(sent):
        assert not transport.reads
        assert await replies.next(None) == 1
    assert transport.reads


async def test_the_writer_learns_when_the_server_does_not_read() -> None:
    replies, _ = opened()
    replies.pause_writing()
    replies.resume_writing()
    assert cast(Stream, replies._stream).told == ["pause", "resume"]
