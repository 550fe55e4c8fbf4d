"""The raw client and aiohttp's, side by side: the same answers, and the same errors for what goes wrong."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.messages import ClientRequest, OriginResponse
from proxy.core.query.canonical import CanonicalQuery, canonicalize
from proxy.errors import ConnectionLost, Unreachable, UpstreamFailed
from proxy.forward.client import RawClient
from proxy.forward.messages import RawResponse
from proxy.origin.client import Upstream
from tests.forward.answers import Answer, answers
from tests.forward.conftest import LOOPS
from tests.forward.origin import Exchange, ask, client, origin
from tests.simulator import Fault, Simulator
from tests.sizes import sized

TIME = "/api/v3/time"
_NOT_SMALLER = set(Phase) - {Phase.shrink}
"""An answer that one of both does not understand ends by time: to look for a smaller one takes minutes."""


class Uncounted:
    """Counts nothing."""

    def upstream_answered(self, host: str, *, status: str, seconds: float) -> None:
        """Do nothing."""

    def connection_failed(self, host: str, *, cause: str) -> None:
        """Do nothing."""


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    inner = sorted({cut for cut in cuts if 0 < cut < len(text)})
    return [text[start:end] for start, end in zip([0, *inner], [*inner, None], strict=True)]


async def both(transcript: list[tuple[Answer, list[int]]]) -> None:
    """Send the answers in pieces to both clients, each on the connections that it keeps."""
    left: list[tuple[Answer, list[int]]] = []

    async def act(exchange: Exchange) -> bool:
        answer, cuts = left.pop(0)
        await exchange.send(*pieces(answer.text, cuts))
        return not answer.ends_with_connection

    async with (
        origin(act) as one,
        client() as raw,
        aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=2)) as session,
    ):
        for answer, cuts in transcript:
            method = "HEAD" if answer.has_no_body else "GET"
            left[:] = [(answer, cuts)] * 2
            mine = await ask(raw, one.url, method, seconds=2)
            async with session.request(method, one.url + "/x", allow_redirects=False) as theirs:
                assert (mine.status, mine.body) == (theirs.status, await theirs.read())
                assert mine.headers == theirs.raw_headers
            assert (mine.status, mine.headers, mine.body) == (answer.status, answer.headers, answer.body)
        assert len(one.asked) == 2 * len(transcript)


@pytest.mark.parametrize("loop", LOOPS)
@settings(max_examples=sized(quick=10, usual=50, long=1000), deadline=None, phases=_NOT_SMALLER)
@given(st.lists(st.tuples(answers(is_common=True), st.lists(st.integers(1, 400), max_size=6)), min_size=1, max_size=6))
def test_both_read_what_was_meant(loop: str, transcript: list[tuple[Answer, list[int]]]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(both(transcript))


async def outcome(sent: Any) -> tuple[Any, ...]:
    """What an exchange comes to: the answer, or the error with its cause and whether a head came."""
    try:
        answer: RawResponse | OriginResponse = await sent
    except UpstreamFailed as error:
        cause = error.cause if isinstance(error, ConnectionLost | Unreachable) else None
        return type(error), cause, error.status, error.code, sorted(error.headers), error.msg
    return answer.status, re.sub(rb"[0-9]{13}", b"", answer.body)  # the time


def query() -> CanonicalQuery:
    read = canonicalize(ENDPOINTS[TIME], ClientRequest(method="GET", path=TIME, raw_query=""))
    assert isinstance(read, CanonicalQuery)
    return read


async def by_both(raw: RawClient, url: str, sent: int, simulator: Simulator) -> list[tuple[Any, ...]]:
    """The outcome of one request with aiohttp's client and with the raw one; each reaches the origin `sent` times."""
    outcomes = []
    async with Upstream((url,), connect_seconds=2.0, max_body_bytes=1 << 22, observer=Uncounted()) as upstream:
        for way in (
            upstream.send(url, query(), check=lambda: None, seconds=0.3),
            ask(raw, url, "GET", TIME.encode(), seconds=0.3),
        ):
            before = simulator.count()
            outcomes.append(await outcome(way))
            assert simulator.count() - before == sent
    return outcomes


@pytest.mark.parametrize("is_kept", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize("fault", Fault)
async def test_a_fault_is_the_same_error(fault: Fault, is_kept: bool) -> None:
    async with Simulator() as simulator, client() as raw:
        if is_kept:
            await ask(raw, simulator.url, "GET", TIME.encode())
        simulator.set_fault(fault, delay_seconds=5.0)
        theirs, mine = await by_both(raw, simulator.url, 0 if fault is Fault.DOWN else 1, simulator)
    assert mine == theirs
