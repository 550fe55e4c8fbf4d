"""A request that a template reads is read as by its head: the same target, key and body. All others it leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiohttp.http import HttpVersion11, RawRequestMessage
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.server.heads import Heads
from proxy.server.template import MAX_KEY_BYTES, MAX_LINE_BYTES, Template
from tests.sizes import sized

ORDER, KEY = "/api/v3/order", "k" * 64
BODY = b"symbol=BTCUSDT&side=SELL&signature=00"


def request(target: str = ORDER, *, key: str = KEY, body: bytes = b"", more: str = "") -> bytes:
    """Its bytes; without a key line if the key is empty."""
    lines = ["Host: api.binance.com", *([f"X-MBX-APIKEY: {key}"] if key else []), "Accept: */*"]
    lines += [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([f"POST {target} HTTP/1.1", *lines])
    return f"{head}\r\n{more}\r\n".encode("latin-1") + body


def heads_of(chunk: bytes) -> Heads:
    """They know the head of this request."""
    lines = chunk.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    pairs = tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines))
    headers = CIMultiDict((name.decode(), value.decode()) for name, value in pairs)
    message = RawRequestMessage(
        "POST", ORDER, HttpVersion11, CIMultiDictProxy(headers), pairs, False, None, False, False, URL(ORDER)
    )
    heads = Heads()
    heads.learn(chunk, message)
    return heads


def template_of(heads: Heads, chunk: bytes) -> Template:
    """That of a request with a known head."""
    asked = heads.asked(chunk)
    assert asked is not None
    return asked.template(chunk, "POST")


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (request(), request(key="q" * 7)),
        (request(body=BODY), request(key="Q9", body=BODY[::-1])),
        (request(f"{ORDER}?a=1"), request(f"{ORDER}?timestamp=17&signature=ab%20")),
        (request(f"{ORDER}?a=1"), request()),
        (request(), request(f"{ORDER}?")),
        (request(key=""), request(f"{ORDER}?a=1", key="")),
        (request(), request(key="q" * MAX_KEY_BYTES)),
    ],
)
def test_what_changes_is_read(first: bytes, again: bytes) -> None:
    heads = heads_of(first)
    asked, found = heads.asked(again), template_of(heads, first).read(again)
    assert asked is not None
    assert found == (asked.line[5:], asked.api_key.encode(), asked.body)


@pytest.mark.parametrize(
    "other",
    [
        request(f"{ORDER}List/oco"),
        request("/api/v3/account"),
        request(f"{ORDER}?a=1#b"),
        request(f"{ORDER}?a=1 HTTP/1.1"),
        request(f"{ORDER}?{'a' * MAX_LINE_BYTES}"),
        request(key="q" * (MAX_KEY_BYTES + 1)),
        request(key="q q"),
        request(key="q\xe9"),
        request(key=""),
        request(more="Accept: text/plain\r\n"),
        request(body=BODY),
        request() + b"x",
        request()[:-1],
        b"",
    ],
)
def test_another_request_is_left(other: bytes) -> None:
    assert template_of(heads_of(request()), request()).read(other) is None


def _changed(chunk: bytes, at: int, change: Callable[[bytes], bytes]) -> bytes:
    at %= len(chunk)
    return chunk[:at] + change(chunk[at : at + 1]) + chunk[at + 1 :]


CHANGES = st.one_of(
    st.binary(min_size=1, max_size=3).map(lambda more: lambda byte: more + byte),
    st.binary(max_size=1).map(lambda other: lambda _: other),
    st.sampled_from([b" HTTP/1.1", b"\r\n\r\n", b"?", b"\r\n", b"\r\nX-MBX-APIKEY: a"]).map(
        lambda more: lambda byte: more + byte
    ),
)


@settings(max_examples=sized(quick=100, usual=300, long=20_000))
@given(
    first=st.sampled_from([request(), request(f"{ORDER}?a=1"), request(body=BODY), request(key="")]),
    again=st.sampled_from([request(key="qq"), request(f"{ORDER}?b=2"), request(body=BODY), request(key="")]),
    changes=st.lists(st.tuples(st.integers(0, 400), CHANGES), max_size=2),
)
@example(first=request(), again=request(), changes=[(0, lambda byte: byte)])
def test_no_change_makes_it_read_what_the_head_does_not(
    first: bytes, again: bytes, changes: list[tuple[int, Callable[[bytes], bytes]]]
) -> None:
    heads, chunk = heads_of(first), again
    for at, change in changes:
        chunk = _changed(chunk, at, change)
    found = template_of(heads, first).read(chunk) if chunk else None
    if found is not None:
        asked = heads.asked(chunk)
        assert asked is not None
        assert found == (asked.line[5:], asked.api_key.encode(), asked.body)
