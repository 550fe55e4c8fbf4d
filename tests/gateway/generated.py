"""Requests of accounts as no library writes them: by a seed, for tests that send thousands.

Owns: what is varied, and the bytes on the wire. Must not know: what any test expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

PATHS = (
    *("/api/v3/order", "/api/v3/order/test", "/api/v3/openOrders", "/api/v3/account", "/api/v3/myTrades"),
    *("/api/v3/order/cancelReplace", "/api/v3/newThing", "/api/v3/%6frder", "/api/v3/a~b;c=d", "/api/v4/x%2Fy"),
    *("/sapi/v1/capital/config/getall", "/sapi/v1/asset/tradeFee", "/sapi/v3/asset/getUserAsset"),
    *("/fapi/v1/order", "/fapi/v1/batchOrders", "/fapi/v3/account", "/fapi/v1/listenKey", "/fapi/v9/some:thing"),
    *("/dapi/v1/order", "/dapi/v1/allOpenOrders", "/dapi/v1/new(thing)"),
    *("/eapi/v1/order", "/eapi/v1/marginAccount", "/eapi/v1/it's"),
)
METHODS = ("GET", "POST", "PUT", "DELETE")
LISTED = frozenset((b"content-type", b"accept"))
"""Sent on, with every X-MBX-*."""
_PIECES = (
    *("symbol=BTCUSDT", "side=BUY", "price=0.10", "a=%7e", "a=~", "b=%2B", "b=+", "c=%20", "c=%c3%a9", "C=%C3%A9"),
    *("d=[1,2]", 'd=["BTCUSDT"]', "d=%5B%5d", "e", "e=", "=f", "", "g=a=b", "h=%", "h=%zz", "h=%2", "i=a;b", "j={x|y}"),
    *("k=?", "k=/../", "l=\\^`", "m=<>", "n='", "n=%00", "o=%0d%0a", "p=@:!$*(),", "symbol=ETHUSDT", "%73ide=SELL"),
    *("batchOrders=%5B%7B%22symbol%22%3A%22BTCUSDT%22%7D%5D", "recvWindow=5000", "q=%E4%BD%A0%e5%a5%bd"),
)
_FORM = "application/x-www-form-urlencoded"
_TYPES = (_FORM, f"{_FORM}; charset=UTF-8", "application/json", "APPLICATION/JSON;charset=utf-8", "text/plain", "x/y")
_ACCEPT = ("*/*", "application/json", "application/json, text/plain, */*", "application/sbe;q=0.5, */*", "")
_OWN = ("X-MBX-TIME-UNIT: MICROSECOND", "x-mbx-time-unit: millisecond", "X-Mbx-Anything: a, b;  c", "X-MBX-Empty:")
_UNLISTED = (
    *("Cookie: a=b", "Authorization: Bearer c", "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "Via: 1.1 x"),
    *("User-Agent: bot/1.0", "Referer: http://here/", "Accept-Language: de", "Accept-Charset: utf-8", "TE: trailers"),
    *('If-None-Match: "a"', "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "Range: bytes=0-1", "X-MBXA: no"),
    *("Cache-Control: no-cache", "Pragma: no-cache", "X-Sidecar-Client: bot", "Connection: keep-alive", "DNT: 1"),
    *("Keep-Alive: timeout=5", "X-API-Key: d", "Proxy-Authorization: Basic ZTpm", "Max-Forwards: 1", "Priority: u=1"),
)
_ENCODINGS = ("gzip", "identity", "gzip, deflate, br, zstd", "br", "*", "gzip;q=0", "")


@dataclass(frozen=True, slots=True)
class Generated:
    """A request. `headers` are whole lines without Host and framing; `pieces` are the chunks, None for a length."""

    method: str
    target: bytes
    headers: tuple[bytes, ...]
    body: bytes = b""
    pieces: tuple[bytes, ...] | None = None

    @property
    def wire(self) -> bytes:
        """All of its bytes."""
        framing, content = self._framed()
        head = (b"%b %b HTTP/1.1" % (self.method.encode(), self.target), b"Host: gateway", *self.headers, *framing)
        return b"\r\n".join((*head, b"", content))

    def listed(self) -> list[tuple[bytes, bytes]]:
        """Names in lower case and values of the headers that are sent on, in order."""
        split = (line.partition(b":") for line in self.headers)
        named = ((name.lower(), value.strip()) for name, _, value in split)
        return [(name, value) for name, value in named if name in LISTED or name.startswith(b"x-mbx-")]

    def _framed(self) -> tuple[tuple[bytes, ...], bytes]:
        if self.pieces is not None:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self.pieces)
            return (b"Transfer-Encoding: chunked",), chunks + b"0\r\n\r\n"
        if self.body or self.method in ("POST", "PUT"):
            return (b"Content-Length: %d" % len(self.body),), self.body
        return (), b""


@dataclass(slots=True)
class Generator:
    """Makes requests. `secret` gives the text of a key, a signature or a value that nothing else has."""

    seed: int
    random: Random = field(init=False)
    made: list[str] = field(default_factory=list)
    """Every key, signature and value of `secret` that was sent."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def __call__(self) -> Generated:
        """The next one."""
        body, pieces = self._body()
        query = self._query()
        target = self.random.choice(PATHS) + ("?" + query if query or self.random.random() < 0.1 else "")
        return Generated(self.random.choice(METHODS), target.encode(), self._headers(has_body=bool(body)), body, pieces)

    def secret(self, word: str) -> str:
        """A text that is unmistakable: 32 hexadecimal digits after a word."""
        self.made.append(f"{word}{self.random.getrandbits(128):032x}")
        return self.made[-1]

    def _query(self) -> str:
        """Signed, at any place, in any spelling."""
        pieces = self._some(_PIECES, 6)
        pieces.append(f"newClientOrderId={self.secret('own')}")
        self.random.shuffle(pieces)
        pieces.insert(self.random.randint(0, len(pieces)), f"signature={self.secret('sign')}")
        return "&".join(pieces)

    def _body(self) -> tuple[bytes, tuple[bytes, ...] | None]:
        kind = self.random.randrange(6)
        if kind == 0:
            body = self._query().encode()
        elif kind == 1:
            body = b'{"symbol": "BTCUSDT", "own":"%b"}' % self.secret("json").encode()
        elif kind == 2:
            body = self.random.randbytes(self.random.choice((1, 17, 1000, 70_000)))
        else:
            body = b""
        return body, self._chunks(body) if body and self.random.random() < 0.4 else None

    def _chunks(self, body: bytes) -> tuple[bytes, ...]:
        cuts = sorted({0, *(self.random.randint(1, len(body)) for _ in range(self.random.randint(0, 4))), len(body)})
        return tuple(body[start:end] for start, end in pairwise(cuts))

    def _headers(self, *, has_body: bool) -> tuple[bytes, ...]:
        lines = [f"{self.random.choice(('X-MBX-APIKEY', 'x-mbx-apikey', 'X-Mbx-ApiKey'))}: {self.secret('key')}"]
        lines += self._some(_OWN, 2) + self._some(_UNLISTED, 6)
        if has_body or self.random.random() < 0.3:
            lines.append(f"{self.random.choice(('Content-Type', 'content-type'))}: {self.random.choice(_TYPES)}")
        for name, values in (("Accept", _ACCEPT), ("Accept-Encoding", _ENCODINGS)):
            if self.random.random() < 0.7:
                lines.append(f"{name}: {self.random.choice(values)}")
        self.random.shuffle(lines)
        return tuple(line.encode() for line in lines)

    def _some(self, words: Sequence[str], most: int) -> list[str]:
        return self.random.sample(words, self.random.randint(0, most))
