"""The block in a file: four crashes in one ban are one request, and no file can do harm."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import pytest

from proxy.core.quota.block import Block, BlockReason
from proxy.quota.block_file import BlockFile, file_name
from proxy.quota.local import MemoryLedger
from proxy.quota.pools import PoolLedgers
from proxy.quota.shared import RedisLedger
from tests.events import capture_logs
from tests.quota.conftest import Domain
from tests.quota.doubles import RATIOS, ManualClock, admitted, ask, headers

NAME = "spot+default+spot.block.json"


def block_file(folder: Path, clock: ManualClock) -> BlockFile:
    return BlockFile(folder, NAME, clock)


def process(folder: Path, clock: ManualClock) -> MemoryLedger:
    """A gateway without Redis that has just been started."""
    keeper = block_file(folder, clock)
    ledger = MemoryLedger(clock=clock, ratios=RATIOS, keeper=keeper)
    block = keeper.load()
    if block is not None:
        ledger.restore(block)
    return ledger


async def test_four_restarts_in_one_ban_are_one_request(tmp_path: Path, clock: ManualClock) -> None:
    ledger = process(tmp_path, clock)
    await admitted(ledger, 1)
    await ledger.block(BlockReason.BAN, clock.now + 120)
    for passed in (10, 30, 60, 119):
        later = ManualClock(clock.now + passed)
        assert await ask(process(tmp_path, later), 1) == ("ban", 120.0 - passed)
    await admitted(process(tmp_path, ManualClock(clock.now + 120)), 1)


async def test_a_folder_that_somebody_removed_is_made_anew(tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "state"
    ledger = process(folder, clock)
    folder.rmdir()
    await ledger.block(BlockReason.BAN, clock.now + 120)
    assert await ask(process(folder, clock), 1) == ("ban", 120.0)
    assert folder.stat().st_mode & 0o777 == 0o700


async def watched(ledgers: PoolLedgers, times: int) -> None:
    """So many looks at the files."""
    left = iter(range(times))

    async def sleep(_: float) -> None:
        if next(left, None) is None:
            raise EOFError

    with suppress(EOFError):
        await ledgers.watch_kept(sleep=sleep)


async def test_a_ban_that_finds_the_disk_full_is_kept_once_there_is_room(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledgers = PoolLedgers(lambda _: process(tmp_path, clock))
    with capture_logs() as logs, monkeypatch.context() as full:
        full.setattr("os.fsync", Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        await ledgers.spot.block(BlockReason.BAN, clock.now + 120)
        await watched(ledgers, 3)
        assert list(tmp_path.iterdir()) == []
    assert [line["event"] for line in logs] == ["block_not_kept"], "said once"
    clock.now += 10
    await watched(ledgers, 1)
    assert await ask(process(tmp_path, clock), 1) == ("ban", 110.0)


async def test_a_file_that_somebody_removed_while_a_ban_holds_is_written_anew(
    tmp_path: Path, clock: ManualClock
) -> None:
    ledgers = PoolLedgers(lambda _: process(tmp_path, clock))
    await ledgers.spot.block(BlockReason.BAN, clock.now + 120)
    (tmp_path / NAME).unlink()
    await watched(ledgers, 1)
    assert await ask(process(tmp_path, clock), 1) == ("ban", 120.0)
    clock.now += 120
    (tmp_path / NAME).unlink()
    await watched(ledgers, 1)
    assert list(tmp_path.iterdir()) == [], "it is over"


async def test_the_file_is_written_before_the_refusal_is_answered(tmp_path: Path, clock: ManualClock) -> None:
    await process(tmp_path, clock).block(BlockReason.BAN, clock.now + 120)
    file = tmp_path / NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_bytes()) == {
        "version": 1,
        "reason": "ban",
        "written": clock.now,
        "until": clock.now + 120,
        "strikes": 0,
    }
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


async def test_the_next_block_after_a_restart_is_a_second_strike(tmp_path: Path, clock: ManualClock) -> None:
    await process(tmp_path, clock).block(BlockReason.BAN, None)
    clock.now += 130
    restarted = process(tmp_path, clock)
    await restarted.block(BlockReason.BAN, None)
    assert await ask(restarted, 1) == ("ban", 240.0)


async def test_a_good_answer_after_the_block_removes_the_file(tmp_path: Path, clock: ManualClock) -> None:
    ledger = process(tmp_path, clock)
    await ledger.block(BlockReason.BAN, None)
    clock.now += 130
    await ledger.reconcile(await admitted(ledger, 1), headers(1), ok=True)
    assert list(tmp_path.iterdir()) == []


async def test_of_many_refusals_at_once_few_are_written(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def replace(path: Path, data: bytes) -> None:
        written.append(data)
        path.touch()

    monkeypatch.setattr("proxy.quota.block_file._replace", replace)
    ledger = process(tmp_path, clock)
    await asyncio.gather(*(ledger.block(BlockReason.BAN, clock.now + 120) for _ in range(64)))
    assert len(written) == 1


@pytest.mark.parametrize("set_by", [-3600.0, 0.0, 3600.0])
async def test_wall_time_is_inside_and_a_clock_that_was_set_back_prolongs_nothing(
    tmp_path: Path, clock: ManualClock, set_by: float
) -> None:
    await process(tmp_path, clock).block(BlockReason.BAN, clock.now + 120)
    outcome = await ask(process(tmp_path, ManualClock(clock.now + set_by)), 1)
    assert (outcome == ("ban", 120.0)) is (set_by <= 0)


@pytest.mark.parametrize("set_by", [-3600.0, -100.0, 100.0, 3600.0])
async def test_a_later_block_is_kept_also_after_the_clock_was_set(
    tmp_path: Path, clock: ManualClock, set_by: float
) -> None:
    """By the clock of then the first one ends later, or is over long ago."""
    ledger = process(tmp_path, clock)
    await ledger.block(BlockReason.BAN, clock.now + 10)
    clock.gap_seconds += set_by
    clock.now += set_by
    await ledger.block(BlockReason.BAN, clock.now + 120)
    assert await ask(process(tmp_path, ManualClock(clock.now + 20)), 1) == ("ban", 100.0)


BAN = {"version": 1, "reason": "ban", "written": 1785024030.0, "until": 1785024150.0, "strikes": 0}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 5000,
        b"{" * 4000,
        b"null",
        b"[]",
        *(
            json.dumps(BAN | change).encode()
            for change in (
                {"version": 2},
                {"reason": "whim"},
                {"until": None},
                {"until": "tomorrow"},
                {"until": -1},
                {"until": 1785024030.0 + 4 * 86_400},
                {"until": 1e300},
                {"until": float("nan")},
                {"strikes": -1},
                {"strikes": 10**9},
                {"more": 1},
            )
        ),
        json.dumps(BAN).encode()[:40],
    ],
)
async def test_a_file_that_is_nonsense_is_logged_and_ignored(
    tmp_path: Path, clock: ManualClock, content: bytes
) -> None:
    (tmp_path / NAME).write_bytes(content)
    with capture_logs() as logs:
        await admitted(process(tmp_path, clock), 1)
    assert [line["event"] for line in logs] == ["block_unreadable"]


async def test_what_is_no_file_is_logged_and_ignored(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / NAME).mkdir()
    with capture_logs() as logs:
        ledger = process(tmp_path, clock)
        await admitted(ledger, 1)
        await ledger.block(BlockReason.BAN, clock.now + 120)
    assert [line["event"] for line in logs] == ["block_unreadable", "block_not_kept"]
    assert await ask(ledger, 1) == ("ban", 120.0), "it holds in this process"


def test_a_folder_that_cannot_be_used_is_a_fault_at_start(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        block_file(tmp_path / "file", clock)
    block_file(tmp_path / "new" / "folder", clock)


def test_every_venue_quota_domain_and_pool_has_its_own_file() -> None:
    assert file_name("spot", "default", "spot") == NAME
    odd = [("a", "b+c", "d"), ("a+b", "c", "d"), ("a", "b", "c+d"), ("a", "fe80::1", "d"), ("a/../b", "c", "d")]
    names = [file_name(*parts) for parts in odd]
    assert len(set(names)) == len(odd)
    assert not any("/" in name for name in names)


async def test_with_redis_away_at_start_the_file_holds_and_redis_is_told_when_it_is_back(
    tmp_path: Path, domain: Domain, clock: ManualClock
) -> None:
    await process(tmp_path, clock).block(BlockReason.BAN, clock.now + 120)
    ledger, switch = domain.replica()
    block = block_file(tmp_path, clock).load()
    assert block == Block(BlockReason.BAN, clock.now + 120)
    ledger.restore(block)
    switch.away = True
    assert await ask(ledger, 1) == ("ban", 120.0)
    switch.away = False
    await ledger.read_block()
    assert await ask(domain.replica()[0], 1) == ("ban", 120.0)


async def test_a_block_that_another_replica_met_is_kept_too(tmp_path: Path, domain: Domain, clock: ManualClock) -> None:
    await domain.replica()[0].block(BlockReason.BAN, clock.now + 120)
    keeper = block_file(tmp_path, clock)
    ledger = RedisLedger(domain.switched(), domain_key=domain.key, clock=clock, ratios=RATIOS, keeper=keeper)
    assert await ask(ledger, 1) == ("ban", 120.0)
    assert await ask(process(tmp_path, clock), 1) == ("ban", 120.0)
