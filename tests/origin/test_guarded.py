"""Asking the origin: what is reserved, sent, reconciled, released and blocked, and in which order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import ClientRequest, OriginResponse
from proxy.core.query.canonical import Bypass, CanonicalQuery, canonicalize
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.charges import charges_of, cost_of
from proxy.core.quota.demand import Demand, demand_of
from proxy.core.quota.origin_headers import parse_rate_limits
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.view import LedgerView
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS, RateLimitKind, Window
from proxy.core.verdict import MAX_ERROR_BYTES, Good, Negative
from proxy.errors import (
    BackedOff,
    BadAnswer,
    Banned,
    BudgetUsedUp,
    ConnectionLost,
    OriginError,
    Paused,
    Restricted,
    SendingRefused,
    SidecarError,
    TooSlow,
    Unreachable,
    UpstreamFailed,
)
from proxy.origin.flight import Attempts
from proxy.origin.gate import KEPT_PART, SLOTS, Gate, Ticket
from proxy.origin.guarded import LOST_ATTEMPTS, UNREACHABLE_SECONDS, Origin
from proxy.origin.passage import Passage
from proxy.origin.reading import AcceptedResponse
from proxy.ports import Outbound
from proxy.quota.clock import OriginClock

NOW = 1_800_000_000.0
HOSTS = ("http://one", "http://two", "http://three", "http://four")
USED = {"x-mbx-used-weight-1m": "7"}


def query(path: str = "/api/v3/ping", raw_query: str = "") -> CanonicalQuery:
    read = canonicalize(ENDPOINTS[path], ClientRequest(method="GET", path=path, raw_query=raw_query))
    if isinstance(read, Bypass):
        return read.query
    assert isinstance(read, CanonicalQuery)
    return read


PUBLIC_SLOTS = SLOTS - SLOTS // KEPT_PART
"""The most requests without a key on the wire."""
PING = query()


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> OriginResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()} or USED
    return OriginResponse(status=status, headers=names, body=body, sent_at=NOW, received_at=NOW + 0.2)


def nobody() -> list[OriginResponse | UpstreamFailed]:
    """No host can be reached."""
    return [Unreachable(host) for host in HOSTS]


@dataclass(slots=True)
class World:
    """Upstream, ledger and observer in one, and everything that was done to them, in order."""

    answers: list[OriginResponse | UpstreamFailed] = field(default_factory=list)
    refusals: list[SendingRefused | None] = field(default_factory=list)
    hosts: tuple[str, ...] = HOSTS
    now: float = NOW
    seconds_each: float = 0.0
    """How long each attempt takes."""
    on_connect: Callable[[], None] | None = None
    """What happens while a connection is made."""
    hold: asyncio.Event | None = None
    """If set: answers come once it is set."""
    on_wire: int = 0
    done: list[str] = field(default_factory=list)
    learned: list[tuple[Window, ...]] = field(default_factory=list)
    held: Block | None = None
    forgets_blocks: bool = False
    reservations: int = 0
    guard_seconds: Callable[[], float] = lambda: GUARD_SECONDS
    seen: list[Mapping[str, str]] = field(default_factory=list)
    """The headers that the ledger saw."""

    # Upstream.

    def candidates(self, endpoint: Endpoint) -> tuple[str, ...]:
        assert endpoint.path.startswith("/api/v3/")
        return self.hosts

    def begin(self, base_url: str, query: UpstreamQuery, *, flight: Outbound, seconds: float) -> bool:
        return False

    async def send(
        self, base_url: str, query: UpstreamQuery, *, check: Callable[[], None], seconds: float
    ) -> OriginResponse:
        assert seconds > 0
        if not isinstance(self.answers[0], Unreachable):
            if self.on_connect is not None:
                self.on_connect()
            check()
        self.done.append(f"send {base_url.removeprefix('http://')}")
        self.now += self.seconds_each
        given = self.answers.pop(0)
        if self.hold is not None:
            self.on_wire += 1
            try:
                await self.hold.wait()
            finally:
                self.on_wire -= 1
        if isinstance(given, UpstreamFailed):
            raise given
        return given

    # Ledger.

    async def reserve(
        self,
        weight: int,
        *,
        purpose: Purpose = Purpose.PUBLIC,
        refundable: bool = False,
        client: str | None = None,
    ) -> Reservation:
        words = ["" if purpose is Purpose.PUBLIC else f" {purpose.value}", " refundable" if refundable else ""]
        self.done.append(f"reserve {weight}{''.join(words)}{f' for {client}' if client else ''}")
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.reservations += 1
        charges = charges_of(self.now, cost_of(weight), DEFAULT_WINDOWS, guard_seconds=self.guard_seconds())
        return Reservation(charges, float(self.reservations))

    def reserve_now(self, demand: Demand) -> None:
        return

    def can_settle_now(self, reservation: Reservation) -> bool:
        return False

    def settle_now(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        raise AssertionError("can_settle_now was asked")

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        self.done.append(f"reconcile {reservation.at:.0f} {'ok' if ok else 'not ok'}")
        self.seen.append(headers)

    async def release(self, reservation: Reservation) -> None:
        self.done.append(f"release {reservation.at:.0f}")

    async def block(self, reason: BlockReason, until: float | None) -> None:
        self.done.append(f"block {reason.value}")
        if not self.forgets_blocks:
            self.held = Block(reason, self.now + 30 if until is None else until)

    def learn(self, windows: tuple[Window, ...]) -> None:
        self.learned.append(windows)

    def view(self) -> LedgerView:
        return LedgerView((), self.held, local=False)

    def held_block(self) -> Block | None:
        return self.held

    def used_weight(self) -> int:
        return 0

    # Observer.

    def spent(self, endpoint: str, weight: int, *, client: str | None = None) -> None:
        self.done.append(f"spent {endpoint} {weight}{f' for {client}' if client else ''}")

    def filled(self, endpoint: str, *, result: str, seconds: float) -> None:
        raise NotImplementedError

    def fill_wait(self, end: WaitEnd) -> None:
        raise NotImplementedError

    def refused(self, reason: str) -> None:
        self.done.append(f"refused {reason}")

    # Who asks.

    def clock(self) -> float:
        return self.now

    def origin(self, *, total_seconds: float = 10.0, clock: OriginClock | None = None) -> Origin:
        if clock is None:
            clock = OriginClock(self.clock)
            clock.observe_server_time(self.now, sent_at=self.now, received_at=self.now)
        self.guard_seconds = clock.guard_seconds
        return Origin(
            self,
            self,
            clock,
            observer=self,
            total_seconds=total_seconds,
            gate=Gate(self, clock, observer=self, monotonic=self.clock),
            learn=lambda _, limits: self.learn(parse_rate_limits(limits)),
            monotonic=self.clock,
        )


async def failure(world: World, asked: CanonicalQuery = PING, *, origin: Origin | None = None) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        await (origin or world.origin()).ask(asked)
    return caught.value


# --- One answer.


async def test_a_good_answer_is_reserved_sent_counted_and_reconciled() -> None:
    response = answer()
    world = World([response])
    assert await world.origin().ask(PING) == AcceptedResponse(response, Good())
    assert world.done == ["reserve 1", "send one", "spent ping 1", "reconcile 1 ok"]
    assert world.seen == [USED]


async def test_the_weight_is_that_of_the_query_and_the_background_is_told() -> None:
    world = World([answer(), answer()])
    rules = query("/api/v3/executionRules", 'symbols=["A","B","C"]')
    await world.origin().ask(rules, background=True)
    assert world.done[0] == "reserve 6 background"
    assert "spent executionRules 6" in world.done


async def test_the_client_that_causes_a_request_is_told() -> None:
    world = World([ConnectionLost("a"), answer()])
    await world.origin().ask(PING, client="bot")
    assert [line for line in world.done if line.endswith(" for bot")] == [
        *("reserve 1 for bot", "spent ping 1 for bot"),
        *("reserve 1 for bot", "spent ping 1 for bot"),
    ]


async def test_the_origins_own_refusal_of_a_request_is_an_answer_but_does_not_end_strikes() -> None:
    response = answer(400, b'{"code":-1121,"msg":"Invalid symbol."}')
    world = World([response])
    assert await world.origin().ask(PING) == AcceptedResponse(response, Negative())
    assert world.done[-1] == "reconcile 1 not ok"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (answer(500), OriginError),
        (answer(200, b"<html>"), BadAnswer),
        (answer(200, b'{"a":' * 100_000), BadAnswer),
        (answer(302), BadAnswer),
        (answer(400, bytes(MAX_ERROR_BYTES + 1)), BadAnswer),
    ],
    ids=["500", "html", "too deep", "302", "too large"],
)
async def test_an_answer_that_proves_nothing_is_reconciled_all_the_same(
    response: OriginResponse, error: type[SidecarError]
) -> None:
    world = World([response])
    assert type(await failure(world)) is error
    assert world.done == ["reserve 1", "send one", "spent ping 1", "reconcile 1 not ok"]
    assert world.seen == [USED]


@pytest.mark.parametrize(
    ("outcome", "error", "done"),
    [
        (TooSlow(headers=USED), TooSlow, ["reconcile 1 not ok"]),
        (ConnectionLost("a", headers=USED), ConnectionLost, ["reconcile 1 not ok"]),
        (answer(429), BackedOff, ["block back-off", "reconcile 1 not ok"]),
    ],
    ids=["too slow", "lost", "429"],
)
async def test_how_an_attempt_ended_that_was_made_before_counts_after_the_deadline_too(
    outcome: OriginResponse | UpstreamFailed, error: type[SidecarError], done: list[str]
) -> None:
    world = World()
    origin, passage = world.origin(), Passage(demand_of(PING.weight, Purpose.PUBLIC, False, None), world.now)
    assert origin._gate.enter_now(passage.demand)
    ticket = Ticket(origin._gate, passage, await world.reserve(PING.weight), is_sent=True)
    with pytest.raises(error):
        await origin.rest(Attempts(PING, passage, ticket, world.hosts, outcome))
    assert world.done == ["reserve 1", *done], "it was counted when it left"


async def test_a_request_counts_as_sent_although_nobody_waits_for_its_answer_any_more() -> None:
    world = World([answer()], hold=asyncio.Event())
    asking = asyncio.create_task(world.origin().ask(PING))
    while not world.on_wire:  # noqa: ASYNC110 - a turn of the loop each
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert world.done == ["reserve 1", "send one", "spent ping 1"]


# --- Refusals of the IP.


@pytest.mark.parametrize(
    ("status", "word", "error"), [(429, "back-off", BackedOff), (418, "ban", Banned), (403, "pause", Paused)]
)
@pytest.mark.parametrize(("retry_after", "remaining"), [("120", 120.0), (None, 30.0)])
async def test_the_block_is_known_to_all_before_the_weight_is_given_back(
    status: int, word: str, error: type[SidecarError], retry_after: str | None, remaining: float
) -> None:
    world = World([answer(status, retry_after=retry_after) if retry_after else answer(status)])
    raised = await failure(world)
    assert world.done == ["reserve 1", "send one", "spent ping 1", f"block {word}", "reconcile 1 not ok"]
    assert type(raised) is error
    assert raised.retry_after_seconds == pytest.approx(remaining + (GUARD_SECONDS if retry_after else 0))


@given(learned=st.lists(st.floats(0.0, 0.99), max_size=6), offset_seconds=st.floats(-2.0, 2.0))
async def test_no_block_ends_early_by_any_replicas_clock_whatever_is_learned_of_the_origins(
    learned: list[float], offset_seconds: float
) -> None:
    """As far as corrections go: when a clock jumps by more, the ledger moves the block with it."""
    world = World()
    clock, other = OriginClock(lambda: world.now), OriginClock(lambda: world.now)
    refused = replace(answer(429, retry_after="20", date=formatdate(NOW + offset_seconds)), received_at=NOW)
    world.answers.append(refused)
    await failure(world, origin=world.origin(clock=clock))
    for moment in learned:
        told = math.floor(NOW + moment + offset_seconds)
        for each in (clock, other):
            each.observe_date(float(told), sent_at=NOW + moment, received_at=NOW + moment)
    assert world.held is not None
    assert clock.to_origin(NOW + 20 - 0.001) < world.held.until
    assert not learned or other.to_origin(NOW + 20 - 0.001) < world.held.until


async def test_a_block_that_is_over_already_still_asks_for_a_moment() -> None:
    world = World([answer(429)], forgets_blocks=True)
    raised = await failure(world)
    assert (type(raised), raised.retry_after) == (BackedOff, "1")


# --- Hosts that fail.


async def test_a_host_that_cannot_be_reached_costs_nothing_and_the_next_is_tried() -> None:
    world = World([Unreachable("a"), Unreachable("b"), answer()])
    await world.origin().ask(PING)
    assert world.done == ["reserve 1", "send one", "send two", "send three", "spent ping 1", "reconcile 1 ok"]


async def test_when_no_host_can_be_reached_the_reservation_is_released() -> None:
    world = World(nobody())
    assert isinstance(await failure(world), Unreachable)
    assert world.done == ["reserve 1", "send one", "send two", "send three", "send four", "release 1"]


async def test_a_connection_that_breaks_stays_charged_and_the_next_attempt_is_charged_again() -> None:
    world = World([ConnectionLost("a"), answer()])
    await world.origin().ask(PING)
    assert world.done == [
        *("reserve 1", "send one", "spent ping 1"),
        *("reserve 1", "send two", "spent ping 1", "reconcile 2 ok"),
    ]


async def test_one_question_is_sent_no_more_than_twice_when_connections_break() -> None:
    world = World([ConnectionLost("a") for _ in HOSTS])
    assert isinstance(await failure(world), ConnectionLost)
    assert world.done == ["reserve 1", "send one", "spent ping 1", "reserve 1", "send two", "spent ping 1"]
    assert LOST_ATTEMPTS == 2


async def test_a_connection_that_breaks_after_the_head_is_reconciled_and_still_charged_again() -> None:
    world = World([ConnectionLost("a", headers=USED), answer()])
    await world.origin().ask(PING)
    assert world.done[:4] == ["reserve 1", "send one", "spent ping 1", "reconcile 1 not ok"]
    assert world.done[4:] == ["reserve 1", "send two", "spent ping 1", "reconcile 2 ok"]


async def test_no_second_attempt_is_made_that_the_budget_forbids() -> None:
    world = World([ConnectionLost("a"), answer()], refusals=[None, BudgetUsedUp("used up")])
    assert isinstance(await failure(world), BudgetUsedUp)
    assert world.done[-1] == "reserve 1"


async def test_one_that_breaks_and_then_none_that_can_be_reached_leaves_nothing_pending() -> None:
    world = World([ConnectionLost("a"), Unreachable("b"), Unreachable("c"), Unreachable("d")])
    assert isinstance(await failure(world), Unreachable)
    assert world.done[-1] == "release 2"


@pytest.mark.parametrize("error", [TooSlow("slow"), BadAnswer("bad")])
@pytest.mark.parametrize("headers", [USED, {}])
async def test_an_error_after_sending_is_charged_ends_it_and_is_reconciled_where_a_head_came(
    error: UpstreamFailed, headers: dict[str, str]
) -> None:
    world = World([type(error)(error.msg, headers=headers)])
    assert type(await failure(world)) is type(error)
    assert world.done == ["reserve 1", "send one", "spent ping 1"] + (["reconcile 1 not ok"] if headers else [])


async def test_no_host_is_tried_after_the_deadline() -> None:
    world = World(nobody(), seconds_each=4.0)
    assert isinstance(await failure(world), Unreachable)
    assert world.done == ["reserve 1", "send one", "send two", "send three", "release 1"]


async def test_a_slow_connect_that_crosses_into_another_window_is_reserved_there() -> None:
    world = World([Unreachable("a"), Unreachable("b"), answer()], seconds_each=30.0)
    await world.origin(total_seconds=300).ask(PING)
    assert world.done == [
        *("reserve 1", "send one", "send two"),
        *("release 1", "reserve 1", "send three", "spent ping 1", "reconcile 2 ok"),
    ]


async def test_a_refusal_of_the_ledger_sends_nothing() -> None:
    refusal = Banned("banned", retry_after_seconds=60)
    world = World(refusals=[refusal])
    assert await failure(world) is refusal
    assert world.done == ["reserve 1"]


async def test_a_host_that_does_not_serve_this_location_is_followed_by_the_next() -> None:
    world = World([answer(451, b"no"), answer()])
    assert (await world.origin().ask(PING)).response.status == 200
    assert world.done == [
        *("reserve 1", "send one", "spent ping 1", "reconcile 1 not ok"),
        *("reserve 1", "send two", "spent ping 1", "reconcile 2 ok"),
    ]


@pytest.mark.parametrize(
    "rest", [[answer(451, b"no") for _ in HOSTS[1:]], [Unreachable("a"), Unreachable("b"), Unreachable("c")]]
)
async def test_where_no_host_serves_this_location_the_answer_is_theirs(
    rest: list[OriginResponse | UpstreamFailed],
) -> None:
    raised = await failure(World([answer(451, b"no"), *rest]))
    assert isinstance(raised, Restricted)
    assert raised.body == b"no"


@pytest.mark.parametrize("status", [500, 503, 429, 418, 403])
async def test_no_other_refusal_or_failure_is_taken_to_the_next_host(status: int) -> None:
    world = World([answer(status), answer()])
    await failure(world)
    assert len(world.answers) == 1


# --- The moment of sending.


async def test_a_connection_that_takes_until_the_next_window_is_sent_under_that_windows_reservation() -> None:
    world = World([answer()])

    def takes_a_minute() -> None:
        world.now += 70.0
        world.on_connect = None

    world.on_connect = takes_a_minute
    await world.origin(total_seconds=300).ask(PING)
    assert world.done[:4] == ["reserve 1", "release 1", "reserve 1", "send one"]


async def test_a_block_that_comes_while_the_connection_is_made_stops_the_request() -> None:
    world = World([answer()])
    world.on_connect = lambda: setattr(world, "held", Block(BlockReason.BAN, world.now + 60))
    raised = await failure(world)
    assert isinstance(raised, Banned)
    assert world.done == ["reserve 1", "refused ban", "release 1"]


async def test_all_that_wait_for_a_connection_are_refused_with_the_first() -> None:
    hold = asyncio.Event()
    world = World([answer(418, retry_after="60") for _ in range(PUBLIC_SLOTS)], hold=hold)
    origin = world.origin()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(failure(world, origin=origin)) for _ in range(400)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert (world.on_wire, world.answers) == (PUBLIC_SLOTS, [])
        hold.set()
    assert {type(task.result()) for task in asked} == {Banned}
    assert {task.result().msg for task in asked} == {asked[0].result().msg}
    assert sum(line.startswith("send") for line in world.done) == PUBLIC_SLOTS
    assert world.done.count("reserve 1") == PUBLIC_SLOTS, "what waits has reserved nothing"


async def test_the_deadline_counts_the_wait_for_a_connection() -> None:
    hold = asyncio.Event()
    world = World([answer() for _ in range(PUBLIC_SLOTS)], hold=hold)
    origin = world.origin(total_seconds=0.05)
    first = [asyncio.create_task(origin.ask(PING)) for _ in range(PUBLIC_SLOTS)]
    await asyncio.sleep(0)
    assert isinstance(await failure(world, origin=origin), TooSlow)
    assert world.done.count("reserve 1") == PUBLIC_SLOTS
    hold.set()
    await asyncio.gather(*first)


async def test_a_client_that_leaves_the_queue_leaves_no_slot_behind() -> None:
    hold = asyncio.Event()
    world = World([answer() for _ in range(2 * PUBLIC_SLOTS + 1)], hold=hold)
    origin = world.origin()
    first = [asyncio.create_task(origin.ask(PING)) for _ in range(PUBLIC_SLOTS)]
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(origin.ask(PING)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    hold.set()
    await asyncio.sleep(0)
    first[0].cancel()
    await asyncio.gather(*first, *waiting, return_exceptions=True)
    hold.clear()
    rest = [asyncio.create_task(origin.ask(PING)) for _ in range(PUBLIC_SLOTS)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert world.on_wire == PUBLIC_SLOTS
    hold.set()
    await asyncio.gather(*rest)


async def test_after_a_block_requests_go_one_at_a_time_until_one_is_answered() -> None:
    world = World([answer(429, retry_after="5"), *(answer(500) for _ in range(2)), *(answer() for _ in range(9))])
    origin = world.origin()
    await failure(world, origin=origin)
    world.held, world.now = None, world.now + 10
    hold = world.hold = asyncio.Event()
    asked = [asyncio.create_task(origin.ask(PING)) for _ in range(11)]
    seen = []
    for _ in range(3):
        for _ in range(5):
            await asyncio.sleep(0)
        seen.append(world.on_wire)
        hold.set()
        await asyncio.sleep(0)
        hold.clear()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (seen, world.on_wire) == ([1, 1, 1], 8)
    hold.set()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_a_late_answer_to_a_request_from_before_the_block_frees_nobody() -> None:
    world = World([answer(), answer(429, retry_after="5")], hold=asyncio.Event())
    origin = world.origin()
    slow = asyncio.create_task(origin.ask(PING))
    await asyncio.sleep(0)
    hold, world.hold = world.hold, None
    await failure(world, origin=origin)
    assert hold is not None
    hold.set()
    await slow
    assert origin._gate.is_probing


# --- 403: the words, or the IP?

ODD = query("/api/v3/exchangeInfo", "permissions=UNION%20SELECT")


async def test_a_403_to_odd_words_is_the_answer_where_a_ping_is_answered() -> None:
    world = World([answer(403, b"<html>"), answer()])
    accepted = await world.origin().ask(ODD)
    assert accepted == AcceptedResponse(accepted.response, Negative(by_firewall=True))
    assert world.done == [
        *("reserve 20", "send one", "spent exchangeInfo 20", "reconcile 1 not ok"),
        *("reserve 1", "send one", "spent ping 1", "reconcile 2 ok"),
    ]


async def test_where_the_ping_is_refused_too_all_is_paused() -> None:
    world = World([answer(403, b"<html>"), answer(403, b"<html>")])
    assert isinstance(await failure(world, ODD), Paused)
    assert world.done[-2:] == ["block pause", "reconcile 2 not ok"]


@pytest.mark.parametrize("given", [TooSlow(), answer(500), answer(200, b"<html>"), ConnectionLost("a")])
async def test_a_ping_that_proves_nothing_pauses_nothing(given: OriginResponse | UpstreamFailed) -> None:
    world = World([answer(403, b"<html>"), given, answer(500)])
    assert (await world.origin().ask(ODD)).response.status == 403
    assert not any(line.startswith("block") for line in world.done)


async def test_many_odd_words_at_once_cost_one_ping() -> None:
    hold = asyncio.Event()
    world = World([*(answer(403, b"<html>") for _ in range(PUBLIC_SLOTS)), answer()], hold=hold)
    origin = world.origin()
    asked = [asyncio.create_task(origin.ask(ODD)) for _ in range(PUBLIC_SLOTS)]
    await asyncio.sleep(0)
    hold.set()
    accepted = await asyncio.gather(*asked)
    assert {each.response.status for each in accepted} == {403}
    assert world.done.count("spent ping 1") == 1


# --- After no host could be reached.


async def test_after_no_host_could_be_reached_none_is_tried_for_a_moment() -> None:
    world = World([*nobody(), answer()])
    origin = world.origin()
    await failure(world, origin=origin)
    world.done.clear()
    world.now += UNREACHABLE_SECONDS - 0.01
    assert isinstance(await failure(world, origin=origin), Unreachable)
    assert world.done == []
    world.now += 0.02
    await origin.ask(PING)
    assert world.done[0] == "reserve 1"


async def test_a_clock_that_was_set_back_does_not_make_the_moment_last() -> None:
    world = World([*nobody(), answer()])
    origin = world.origin()
    await failure(world, origin=origin)
    world.now -= 3600
    await origin.ask(PING)


async def test_a_broken_connection_is_no_reason_to_hold() -> None:
    world = World([ConnectionLost("a"), ConnectionLost("b"), answer()])
    origin = world.origin()
    await failure(world, origin=origin)
    await origin.ask(PING)


# --- What is learned.


async def test_limits_and_times_are_learned_from_a_document() -> None:
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 9},
    ]
    body = orjson.dumps({"serverTime": int((NOW + 40.1) * 1000), "rateLimits": limits, "symbols": [{"symbol": "A"}]})
    world = World([answer(body=body, date="Fri, 15 Jan 2027 08:00:40 GMT", x_mbx_uuid="1")])
    origin = world.origin(clock=OriginClock(world.clock))
    await origin.ask(query("/api/v3/exchangeInfo"))
    assert world.learned == [(Window(RateLimitKind.REQUEST_WEIGHT, 60, 1200),)]
    clock = origin._clock
    assert clock.origin() - clock.wall() == pytest.approx(40.0, abs=0.11)


@pytest.mark.parametrize("status", [200, 403, 451, 503])
async def test_a_page_of_the_edge_teaches_no_time(status: int) -> None:
    page = answer(status, date="Fri, 15 Jan 2027 07:00:00 GMT", content_type="text/html")
    world = World([replace(page, received_at=NOW + n / 10) for n in range(12)], forgets_blocks=True)
    origin = world.origin(clock=OriginClock(world.clock))
    for _ in range(3):
        with suppress(SidecarError):
            await origin.ask(PING)
    assert origin._clock.origin() == NOW
    assert not origin._clock.is_synchronized()


async def test_a_date_is_learned_from_errors_of_the_api_too() -> None:
    told = answer(500, date="Fri, 15 Jan 2027 08:00:40 GMT", x_mbx_used_weight="7")
    world = World([told, replace(told, received_at=NOW + 0.3)])
    origin = world.origin()
    for _ in range(2):
        await failure(world, origin=origin)
    assert origin._clock.origin() - NOW == pytest.approx(40.0, abs=0.6)
