"""One piece of work at a time for each key, and nobody can spoil it for the others."""

from __future__ import annotations

import asyncio
import gc
import traceback

import pytest

from proxy.cache.singleflight import SingleFlight, give
from proxy.errors import TooSlow, UpstreamFailed


class Work:
    """Work that a test ends when it likes."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.error = error

    async def __call__(self) -> str:
        self.started += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return "done"


class Elsewhere:
    """Work that is done elsewhere."""

    def __init__(self) -> None:
        self.joined: asyncio.Future[str] | None = None


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def callers(flight: SingleFlight, work: Work, count: int) -> list[asyncio.Task[tuple[str, bool]]]:
    return [asyncio.create_task(flight.do("k", work)) for _ in range(count)]


async def test_one_works_and_the_others_join() -> None:
    flight, work = SingleFlight(), Work()
    asking = callers(flight, work, 100)
    await settle()
    assert flight.running() == 1
    work.gate.set()

    results = await asyncio.gather(*asking)

    assert work.started == 1
    assert results == [("done", False)] + [("done", True)] * 99
    assert flight.running() == 0


async def test_different_keys_do_not_wait_for_each_other() -> None:
    flight, slow, quick = SingleFlight(), Work(), Work()
    quick.gate.set()
    waiting = asyncio.create_task(flight.do("slow", slow))

    assert await flight.do("quick", quick) == ("done", False)

    slow.gate.set()
    await waiting


async def test_the_next_after_the_end_works_anew() -> None:
    flight, work = SingleFlight(), Work()
    work.gate.set()

    assert await flight.do("k", work) == ("done", False)
    assert await flight.do("k", work) == ("done", False)
    assert work.started == 2


async def test_the_key_is_free_before_any_caller_goes_on() -> None:
    flight, work = SingleFlight(), Work()
    seen: list[int] = []

    async def ask() -> None:
        await flight.do("k", work)
        seen.append(flight.running())

    asking = [asyncio.create_task(ask()) for _ in range(3)]
    await settle()
    work.gate.set()
    await asyncio.gather(*asking)

    assert seen == [0, 0, 0]


async def test_work_that_has_ended_is_not_joined_even_before_the_key_is_forgotten() -> None:
    flight, work, ending = SingleFlight(), Work(), asyncio.Event()
    work.gate.set()

    async def ask_at_the_end() -> tuple[str, bool]:
        await ending.wait()
        return await flight.do("k", work)

    async def end() -> str:
        ending.set()  # wakes the other before the callbacks of this task's end
        raise TooSlow("the first")

    asking = asyncio.create_task(ask_at_the_end())
    await settle()
    with pytest.raises(TooSlow):
        await flight.do("k", end)

    assert await asking == ("done", False)
    await settle()
    assert flight.running() == 0


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_a_caller_that_leaves_spoils_nothing(leaver: int) -> None:
    flight, work = SingleFlight(), Work()
    asking = callers(flight, work, 3)
    await settle()

    asking[leaver].cancel()
    await settle()
    assert asking[leaver].cancelled()
    work.gate.set()

    for caller in asking:
        if not caller.cancelled():
            assert (await caller)[0] == "done"
    assert (work.started, work.cancelled) == (1, 0)


async def test_when_all_have_left_the_work_goes_on() -> None:
    flight, work = SingleFlight(), Work()
    asking = callers(flight, work, 3)
    await settle()
    for caller in asking:
        caller.cancel()
    await settle()
    assert flight.running() == 1

    assert flight.spawn("k", work) is False
    work.gate.set()
    await settle()

    assert (work.started, work.cancelled, flight.running()) == (1, 0, 0)


async def test_a_caller_that_waited_long_enough_goes_and_the_others_stay() -> None:
    flight, work = SingleFlight(), Work()
    staying = asyncio.create_task(flight.do("k", work))
    await settle()

    with pytest.raises(TimeoutError):
        await flight.do("k", work, timeout_seconds=0.001)
    with pytest.raises(TimeoutError):
        await flight.do("k", work, timeout_seconds=0.0)

    work.gate.set()
    assert await staying == ("done", False)
    assert work.cancelled == 0


async def test_an_error_goes_to_everybody_and_the_next_works_anew() -> None:
    flight, work = SingleFlight(), Work(TooSlow("the origin"))
    asking = callers(flight, work, 5)
    await settle()
    work.gate.set()

    results = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(result) for result in results] == [TooSlow] * 5
    work.error = None
    assert await flight.do("k", work) == ("done", False)


async def test_a_thousand_callers_of_one_error_do_not_make_its_traceback_longer() -> None:
    flight, work = SingleFlight(), Work(TooSlow("the origin"))
    lengths: list[int] = []

    async def ask() -> None:
        try:
            await flight.do("k", work)
        except TooSlow as error:
            lengths.append(len(traceback.extract_tb(error.__traceback__)))

    asking = [asyncio.create_task(ask()) for _ in range(1000)]
    await settle()
    work.gate.set()
    await asyncio.gather(*asking)

    assert len(lengths) == 1000
    assert max(lengths) == lengths[0] < 8


async def test_an_error_that_nobody_awaits_is_not_reported_as_lost(
    event_loop_complaints: list[dict[str, object]],
) -> None:
    flight, work = SingleFlight(), Work(TooSlow("nobody cares"))
    caller = asyncio.create_task(flight.do("k", work))
    await settle()
    caller.cancel()
    await settle()
    work.gate.set()
    await settle()
    assert flight.spawn("k", work)
    await settle()
    del caller, work
    gc.collect()
    await settle()

    assert event_loop_complaints == []


@pytest.fixture
async def event_loop_complaints() -> list[dict[str, object]]:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    return complaints


async def test_work_is_spawned_unless_it_is_under_way_and_can_be_joined() -> None:
    flight, work = SingleFlight(), Work()

    assert flight.spawn("k", work) is True
    assert flight.spawn("k", work) is False
    joining = asyncio.create_task(flight.do("k", work))
    await settle()
    work.gate.set()

    assert await joining == ("done", True)
    assert work.started == 1
    assert flight.spawn("k", work) is True
    await flight.drain(1.0)


async def test_work_that_fails_before_it_can_be_awaited_is_an_error_like_any_other() -> None:
    def broken() -> asyncio.Future[str]:
        raise TooSlow("at once")

    flight = SingleFlight()

    with pytest.raises(TooSlow):
        await flight.do("k", broken)
    assert flight.running() == 0


async def test_draining_waits_for_work_that_ends_in_time() -> None:
    flight, work = SingleFlight(), Work()
    asking = callers(flight, work, 2)
    await settle()
    draining = asyncio.create_task(flight.drain(60.0))
    await settle()
    assert not draining.done()
    work.gate.set()

    assert await draining == 0
    assert await asyncio.gather(*asking) == [("done", False), ("done", True)]


async def test_draining_cancels_what_is_late_and_its_callers_get_an_error_not_a_cancellation() -> None:
    flight, work = SingleFlight(), Work()
    asking = callers(flight, work, 2)
    await settle()

    assert await flight.drain(0.0) == 1

    for caller in asking:
        with pytest.raises(UpstreamFailed):
            await caller
    assert (work.cancelled, flight.running()) == (1, 0)


async def test_draining_nothing_ends_at_once() -> None:
    assert await SingleFlight().drain(60.0) == 0


async def test_only_work_that_is_done_elsewhere_and_under_way_is_found_there() -> None:
    flight, work, ours, given_up = SingleFlight(), Work(), Elsewhere(), Elsewhere()
    assert flight.elsewhere("k") is None
    flight.lead("k", ours)
    assert flight.elsewhere("k") is ours
    (joining,) = callers(flight, work, 1)
    await settle()
    assert flight.elsewhere("k") is ours
    joined = flight.land("k", ours)
    assert joined is not None
    assert flight.elsewhere("k") is None
    give(joined, "here")
    await joining
    (leading,) = callers(flight, work, 1)
    await settle()
    assert flight.elsewhere("k") is None, "that is a task"
    work.gate.set()
    await leading
    flight.lead("k", given_up)
    await flight.drain(0.0)
    assert flight.elsewhere("k") is None


async def test_callers_join_work_that_is_done_elsewhere_until_it_lands() -> None:
    flight, work, ours, other = SingleFlight(), Work(), Elsewhere(), Elsewhere()
    assert flight.lead("k", ours)
    assert not flight.lead("k", other)
    asking = callers(flight, work, 2)
    await settle()
    joined = flight.land("k", ours)
    assert joined is not None
    give(joined, "from elsewhere")
    assert await asyncio.gather(*asking) == [("from elsewhere", True)] * 2
    assert (work.started, flight.running()) == (0, 0)
    assert flight.lead("k", other)


async def test_work_elsewhere_that_nobody_joins_has_no_future() -> None:
    flight, ours = SingleFlight(), Elsewhere()
    assert flight.lead("k", ours)
    assert flight.land("k", ours) is None


async def test_work_elsewhere_that_fails_fails_for_all_that_joined() -> None:
    flight, ours = SingleFlight(), Elsewhere()
    flight.lead("k", ours)
    asking = callers(flight, Work(), 2)
    await settle()
    joined = flight.land("k", ours)
    assert joined is not None
    give(joined, TooSlow("elsewhere"))
    for caller in asking:
        with pytest.raises(TooSlow):
            await caller


async def test_draining_waits_for_work_elsewhere_and_gives_it_up() -> None:
    flight, ours, late = SingleFlight(), Elsewhere(), Elsewhere()
    flight.lead("k", ours)
    draining = asyncio.create_task(flight.drain(60.0))
    await settle()
    assert not draining.done()
    joined = flight.land("k", ours)
    assert joined is not None
    give(joined, "done")
    assert await draining == 0

    flight.lead("k", late)
    assert await flight.drain(0.0) == 1
    assert flight.lead("k", Elsewhere()), "what was given up is no longer under way"
    assert flight.land("k", late) is late.joined
    assert late.joined is not None
    give(late.joined, "too late")
    assert not flight.lead("k", late)
