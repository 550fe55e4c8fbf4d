"""The fast path is invisible: whatever clients send and whatever happens, both ways answer the same bytes.

SIDECAR_TEST_EXAMPLES sets how many transcripts both loops get together; without it SIDECAR_TEST_SIZE does. A long run
needs a longer time-out too:
`SIDECAR_TEST_EXAMPLES=100000 pytest -o faulthandler_timeout=0 tests/server/test_differential.py`.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck, event, example, given, settings

from tests.server.conftest import LOOPS
from tests.server.streams import Leave, Send, Step, transcripts
from tests.server.twins import Twins, twins
from tests.sizes import sized

EXAMPLES = int(os.environ.get("SIDECAR_TEST_EXAMPLES") or sized(quick=30, usual=40, long=1000))


@pytest.mark.no_cover
@pytest.mark.parametrize("loop", LOOPS)
def test_the_bytes_that_come_back_are_the_same_with_and_without_the_lane(loop: str) -> None:
    """Both gateways are on a loop that turns only while a transcript is played."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        context = twins()
        pair = runner.run(context.__aenter__())
        try:
            _compare(runner, pair)
            assert pair.fast.fast_answers > EXAMPLES // 10, "the fast path had its part in that"
            assert pair.ordinary.fast_answers == 0
        finally:
            runner.run(context.__aexit__(None, None, None))


PLAIN = b"GET /api/v3/exchangeInfo HTTP/1.1\r\nHost: gateway\r\n\r\n"
CUT_BODY = b"HEAD /livez HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
"""A client that leaves within a body must not keep its connection: no more of the body can come."""


def _compare(runner: asyncio.Runner, pair: Twins) -> None:
    @settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
    @given(transcript=transcripts())
    @example(transcript=[Send(0, (CUT_BODY, PLAIN), hurried=True), Leave(0)])
    def are_the_same(transcript: list[Step]) -> None:
        before = pair.fast.fast_answers
        runner.run(_play(pair, transcript))
        event("answered by the fast path" if pair.fast.fast_answers > before else "ordinary only")

    are_the_same()


async def _play(pair: Twins, transcript: list[Step]) -> None:
    await pair.begin()
    for step in transcript:
        await pair.play(step)
        await pair.agree()
