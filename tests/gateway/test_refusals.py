"""Refusals and failures of the origin as clients see them: what passes as it came, and one text for one state."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import pytest

from tests.events import capture_logs
from tests.gateway.harness import INFO, Clock, client, gateway, stage
from tests.gateway.scripted import scripted
from tests.simulator import Fault, Simulator

PING, TIME, RULES = "/api/v3/ping", "/api/v3/time", "/api/v3/executionRules"
ODD = f"{INFO}?permissions=UNION%20SELECT"
HTML = {"Content-Type": "text/html"}


# --- One text for one state.


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            Fault.TEAPOT_418,
            r"Way too much request weight used; IP banned until \d{13}\. "
            r"Please use WebSocket Streams for live updates to avoid bans\.",
        ),
        (
            Fault.TOO_MANY_429,
            r"Too much request weight used; current limit is 6000 request weight per 1 MINUTE\. "
            r"Please use WebSocket Streams for live updates to avoid polling the API\.",
        ),
        (Fault.HTML_403, r"The origin's firewall refused this IP; nothing is sent for a while\."),
    ],
)
async def test_who_asks_first_and_who_asks_later_read_the_same_on_every_replica(
    fault: Fault, text: str, redis_url: str
) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock) as origin,
        gateway(origin, clock, redis_url=redis_url) as one,
        gateway(origin, clock, redis_url=redis_url) as two,
        client(one.url) as asking,
    ):
        origin.set_fault(fault)
        answers = [await asking.ask(path, url=app.url) for path in (TIME, PING, RULES) for app in (one, two)]
        assert {answer.body for answer in answers} == {answers[0].body}
        assert {answer.status for answer in answers} == {int(fault.value[-3:])}
        assert re.fullmatch(text, answers[0].json["msg"])
        assert origin.count() == 1


async def test_the_text_of_a_429_names_the_limit_that_the_origin_told() -> None:
    async with stage(origin={"weight_limit": 1200}) as on:
        await on.ask()
        on.origin.set_fault(Fault.TOO_MANY_429)
        for _ in range(2):
            assert "current limit is 1200 request weight per 1 MINUTE." in (await on.ask(TIME)).json["msg"]


# --- 403: the words, or the IP?


async def test_a_403_to_odd_words_stops_nobody_else_and_is_remembered() -> None:
    async with stage() as on:
        on.origin.set_fault(Fault.HTML_403, paths=[INFO])
        first, second = await on.ask(ODD), await on.ask(ODD)
        assert (first.status, first.headers["content-type"]) == (403, "text/html")
        assert (second.status, second.body) == (403, first.body)
        assert (on.asked(INFO), on.asked(PING)) == (1, 1)
        for path in (PING, TIME, RULES):
            assert (await on.ask(path)).status == 200
        on.clock.push(11)
        await on.ask(ODD)
        assert on.asked(INFO) == 2, "kept for the negative lifetime"


async def test_a_403_to_the_ping_too_pauses_all() -> None:
    async with stage() as on:
        on.origin.set_fault(Fault.HTML_403)
        for path in (ODD, ODD, TIME, RULES):
            answer = await on.ask(path)
            assert (answer.status, answer.cache_status) == (403, "binance-sidecar; detail=pause")
        assert (on.asked(), on.asked(PING)) == (2, 1)


@pytest.mark.no_cover
@pytest.mark.parametrize("target", [PING, TIME, INFO, RULES, f"{RULES}?symbol=BTCUSDT", f"{INFO}?permissions=SPOT"])
async def test_a_403_to_legal_words_pauses_at_once(target: str) -> None:
    async with stage(snapshot=False) as on:
        on.origin.set_fault(Fault.HTML_403)
        for path in (target, TIME, PING):
            assert (await on.ask(path)).status == 403
        assert on.asked() == 1


# --- What the origin says about the request.


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b""), (HTML, b"<html>no</html>"), ({"Content-Type": "application/json"}, b'{"code":-1,"msg":"m"}')],
)
@pytest.mark.parametrize("status", [400, 404, 410])
async def test_a_refusal_of_the_request_passes_and_is_kept(
    status: int, headers: Mapping[str, str], body: bytes
) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock) as simulator,
        scripted({RULES: (status, headers, body)}) as script,
        gateway(simulator, clock, upstreams=(script.url,)) as app,
        client(app.url) as asking,
    ):
        for _ in range(3):
            answer = await asking.ask(RULES)
            assert (answer.status, answer.body) == (status, body)
            assert answer.headers.get("content-type") in (headers.get("Content-Type"), "application/octet-stream")
        assert script.targets == [RULES]
        clock.push(11)
        await asking.ask(RULES)
        assert script.targets == [RULES, RULES]


# --- Failures keep their class, for replicas that wait too.


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "fault", [Fault.HTML_503, Fault.OVERLOADED_503, Fault.GATEWAY_TIMEOUT_504, Fault.RESTRICTED_451]
)
async def test_the_replica_that_waited_answers_as_the_one_that_failed(fault: Fault, redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock) as origin,
        gateway(origin, clock, redis_url=redis_url) as one,
        gateway(origin, clock, redis_url=redis_url) as two,
        client(one.url) as asking,
    ):
        origin.set_fault(fault)
        origin.answer_delay_seconds = 0.3
        answers = await asyncio.gather(*(asking.ask(url=app.url) for app in (one, two)))
        later = [await asking.ask(f"{INFO}?symbol=BTCUSDT", url=app.url) for app in (one, two)]
        seen = {(each.status, each.headers["content-type"], each.body) for each in [*answers, *later]}
        assert len(seen) == 1
        assert answers[0].status == int(fault.value[-3:])
        assert origin.count() == 1


# --- Hosts.


async def test_where_the_first_host_does_not_serve_this_location_the_second_is_asked() -> None:
    clock = Clock()
    async with Simulator(clock=clock) as closed, Simulator(clock=clock) as serving:
        closed.set_fault(Fault.RESTRICTED_451)
        upstreams = (closed.url, serving.url)
        async with gateway(serving, clock, upstreams=upstreams) as app, client(app.url) as asking:
            for path in (TIME, PING, INFO, RULES):
                assert (await asking.ask(path)).status == 200
            assert (closed.count(), serving.count()) == (1, 4), "the closed one is left alone for a while"


async def test_where_no_host_serves_this_location_each_question_asks_one() -> None:
    clock = Clock()
    async with Simulator(clock=clock) as one, Simulator(clock=clock) as two:
        for origin in (one, two):
            origin.set_fault(Fault.RESTRICTED_451)
        async with gateway(one, clock, upstreams=(one.url, two.url)) as app, client(app.url) as asking:
            for _ in range(3):
                answer = await asking.ask(TIME)
                assert (answer.status, answer.json["code"]) == (451, 0)
            assert one.count() + two.count() == 4


# --- A cache before the origin.


async def test_the_age_that_an_answer_brings_is_added_to_ours() -> None:
    async with Simulator() as simulator:
        clock = Clock()
        answer = (200, {"Content-Type": "application/json", "Age": "40"}, b'{"symbolRules":[]}')
        async with (
            scripted({RULES: answer}) as script,
            gateway(simulator, clock, upstreams=(script.url,)) as app,
            client(app.url) as asking,
        ):
            assert (await asking.ask(RULES)).headers["age"] == "40"
            clock.push(15)
            later = await asking.ask(RULES)
            assert later.headers["age"] == "55"
            assert later.cache_status == "binance-sidecar; hit; ttl=45"


async def test_an_answer_that_comes_old_is_not_fetched_for_each_request() -> None:
    clock = Clock()
    answer = (200, {"Content-Type": "application/json", "Age": "3600"}, b'{"symbolRules":[]}')
    async with (
        Simulator(clock=clock) as simulator,
        scripted({RULES: answer}) as script,
        gateway(simulator, clock, upstreams=(script.url,)) as app,
        client(app.url) as asking,
    ):
        for _ in range(5):
            assert (await asking.ask(RULES)).headers["age"] == "3600"
        assert len(script.targets) == 1


# --- Bugs of ours.


async def test_a_bug_in_a_fill_falls_back_to_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as events:
        await bugs(monkeypatch)
    tracebacks = [event["key"] for event in events if event.get("exc_info")]
    assert tracebacks == ["exchangeInfo:all", "executionRules:all"], "once a fill"


async def bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as on:
        stored = await on.ask()

        async def broken(*_: object, **__: object) -> None:
            raise AttributeError("nobody expects this")

        monkeypatch.setattr(on.app.fills._filler._origin, "ask", broken)
        on.clock.push(400)
        for _ in range(3):
            answer = await on.ask()
            assert (answer.status, answer.body) == (200, stored.body)
            assert answer.cache_status == "binance-sidecar; hit; ttl=-340; detail=internal"
        nothing = await on.ask(RULES)
        assert (nothing.status, nothing.json["code"]) == (500, -1000)
        assert nothing.cache_status == "binance-sidecar; detail=internal"
        assert on.metric("fills_total", endpoint="executionRules", result="internal") == 1


async def test_a_bug_in_reading_redis_falls_back_to_what_this_process_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage() as on:
        stored = await on.ask()

        async def broken(*_: object) -> None:
            raise IndexError("nobody expects this")

        monkeypatch.setattr(on.app.fills._filler, "load", broken)
        on.clock.push(400)
        on.origin.set_fault(Fault.DOWN)
        assert (await on.ask()).body == stored.body
