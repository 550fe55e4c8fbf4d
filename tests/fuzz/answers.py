"""Answers of the origin, mutated at random, and what may come of them.

Owns: the answers, the mutations, the oracle: what is a valid answer to each request. Must not know: the gateway.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.gateway.harness import INFO
from tests.simulator import generate_document
from tests.simulator.document import render

JSON = "application/json;charset=UTF-8"
_MARKS = (
    *(b"\r\n", b"\r", b"\n", b"\x00", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\xff", b"\\u0000"),
    *(b"\\ud800", b"1e999"),
)
_VALUES = (
    *(b"null", b"true", b"0", b"-1", b"1.5", b"1e400", b"9999999999999999999999999999999999999999"),
    *(b"9" * 5000, b'""', b'"\\ud800"', b'"\xff"', b"[]", b"{}", b"[" * 3000, b"[[]]", b'{"symbol":1}'),
    *(b"NaN", b'"' + b"x" * 3000 + b'"', b"1,2"),
)
_HEADERS = (
    *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 5\r\nContent-Length: 6"),
    *(b"Content-Length: 99999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
    *(b"Content-Encoding: gzip", b"Content-Encoding: br", b"Content-Type: text/html", b"Content-Type: \xff"),
    *(b"Content-Type:", b"Connection: close", b"Connection: upgrade", b"Retry-After: 99999999999999999999"),
    *(b"Retry-After: Fri, 32 Foo 20x", b"Retry-After: -1", b"Keep-Alive: timeout=0"),
    *(b"Date: Thu, 01 Jan 1970 00:00:00 GMT", b"Date: x", b"Age: 99999999999999"),
    *(b"X-MBX-USED-WEIGHT-1M: -5", b"X-MBX-USED-WEIGHT-1M: 999999999999999999999", b"X-MBX-USED-WEIGHT-: 1"),
    *(b"X-MBX-USED-WEIGHT-0S: 1", b"X-MBX-SBE-DEPRECATED: \x01", b"X-MBX-UUID: " + b"a" * 9000, b"No colon"),
    *(b": empty", b" folded: 1", b"Set-Cookie: a=b"),
)
_STATUS_LINES = (
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", b"HTTP/1.1 101 Switching"),
    *(b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 206 Partial", b"HTTP/1.1 301 Moved"),
    *(b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 400 Bad", b"HTTP/1.1 403 Forbidden", b"HTTP/1.1 404 No"),
    *(b"HTTP/1.1 418 Teapot", b"HTTP/1.1 429 Many", b"HTTP/1.1 451 Legal", b"HTTP/1.1 500 Oops"),
    *(b"HTTP/1.1 503 Busy", b"HTTP/1.1 999 What", b"HTTP/2.0 200 OK", b"ICY 200"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the body of a good answer to it."""

    target: str
    body: bytes
    is_valid: Callable[[Any], bool]
    """Whether a decoded body may be served as 200. Market data may be anything: it passes as it came."""
    method: str = "GET"
    is_market: bool = False


def _has_time(value: Any) -> bool:
    time = value.get("serverTime")
    return isinstance(time, int) and not isinstance(time, bool) and time > 0


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and "code" not in value


def _is_document(value: Any) -> bool:
    return (
        _is_object(value)
        and _has_time(value)
        and _are_objects(value.get("rateLimits"))
        and _are_named(value.get("symbols"))
    )


def _is_filtered(value: Any) -> bool:
    """A document that may have no symbol."""
    return _is_object(value) and _is_document({**value, "symbols": value.get("symbols") or [{"symbol": "A"}]})


def _is_contracts(value: Any) -> bool:
    return (
        _is_object(value)
        and _has_time(value)
        and _are_objects(value.get("rateLimits"))
        and (_are_named(value.get("symbols")) or _are_named(value.get("optionSymbols")))
    )


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _are_named(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and isinstance(item.get("symbol"), str) and item["symbol"] for item in value)
    )


def answers(now_ms: int) -> tuple[Asked, ...]:
    """All kinds of requests, with good answers of about this time."""
    document = generate_document(8)
    rendered = render(document, document.symbols.values(), with_sets=True)
    whole = rendered.before + b"%d" % now_ms + rendered.after
    contracts = (
        b'{"timezone":"UTC","serverTime":%d,"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE",'
    )
    contracts += b'"intervalNum":1,"limit":2400}],"symbols":[{"symbol":"BTCUSDT","status":"TRADING"}]}'
    candles = b'[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999]]'
    return (
        Asked(INFO, whole, _is_document),
        Asked(f"{INFO}?symbolStatus=TRADING", whole, _is_filtered),
        Asked(
            "/api/v3/executionRules?symbol=BTCUSDT", b'{"symbolRules":[{"symbol":"BTCUSDT","rules":[]}]}', _is_object
        ),
        Asked("/api/v3/time", b'{"serverTime":%d}' % now_ms, lambda value: _is_object(value) and _has_time(value)),
        Asked("/api/v3/ping", b"{}", _is_object),
        Asked("/fapi/v1/exchangeInfo", contracts % now_ms, _is_contracts),
        Asked("/api/v3/klines?symbol=BTCUSDT&interval=1m", candles, lambda _: True, is_market=True),
        Asked("/api/v3/order?symbol=A&signature=ab", b'{"orderId":1}', lambda _: True, method="POST", is_market=True),
    )


def encode(body: bytes, chance: random.Random, more: Mapping[str, str]) -> bytes:
    """A good answer with this body, framed and coded in one of the ways."""
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {JSON}", *(f"{name}: {value}" for name, value in more.items())]
    if chance.random() < 0.3:
        body = gzip.compress(body, mtime=0)
        lines.append("Content-Encoding: gzip")
    match chance.randrange(4):
        case 0:
            lines.append("Transfer-Encoding: chunked")
            cut = chance.randint(0, len(body))
            pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        case 1:
            lines.append("Connection: close")
        case _:
            lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def mutated(asked: Asked, chance: random.Random, more: Mapping[str, str]) -> bytes:
    """Bytes in place of a good answer. Half of the mutations are in the body, before it is framed."""
    body = asked.body
    if chance.random() < 0.6:
        body = _value_changed(body, chance) if chance.random() < 0.7 else _bytes_changed(body, chance)
        if chance.random() < 0.6:
            return encode(body, chance, more)
    text = encode(body, chance, more)
    for _ in range(chance.randint(1, 3)):
        match chance.randrange(5):
            case 0:
                head, _, rest = text.partition(b"\r\n")
                text = chance.choice(_STATUS_LINES) + b"\r\n" + rest
            case 1 | 2:
                head, mark, rest = text.partition(b"\r\n")
                text = head + mark + chance.choice(_HEADERS) + b"\r\n" + rest
            case 3:
                text = text[: chance.randrange(len(text) + 1)]
            case _:
                text = _bytes_changed(text, chance)
    return text


def _value_changed(body: bytes, chance: random.Random) -> bytes:
    """One JSON value, anywhere, becomes another one."""
    starts = [place + 1 for place, byte in enumerate(body[:-1]) if byte in b":,["]
    start = chance.choice(starts) if starts else 0
    if chance.random() < 0.3:
        start = next((place for place in starts if place > body.find(b'"symbols"')), start)
    end = start
    depth = 0
    while end < len(body) and (depth or body[end] not in b",]}"):
        depth += (body[end] in b"[{") - (body[end] in b"]}")
        end += 1
    return body[:start] + chance.choice(_VALUES) + body[end:]


def _bytes_changed(text: bytes, chance: random.Random) -> bytes:
    given = bytearray(text)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(given))
        match chance.randrange(4):
            case 0:
                given[at : at + 1] = chance.randbytes(1)
            case 1:
                del given[at : at + chance.choice((1, 2, 10, 200))]
            case 2:
                given[at:at] = chance.choice(_MARKS)
            case _:
                given[at:at] = given[at : at + chance.randint(1, 80)]
    return bytes(given)


def fault(asked: Asked, status: int, body: bytes) -> str:
    """What is wrong with what a client got; empty: nothing."""
    if status == 200 and not asked.is_market and not is_valid(asked.is_valid, body):
        return f"200 with {body[:200]!r}"
    return ""


def is_valid(rule: Callable[[Any], bool], body: bytes) -> bool:
    """By Python's own decoder, which is stricter than the gateway's in nothing but numbers without end."""
    try:
        value = json.loads(body.decode("utf-8"), parse_int=_number, parse_constant=_none)
    except (ValueError, RecursionError):
        return False
    return rule(value)


def _number(text: str) -> int:
    return int(text[:400])


def _none(text: str) -> None:
    raise ValueError(text)


def choose(all_asked: Sequence[Asked], chance: random.Random) -> Asked:
    """One of them; documents more often."""
    return chance.choice((*all_asked, *all_asked[:2]))
