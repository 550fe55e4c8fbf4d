"""A block is handed on between replicas as seconds left, whatever their clocks say."""

from __future__ import annotations

import asyncio
import math

import pytest

from proxy.core.quota.block import STRIKE_MEMORY_SECONDS, BlockReason
from proxy.quota.block_watch import BLOCK_READ_SECONDS
from proxy.quota.clock import OriginClock
from proxy.quota.shared import RedisLedger
from proxy.redis_client.connection import RedisConnection
from tests.quota.conftest import Domain
from tests.quota.doubles import HOUR, RATIOS, ManualClock, admitted, ask, headers

NOW = HOUR + 30.0


class Replica:
    """A process whose clock is off by so many seconds."""

    def __init__(self, domain: Domain, off_seconds: float = 0.0) -> None:
        self._domain = domain
        self.clock = ManualClock(NOW + off_seconds)
        self.switch = domain.switched()
        self.ledger = RedisLedger(self.switch, domain_key=domain.key, clock=self.clock, ratios=RATIOS)

    async def left(self) -> float:
        """The seconds for which it refuses; 0 if it does not."""
        outcome = await ask(self.ledger, 1)
        return outcome[1] if isinstance(outcome, tuple) else 0.0


def pass_time(seconds: float, domain: Domain, *replicas: Replica) -> None:
    domain.clock.now += seconds
    for replica in replicas:
        replica.clock.now += seconds


OFF = [-86_400.0, -3600.0, -30.0, 0.0, 30.0, 3600.0, 86_400.0]


@pytest.mark.no_cover
@pytest.mark.parametrize("off", OFF)
async def test_a_block_lasts_equally_long_for_who_met_it_and_for_its_neighbour(domain: Domain, off: float) -> None:
    met, neighbour = Replica(domain, off), Replica(domain)
    await met.ledger.block(BlockReason.BAN, met.clock.now + 120)
    assert await neighbour.left() == pytest.approx(120, abs=2)
    pass_time(119, domain, met, neighbour)
    assert await neighbour.left() > 0
    assert await met.left() > 0
    pass_time(3, domain, met, neighbour)
    assert (await neighbour.left(), await met.left()) == (0, 0)


@pytest.mark.no_cover
@pytest.mark.parametrize("off", OFF)
async def test_a_wrong_clock_neither_ends_the_block_of_the_others_nor_prolongs_it(domain: Domain, off: float) -> None:
    wrong, right = Replica(domain, off), Replica(domain)
    reservation = await admitted(wrong.ledger, 1)
    await right.ledger.block(BlockReason.BAN, right.clock.now + 120)
    await wrong.ledger.reconcile(reservation, headers(1), ok=True)
    assert await Replica(domain).left() == pytest.approx(120, abs=2), "a good answer from before the ban ends nothing"
    await wrong.ledger.block(BlockReason.BACK_OFF, wrong.clock.now + 10)
    assert await Replica(domain).left() == pytest.approx(120, abs=2)
    await wrong.ledger.block(BlockReason.BAN, wrong.clock.now + 300)
    assert await Replica(domain).left() == pytest.approx(300, abs=2)


async def test_a_replica_that_reads_its_block_again_ends_it_with_the_others(domain: Domain) -> None:
    slow, right = Replica(domain), Replica(domain)
    await right.ledger.block(BlockReason.BAN, right.clock.now + 120)
    assert await slow.left() == 120
    pass_time(100, domain, right)
    assert await slow.left() == 120, "its clock has stood still"
    await slow.ledger.read_block()
    assert await slow.left() == pytest.approx(20, abs=2)
    pass_time(21, domain, right)
    await slow.ledger.read_block()
    assert await slow.left() == 0


@pytest.mark.no_cover
@pytest.mark.parametrize("reason", list(BlockReason))
@pytest.mark.parametrize("off", [-3600.0, 0.0, 3600.0])
async def test_a_shorter_block_of_a_neighbour_after_a_loss_of_data_does_not_replace_ours(
    domain: Domain, connection: RedisConnection, reason: BlockReason, off: float
) -> None:
    one, neighbour = Replica(domain), Replica(domain, off)
    await one.ledger.block(BlockReason.BAN, NOW + 120)
    await connection.client.flushall()
    await neighbour.ledger.block(reason, neighbour.clock.now + 30)
    await one.ledger.read_block()
    assert await one.left() == 120
    assert await Replica(domain).left() == pytest.approx(120, abs=2), "Redis is told the longer one again"
    await neighbour.ledger.read_block()
    assert await neighbour.left() == pytest.approx(120, abs=2)


async def test_a_shorter_refusal_of_a_replica_with_another_clock_leaves_the_block_as_it_is(domain: Domain) -> None:
    slow, wrong, right = Replica(domain), Replica(domain, 3600.0), Replica(domain)
    await right.ledger.block(BlockReason.BAN, NOW + 120)
    assert await slow.left() == 120
    pass_time(100, domain, right, wrong)
    await wrong.ledger.block(BlockReason.BACK_OFF, wrong.clock.now + 5)
    await slow.ledger.read_block()
    assert await slow.left() == pytest.approx(20, abs=2), "it is the same block, counted down"
    assert await Replica(domain, 100).left() == pytest.approx(20, abs=2)


@pytest.mark.parametrize("during", ["reading", "telling"])
async def test_a_refusal_that_comes_while_redis_answers_holds(domain: Domain, during: str) -> None:
    one = Replica(domain)

    async def refuse() -> None:
        one.switch.away = True
        await one.ledger.block(BlockReason.BAN, NOW + 300)
        one.switch.away = False

    if during == "reading":
        await one.ledger.block(BlockReason.BACK_OFF, NOW + 30)
    one.switch.before_answer = refuse
    await (one.ledger.read_block() if during == "reading" else one.ledger.block(BlockReason.BACK_OFF, NOW + 30))
    one.switch.away = True
    assert await one.left() == 300
    one.switch.away = False
    await one.ledger.read_block()
    assert await Replica(domain).left() == pytest.approx(300, abs=2)


async def test_while_a_block_holds_it_is_read_every_five_seconds(domain: Domain, clock: ManualClock) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            raise asyncio.CancelledError

    switch = domain.switched()
    ledger = RedisLedger(switch, domain_key=domain.key, clock=clock, ratios=RATIOS, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await ledger.watch_block()
    assert (pauses, switch.operations) == ([BLOCK_READ_SECONDS] * 4, []), "there is nothing to read"
    assert BLOCK_READ_SECONDS == 5

    await ledger.block(BlockReason.BAN, None)
    pauses.clear()
    switch.operations.clear()
    with pytest.raises(asyncio.CancelledError):
        await ledger.watch_block()
    assert len(switch.operations) == 3


async def test_a_longer_block_of_another_replica_is_seen_at_the_next_reading(domain: Domain) -> None:
    one, other = Replica(domain), Replica(domain)
    await one.ledger.block(BlockReason.BACK_OFF, one.clock.now + 30)
    await other.ledger.block(BlockReason.BAN, other.clock.now + 300)
    assert await one.left() == 30
    await one.ledger.read_block()
    assert await one.left() == 300


async def test_a_redis_that_has_lost_the_block_is_told_it_again(domain: Domain, connection: RedisConnection) -> None:
    one = Replica(domain)
    await one.ledger.block(BlockReason.BAN, one.clock.now + 120)
    await connection.client.delete(f"{domain.key}:block")
    await one.ledger.read_block()
    assert await one.left() == 120
    assert await Replica(domain).left() == pytest.approx(120, abs=2)


async def test_a_redis_that_has_only_the_block_before_is_told_ours(domain: Domain, connection: RedisConnection) -> None:
    one = Replica(domain)
    await one.ledger.block(BlockReason.BAN, None)
    before = await connection.client.dump(f"{domain.key}:block")
    assert before is not None
    ttl = await connection.client.pttl(f"{domain.key}:block")
    pass_time(130, domain, one)
    await one.ledger.block(BlockReason.BAN, None)
    await connection.client.restore(f"{domain.key}:block", ttl - 130_000, before, replace=True)
    await one.ledger.read_block()
    assert await one.left() == 240
    assert await Replica(domain, 130).left() == pytest.approx(240, abs=2)


async def test_while_redis_is_away_the_block_holds(domain: Domain) -> None:
    one = Replica(domain)
    await one.ledger.block(BlockReason.BAN, one.clock.now + 120)
    one.switch.away = True
    await one.ledger.read_block()
    assert await one.left() == 120


# Replicas of the version before write `until` by their clock, and the same expiry.


async def old_block(domain: Domain, connection: RedisConnection, now: float, seconds: float) -> None:
    """What a replica of the version before writes."""
    key = f"{domain.key}:block"
    await connection.client.hset(key, mapping={"reason": "ban", "until": f"{now + seconds:.3f}", "strikes": 0})
    await connection.client.pexpire(key, round((seconds + STRIKE_MEMORY_SECONDS) * 1000))


@pytest.mark.no_cover
@pytest.mark.parametrize("off", OFF)
async def test_the_block_of_an_old_replica_with_a_wrong_clock_is_read_right(
    domain: Domain, connection: RedisConnection, off: float
) -> None:
    await old_block(domain, connection, NOW + off, 120)
    assert await Replica(domain).left() == pytest.approx(120, abs=2)


async def test_an_old_replica_reads_our_block(domain: Domain, connection: RedisConnection) -> None:
    await Replica(domain).ledger.block(BlockReason.BAN, NOW + 120)
    assert await domain.stored("block") == {"reason": "ban", "until": f"{NOW + 120:.3f}", "strikes": "0"}
    left_ms = await connection.client.pttl(f"{domain.key}:block") - STRIKE_MEMORY_SECONDS * 1000
    assert left_ms == pytest.approx(120_000, abs=2000)


async def test_a_block_without_an_expiry_goes_by_its_time(domain: Domain, connection: RedisConnection) -> None:
    await connection.client.hset(
        f"{domain.key}:block", mapping={"reason": "ban", "until": f"{NOW + 90:.3f}", "strikes": 0}
    )
    assert await Replica(domain).left() == 90


# A clock that is moved while a block holds.


@pytest.mark.parametrize("moved", [-3600.0, 3600.0])
@pytest.mark.parametrize("by", ["wall clock", "two answers"])
async def test_a_block_keeps_its_seconds_when_the_clock_is_moved(domain: Domain, moved: float, by: str) -> None:
    times = [NOW, 0.0]
    clock = OriginClock(lambda: times[0], monotonic=lambda: times[1])
    clock.observe_date(math.floor(NOW), sent_at=NOW, received_at=NOW)
    switch = domain.switched()
    ledger = RedisLedger(switch, domain_key=domain.key, clock=clock, ratios=RATIOS)
    await ledger.block(BlockReason.BAN, clock.origin() + 120)
    if by == "wall clock":
        times[0] += moved
    else:
        for n in (1, 2):
            clock.observe_date(math.floor(NOW + moved), sent_at=NOW, received_at=NOW + n / 10)
        assert clock.origin() == pytest.approx(NOW + moved, abs=1)
    outcome = await ask(ledger, 1)
    assert isinstance(outcome, tuple)
    assert outcome[1] == pytest.approx(120, abs=1)
