"""The moment of sending: what is still sent after a refusal, and who waits for a slow origin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from proxy.app import Application
from proxy.origin.gate import SLOTS
from tests.gateway.harness import PATIENT, Answer, Client, Clock, client, gateway, stage
from tests.gateway.scripted import scripted
from tests.simulator import Fault, Simulator
from tests.sizes import sized

TIME = "/api/v3/time"
AT_ONCE = sized(quick=200, usual=200, long=400)
REFUSALS = [(Fault.TEAPOT_418, 418), (Fault.TOO_MANY_429, 429)]


@pytest.fixture(params=["memory", "redis", "two on redis"])
def replicas(request: pytest.FixtureRequest) -> tuple[int, str]:
    """How many gateways, and their Redis."""
    if request.param == "memory":
        return 1, "memory:"
    url: str = request.getfixturevalue("redis_url")
    return (2 if request.param == "two on redis" else 1), url


async def first_refusal(asking: Client, asked: Sequence[asyncio.Task[Answer]], origin: Simulator) -> int:
    """How many requests the origin has seen when the first client has its answer."""
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    return origin.count()


@pytest.mark.no_cover
@pytest.mark.parametrize(("fault", "status"), REFUSALS)
async def test_after_the_first_refusal_nothing_is_sent_that_was_not_on_the_wire(
    fault: Fault, status: int, replicas: tuple[int, str]
) -> None:
    """Hundreds at once, each refused after 0.4 s."""
    count, redis_url = replicas
    clock = Clock()
    patient = {"redis_url": redis_url, **PATIENT}
    async with Simulator(clock=clock) as origin, gateway(origin, clock, **patient) as one:
        apps: list[Application] = [one]
        async with gateway(origin, clock, **patient) as two, client(one.url) as asking:
            apps += [two] if count == 2 else []
            origin.set_fault(fault, retry_after=60)
            origin.answer_delay_seconds = 0.4
            asked = [
                asyncio.create_task(asking.ask(TIME, url=apps[number % len(apps)].url, X_Sidecar_Client=str(number)))
                for number in range(AT_ONCE)
            ]
            on_wire = await first_refusal(asking, asked, origin)
            answers = await asyncio.gather(*asked)
            assert {answer.status for answer in answers} == {status}
            assert origin.count() <= SLOTS * len(apps), "none of them got a second connection"
            if redis_url == "memory:":
                assert origin.count() == on_wire
                window = (await asking.ask("/status")).json["windows"][0]
                assert (window["used"], window["pending"]) == (on_wire, 0)


async def test_who_waits_for_a_connection_to_a_slow_origin_is_answered() -> None:
    """The wait for a connection is longer than the deadline to connect."""
    async with stage(upstream_connect_seconds=1.0, upstream_seconds=8.0) as on:
        on.origin.answer_delay_seconds = 1.2
        answers = await asyncio.gather(*(on.ask(TIME, X_Sidecar_Client=str(number)) for number in range(100)))
        assert [answer.status for answer in answers] == [200] * 100
        assert on.asked() == 100
        (upstream,) = (await on.ask("/status")).json["upstreams"]
        assert upstream["healthy"]


async def test_who_still_waits_at_the_deadline_gets_504() -> None:
    async with stage(upstream_seconds=0.6) as on:
        on.origin.set_fault(Fault.HANG)
        answers = await asyncio.gather(*(on.ask(TIME, X_Sidecar_Client=str(number)) for number in range(100)))
        assert {(answer.status, answer.json["code"]) for answer in answers} == {(504, -1007)}


async def test_the_environments_proxy_is_on_the_way_and_in_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted({"/api/v3/ping": (200, {"Content-Type": "application/json"}, b"{}")}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:secret@"))
        async with stage() as on:
            assert (await on.ask("/api/v3/ping")).body == b"{}"
            assert (proxy.targets, on.asked()) == ([f"{on.origin.url}/api/v3/ping"], 0)
            status = await on.ask("/status")
            assert status.json["upstreams"][0]["proxy"] == proxy.url.replace("//", "//***@")
            assert b"secret" not in status.body
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        async with stage() as on:
            assert (await on.ask("/api/v3/ping")).status == 200
            assert (len(proxy.targets), on.asked()) == (1, 1)
