"""The raw client and aiohttp's, side by side: the same answers."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.forward.answers import Answer, answers
from tests.forward.conftest import LOOPS
from tests.forward.origin import Exchange, ask, client, origin
from tests.sizes import sized

_NOT_SMALLER = set(Phase) - {Phase.shrink}
"""An answer that one of both does not understand ends by time: to look for a smaller one takes minutes."""


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
                assert theirs.raw_headers == answer.headers
            assert (mine.status, mine.texts, mine.body) == (answer.status, answer.texts, answer.body)
        assert len(one.asked) == 2 * len(transcript)


@pytest.mark.no_cover
@pytest.mark.parametrize("loop", LOOPS)
@settings(max_examples=sized(quick=10, usual=15, long=1000), deadline=None, phases=_NOT_SMALLER)
@given(st.lists(st.tuples(answers(is_common=True), st.lists(st.integers(1, 400), max_size=6)), min_size=1, max_size=6))
def test_both_read_what_was_meant(loop: str, transcript: list[tuple[Answer, list[int]]]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(both(transcript))
