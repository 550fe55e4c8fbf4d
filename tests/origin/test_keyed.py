"""Requests with a key on their way to the origin: sent once, before all others, and free when they are orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Api, Endpoint
from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.demand import demand_of
from proxy.core.quota.ratios import Purpose
from proxy.errors import (
    AnswerCut,
    BackedOff,
    BadAnswer,
    Banned,
    ConnectionLost,
    NotSent,
    OriginError,
    OutcomeUnknown,
    Paused,
    Restricted,
    SidecarError,
    TooSlow,
    Unreachable,
    UpstreamFailed,
)
from proxy.origin.gate import SLOTS, Gate
from proxy.origin.passage import Passage
from proxy.quota.clock import OriginClock
from tests.origin.test_guarded import HOSTS, NOW, ODD, PING, PUBLIC_SLOTS, USED, World, answer, nobody

SPOT_LINES = {(line.method, line.path.removeprefix("/api/v3/")): line for line in TABLES[Api.SPOT]}
UNKNOWN_WORDS = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."


@dataclass(frozen=True)
class Signed:
    """A request as a client sent it."""

    endpoint: Endpoint
    key: str = "k"
    weight: int = 1
    body: bytes = b""
    is_keyed: bool = True
    passes_as_it_came: bool = False
    upstream_headers: Mapping[str, str] = field(default_factory=dict)
    has_own_words: bool = True
    names_symbols: bool = False
    sbe: str | None = None
    sends: str | None = None

    @property
    def method(self) -> str:
        return self.sends or self.endpoint.method

    @property
    def target(self) -> str:
        return self.endpoint.path


ORDER = Signed(SPOT_LINES["POST", "order"])
READ = Signed(SPOT_LINES["GET", "account"], weight=20)
POSTED = Signed(PING.endpoint, is_keyed=False, sends="POST")


async def failure(world: World, asked: UpstreamQuery = ORDER, *, total_seconds: float = 10.0) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        await world.origin(total_seconds=total_seconds).ask(asked)
    return caught.value


def sent(world: World) -> list[str]:
    return [line for line in world.done if line.startswith("send ")]


# --- Never twice.


@pytest.mark.parametrize("asked", [ORDER, READ, POSTED], ids=["order", "signed GET", "POST without a key"])
@pytest.mark.parametrize("hosts", [HOSTS[:1], HOSTS[:2]], ids=["one host", "two hosts"])
@pytest.mark.parametrize(
    "broken",
    [ConnectionLost("a"), AnswerCut("b", headers=USED), TooSlow(), TooSlow(headers=USED), BadAnswer("c")],
    ids=["lost", "cut", "slow", "slow answer", "bad"],
)
async def test_once_sent_it_is_never_sent_again_and_its_outcome_is_unknown(
    asked: Signed, hosts: tuple[str, ...], broken: UpstreamFailed
) -> None:
    world = World([broken, answer()], hosts=hosts)
    error = await failure(world, asked)
    assert (type(error), error.status, error.code, error.msg) == (OutcomeUnknown, 504, -1007, UNKNOWN_WORDS)
    assert sent(world) == ["send one"]
    assert len(world.answers) == 1
    assert f"spent {asked.endpoint.name} {asked.weight}" in world.done
    assert not any(line.startswith("release") or line.endswith(" ok") for line in world.done if "not ok" not in line)
    assert ("reconcile 1 not ok" in world.done) == bool(broken.headers)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (answer(451), Restricted),
        (answer(500), OriginError),
        (answer(503, b'{"code":-1008,"msg":"busy"}'), OriginError),
        (answer(302), OutcomeUnknown),
        (answer(429), BackedOff),
        (answer(418), Banned),
    ],
    ids=["451", "500", "503", "302", "429", "418"],
)
async def test_what_the_origin_says_is_the_end(response: OriginResponse, error: type[SidecarError]) -> None:
    world = World([response, answer()])
    raised = await failure(world)
    assert type(raised) is error
    assert sent(world) == ["send one"]
    assert world.done[-1] == "reconcile 1 not ok"
    if isinstance(raised, OriginError):
        assert (raised.status, raised.body) == (response.status, response.body)


async def test_a_host_that_certainly_got_nothing_is_followed_by_the_next() -> None:
    world = World([Unreachable("a"), answer(), answer()])
    await world.origin().ask(ORDER)
    assert world.done == [
        *("reserve 1 keyed refundable", "send one", "send two", "reconcile 1 ok"),
    ]


async def test_when_no_host_can_be_reached_it_was_not_sent() -> None:
    world = World(nobody())
    assert isinstance(await failure(world), Unreachable)
    assert world.done[-1] == "release 1"


async def test_the_time_that_is_over_before_the_first_byte_leaves_no_doubt() -> None:
    world = World([answer()])
    error = await failure(world, total_seconds=0.0)
    assert (type(error), error.status, error.code, error.retry_after) == (NotSent, 503, -1008, "1")
    assert world.done == ["refused not-sent"]


class Repeating(World):
    """Its client asks for permission again by itself when a connection breaks."""

    async def send(
        self, base_url: str, query: UpstreamQuery, *, check: Callable[[], None], seconds: float
    ) -> OriginResponse:
        await super().send(base_url, query, check=check, seconds=seconds)
        return await super().send(base_url, query, check=check, seconds=seconds)


async def test_one_permission_is_one_request() -> None:
    world = Repeating([answer(), answer()])
    assert isinstance(await failure(world), OutcomeUnknown)
    assert sent(world) == ["send one"]


# --- What it costs.


@pytest.mark.parametrize(
    ("asked", "response", "lines"),
    [
        (ORDER, answer(), ["reserve 1 keyed refundable", "reconcile 1 ok"]),
        (ORDER, answer(201, b"[]"), ["reserve 1 keyed refundable", "reconcile 1 ok"]),
        (ORDER, answer(400), ["reserve 1 keyed refundable", "spent order 1", "reconcile 1 not ok"]),
        (READ, answer(), ["reserve 20 keyed", "spent account 20", "reconcile 1 ok"]),
    ],
    ids=["order", "order 201", "order 400", "account"],
)
async def test_an_order_is_free_if_it_succeeds(asked: Signed, response: OriginResponse, lines: list[str]) -> None:
    world = World([response])
    assert (await world.origin().ask(asked)).response is response
    assert [line for line in world.done if not line.startswith("send")] == lines


async def test_a_limit_of_orders_passes_to_its_client_and_blocks_nobody() -> None:
    body = b'{"code":-1015,"msg":"Too many new orders; current limit is 100 orders per 10 SECOND."}'
    world = World([answer(429, body), answer()])
    origin = world.origin()
    assert (await origin.ask(ORDER)).response.body == body
    assert world.done[-1] == "reconcile 1 not ok"
    assert world.held is None
    await origin.ask(PING)


# --- Slots.


def gate(world: World, **bounds: float) -> Gate:
    return Gate(world, OriginClock(world.clock), observer=world, monotonic=world.clock, **bounds)  # type: ignore[arg-type]


KEYED, PUBLIC = (Passage(demand_of(1, purpose, False, None), NOW + 100) for purpose in (Purpose.KEYED, Purpose.PUBLIC))


class Holders:
    """Requests that hold or wait for a slot, in the order in which they got one."""

    def __init__(self, door: Gate) -> None:
        self._door = door
        self._tasks: list[asyncio.Task[None]] = []
        self.inside: list[str] = []
        self.go = asyncio.Event()

    async def add(self, passage: Passage, count: int = 1) -> None:
        for _ in range(count):
            self._tasks.append(asyncio.create_task(self._hold(passage)))
        await asyncio.sleep(0)

    async def _hold(self, passage: Passage) -> None:
        async with self._door.enter(passage):
            self.inside.append(passage.demand.purpose.value)
            await self.go.wait()

    async def leave(self) -> list[BaseException]:
        self.go.set()
        return [end for end in await asyncio.gather(*self._tasks, return_exceptions=True) if end is not None]


async def test_an_eighth_of_the_slots_is_kept_for_requests_with_a_key() -> None:
    assert SLOTS - PUBLIC_SLOTS == SLOTS // 8 == 8
    holders = Holders(gate(World()))
    await holders.add(PUBLIC, SLOTS)
    assert len(holders.inside) == PUBLIC_SLOTS
    await holders.add(KEYED, SLOTS)
    assert len(holders.inside) == SLOTS
    assert await holders.leave() == []
    assert holders.inside.count("keyed") == holders.inside.count("public") == SLOTS


async def test_requests_with_a_key_may_have_every_slot_and_leave_none_behind() -> None:
    door = gate(World())
    for _ in range(2):
        holders = Holders(door)
        await holders.add(KEYED, SLOTS)
        assert len(holders.inside) == SLOTS
        await holders.leave()


async def test_requests_with_a_key_go_before_all_that_wait() -> None:
    holders = Holders(gate(World(), slots=1))
    await holders.add(PUBLIC, 3)
    await holders.add(KEYED, 2)
    assert await holders.leave() == []
    assert holders.inside == ["public", "keyed", "keyed", "public", "public"]


async def test_a_request_with_a_key_waits_a_moment_at_most_and_is_not_sent() -> None:
    world = World()
    holders = Holders(gate(world, slots=1, keyed_wait_seconds=0.0))
    await holders.add(PUBLIC)
    await holders.add(KEYED)
    await holders.add(PUBLIC)
    await asyncio.sleep(0.001)  # a timer of the loop, of no length
    (error,) = await holders.leave()
    assert (type(error), world.done) == (NotSent, ["refused not-sent"])
    assert holders.inside == ["public", "public"]


async def test_after_a_block_one_goes_at_a_time_and_one_with_a_key_first() -> None:
    door = gate(World())
    door.close()
    holders = Holders(door)
    await holders.add(PUBLIC, 2)
    await holders.add(KEYED, 1)
    assert holders.inside == ["public"]
    await holders.leave()
    assert holders.inside == ["public", "keyed", "public"]


async def test_a_block_refuses_all_that_wait_with_a_key_and_without() -> None:
    world = World()
    door = gate(world, slots=1)
    holders = Holders(door)
    await holders.add(PUBLIC, 2)
    await holders.add(KEYED, 2)
    world.held = Block(BlockReason.BACK_OFF, NOW + 30)
    door.close()
    await asyncio.sleep(0)
    assert [type(error) for error in await holders.leave()] == [BackedOff] * 3


async def test_the_ping_goes_where_the_request_went(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World([answer(403, b"<html>"), answer(), answer(403, b"<html>"), answer(403, b"<html>")])
    monkeypatch.setattr(
        World, "candidates", lambda _, endpoint: ("http://data" if endpoint.on_public_data else "http://api",)
    )
    origin = world.origin()
    await origin.ask(ODD)
    with pytest.raises(Paused):
        await origin.ask(READ)
    assert [done for done in world.done if done.startswith("send")] == ["send data"] * 2 + ["send api"] * 2
