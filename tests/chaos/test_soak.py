"""The soak notices what it is for. It runs by hand: `make soak`."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable

import pytest

from tests.chaos.soak import MOST_GROWTH, MOST_TO_REDIS, SPARE, Plan, Rest, Soak
from tests.chaos.soak_load import Load
from tests.chaos.stops import Stops
from tests.chaos.vitals import Vitals, vitals_of

MIB = 1 << 20


def came(*, growth: float = 0.0, more_descriptors: int = 0, more_tasks: int = 0, to_redis: int = 5) -> Soak:
    """A soak of 20 minutes: memory grows after the fifth by so much of itself."""
    made = Soak(Plan(), Load("http://gateway", random.Random(1)), Stops())
    made.load.hits = 1
    for second in range(1200):
        grown = 1.0 if second < 600 else 1.0 + growth
        made.samples.append((float(second), Vitals(round(100 * MIB * grown), 20, 10)))
    made.samples[100] = (100.0, Vitals(200 * MIB, 20, 10))
    made.before = Rest(Vitals(100 * MIB, 20, 10), 10, {"Redis": 5})
    made.after = Rest(Vitals(100 * MIB, 15 + to_redis + more_descriptors, 10), 10 + more_tasks, {"Redis": to_redis})
    return made


def test_a_good_run_is_good() -> None:
    made = came(growth=MOST_GROWTH - 0.001, more_descriptors=SPARE, more_tasks=SPARE, to_redis=MOST_TO_REDIS)
    made.used = {"spot": 5880}
    assert made.broken() == []
    assert "20.0 minutes" in made.report()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: made.load.failed.append("/: 502"),
        lambda made: setattr(made.load, "hits", 0),
        lambda made: made.used.update(spot=5881),
        lambda made: setattr(made, "refused", 1),
        lambda made: made.stops.lost.append("/: 0"),
        lambda made: made.stops.failed.append("exit status 1"),
        lambda made: made.complaints.append("Traceback"),
    ],
    ids=["a hit", "no hits", "a budget", "a refusal", "a lost request", "a stop", "a line of the log"],
)
def test_each_promise_that_is_broken_is_told(spoil: Callable[[Soak], None]) -> None:
    made = came()
    spoil(made)
    assert len(made.broken()) == 1


@pytest.mark.parametrize(
    "made",
    [
        came(growth=MOST_GROWTH + 0.001),
        came(more_descriptors=SPARE + 1),
        came(more_tasks=SPARE + 1),
        came(to_redis=MOST_TO_REDIS + 1),
    ],
    ids=["memory", "descriptors", "tasks", "connections to Redis"],
)
def test_what_is_kept_is_told(made: Soak) -> None:
    assert len(made.broken()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_process_takes_is_read_from_outside() -> None:
    before = vitals_of(os.getpid())
    readable, writable = os.pipe()
    try:
        after = vitals_of(os.getpid())
    finally:
        os.close(readable)
        os.close(writable)
    assert after.descriptors == before.descriptors + 2
    assert after.sockets == before.sockets
    assert after.memory_bytes > MIB


async def test_the_gateways_command_tells_its_tasks() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.vitals", "--port", "0", "--upstreams", "http://127.0.0.1:1"),
        *("--redis-url", "memory:", "--keep-warm", "never", "--shutdown-seconds", "0"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b'"listening"' not in await process.stderr.readline():
                pass
            process.send_signal(signal.SIGWINCH)
            assert b'{"event": "tasks", "tasks": ' in await process.stderr.readline()
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
