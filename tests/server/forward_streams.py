"""What clients ask that goes through to the origin, and what the origin does wrong meanwhile, as Hypothesis draws it.

Owns: these steps and how they are drawn. Must not know: who plays them.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.server.streams import CONNECTIONS, SIGNED, Crowd, Event, Leave, Push, Send, Spend, Step, Trouble
from tests.simulator import Fault
from tests.simulator.account import HMAC_KEY

_ORDER = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&"
_TARGETS = (
    "/api/v3/time",
    "/api/v3/ping",
    "/api/v3/ping?a=b",
    "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=2",
    "/api/v3/klines?symbol=NOSUCHCOIN&interval=1m",
    "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=700",
    "/api/v3/ticker/price?symbols=%5B%22ETHUSDT%22,%22BTCUSDT%22%5D",
    '/api/v3/ticker/price?symbols=["ETHUSDT"]',
    "/api/v3/klines?symbol=BTCUSDT&interval=1m&signature=00",
    "/api/v3/depth?",
    "/fapi/v1/time",
    "/api/v3/exchangeInfo?symbol=BTCUSDT",
    "/api/v3/nowhere",
    "//api/v3/time",
    "/api/v3/time#there",
    "/livez",
)
_KEYED = (
    f"POST /api/v3/order?{_ORDER}{SIGNED}",
    f"DELETE /api/v3/order?symbol=BTCUSDT&orderId=1&{SIGNED}",
    f"GET /api/v3/account?{SIGNED}",
    f"GET /api/v3/openOrders?{SIGNED}",
    "GET /api/v3/account?timestamp=1&signature=00",
    f"PUT /api/v3/order?{SIGNED}",
    f"GET /sapi/v1/asset/assetDetail?{SIGNED}",
    f"POST /api/v3/nowhere?{SIGNED}",
)
_HEADERS = (
    "Accept-Encoding: gzip, deflate",
    "X-Sidecar-Client: bot-7",
    "Accept: */*",
    "User-Agent: bot/1.0",
    "X-MBX-TIME-UNIT: MICROSECOND",
    "x-mbx-twice: 1\r\nX-MBX-Twice: 2",
    "Connection: keep-alive",
    "Connection: close",
    "Cookie: a=b",
    "Expect: 100-continue",
    "Content-Length: 0",
    "X-MBX-Bytes: \xe4",
)
_FORM = "Content-Type: application/x-www-form-urlencoded"
_numbers = st.integers(0, CONNECTIONS - 1)


def _request(line: str, headers: list[str], body: str = "") -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: gateway", *headers, *((f"Content-Length: {len(body)}",) if body else ())]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


_some_headers = st.lists(st.sampled_from(_HEADERS), max_size=1) | st.lists(st.sampled_from(_HEADERS), max_size=3)
_public = st.builds(
    lambda target, headers: _request(f"GET {target}", headers), st.sampled_from(_TARGETS), _some_headers
)
_keyed = st.builds(
    lambda line, headers: _request(line, [f"X-MBX-APIKEY: {HMAC_KEY}", *headers]),
    st.sampled_from(_KEYED),
    _some_headers,
)
_with_body = st.builds(
    lambda line, body, kind, headers: _request(line, [f"X-MBX-APIKEY: {HMAC_KEY}", *kind, *headers], body),
    st.sampled_from(("POST /api/v3/order", "DELETE /api/v3/order", "POST /api/v3/time", "GET /api/v3/time")),
    st.sampled_from((f"{_ORDER}{SIGNED}", "signature=00", "a\r\n\r\nb")),
    st.sampled_from(([_FORM], [])),
    _some_headers,
)
_usual = st.builds(
    _request,
    st.sampled_from([f"GET {target}" for target in _TARGETS[:6]] + [f"{line}" for line in _KEYED[:4]]),
    st.lists(st.sampled_from(_HEADERS[:4]), max_size=1).map(lambda some: [f"X-MBX-APIKEY: {HMAC_KEY}", *some]),
) | st.just(_request("POST /api/v3/order", [f"X-MBX-APIKEY: {HMAC_KEY}", _FORM], f"{_ORDER}{SIGNED}"))
"""What is usually forwarded."""
_any = _public | _public | _keyed | _with_body


@st.composite
def _sends(draw: st.DrawFn, favourite: st.SearchStrategy[bytes]) -> Send:
    """Requests one behind the other, each when the last one was answered, or at once, or cut anywhere."""
    requests = draw(st.lists(favourite | favourite | _any, min_size=1, max_size=4))
    kind = draw(st.sampled_from(("each", "hurried", "joined", "cut")))
    parts = tuple(requests)
    if kind in ("joined", "cut"):
        whole = b"".join(requests)
        cuts = sorted(draw(st.sets(st.integers(1, len(whole) - 1), max_size=2))) if kind == "cut" else []
        parts = tuple(whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True))
    return Send(draw(_numbers), parts, hurried=kind != "each")


_troubles = st.builds(
    Trouble,
    st.sampled_from(
        (
            *(Fault.RESET, Fault.TRUNCATED, Fault.INVALID_JSON, Fault.ERROR_BODY, Fault.HTML_403, Fault.TEAPOT_418),
            *(Fault.TOO_MANY_429, Fault.RESTRICTED_451, Fault.INTERNAL_500, Fault.HTML_503, Fault.GARBAGE, Fault.DOWN),
        )
    ),
)
_changes = (
    st.builds(Push, st.sampled_from((0.2, 0.75, 9.9, 31.0, 61.3, 130.0)))
    | st.builds(Leave, _numbers)
    | st.builds(Spend, st.sampled_from((1, 5300)))
    | st.sampled_from((Event.DRAINING, Event.SERVING, Event.ORIGIN_WORKS, Event.ORIGIN_WORKS))
    | _troubles
)


_shared = st.builds(
    lambda target, headers: _request(f"GET {target}", headers),
    st.sampled_from(_TARGETS[1:8]),
    st.lists(st.sampled_from(_HEADERS[:4]), max_size=2),
)
"""What clients that ask at once get of one request to the origin."""


@st.composite
def forwarded(draw: st.DrawFn) -> list[Step]:
    """Up to a dozen steps around one favourite request, which is known and whose origin has a connection open."""
    favourite = st.just(draw(_usual | _usual | _any))
    begun: list[Step] = [Send(0, (draw(favourite),) * 2, hurried=False)]
    return begun + draw(st.lists(_sends(favourite) | _sends(favourite) | _changes, min_size=1, max_size=8))


def crowded() -> st.SearchStrategy[list[Step]]:
    """Clients that ask for the same thing at once, and what changes meanwhile."""
    crowds = st.builds(Crowd, _shared)
    return st.lists(crowds | crowds | _sends(_shared) | _changes, min_size=1, max_size=8)
