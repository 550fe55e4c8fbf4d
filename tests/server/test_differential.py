"""The fast path is invisible: whatever clients send and whatever happens, both ways answer the same bytes.

SIDECAR_TEST_EXAMPLES sets how many transcripts both loops get together. A long run needs a longer time-out too:
`SIDECAR_TEST_EXAMPLES=100000 pytest -o faulthandler_timeout=0 tests/server/test_differential.py`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis.vendor.pretty import RepresentationPrinter

from tests.server.conftest import LOOPS
from tests.server.streams import Step, transcripts
from tests.server.twins import Twins, twins

EXAMPLES = int(os.environ.get("SIDECAR_TEST_EXAMPLES", "1000"))


@dataclass(slots=True)
class Play:
    """Both gateways on a loop that turns only while a test runs it."""

    runner: asyncio.Runner
    twins: Twins

    def __repr__(self) -> str:
        return "play"

    def _repr_pretty_(self, printer: RepresentationPrinter, _: bool) -> None:
        """So that a failing example shows the transcript and not both gateways."""
        printer.text(repr(self))


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        context = twins()
        yield Play(runner, runner.run(context.__aenter__()))
        runner.run(context.__aexit__(None, None, None))


@settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
@given(transcript=transcripts())
def test_the_bytes_that_come_back_are_the_same_with_and_without_the_lane(play: Play, transcript: list[Step]) -> None:
    before = play.twins.fast.fast_answers
    play.runner.run(_play(play.twins, transcript))
    event("answered by the fast path" if play.twins.fast.fast_answers > before else "ordinary only")


def test_the_lane_had_its_part_in_that(play: Play) -> None:
    assert play.twins.fast.fast_answers > EXAMPLES // 10
    assert play.twins.ordinary.fast_answers == 0


async def _play(pair: Twins, transcript: list[Step]) -> None:
    await pair.begin()
    for step in transcript:
        await pair.play(step)
        await pair.agree()
