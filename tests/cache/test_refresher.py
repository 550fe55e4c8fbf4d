"""The refresher, on a clock of its own: nothing here waits."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from proxy.cache.refresher import TICK_SECONDS, Refresher
from proxy.core.cache.refresh_schedule import DEMAND_SECONDS, RefreshDecision
from proxy.core.messages import Entry, Lifetimes
from proxy.errors import BackedOff, BadAnswer, Banned, BudgetUsedUp, SendingRefused, Unreachable
from proxy.settings import KeepWarm
from tests.events import capture_logs

NOW = 1_800_000_000.0
FRESH_SECONDS = 60.0


class Over(Exception):
    """The test has seen enough of the loop."""


@dataclass(slots=True)
class World:
    """A gateway to keep warm, a clock that moves with each sleep, and jitter that is given."""

    now: float = NOW
    asked_at: float = NOW
    in_redis: bool | Exception = False
    faults: deque[Exception | None] = field(default_factory=deque)
    """How the next refreshes end; after them all go well."""
    jitters: deque[float] = field(default_factory=deque)
    refreshed_at: list[float] = field(default_factory=list)
    stored_at: float | None = None
    others_failed: tuple[int, float] = (0, float("-inf"))
    """How often fills for clients have failed in a row, and when last."""
    slept: list[float] = field(default_factory=list)
    most_ticks: int = 0
    asked: int = 0
    """How often Redis was asked."""
    entered: asyncio.Event | None = None
    """Set when Redis is asked, which then never answers."""

    def wall(self) -> float:
        return self.now

    def jitter(self) -> float:
        return self.jitters.popleft() if self.jitters else 0.0

    async def sleep(self, seconds: float) -> None:
        if len(self.slept) == self.most_ticks:
            raise Over
        self.slept.append(seconds)
        self.now += seconds

    async def warm(self) -> bool:
        self.asked += 1
        if self.entered is not None:
            self.entered.set()
            await asyncio.Event().wait()
        if isinstance(self.in_redis, Exception):
            raise self.in_redis
        return self.in_redis

    async def refresh(self) -> None:
        self.refreshed_at.append(self.now - NOW)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            raise fault
        self.stored_at = self.now

    def failures(self) -> tuple[int, float]:
        return self.others_failed

    def document(self) -> Entry | None:
        if self.stored_at is None:
            return None
        return Entry(
            status=200,
            content_type="application/json",
            body=b"{}",
            gzip=None,
            etag="e",
            stored_at=self.stored_at,
            lifetimes=Lifetimes(fresh_seconds=FRESH_SECONDS),
        )

    def refresher(self, keep_warm: KeepWarm = KeepWarm.ALWAYS, fresh_seconds: float = FRESH_SECONDS) -> Refresher:
        return Refresher(
            self,
            self,
            keep_warm=keep_warm,
            fresh_seconds=fresh_seconds,
            wall=self.wall,
            jitter=self.jitter,
            sleep=self.sleep,
        )

    async def runs(self, seconds: float, keep_warm: KeepWarm = KeepWarm.ALWAYS) -> Refresher:
        """Run the loop for so long by the world's clock."""
        self.most_ticks = int(seconds / TICK_SECONDS)
        refresher = self.refresher(keep_warm)
        with pytest.raises(Over):
            await refresher.run()
        return refresher


# --- The first warm-up.


@pytest.mark.parametrize("keep_warm", [KeepWarm.ALWAYS, KeepWarm.DEMAND])
async def test_a_cold_start_asks_once_even_if_nobody_wants_it_yet(keep_warm: KeepWarm) -> None:
    world = World(asked_at=float("-inf"))
    refresher = await world.runs(0, keep_warm)
    assert world.refreshed_at == [0]
    assert refresher.started.is_set()


@pytest.mark.parametrize("keep_warm", list(KeepWarm))
async def test_a_warm_redis_means_no_request(keep_warm: KeepWarm) -> None:
    world = World(in_redis=True, stored_at=NOW)
    refresher = world.refresher(keep_warm)
    with suppress(Over):
        await refresher.run()
    assert world.refreshed_at == []
    assert refresher.started.is_set()


async def test_never_looks_into_redis_once_and_ends() -> None:
    world = World()
    refresher = world.refresher(KeepWarm.NEVER)
    await refresher.run()
    assert (world.refreshed_at, world.slept) == ([], [])
    assert refresher.started.is_set()


@pytest.mark.parametrize(
    "world",
    [
        World(faults=deque([Unreachable("down")])),
        World(faults=deque([Banned("banned", retry_after_seconds=3600)])),
        World(faults=deque([KeyError("a fault of ours")])),
        World(in_redis=BadAnswer("what Redis has is not believed")),
        World(in_redis=KeyError("a fault of ours")),
    ],
    ids=["unreachable", "banned", "broken", "not believed", "redis broken"],
)
async def test_a_first_warm_up_that_fails_has_ended_too(world: World) -> None:
    refresher = await world.runs(0)
    assert refresher.started.is_set()


async def test_one_that_is_cut_off_has_ended_too() -> None:
    entered = asyncio.Event()
    refresher = World(entered=entered).refresher()
    task = asyncio.create_task(refresher.run())
    await entered.wait()
    assert not refresher.started.is_set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert refresher.started.is_set()


# --- The loop.


async def test_always_refreshes_before_the_document_is_stale_for_as_long_as_it_runs() -> None:
    world = World(asked_at=float("-inf"))
    await world.runs(160)
    assert world.refreshed_at == [0, 51, 102, 153]
    assert set(world.slept) == {TICK_SECONDS}


@pytest.mark.parametrize(("fresh_seconds", "tick_seconds"), [(3600, 0.5), (10, 0.5), (2, 0.1), (0.1, 0.05), (0, 0.05)])
async def test_it_looks_often_enough_for_a_short_freshness_lifetime(fresh_seconds: float, tick_seconds: float) -> None:
    world = World(most_ticks=3)
    with pytest.raises(Over):
        await world.refresher(fresh_seconds=fresh_seconds).run()
    assert world.slept == [tick_seconds] * 3


async def test_demand_refreshes_while_somebody_asks_and_stops_after_that() -> None:
    world = World(asked_at=NOW)
    await world.runs(DEMAND_SECONDS + 200, KeepWarm.DEMAND)
    assert world.refreshed_at == [51 * turn for turn in range(12)]
    assert world.refreshed_at[-1] <= DEMAND_SECONDS < world.refreshed_at[-1] + 51


async def test_demand_begins_again_when_somebody_asks_again() -> None:
    world = World(stored_at=NOW - 1000, asked_at=NOW - DEMAND_SECONDS - 1)
    refresher = world.refresher(KeepWarm.DEMAND)
    assert await refresher.tick() is RefreshDecision.UNWANTED
    world.asked_at = world.now
    assert await refresher.tick() is RefreshDecision.NOW
    assert world.refreshed_at == [0]


async def test_each_refresh_draws_new_jitter_that_brings_the_next_one_forward() -> None:
    world = World(jitters=deque([0.5, 0.0, 1.0, 0.5]))
    await world.runs(150)
    assert world.refreshed_at == [0, 51, 96, 144]


async def test_a_tick_on_a_fresh_document_does_nothing() -> None:
    world = World(stored_at=NOW)
    assert await world.refresher().tick() is RefreshDecision.LATER
    assert world.refreshed_at == []


async def test_failures_are_tried_again_ever_more_slowly_up_to_a_minute() -> None:
    world = World(faults=deque([Unreachable("down")] * 9), jitters=deque([1.0] * 12))
    await world.runs(250)
    gaps = [later - earlier for earlier, later in zip(world.refreshed_at, world.refreshed_at[1:], strict=False)]
    assert gaps == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_one_that_goes_well_ends_the_back_off() -> None:
    down = Unreachable("down")
    world = World(faults=deque([down, down, down, None, down]), jitters=deque([0.0] + [1.0] * 9))
    await world.runs(60)
    assert world.refreshed_at == [0, 1, 3, 7, 52, 53]


@pytest.mark.parametrize(("failures", "asked"), [(0, True), (1, True), (4, True), (5, False), (9, False)])
async def test_a_failed_fill_for_a_client_holds_the_refresher_back_too(failures: int, asked: bool) -> None:
    world = World(others_failed=(failures, NOW - 15.0), jitters=deque([1.0]))
    decision = await world.refresher().tick()
    assert (decision is RefreshDecision.NOW, world.refreshed_at) == (asked, [0] if asked else [])


@pytest.mark.parametrize("refusal", [Banned, BackedOff, BudgetUsedUp])
async def test_nothing_is_asked_while_the_quota_forbids_it(refusal: type[SendingRefused]) -> None:
    world = World(faults=deque([refusal("no", retry_after_seconds=300.0)]))
    await world.runs(310)
    assert world.refreshed_at == [0, 300]


async def test_a_refusal_without_an_end_is_a_failure_like_others() -> None:
    world = World(faults=deque([BudgetUsedUp("no")]), jitters=deque([1.0, 1.0]))
    await world.runs(2)
    assert world.refreshed_at == [0, 1]


async def test_a_fault_of_ours_is_logged_with_its_traceback_and_the_loop_goes_on() -> None:
    world = World(faults=deque([KeyError("broken")]), jitters=deque([1.0, 1.0]))
    with capture_logs() as logs:
        await world.runs(2)
    assert world.refreshed_at == [0, 1]
    assert [(line["event"], line["log_level"], line["exc_info"]) for line in logs] == [
        ("unexpected_error", "error", True)
    ]


async def test_a_failure_is_logged_with_its_reason() -> None:
    world = World(faults=deque([Unreachable("nobody there")]))
    with capture_logs() as logs:
        await world.runs(0)
    (line,) = logs
    assert (line["event"], line["reason"], line["failures"]) == ("refresh_failed", "unreachable", 1)


@pytest.mark.parametrize("fault", [None, KeyError("broken")])
async def test_what_was_begun_before_the_listeners_is_not_loaded_again(fault: Exception | None) -> None:
    world = World(in_redis=fault or True)
    refresher = world.refresher()
    await refresher.load()
    assert world.asked == 1
    with pytest.raises(Over):
        await refresher.run()
    assert (world.asked, refresher.started.is_set()) == (1, True)
