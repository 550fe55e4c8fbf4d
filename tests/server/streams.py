"""What clients may do to a gateway, as Hypothesis draws it: bytes on several connections, and a world that changes.

Owns: the steps of a transcript and how they are drawn. Must not know: who plays them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hypothesis import strategies as st

from tests.simulator import Fault

INFO = "/api/v3/exchangeInfo"
CONNECTIONS = 3
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBBTC")
TAG = b"@etag@"
"""Stands for the last ETag that its connection saw."""
SIGNED = "timestamp=@now@00000000&signature=@signature@" + "0" * 53
"""Stands for a timestamp, and for the signature of the parameters up to there: as many characters as this."""


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes on one connection (opened anew where it was closed), in so many parts.

    `hurried`: the next part leaves when the last one was read; else when it was also answered.
    """

    connection: int
    parts: tuple[bytes, ...]
    hurried: bool


@dataclass(frozen=True, slots=True)
class Crowd:
    """One request: on each connection, and when it was answered there, on all of them in the same moment."""

    request: bytes


@dataclass(frozen=True, slots=True)
class Leave:
    """The client closes this connection."""

    connection: int


@dataclass(frozen=True, slots=True)
class Push:
    """Time goes by; a negative number: the clock was put back."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Spend:
    """Somebody else on this IP spends weight."""

    weight: int


@dataclass(frozen=True, slots=True)
class Status:
    """A symbol's status changes at the origin."""

    symbol: str
    status: str


class Event(Enum):
    """What happens to a gateway or its origin."""

    ORIGIN_FAILS = "origin fails"
    ORIGIN_WORKS = "origin works"
    DRAINING = "draining"
    SERVING = "serving"
    REFRESH = "refresh"
    """The document is refreshed before it is stale, as the refresher does."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The origin does this until it works again."""

    fault: Fault


Step = Send | Crowd | Leave | Push | Spend | Status | Event | Trouble

_TARGETS = (
    INFO,
    f"{INFO}?symbol=BTCUSDT",
    f"{INFO}?symbol=ETHUSDT&showPermissionSets=true",
    f"{INFO}?symbols=%5B%22ETHUSDT%22%2C%22BTCUSDT%22%5D",
    f"{INFO}?symbol=NOSUCHCOIN",
    f"{INFO}?symbol=btcusdt",
    f"{INFO}?symbol=BTCUSDT&symbolStatus=TRADING",
    "/api/v3/executionRules?symbol=BTCUSDT",
    "/api/v3/ping",
    "/api/v3/time",
    "/api/v3/klines?symbol=BTCUSDT",
    "/livez",
    "http://gateway.test/api/v3/exchangeInfo?symbol=BTCUSDT",
    "http://127.0.0.1/api/v3/exchangeInfo?symbol=BTCUSDT",
    "//api/v3/exchangeInfo?symbol=BTCUSDT",
    "/nowhere",
)
_HEADERS = (
    b"Accept-Encoding: gzip, deflate, br",
    b"Accept-Encoding: identity;q=0.5, gzip;q=0",
    b"accept-encoding:gzip",
    b"User-Agent: bot/1.0",
    b"Accept: */*",
    b"Accept: application/sbe\r\nX-MBX-SBE: 3:5",
    b"X-MBX-TIME-UNIT: MICROSECOND",
    b"X-Sidecar-Client: bot-7",
    b"If-None-Match: " + TAG,
    b"If-None-Match: *",
    b'If-None-Match: "other", W/' + TAG,
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: keep-alive\r\nConnection: close",
    b"Connection: Keep-Alive, Upgrade\r\nUpgrade: h2c",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"Authorization: Basic eDp5",
    b"Cookie: a=b",
    b"Expect: 100-continue",
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Origin: https://page.test\r\nAccess-Control-Request-Headers: x-mbx-apikey, content-type",
    b"X-Folded: a\r\n b",
    b"X-Spaced : a",
    b"X-Long: " + b"a" * 5000,
    b"X-Oversized: " + b"a" * 9000,
    b"\r\n".join(b"X-%d: a" % number for number in range(140)),
    b"X-Bytes: \xff\xfe\xe2\x82\xac",
    b"X-Null: a\x00b",
)
_BODIES = (b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"GET / HTTP/1.1\r\n\r\n", b"\r\n")
_UNFINISHED = (
    b"GET /api/v3/ping HTTP/1.1\r\nX: ",
    b"GET /api/v3/ping HTTP/1.1\r\nHost: a\r\n",
    b"GET /api/v3/ping HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /api/v3/ping HTTP/1.1\r\nContent-Length: 100\r\n\r\n",
    b"POST /api/v3/ping HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n",
    b"GET /api/v3/time HTTP/1.1\r\nConnection: close\r\n\r\n",
    b"GET /api/v3/time HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"\r\n",
    b"\r",
    b"GET",
)
_LISTED = (_TARGETS[1], *_TARGETS[:4])
_numbers = st.integers(0, CONNECTIONS - 1)
_ORDINARY_HEADERS = tuple(_HEADERS[:12])


def _request(method: bytes, target: str, version: bytes, headers: list[bytes], body: bytes, end: bytes) -> bytes:
    lines = [b" ".join((method, target.encode(), version)), b"Host: gateway", *headers]
    return end.join(lines) + end + end + body


_plain = st.builds(
    _request,
    st.sampled_from((b"GET", b"GET", b"GET", b"HEAD")),
    st.sampled_from(_LISTED),
    st.just(b"HTTP/1.1"),
    st.lists(st.sampled_from(_ORDINARY_HEADERS), max_size=1),
    st.just(b""),
    st.just(b"\r\n"),
)
"""Such as bots send again and again."""
_any = st.builds(
    _request,
    st.sampled_from((b"GET", b"GET", b"HEAD", b"POST", b"get", b"DELETE", b"OPTIONS", b"CONNECT", b"G E T")),
    st.sampled_from(_TARGETS),
    st.sampled_from((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"")),
    st.lists(st.sampled_from(_HEADERS), max_size=3),
    st.sampled_from(_BODIES),
    st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r")),
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A request with some bytes replaced, left out or put in."""
    whole = draw(_any | _plain)
    start = draw(st.integers(0, len(whole)))
    cut = draw(st.integers(0, 4))
    return whole[:start] + draw(st.binary(max_size=4) | st.just(b"\r\n")) + whole[start + cut :]


@st.composite
def _sends(draw: st.DrawFn, plain: st.SearchStrategy[bytes]) -> Send:
    """One to four requests one behind the other, cut anywhere or between them."""
    requests = draw(st.lists(plain | plain | _any | _damaged(), min_size=1, max_size=4))
    if draw(st.booleans()):
        parts = tuple(requests)
    else:
        whole = b"".join(requests)
        cuts = sorted(draw(st.sets(st.integers(1, max(1, len(whole) - 1)), max_size=3)))
        parts = tuple(whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True))
    return Send(draw(_numbers), tuple(part for part in parts if part), draw(st.booleans()))


@st.composite
def _repeats(draw: st.DrawFn, plain: st.SearchStrategy[bytes]) -> Send:
    """What the fast path is for: one request, each time when the last one was answered."""
    return Send(draw(_numbers), (draw(plain),) * draw(st.integers(1, 4)), hurried=False)


@st.composite
def _traps(draw: st.DrawFn, plain: st.SearchStrategy[bytes]) -> Send:
    """Known bytes where they are no request of their own, or while another one is being answered."""
    known, before = draw(plain), draw(_any | _damaged() | st.sampled_from(_UNFINISHED))
    parts = (before, *(known,) * draw(st.integers(1, 3)))
    if draw(st.booleans()):
        parts = (known, *parts)
    return Send(draw(_numbers), tuple(part for part in parts if part), draw(st.booleans()))


_pushes = st.sampled_from((0.125, 0.3, 0.75, 1.0, 1.7, 9.99, 29.6, 31.0, 59.9, 61.3, 130.0, -0.4, -3.0, -70.0))
_changes = (
    st.builds(Push, st.sampled_from((0.0625, 0.2, 0.5, 0.9, -0.25)))
    | st.builds(Push, _pushes)
    | st.builds(Push, _pushes)
    | st.just(Event.REFRESH)
    | st.builds(Leave, _numbers)
    | st.builds(Spend, st.sampled_from((1, 250)))
    | st.builds(Status, st.sampled_from(SYMBOLS), st.sampled_from(("TRADING", "BREAK", "HALT")))
    | st.sampled_from(Event)
)


@st.composite
def transcripts(draw: st.DrawFn) -> list[Step]:
    """Up to a dozen steps around one favourite request; most begin with a document that is some time old."""
    favourite = draw(_plain)
    plain = st.just(favourite) | st.just(favourite) | _plain
    crowds = st.builds(Crowd, plain)
    step = _sends(plain) | _traps(plain) | _repeats(plain) | _repeats(plain) | crowds | _changes | _changes
    begun: list[Step] = []
    if draw(st.integers(0, 3)):
        begun = [Send(0, (favourite,), hurried=False), Push(draw(_pushes)), Send(0, (favourite,) * 2, hurried=False)]
    return begun + draw(st.lists(step, min_size=1, max_size=9))


def byte_streams() -> st.SearchStrategy[tuple[bytes, ...]]:
    """What one client sends, in parts, without the world around it."""
    return (_sends(_plain) | _traps(_plain)).map(lambda step: tuple(part.replace(TAG, b'W/"a"') for part in step.parts))
