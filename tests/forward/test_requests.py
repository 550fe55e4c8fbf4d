"""Whatever is asked, the origin gets the very bytes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forward.answers import NAMES, VALUES
from tests.forward.conftest import LOOPS
from tests.forward.origin import OK, answering, ask, client, origin
from tests.sizes import sized

METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
VISIBLE = st.sampled_from([bytes([byte]) for byte in [*range(0x21, 0x7F), *range(0x80, 0x100)]])
ESCAPES = st.integers(0, 255).flatmap(lambda byte: st.sampled_from([b"%%%02x" % byte, b"%%%02X" % byte]))
PIECES = st.one_of(VISIBLE, ESCAPES, st.sampled_from([b"?", b"&", b"=", b"//", b"..", b"[", b"%"]))
# No pattern: a text that can be read as pieces in many ways may take it minutes.
TARGETS = st.lists(PIECES, max_size=60).map(lambda pieces: b"/" + b"".join(pieces))
BODIES = st.one_of(st.just(b""), st.binary(max_size=100), st.integers(1, 1 << 17).map(lambda size: b"x" * size))
REQUESTS = st.tuples(METHODS, TARGETS, st.lists(st.tuples(NAMES, VALUES), max_size=4), BODIES)
Requests = list[tuple[str, bytes, list[tuple[bytes, bytes]], bytes]]


async def send_all(requests: Requests) -> None:
    async with origin(answering(OK)) as one, client() as raw:
        for method, target, headers, body in requests:
            # What follows the head of an answer to HEAD is no part of it: the connection then ends.
            assert (await ask(raw, one.url, method, target, headers=headers, body=body)).status == 200
        host = one.url.removeprefix("http://").encode()
    for (method, target, headers, body), arrived in zip(requests, one.asked, strict=True):
        lines = [b"%b: %b" % header for header in headers]
        has_length = body or method in ("POST", "PUT", "PATCH")
        length = [b"Content-Length: %d" % len(body)] if has_length else []
        expected = [b"%b %b HTTP/1.1" % (method.encode(), target), b"Host: " + host, *lines, *length, b"", b""]
        assert arrived.head == b"\r\n".join(expected)
        assert arrived.body == body


@pytest.mark.no_cover
@pytest.mark.parametrize("loop", LOOPS)
@settings(max_examples=sized(quick=10, usual=15, long=1000), deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=10))
def test_each_request_arrives_as_it_was_given(loop: str, requests: Requests) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(send_all(requests))
