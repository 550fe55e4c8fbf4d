"""How waiting for another replica's fill ends, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.fill_lock import PollSchedule, wait_for_fill
from proxy.cache.null import NullStore
from proxy.core.cache.fill_wait import LockState, LockStatus, WaitEnd
from proxy.errors import RedisAway
from tests.cache.entries import entry

HELD, FAILED, FREE = LockState.HELD, LockState.FAILED, LockState.FREE
Sight = tuple[LockState | None, float | None]


class Scene:
    """What a waiter sees look by look, the last for ever; a state of None is a Redis that is away."""

    def __init__(self, *sights: Sight, left_seconds: float = 5.0) -> None:
        self.sights = list(sights)
        self.left_seconds = left_seconds
        self.looks = 0
        self.slept: list[float] = []

    async def lock_status(self, key: str) -> LockStatus:
        state = self._sight()[0]
        if state is None:
            raise RedisAway("away")
        return LockStatus(state, self.left_seconds)

    async def peek(self, key: str) -> float | None:
        stored_at = self._sight()[1]
        self.looks += 1
        return stored_at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def _sight(self) -> Sight:
        return self.sights[min(self.looks, len(self.sights) - 1)]

    async def wait(self, *, timeout_seconds: float = 1.0, chance: float = 1.0) -> WaitEnd:
        schedule = PollSchedule(sleep=self.sleep, monotonic=lambda: sum(self.slept), chance=lambda: chance)
        return await wait_for_fill(self, "k", newer_than=100.0, timeout_seconds=timeout_seconds, schedule=schedule)


@pytest.mark.parametrize(
    ("sights", "end"),
    [
        ([(HELD, 101.0)], WaitEnd.FILLED),
        ([(FREE, 101.0)], WaitEnd.FILLED),
        ([(FAILED, 101.0)], WaitEnd.FILLED),
        ([(HELD, None), (HELD, 101.0)], WaitEnd.FILLED),
        ([(HELD, 100.0), (HELD, 99.0), (FREE, 100.5)], WaitEnd.FILLED),
        ([(FAILED, None)], WaitEnd.FAILED),
        ([(HELD, 100.0), (FAILED, 100.0)], WaitEnd.FAILED),
        ([(FREE, None)], WaitEnd.RELEASED),
        ([(HELD, None), (FREE, 100.0)], WaitEnd.RELEASED),
        ([(HELD, None)], WaitEnd.DEADLINE),
        ([(None, None)], WaitEnd.REDIS_AWAY),
        ([(HELD, None), (None, 101.0)], WaitEnd.REDIS_AWAY),
    ],
)
async def test_waiting_ends_by_what_is_seen(sights: list[Sight], end: WaitEnd) -> None:
    assert await Scene(*sights).wait() is end


@pytest.mark.parametrize(
    ("left_seconds", "end"), [(0.0, WaitEnd.EXPIRED), (0.02, WaitEnd.EXPIRED), (0.03, WaitEnd.RELEASED)]
)
async def test_a_lock_that_is_gone_was_let_go_unless_its_time_was_over(left_seconds: float, end: WaitEnd) -> None:
    scene = Scene((HELD, None), (FREE, None), left_seconds=left_seconds)

    assert await scene.wait() is end
    assert scene.slept == [0.02]


def test_every_end_is_in_the_table() -> None:
    assert {end.value for end in WaitEnd} == {"filled", "failed", "released", "expired", "deadline", "redis-away"}


async def test_a_fill_that_ends_between_the_two_looks_is_not_taken_for_a_death() -> None:
    order: list[str] = []

    class Watched:
        async def lock_status(self, key: str) -> LockStatus:
            order.append("lock")
            return LockStatus(FREE)

        async def peek(self, key: str) -> float | None:
            order.append("entry")
            return 101.0 if order == ["lock", "entry"] else None

    end = await wait_for_fill(Watched(), "k", newer_than=100.0, timeout_seconds=1.0, schedule=PollSchedule())

    assert end is WaitEnd.FILLED


async def test_the_pauses_grow_by_half_up_to_the_longest_and_end_with_the_deadline() -> None:
    scene = Scene((HELD, None))

    await scene.wait(timeout_seconds=0.7)

    assert scene.slept[:3] == pytest.approx([0.02, 0.03, 0.045])
    assert max(scene.slept) == pytest.approx(0.2)
    assert sum(scene.slept) == pytest.approx(0.7)


async def test_chance_cuts_a_pause_by_half_at_most() -> None:
    scene = Scene((HELD, None), (FREE, None))

    await scene.wait(chance=0.0)

    assert scene.slept == pytest.approx([0.01])


@given(st.floats(min_value=0.0, max_value=30.0), st.floats(min_value=0.0, max_value=1.0, exclude_max=True))
async def test_a_waiter_never_waits_longer_than_told_and_looks_at_a_bounded_rate(
    timeout_seconds: float, chance: float
) -> None:
    scene = Scene((HELD, None))

    assert await scene.wait(timeout_seconds=timeout_seconds, chance=chance) is WaitEnd.DEADLINE
    assert sum(scene.slept) == pytest.approx(timeout_seconds)
    assert scene.looks <= 10 + timeout_seconds / 0.1


async def test_without_redis_nothing_is_kept_and_everybody_may_fill() -> None:
    store = NullStore()
    await store.put("k", entry())

    first, second = await store.acquire("k", ttl_seconds=5.0), await store.acquire("k")

    assert await store.get("k") is None
    assert await first.renew()
    await first.release(filled=False)
    await second.release(filled=True)
    assert await store.wait_for_fill("k", newer_than=0.0, timeout_seconds=60.0) is WaitEnd.EXPIRED
