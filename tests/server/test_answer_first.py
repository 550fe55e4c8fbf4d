"""A client has its answer before the quota is settled, and is told all the same what is used by then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from proxy.core.quota.budget import Reservation
from proxy.origin.gate import SLOTS
from proxy.quota.local import MemoryLedger
from proxy.server.forward_path import ForwardPathProtocol
from tests.events import capture_logs
from tests.gateway.harness import Clock, gateway, stage
from tests.gateway.scripted import scripted
from tests.server.raw import get, raw
from tests.server.twins import until
from tests.simulator.account import HMAC_KEY

TIME = get("/api/v3/time")
ORDER = get("/api/v3/order", f"X-MBX-APIKEY: {HMAC_KEY}", method="POST")
KLINES = "/api/v3/klines"
ANSWERS: dict[str, tuple[int, Mapping[str, str], bytes]] = {
    "/api/v3/time": (200, {}, b'{"serverTime":1790000000000}'),
    "/api/v3/order": (200, {}, b"{}"),
}


@dataclass(slots=True)
class Watch:
    """What was done, in order."""

    done: list[str] = field(default_factory=list)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Of the next requests that are forwarded."""
    watch, answered = Watch(), ForwardPathProtocol.answered
    settle = MemoryLedger.settle_now

    def settle_now(self: MemoryLedger, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        watch.done.append("settled")
        settle(self, reservation, headers, ok=ok)

    def is_answered(self: ForwardPathProtocol) -> None:
        watch.done.append("answered")
        answered(self)

    monkeypatch.setattr(MemoryLedger, "settle_now", settle_now)
    monkeypatch.setattr(ForwardPathProtocol, "answered", is_answered)
    return watch


@pytest.mark.parametrize("asked", [TIME, ORDER], ids=["usual", "with a refund"])
async def test_nothing_is_counted_before_the_answer(watch: Watch, asked: bytes) -> None:
    async with scripted(ANSWERS) as script, gateway(script, Clock(), forward="all") as app, raw(app) as client:
        for _ in range(3):
            await client.ask(asked)
        watch.done.clear()
        head, _ = await client.ask(asked)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert watch.done == ["answered", "settled"]


@pytest.mark.parametrize("settles_later", [True, False])
@pytest.mark.parametrize(
    ("status", "told"),
    [(200, 0), (200, 7), (400, 0)],
    ids=["given back", "given back, and others used more", "refused, so not given back"],
)
async def test_a_client_is_told_what_is_used_once_its_order_is_given_back(
    monkeypatch: pytest.MonkeyPatch, status: int, told: int, *, settles_later: bool
) -> None:
    if not settles_later:
        monkeypatch.setattr(MemoryLedger, "can_settle_now", lambda *_: False)
    clock, body = Clock(), b"{}" if status == 200 else b'{"code":-2010,"msg":"Account has insufficient balance."}'
    headers = {"X-MBX-USED-WEIGHT-1M": str(told), "Date": formatdate(clock.now, usegmt=True)}
    async with (
        scripted({**ANSWERS, "/api/v3/order": (status, headers, body)}) as script,
        gateway(script, clock, forward="all") as app,
        raw(app) as client,
    ):
        await client.ask(get("/api/v3/time"))
        for used in range(2, 6):
            head, _ = await client.ask(ORDER)
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert b"x-mbx-used-weight-1m: %d\r\n" % (max(1, told) if status == 200 else used) in head
        totals = next(totals for totals in app.metrics.requests.totals() if totals.endpoint == "order")
        assert (totals.weight_spent, totals.weight_saved) == ((0, 4) if status == 200 else (4, 0))


@pytest.mark.parametrize("fast_lane", [True, False])
@pytest.mark.parametrize("name", ["X-MBX-USED-WEIGHT-1M", "x-mbx-used-weight"])
async def test_the_answer_that_tells_of_others_tells_the_client_too(fast_lane: bool, name: str) -> None:
    async with (
        scripted({KLINES: (200, {name: "7"}, b"[]")}) as script,
        gateway(script, Clock(), fast_lane=fast_lane) as app,
        raw(app) as client,
    ):
        told = []
        for used in (7, 8, 9, 500, 400, 501):
            script.answers[KLINES] = 200, {name: str(used)}, b"[]"
            head, _ = await client.ask(get(f"{KLINES}?symbol=BTCUSDT&interval=1m"))
            told.append(int(head.partition(b"x-mbx-used-weight-1m: ")[2].partition(b"\r\n")[0]))
        assert told[3:] == [500, 502, 504]


async def test_a_weight_that_cannot_be_believed_or_read_is_not_told() -> None:
    path = "/fapi/v1/ticker/bookTicker"
    async with (
        scripted({path: (200, {"X-MBX-USED-WEIGHT-1M": "900"}, b"[]")}) as script,
        gateway(script, Clock(), usd_futures_upstreams=(script.url,)) as app,
        raw(app) as client,
    ):
        for used in ("900", "901", "902", "9 0", "-7"):
            script.answers[path] = 200, {"X-MBX-USED-WEIGHT-1M": used}, b"[]"
            head, _ = await client.ask(get(f"{path}?symbol=BTCUSDT"))
            told = int(head.partition(b"x-mbx-used-weight-1m: ")[2].partition(b"\r\n")[0])
            assert 0 < told < 100


@pytest.mark.parametrize("asked", [TIME, ORDER])
async def test_a_bug_in_what_follows_is_logged_and_holds_neither_answer_nor_slot(
    monkeypatch: pytest.MonkeyPatch, asked: bytes
) -> None:
    async with scripted(ANSWERS) as script, gateway(script, Clock(), forward="all") as app, raw(app) as client:
        for _ in range(3):
            await client.ask(asked)
        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr(MemoryLedger, "settle_now", None)
            for _ in range(SLOTS + 1):
                head, _ = await client.ask(asked)
                assert head.startswith(b"HTTP/1.1 200 ")
        assert [entry["event"] for entry in logs].count("unexpected_error") == SLOTS + 1


async def test_what_came_meanwhile_is_read_after_all_that_follows_from_the_answer(watch: Watch) -> None:
    async with stage(forward="all") as on, raw(on.app) as client:
        for _ in range(3):
            await client.ask(TIME)
        watch.done.clear()
        client.writer.write(TIME)
        await until(lambda: on.app.room.requests > 0)
        client.writer.write(TIME)
        for _ in range(2):
            head, _ = await client.answer()
            assert head.startswith(b"HTTP/1.1 200 ")
        assert watch.done == ["answered", "settled"] * 2


async def test_the_exact_time_is_learned_right_after_a_date() -> None:
    async with stage(forward="all") as on, raw(on.app) as client:
        for _ in range(3):
            await client.ask(get(f"{KLINES}?symbol=BTCUSDT&interval=1m"))
        assert on.app.clock.error_seconds() == 0.5
        await client.ask(TIME)
        assert on.app.clock.error_seconds() == 0.0
