"""Heads: what is written, what is read, and what is refused."""

from __future__ import annotations

import pytest

from proxy.forward.head import Framing, Head, InvalidAnswer, read_head, render
from proxy.forward.messages import RawRequest

INFINITE = float("inf")


def read(text: bytes, *, is_head: bool = False) -> Head:
    head = read_head(b"HTTP/1.1 200 OK\r\n" + text + b"\r\n", is_head=is_head)
    assert head is not None
    return head


@pytest.mark.parametrize("target", [b"/a?", b"/%7e%2f[", b"//a/../b", b"/a?x=%zz&y=\xe5", b"/?a=1&signature=%2B", b"*"])
def test_the_target_goes_out_as_it_is(target: bytes) -> None:
    written = render(RawRequest("GET", target, ()), host=b"h")
    assert written == b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target


def test_headers_keep_their_order_their_spelling_and_their_number() -> None:
    lines = ((b"X-A", b"1"), (b"x-a", b"2"), (b"X-MBX-APIKEY", b"k  k"), (b"Empty", b""))
    written = render(RawRequest("GET", b"/", lines), host=b"h:1")
    assert written == b"GET / HTTP/1.1\r\nHost: h:1\r\nX-A: 1\r\nx-a: 2\r\nX-MBX-APIKEY: k  k\r\nEmpty: \r\n\r\n"


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", b"", None), ("DELETE", b"", None), ("POST", b"", 0), ("PUT", b"", 0), ("DELETE", b"a=1", 3)],
)
def test_the_length_is_told_of_bodies_and_where_one_is_expected(method: str, body: bytes, length: int | None) -> None:
    written = render(RawRequest(method, b"/", (), body), host=b"h")
    assert written.endswith(b"\r\n\r\n")
    assert (b"Content-Length: %d\r\n" % length in written) if length is not None else b"Length" not in written


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", b"/ HTTP/1.1\r\nX: 1", ()),
        ("GET", b"/a b", ()),
        ("GET", b"", ()),
        ("GET", b"/\n", ()),
        ("G T", b"/", ()),
        ("", b"/", ()),
        ("GET\n", b"/", ()),
        ("GÉT", b"/", ()),
        ("GET", b"/", ((b"A", b"1\r\nB: 2"),)),
        ("GET", b"/", ((b"A", b"1\n"),)),
        ("GET", b"/", ((b"A", b"\x00"),)),
        ("GET", b"/", ((b"A b", b"1"),)),
        ("GET", b"/", ((b"", b"1"),)),
        ("GET", b"/", ((b"A:", b"1"),)),
        ("GET", b"/", ((b"hOST", b"1"),)),
        ("GET", b"/", ((b"A", b"1"), (b"Content-Length", b"1"))),
        ("GET", b"/", ((b"Transfer-Encoding", b"chunked"),)),
        ("GET", b"/", ((b"Connection", b"close"),)),
    ],
)
def test_what_would_not_be_one_request_is_not_written(
    method: str, target: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    with pytest.raises(ValueError, match=r"valid request|itself writes"):
        render(RawRequest(method, target, headers), host=b"h")


def test_of_equal_names_the_last_header_counts_and_a_byte_is_a_character() -> None:
    head = read(b"X-A:1\r\nx-a: \t 2 3 \t\r\nEmpty:\r\nUtf: \xc3\xa9\r\n")
    assert head.texts == {"x-a": "2 3", "empty": "", "utf": "\xc3\xa9"}


@pytest.mark.parametrize(
    ("text", "is_head", "framing", "length"),
    [
        (b"", False, Framing.CLOSE, -1),
        (b"content-LENGTH: 12\r\n", False, Framing.LENGTH, 12),
        (b"Content-Length: 12\r\n", True, Framing.NONE, 0),
        (b"Transfer-Encoding: Chunked\r\n", False, Framing.CHUNKED, -1),
        (b"Transfer-Encoding: chunked\r\n", True, Framing.NONE, 0),
    ],
)
def test_where_the_body_ends(text: bytes, is_head: bool, framing: Framing, length: int) -> None:
    head = read(text, is_head=is_head)
    assert (head.framing, head.length) == (framing, length)


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    head = read_head(b"HTTP/1.1 %d No\r\nContent-Length: 5\r\n\r\n" % status, is_head=False)
    assert head is not None
    assert (head.framing, head.length, head.stays_seconds) == (Framing.NONE, 0, INFINITE)


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_interim_answers_are_told_apart(status: int) -> None:
    assert read_head(b"HTTP/1.1 %d Wait\r\nLink: x\r\n\r\n" % status, is_head=False) is None


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 200 OK\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\nB: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\rB: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 10**19,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        read_head(text, is_head=False)


@pytest.mark.parametrize(
    ("version", "text", "seconds"),
    [
        (1, b"", INFINITE),
        (1, b"Connection: keep-alive\r\n", INFINITE),
        (1, b"Connection: Close\r\n", 0.0),
        (1, b"Connection: keep-alive\r\nConnection: x ,\tclose\r\n", 0.0),
        (1, b"Connection: closed\r\n", INFINITE),
        (1, b"Keep-Alive: timeout=5, max=100\r\n", 4.0),
        (1, b'Keep-Alive: max=100, Timeout="5"\r\n', 4.0),
        (1, b"Keep-Alive: timeout=0\r\n", 0.0),
        (1, b"Keep-Alive: max=1\r\n", INFINITE),
        (0, b"", 0.0),
        (0, b"Connection: Keep-Alive\r\n", INFINITE),
        (0, b"Connection: keep-alive, close\r\n", 0.0),
    ],
)
def test_how_long_the_connection_stays(version: int, text: bytes, seconds: float) -> None:
    block = b"HTTP/1.%d 200 OK\r\nContent-Length: 0\r\n%b\r\n" % (version, text)
    head = read_head(block, is_head=False)
    assert head is not None
    assert head.stays_seconds == seconds


def test_without_a_length_the_connection_ends_the_body() -> None:
    assert read(b"").stays_seconds == 0.0
