"""The quota on the way of a request: refusals before the limit, back-off, ban, pause; shared and surviving."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.core.quota.budget import Reservation
from proxy.quota.local import MemoryLedger
from tests.gateway.harness import INFO, NOON, PATIENT, Answer, Clock, Stage, age_block, client, gateway, stage
from tests.simulator import Fault, Simulator

TIME = "/api/v3/time"


async def spend_to(on: Stage, used: int) -> None:
    """Let the gateway learn that the IP has used so much."""
    on.origin.spend(used - on.origin.used_weight - 1)
    await on.ask(TIME)
    assert on.origin.used_weight == used


async def test_the_budget_is_refused_before_the_limit_with_a_true_retry_after() -> None:
    async with stage(snapshot=False) as on:
        await spend_to(on, 5390)
        refused = await on.ask()
        assert (refused.status, refused.json["code"]) == (429, -1003)
        assert refused.cache_status == "binance-sidecar; detail=quota"
        assert on.asked(INFO) == 0
        wait = int(refused.headers["retry-after"])
        on.clock.push(wait - 1.5)
        assert (await on.ask()).status == 429
        on.clock.push(1.5)
        assert (await on.ask()).status == 200
        assert on.origin.answers_429 == 0


async def test_cheaper_requests_still_pass_when_dear_ones_do_not() -> None:
    async with stage() as on:
        await spend_to(on, 5390)
        assert (await on.ask()).status == 429
        assert (await on.ask(TIME)).status == 200


async def test_a_stale_entry_is_the_answer_when_the_budget_is_used_up() -> None:
    async with stage() as on:
        await on.ask()
        on.clock.push(300)
        await spend_to(on, 5390)
        answer = await on.ask()
        assert (answer.status, answer.cache_status) == (200, "binance-sidecar; hit; ttl=-240; detail=quota")


@pytest.mark.no_cover
@pytest.mark.parametrize(("fault", "status", "seconds"), [(Fault.TOO_MANY_429, 429, 30), (Fault.TEAPOT_418, 418, 600)])
async def test_after_a_refusal_nothing_is_sent_until_it_is_over(
    fault: Fault, status: int, seconds: int, redis_url: str
) -> None:
    """By no process on this Redis, restarts included."""
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        async with (
            gateway(origin, clock, redis_url=redis_url) as one,
            gateway(origin, clock, redis_url=redis_url) as two,
            client(one.url) as asking,
        ):
            cached = await asking.ask()
            origin.set_fault(fault, retry_after=seconds, times=1)
            first = await asking.ask(TIME)
            assert (first.status, first.headers["retry-after"]) == (status, str(seconds + 1)), "and a second to be sure"
            before = origin.count()
            clock.push(seconds - 10)
            await age_block(redis_url, seconds - 10)
            for url in (one.url, two.url):
                refused = await asking.ask(TIME, url=url)
                assert (refused.status, refused.headers["retry-after"]) == (status, "11")
                assert refused.json["code"] == -1003
                assert (await asking.ask(url=url)).body == cached.body
            assert origin.count() == before
        async with gateway(origin, clock, redis_url=redis_url) as restarted, client(restarted.url) as asking:
            refused = await asking.ask(TIME)
            assert (refused.status, refused.headers["retry-after"]) == (status, "11")
            assert (await asking.ask()).body == cached.body
            assert origin.count() == before
            blocked = (await asking.ask("/status")).json["blocked"]
            assert blocked["until"] == pytest.approx(NOON + seconds + 1, abs=1)
            clock.push(12)
            await age_block(redis_url, 12)
            assert (await asking.ask(TIME)).status == 200


async def test_a_429_without_retry_after_holds_to_the_end_of_the_minute() -> None:
    async with stage() as on:
        on.origin.set_fault(Fault.TOO_MANY_429, retry_after=None, times=1)
        answer = await on.ask(TIME)
        assert answer.status == 429
        assert 54 <= int(answer.headers["retry-after"]) <= 58
        on.clock.push(50)
        assert (await on.ask(TIME)).status == 429
        on.clock.push(10)
        assert (await on.ask(TIME)).status == 200
        assert on.asked() == 2


async def test_a_418_without_retry_after_is_read_from_its_message() -> None:
    async with stage(origin={"ban_seconds": 500}) as on:
        on.origin.set_fault(Fault.TEAPOT_418, retry_after=None, times=1)
        answer = await on.ask(TIME)
        assert (answer.status, answer.headers["retry-after"]) == (418, "502")


async def test_a_403_of_the_firewall_pauses() -> None:
    async with stage() as on:
        on.origin.set_fault(Fault.HTML_403, times=1)
        first = await on.ask(TIME)
        assert (first.status, first.json["code"], first.headers["retry-after"]) == (403, 0, "60")
        assert (await on.ask(TIME)).status == 403
        assert on.asked() == 1
        on.clock.push(61)
        assert (await on.ask(TIME)).status == 200


async def test_what_others_on_the_ip_spend_is_seen_and_counted_as_foreign() -> None:
    async with stage() as on:
        await on.ask(TIME)
        on.origin.spend(1000)
        await on.ask(TIME)
        assert on.metric("foreign_weight_total", pool="spot") == 1000
        assert (await on.ask("/status")).json["windows"][0]["used"] == 1002


async def test_limits_are_learned_from_the_document() -> None:
    async with stage(origin={"weight_limit": 1200}) as on:
        await on.ask()
        windows = {window["window"]: window for window in (await on.ask("/status")).json["windows"]}
        assert (windows["REQUEST_WEIGHT:1m"]["limit"], windows["REQUEST_WEIGHT:1m"]["budget"]) == (1200, 1080)
        assert windows["RAW_REQUESTS:5m"]["limit"] == 300_000


async def test_absurd_limits_hold_for_nobody_not_even_for_who_finds_the_document_in_redis(redis_url: str) -> None:
    clock = Clock()
    async with Simulator(clock=clock, weight_limit=39) as origin:
        for _ in ("the first start", "a restart"):
            async with gateway(origin, clock, redis_url=redis_url) as app, client(app.url) as asking:
                on = Stage(origin, app, asking)
                assert (await on.ask()).status == 200
                windows = {window["window"]: window for window in (await on.ask("/status")).json["windows"]}
                assert windows["REQUEST_WEIGHT:1m"]["limit"] == 6000
                assert on.metric("limits_disbelieved_total", pool="spot", reason="too-low") == 1
        assert origin.count(INFO) == 1


@pytest.mark.no_cover
@pytest.mark.slow
async def test_many_uncacheable_questions_at_once_never_pass_the_budget(redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock, weight_limit=1000) as origin,
        gateway(origin, clock, redis_url=redis_url, **PATIENT) as one,
        gateway(origin, clock, redis_url=redis_url, **PATIENT) as two,
        client(one.url) as asking,
    ):
        await asking.ask()
        await asking.ask(url=two.url)
        names = [f"NOSUCH{number}" for number in range(200)]
        urls = [one.url, two.url] * 100
        answers = await asyncio.gather(
            *(
                asking.ask(f"{INFO}?symbol={name}", url=url, X_Sidecar_Client=f"of {name}")
                for name, url in zip(names, urls, strict=True)
            )
        )
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {400, 429}
        assert statuses.count(400) == (900 - 20) // 20
        assert origin.used_weight == 900
        assert origin.answers_429 == 0


async def test_a_lost_answer_stays_charged() -> None:
    async with stage(upstream_seconds=0.3) as on:
        on.origin.set_fault(Fault.HANG, times=1)
        assert (await on.ask()).status == 504
        window = (await on.ask("/status")).json["windows"][0]
        assert (window["used"], window["pending"]) == (20, 20)


@pytest.mark.no_cover
async def test_one_client_cannot_keep_the_others_from_the_second_half_of_the_budget(redis_url: str) -> None:
    clock = Clock()
    async with (
        Simulator(clock=clock, weight_limit=1000) as origin,
        gateway(origin, clock, redis_url=redis_url) as one,
        gateway(origin, clock, redis_url=redis_url) as two,
        client(one.url) as asking,
    ):

        async def unknown(client: str, number: int) -> Answer:
            """A question that only the origin can answer."""
            url = (one.url, two.url)[number % 2]
            return await asking.ask(f"{INFO}?symbol=NO{client}{number}", url=url, X_Sidecar_Client=client)

        await asking.ask(X_Sidecar_Client="GREEDY")
        await asking.ask(X_Sidecar_Client="GREEDY", url=two.url)
        greedy = [await unknown("GREEDY", number) for number in range(40)]
        assert [answer.status for answer in greedy] == [400] * 21 + [429] * 19
        refused = greedy[-1]
        assert (refused.json["code"], refused.cache_status) == (-1003, "binance-sidecar; detail=client-share")
        assert refused.headers["retry-after"] == "56"
        modest = [await unknown("MODEST", number) for number in range(15)]
        assert [answer.status for answer in modest] == [400] * 11 + [429] * 4
        assert (await asking.ask(TIME, X_Sidecar_Client="MODEST")).status == 200
        assert origin.used_weight == 20 * (1 + 21 + 11) + 1
        assert origin.answers_429 == 0
        clock.push(56)
        assert (await unknown("GREEDY", 99)).status == 400


async def test_who_joins_the_fill_of_a_client_without_a_share_gets_its_answer_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = asyncio.Event()
    reserve = MemoryLedger.reserve

    async def reserve_slowly(ledger: MemoryLedger, weight: int, **asked: Any) -> Reservation:
        started.set()
        await asyncio.sleep(0.2)
        return await reserve(ledger, weight, **asked)

    async with stage(snapshot=False, client_ratio=0.01) as on:
        await spend_to(on, 3000)
        for status in ("TRADING", "BREAK"):
            assert (await on.ask(f"{INFO}?symbolStatus={status}", X_Sidecar_Client="GREEDY")).status == 200
        monkeypatch.setattr(MemoryLedger, "reserve", reserve_slowly)
        greedy = asyncio.create_task(on.ask(f"{INFO}?symbolStatus=HALT", X_Sidecar_Client="GREEDY"))
        await started.wait()
        modest = [on.ask(f"{INFO}?symbolStatus=HALT", X_Sidecar_Client="MODEST") for _ in range(5)]
        assert {answer.status for answer in await asyncio.gather(*modest)} == {200}
        assert (await greedy).cache_status == "binance-sidecar; detail=client-share"
        assert on.asked(INFO) == 3


async def test_the_weight_of_each_client_is_counted() -> None:
    async with stage() as on:
        await on.ask(X_Sidecar_Client="bot")
        await on.ask(TIME, X_Sidecar_Client="bot")
        await on.ask(X_Sidecar_Client="other bot")
        await on.ask(TIME)
        assert on.metric("client_weight_spent_total", client="bot") == 21
        assert on.metric("client_weight_spent_total", client="127.0.0.1") == 1
        assert on.metric("client_weight_spent_total", client="other") == 0


async def test_when_a_back_off_ends_one_question_finds_out_whether_it_really_has() -> None:
    async with stage(snapshot=False) as on:
        on.origin.set_fault(Fault.TOO_MANY_429, retry_after=5)
        assert (await on.ask(TIME)).status == 429
        for round_ in (2, 3):
            on.clock.push(7)
            on.origin.answer_delay_seconds = 0.1
            answers = await asyncio.gather(*(on.ask(f"{INFO}?symbol=NAME{number}") for number in range(20)))
            assert {answer.status for answer in answers} == {429}
            assert on.asked() == round_
        on.clock.push(7)
        on.origin.clear_fault()
        answers = await asyncio.gather(*(on.ask(f"{INFO}?symbol=NAME{number}") for number in range(5)))
        assert {answer.status for answer in answers} == {400}
        assert on.asked() == 8
