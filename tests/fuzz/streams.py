"""Byte streams for the listener, as Hypothesis draws them, and what came back.

Owns: the strategies, one connection a stream, the verdict on its answers. Must not know: where the gateway runs.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.server.streams import byte_streams

AT_ONCE = 32
"""Streams that are sent side by side."""
DRAWN = 4
"""Of these the ones that Hypothesis draws."""
ANSWER_SECONDS = 30.0
REFUSED_VERSION = 505
"""The only 5xx that a client's bytes may bring about."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
_DETAIL = re.compile(rb"\r\nCache-Status: ([^\r]*)")
_TARGETS = (
    b"/api/v3/order",
    b"/api/v3/order?symbol=BTCUSDT&timestamp=1&signature=ab",
    b"/api/v3/account?timestamp=1&signature=" + b"a" * 64,
    b"/api/v3/exchangeInfo?symbols=[%22BTCUSDT%22,%22ETHUSDT%22]&showPermissionSets=false",
    b"/api/v3/exchangeInfo?permissions=%5B%22SPOT%22%2C%22MARGIN%22%5D&symbolStatus=TRADING",
    b"/api/v3/exchangeInfo?symbol=%F0%9F%92%A9&symbol=%ff&%00=%0d%0a",
    b"/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1000&startTime=-1",
    b"/fapi/v1/exchangeInfo",
    b"/futures/data/openInterestHist?symbol=BTCUSDT&period=5m",
    b"/sapi/v1/system/status",
    b"/metrics",
    b"/status",
    b"/../x",
    b"/api/v3/time#fragment",
    b"*",
    b"",
)
_HEADERS = (
    b"X-MBX-APIKEY: key",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: application/json",
    b"Content-Encoding: gzip",
    b"Content-Encoding: deflate",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Content-Length: 21",
    b"Content-Length: +21",
    b"Content-Length: 99999999999999999999",
    b"Connection: close",
    b"Accept-Encoding: *;q=0.1, gzip;q=nan",
    b'If-None-Match: \xff, W/, "',
    b"Range: bytes=0-0",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUpgrade: websocket\r\nConnection: Upgrade",
    b"Access-Control-Request-Headers: " + b"a," * 200,
    b"Host:",
    b"Host: a\r\nHost: b",
)
_BODIES = (
    b"",
    b"timestamp=1&signature=ab",
    b"{}",
    gzip.compress(b"timestamp=1&signature=ab", mtime=0),
    b"\x78\x9c",
    b"0\r\n\r\n",
)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """One request of an account, or an odd one."""
    method = draw(st.sampled_from((b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE")))
    lines = [method + b" " + draw(st.sampled_from(_TARGETS)) + b" HTTP/1.1", b"Host: gateway"]
    lines += draw(st.lists(st.sampled_from(_HEADERS), max_size=4))
    body = draw(st.sampled_from(_BODIES) | st.binary(max_size=40))
    match draw(st.integers(0, 3)):
        case 0:
            lines.append(b"Content-Length: %d" % len(body))
        case 1:
            lines.append(b"Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


_fresh = byte_streams() | st.lists(_requests(), min_size=1, max_size=3).map(tuple) | st.tuples(st.binary(max_size=200))


@st.composite
def batches(draw: st.DrawFn, known: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """What so many clients send side by side, each in parts: some streams that are drawn, and changed ones.

    To draw a stream takes longer than to send it. So most are made from a seed that is drawn.
    """
    drawn = draw(st.lists(_fresh, min_size=DRAWN, max_size=DRAWN))
    chance = draw(st.randoms(use_true_random=True, note_method_calls=False))
    sources = [*known, *[b"".join(parts) for parts in drawn]]
    return drawn + [(changed(chance, sources),) for _ in range(AT_ONCE - DRAWN)]


def changed(chance: random.Random, sources: Sequence[bytes]) -> bytes:
    """One of the sources with some changes, and perhaps the end of another one."""
    given = bytearray(chance.choice(sources))
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(given))
        match chance.randint(0, 5):
            case 0:
                given[at : at + 1] = chance.randbytes(1)
            case 1:
                del given[at : at + chance.randint(1, 8)]
            case 2:
                given[at:at] = chance.choice((b"\r\n", b"\r", b"\n", b"\0", b" ", b":", b"%", b"\xff", b"\r\n\r\n"))
            case 3:
                given[at:at] = given[at : at + chance.randint(1, 60)]
            case 4 if at < len(given):
                given[at] ^= 1 << chance.randint(0, 7)
            case _:
                other = chance.choice(sources)
                given[at:] = other[chance.randint(0, len(other)) :]
    return bytes(given)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back until the gateway closed the connection."""

    statuses: tuple[int, ...]
    details: frozenset[bytes]
    """The words of Cache-Status, without numbers."""
    fault: str = ""


async def send(address: tuple[str, int], parts: Sequence[bytes]) -> Outcome:
    """Send a stream, end it, and read to the end. A reset is an end like any other."""
    client = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    answers = bytearray()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await loop.sock_connect(client, address)
            try:
                for part in parts:
                    await loop.sock_sendall(client, part)
                client.shutdown(socket.SHUT_WR)
                while piece := await loop.sock_recv(client, 1 << 16):
                    answers += piece
            except OSError:  # also at the shutdown of a connection that is gone
                pass
    except TimeoutError:
        return Outcome((), frozenset(), "the connection is still open")
    finally:
        client.close()
    return judged(bytes(answers))


def judged(answers: bytes) -> Outcome:
    """What the bytes that came back say, and what is wrong with them."""
    statuses = tuple(int(status) for status in _STATUS.findall(answers))
    details = frozenset(re.sub(rb"-?[0-9]+", b"", detail) for detail in _DETAIL.findall(answers))
    fault = ""
    if answers and not answers.startswith(b"HTTP/1."):
        fault = f"no answer: {answers[:40]!r}"
    if any(status >= 500 and status != REFUSED_VERSION for status in statuses):
        fault = f"a status that is ours: {statuses}"
    return Outcome(statuses, details, fault)


async def send_all(address: tuple[str, int], batch: Sequence[Sequence[bytes]]) -> list[Outcome]:
    """Send them side by side."""
    return await asyncio.gather(*(send(address, parts) for parts in batch))
