"""The forwarding path is invisible: whatever clients send and whatever the origin does, both ways do the same.

What is compared: the bytes that come back, what reached the origin, and every counter.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings

from proxy.core.messages import OriginResponse
from proxy.core.reply import Reply
from proxy.direct.shared import Shared
from proxy.errors import UpstreamFailed
from proxy.origin.flight import Flight
from proxy.ports import Asker
from proxy.server.fast_path import FastPathProtocol
from proxy.server.forward_path import ForwardPathProtocol
from tests.events import capture_logs
from tests.gateway.harness import Clock, gateway, stage
from tests.gateway.scripted import scripted
from tests.server.conftest import LOOPS
from tests.server.forward_streams import crowded, forwarded
from tests.server.raw import get, raw
from tests.server.streams import Crowd, Send, Step
from tests.server.twins import Twins, twins
from tests.simulator.account import HMAC_KEY
from tests.sizes import sized

EXAMPLES = sized(quick=20, usual=30, long=1000)


@pytest.mark.no_cover
@pytest.mark.parametrize("loop", LOOPS)
def test_clients_origin_and_counters_see_no_difference(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    landed: list[object] = []

    def count(self: Flight, outcome: OriginResponse | UpstreamFailed) -> None:
        landed.append(outcome)
        _landed(self, outcome)

    monkeypatch.setattr(Flight, "landed", count)
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        context = twins(forwards=True)
        pair = runner.run(context.__aenter__())
        try:
            _compare(runner, pair, landed)
        finally:
            runner.run(context.__aexit__(None, None, None))
    assert len(landed) >= 2, "the forwarding path had its part in that"


_landed = Flight.landed


@pytest.mark.no_cover
@pytest.mark.parametrize("loop", LOOPS)
def test_clients_that_share_an_answer_see_no_difference(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    followed, follows = [], Shared._follows

    def counting(self: Shared, client: str, asker: Asker) -> bool:
        followed.append(follows(self, client, asker))
        return followed[-1]

    monkeypatch.setattr(Shared, "_follows", counting)
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        context = twins(forwards=True)
        pair = runner.run(context.__aenter__())
        try:

            @settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
            @given(transcript=crowded())
            @example(transcript=[Crowd(get("/api/v3/klines?symbol=BTCUSDT&interval=1m"))])
            def are_the_same(transcript: list[Step]) -> None:
                before = len(followed)
                runner.run(_play(pair, transcript, counts_refusals=False))
                event("some followed" if True in followed[before:] else "none followed")

            are_the_same()
        finally:
            runner.run(context.__aexit__(None, None, None))
    assert True in followed


def _compare(runner: asyncio.Runner, pair: Twins, landed: list[object]) -> None:
    @settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
    @given(transcript=forwarded())
    @example(transcript=[Send(0, (get("/api/v3/time"),) * 3, hurried=False)])
    def are_the_same(transcript: list[Step]) -> None:
        before = len(landed)
        runner.run(_play(pair, transcript))
        event("some on the forwarding path" if len(landed) > before else "ordinary only")

    are_the_same()


async def _play(pair: Twins, transcript: list[Step], *, counts_refusals: bool = True) -> None:
    """`counts_refusals`: whether both count a refusal for each client. The ordinary way counts one for all that share
    a request.
    """
    await pair.begin()
    for step in transcript:
        await pair.play(step)
        await pair.agree()
        assert pair.fast.reached() == pair.ordinary.reached()
    if not counts_refusals:
        return
    for _ in range(100):  # the last of several requests in one chunk may be under way still
        if pair.fast.told() == pair.ordinary.told():
            break
        await asyncio.sleep(0.01)
    assert pair.fast.told() == pair.ordinary.told()


async def test_a_request_over_the_bound_is_refused_once() -> None:
    async with stage(forward="all", max_requests=1) as on, raw(on.app) as asking, raw(on.app) as other:
        await other.ask(get("/livez"))
        for client in (asking, other, asking):
            head, _ = await client.ask(get("/api/v3/time"))
            assert head.startswith(b"HTTP/1.1 200 ")
        on.app.room.requests += 1
        refused = []
        for is_known in (True, False):
            head, _ = await other.ask(get("/api/v3/time", *(() if is_known else ("X-New: 1",))))
            refused.append(re.sub(rb"Date: [^\r]*", b"", head))
        assert refused[0] == refused[1]
        assert refused[0].startswith(b"HTTP/1.1 503 ")
        head, _ = await other.ask(get("/livez"))
        assert head.startswith(b"HTTP/1.1 200 ")
        on.app.room.requests -= 1
        assert on.asked("/api/v3/time") == 3


async def test_after_an_answer_the_next_request_needs_no_look_at_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, look = [], FastPathProtocol._look_and_receive

    def counting(connection: FastPathProtocol, data: bytes) -> None:
        looks.append(data)
        look(connection, data)

    async with stage(forward="all") as on, raw(on.app) as client:
        for _ in range(3):  # read, sent on, sent on at once
            await client.ask(get("/api/v3/time"))
        monkeypatch.setattr(FastPathProtocol, "_look_and_receive", counting)
        for target in ("/api/v3/time", "/api/v3/klines?symbol=BTCUSDT&interval=1m", "/api/v3/time"):
            head, _ = await client.ask(get(target))
            assert head.startswith(b"HTTP/1.1 200 ")
        assert not looks
        await client.ask(get("/livez"))
        await client.ask(get("/api/v3/time"))
        assert len(looks) == 1, "aiohttp has read a request"


async def test_a_request_that_comes_right_after_an_answer_of_aiohttp_is_sent_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent_on: list[bool] = []
    begins, finish = ForwardPathProtocol.begins, ForwardPathProtocol.finish_response

    async def finishing(connection: ForwardPathProtocol, *words: Any) -> Any:
        finished = await finish(connection, *words)
        assert connection._waiter is None, "its task does not wait yet"
        monkeypatch.setattr(ForwardPathProtocol, "begins", noting)
        connection.data_received(get("/api/v3/time"))
        return finished

    def noting(connection: ForwardPathProtocol, data: bytes) -> bool:
        sent_on.append(begins(connection, data))
        return sent_on[-1]

    async with stage(forward="all") as on, raw(on.app) as client:
        for _ in range(3):
            await client.ask(get("/api/v3/time"))
        monkeypatch.setattr(ForwardPathProtocol, "finish_response", finishing)
        assert (await client.ask(get("/livez")))[1] == b"ok\n"
        for _ in range(2):
            head, body = await client.answer()
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"serverTime" in body
            client.writer.write(get("/api/v3/time"))
        assert sent_on[:2] == [True, True]


@pytest.mark.parametrize("way", ["close", "pause_writing"])
async def test_what_happens_to_a_connection_while_a_request_is_under_way_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    made: list[ForwardPathProtocol] = []
    answer = ForwardPathProtocol.answer

    def disturbed(connection: ForwardPathProtocol, reply: Reply) -> None:
        made.append(connection)
        getattr(connection, way)()
        answer(connection, reply)

    async with stage(forward="all") as on, raw(on.app) as client:
        for _ in range(3):
            await client.ask(get("/api/v3/time"))
        monkeypatch.setattr(ForwardPathProtocol, "answer", disturbed)
        await client.ask(get("/api/v3/time"))
        assert [connection._write for connection in made] == [None]


@pytest.mark.parametrize("extra", [7000, 7999, 8100, 8190, 8300, 20_000])
async def test_a_target_may_be_as_long_as_on_the_ordinary_way(extra: int) -> None:
    target = f"/api/v3/klines?symbol=BTCUSDT&interval=1m&other={'x' * extra}"
    async with stage(forward="all") as on, raw(on.app) as client, raw(on.app) as other:
        ordinary, _ = await other.ask(get(target))
        for _ in range(3):
            await client.ask(get("/api/v3/time"))
        forwarded, _ = await client.ask(get(target))
        assert forwarded[:12] == ordinary[:12]


async def test_an_empty_content_type_of_the_origin_is_answered_alike_on_both_ways() -> None:
    heads = []
    for fast_lane in (True, False):
        async with (
            scripted({"/api/v3/klines": (200, {"Content-Type": ""}, b"[]")}) as script,
            gateway(script, Clock(), fast_lane=fast_lane) as app,
            raw(app) as client,
        ):
            asked = [await client.ask(get("/api/v3/klines?symbol=BTCUSDT&interval=1m")) for _ in range(3)]
            heads.append(sorted(asked[-1][0].split(b"\r\n")))
    assert heads[0] == heads[1]


async def test_what_cannot_be_prepared_by_a_bug_goes_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(forward="all") as on, raw(on.app) as client:
        for _ in range(3):
            await client.ask(get("/api/v3/time"))
        monkeypatch.setattr("proxy.direct.ways.public_query", broken)
        with capture_logs() as logs:
            head, _ = await client.ask(get("/api/v3/klines?symbol=BTCUSDT&interval=1m"))
        assert head.startswith(b"HTTP/1.1 200 ")
        assert "unexpected_error" in [entry["event"] for entry in logs]


@pytest.mark.parametrize("target", ["/api/v3/time", "/api/v3/ping", "/api/v3/account?timestamp=1&signature=00"])
async def test_an_answer_that_cannot_be_passed_on_by_a_bug_is_a_500(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    asked = get(target, f"X-MBX-APIKEY: {HMAC_KEY}")
    async with stage(forward="all") as on, raw(on.app) as client:
        for _ in range(3):
            await client.ask(asked)
        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr("proxy.core.reply._passed_begin", broken)
            patched.setattr("proxy.core.reply._forwarded_begin", broken)
            head, _ = await client.ask(asked)
        assert head.startswith(b"HTTP/1.1 500 ")
        assert "unexpected_error" in [entry["event"] for entry in logs]
        assert on.app.room.requests == 0
        head, _ = await client.ask(asked)
        assert not head.startswith(b"HTTP/1.1 500 ")


def broken(*_: object, **__: object) -> None:
    raise RuntimeError
