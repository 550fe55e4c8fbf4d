"""The connection against real servers: deadlines, refusals, restarts, topologies."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from redis import exceptions as redis_errors

from proxy.errors import RedisAway
from proxy.redis_client.connection import RedisConnection, RedisOperation
from tests.ports import free_port, free_ports
from tests.redis_client.fixtures import Opener, StartValkey, ping
from tests.redis_client.valkey import Valkey

NOBODY = "redis://127.0.0.1:1"
"""Nothing listens on port 1 of a sane machine."""
DEADLINE_SECONDS = 1.0
"""Long enough for a server that answers, and for a busy machine."""
GET, PUT = RedisOperation.GET, RedisOperation.PUT


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.operations: list[tuple[RedisOperation, bool]] = []

    def operation(self, operation: RedisOperation, *, seconds: float, ok: bool) -> None:
        assert seconds >= 0
        self.operations.append((operation, ok))


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def reading(connection: RedisConnection, key: str = "k") -> Callable[[], Awaitable[object]]:
    return lambda: connection.client.get(key)


def writing(connection: RedisConnection, key: str = "k", value: bytes = b"v") -> Callable[[], Awaitable[object]]:
    return lambda: connection.client.set(key, value)


async def fails(connection: RedisConnection, call: Callable[[], Awaitable[object]]) -> RedisAway:
    with pytest.raises(RedisAway) as caught:
        await connection.run(GET, call)
    return caught.value


async def breaks(connection: RedisConnection) -> None:
    """Fail until the breaker opens."""
    for _ in range(3):
        assert connection.up
        await fails(connection, reading(connection))
    assert not connection.up


async def test_an_operation_returns_what_redis_answers_and_is_counted(redis_url: str, opened: Opener) -> None:
    recorder = Recorder()
    connection = opened(redis_url, observer=recorder)

    await connection.run(PUT, writing(connection))

    assert await connection.run(GET, reading(connection)) == b"v"
    assert recorder.operations == [(PUT, True), (GET, True)]


async def test_redis_sees_who_we_are_and_speaks_resp2(connection: RedisConnection) -> None:
    info = await connection.run(GET, lambda: connection.client.execute_command("CLIENT", "INFO"))

    assert "name=binance-sidecar" in str(info)
    assert "resp=2" in str(info) or "'resp': '2'" in str(info)


@pytest.mark.no_cover
async def test_a_thousand_operations_at_once_wait_for_connections(connection: RedisConnection) -> None:
    answers = await asyncio.gather(*(connection.run(PUT, writing(connection, f"k{i}")) for i in range(1000)))
    clients = await connection.run(GET, lambda: connection.client.info("clients"))

    assert all(answers)
    assert clients["connected_clients"] < 80


async def test_where_nobody_listens_redis_is_away_and_after_three_times_it_is_not_tried(
    opened: Opener,
) -> None:
    recorder = Recorder()
    connection = opened(NOBODY, observer=recorder)
    tried = 0

    async def count() -> None:
        nonlocal tried
        tried += 1

    await breaks(connection)
    away = await fails(connection, count)

    assert tried == 0
    assert away.__cause__ is None
    assert recorder.operations == [(GET, False)] * 3


async def test_the_drivers_error_is_the_cause(opened: Opener) -> None:
    connection = opened(NOBODY)

    away = await fails(connection, reading(connection))

    assert isinstance(away.__cause__, redis_errors.ConnectionError)
    assert str(away).startswith("Redis get: ConnectionError: ")


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.TimeoutError("x"),
        redis_errors.BusyLoadingError("x"),
        redis_errors.InvalidResponse("x"),
        redis_errors.RedisClusterException("x"),
        ConnectionResetError("x"),
        TimeoutError(),
        AttributeError("x"),
        IndexError("x"),
        ZeroDivisionError(),
    ],
)
async def test_no_answer_counts_for_the_breaker(opened: Opener, error: Exception) -> None:
    connection = opened(NOBODY)

    async def call() -> None:
        raise error

    for _ in range(3):
        assert connection.up
        await fails(connection, call)
    assert not connection.up


async def test_the_deadline_holds_while_the_server_is_stopped_and_it_is_used_again_afterwards(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server, clock = start_valkey(), Clock()
    connection = opened(server.url, deadline_seconds=DEADLINE_SECONDS, monotonic=clock)
    await ping(connection)
    server.freeze()
    started = time.monotonic()

    await breaks(connection)

    assert time.monotonic() - started >= 3 * DEADLINE_SECONDS
    server.thaw()
    await fails(connection, reading(connection))
    clock.now += 1.0
    assert await connection.run(GET, reading(connection)) is None
    assert connection.up


async def test_the_deadline_covers_all_that_an_operation_waits_for(opened: Opener) -> None:
    connection = opened(NOBODY, deadline_seconds=0.02)

    away = await fails(connection, asyncio.Event().wait)

    assert str(away) == "Redis get: TimeoutError: deadline"


async def test_an_answer_that_came_too_late_is_never_taken_for_the_next_one(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server = start_valkey()
    connection = opened(server.url)
    await connection.run(PUT, writing(connection, "a", b"A"))
    await connection.run(PUT, writing(connection, "b", b"B"))
    server.freeze()
    leaver = asyncio.create_task(connection.run(GET, reading(connection, "a")))
    await asyncio.sleep(0.05)
    leaver.cancel()
    await asyncio.wait([leaver])
    server.thaw()

    assert await connection.run(GET, reading(connection, "b")) == b"B"


async def test_after_a_restart_the_first_operation_succeeds(start_valkey: StartValkey, opened: Opener) -> None:
    server = start_valkey()
    connection = opened(server.url)
    await asyncio.gather(*(ping(connection) for _ in range(10)))
    server.kill()
    server.start()
    for _ in range(10):  # the event loop stood still meanwhile: let it see that its sockets are closed
        await asyncio.sleep(0)

    await asyncio.gather(*(ping(connection) for _ in range(10)))


async def test_while_the_server_is_down_operations_fail_and_after_it_is_up_they_do_not(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server, clock = start_valkey(), Clock()
    connection = opened(server.url, monotonic=clock)
    await ping(connection)
    server.kill()
    await breaks(connection)
    server.start()
    clock.now += 1.0

    await ping(connection)

    assert connection.up


async def test_one_probe_goes_at_a_time_and_a_probe_that_leaves_makes_way(opened: Opener) -> None:
    clock = Clock()
    connection = opened(NOBODY, monotonic=clock)
    await breaks(connection)
    clock.now += 1.0
    probing, forever = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        probing.set()
        await forever.wait()

    async def answer() -> str:
        return "pong"

    probe = asyncio.create_task(connection.run(GET, hang))
    await probing.wait()
    await fails(connection, answer)
    probe.cancel()
    await asyncio.wait([probe])

    assert await connection.run(GET, answer) == "pong"
    assert connection.up


@pytest.mark.parametrize("secret", ["wrong-hush", ""])
async def test_refused_credentials_count_as_no_answer_and_do_not_show(
    start_valkey: StartValkey, opened: Opener, secret: str
) -> None:
    server = start_valkey("--requirepass", "right")
    connection = opened(f"{server.url}?password={secret}")

    away = await fails(connection, reading(connection))

    assert "invalid username-password" in str(away) or "Authentication required" in str(away)
    assert "hush" not in f"{away} {away.__cause__} {connection.client}"
    await fails(connection, reading(connection))
    await fails(connection, reading(connection))
    assert not connection.up


async def test_the_right_password_opens(start_valkey: StartValkey, opened: Opener) -> None:
    await ping(opened(f"{start_valkey('--requirepass', 'right').url}?password=right"))


@pytest.mark.parametrize("user", ["", "default@"])
async def test_a_password_in_a_file_opens_and_a_changed_one_does_without_a_restart(
    start_valkey: StartValkey, opened: Opener, tmp_path: Path, user: str
) -> None:
    (port,) = free_ports(1)
    server = start_valkey("--requirepass", "fir/st#1", "--port", str(port))
    (file := tmp_path / "password").write_text("fir/st#1\n")
    connection = opened(f"redis://{user}127.0.0.1:{port}?password_file={file}")
    await ping(connection)

    server.admin("CONFIG", "SET", "requirepass", "second", password="fir/st#1")
    server.admin("CLIENT", "KILL", "TYPE", "normal", password="second")
    away = await fails(connection, reading(connection))
    assert "second" not in str(away)
    file.write_text("second\n")
    assert await connection.run(GET, reading(connection)) is None

    file.unlink()
    server.admin("CLIENT", "KILL", "TYPE", "normal", password="second")
    causes = [str(await fails(connection, reading(connection))) for _ in range(2)]
    assert "the password file cannot be used" in causes[1]  # the first may be that the server closed the connection


async def test_a_full_server_refuses_writes_and_still_serves_reads(start_valkey: StartValkey, opened: Opener) -> None:
    server = start_valkey("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    connection = opened(server.url)

    for _ in range(5):
        away = await fails(connection, writing(connection, value=b"x" * 100_000))
        assert isinstance(away.__cause__, redis_errors.OutOfMemoryError)
        assert connection.up

    assert await connection.run(GET, reading(connection)) is None


async def test_a_read_only_server_refuses_writes_and_still_serves_reads(
    start_valkey: StartValkey, opened: Opener
) -> None:
    connection = opened(start_valkey("--replicaof", "127.0.0.1 1").url)

    for _ in range(5):
        away = await fails(connection, writing(connection))
        assert isinstance(away.__cause__, redis_errors.ReadOnlyError)
        assert connection.up

    assert await connection.run(GET, reading(connection)) is None


async def test_closing_ends_every_connection_even_to_a_server_that_hangs(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server = start_valkey()
    lively, hanging = opened(server.url), opened(server.url, deadline_seconds=DEADLINE_SECONDS)
    await ping(lively)
    await ping(hanging)

    await lively.close()
    assert str(server.admin("CLIENT", "LIST")).count("binance-sidecar") == 1
    server.freeze()
    await hanging.close()
    server.thaw()


async def test_after_it_was_closed_every_operation_fails_and_no_socket_is_opened(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server, recorder = start_valkey(), Recorder()
    connection = opened(server.url, observer=recorder)
    await ping(connection)
    await connection.close()
    recorder.operations.clear()

    for operation in RedisOperation:
        with pytest.raises(RedisAway, match=f"Redis {operation.value}: the connection is closed"):
            await connection.run(operation, reading(connection))
    await connection.close()

    assert "binance-sidecar" not in str(server.admin("CLIENT", "LIST"))
    assert recorder.operations == []
    assert connection.up


async def test_closing_breaks_off_what_runs_and_what_waits_for_a_connection(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server = start_valkey()
    connection = opened(server.url, deadline_seconds=1.0)
    await ping(connection)
    server.freeze()
    running = [asyncio.create_task(connection.run(GET, reading(connection))) for _ in range(200)]
    await asyncio.sleep(0)

    await connection.close()

    ends = await asyncio.gather(*running, return_exceptions=True)
    server.thaw()
    assert {str(end) for end in ends} == {"Redis get: the connection is closed"}
    assert connection.up
    assert "binance-sidecar" not in str(server.admin("CLIENT", "LIST"))


async def test_a_cancellation_that_the_driver_swallowed_still_counts(opened: Opener) -> None:
    connection = opened(NOBODY)

    async def swallow() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "sent"

    operation = asyncio.create_task(connection.run(PUT, swallow))
    await asyncio.sleep(0)
    operation.cancel()

    with pytest.raises(asyncio.CancelledError):
        await operation


async def test_the_sentinels_name_the_master_and_a_silent_one_is_passed_over(
    start_valkey: StartValkey, opened: Opener, tmp_path: Path
) -> None:
    port, sentinel_port = free_ports(2)
    master = start_valkey("--port", str(port))
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(f"sentinel monitor main 127.0.0.1 {port} 1\n")
    start_valkey(str(configuration), "--sentinel", "--port", str(sentinel_port))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hosts = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{sentinel_port}"
        connection = opened(f"redis+sentinel://{hosts}/main/1", deadline_seconds=3.0)

        await connection.run(PUT, writing(connection))

        assert await connection.run(GET, reading(connection)) == b"v"

        master.admin("REPLICAOF", "127.0.0.1", "1")
        away = await fails(connection, writing(connection))
        assert not away.is_refusal
        assert "previous master" in str(away)


async def test_a_service_that_no_sentinel_knows_is_away(
    start_valkey: StartValkey, opened: Opener, tmp_path: Path
) -> None:
    port = free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text("")
    start_valkey(str(configuration), "--sentinel", "--port", str(port))
    connection = opened(f"redis+sentinel://127.0.0.1:{port}/main")

    away = await fails(connection, reading(connection))

    assert "No master found" in str(away)


@pytest.mark.no_cover
async def test_a_cluster_is_used_as_one_and_survives_the_restart_of_a_node(
    start_valkey: StartValkey, opened: Opener
) -> None:
    server, port = start_cluster(start_valkey)
    connection = opened(f"redis+cluster://127.0.0.1:1,127.0.0.1:{port}")
    await connection.run(PUT, writing(connection))
    assert await connection.run(GET, reading(connection)) == b"v"
    server.kill()
    server.start()
    server.wait_for_cluster()

    assert await connection.run(GET, reading(connection)) is None


def start_cluster(start_valkey: StartValkey) -> tuple[Valkey, int]:
    port, bus = free_ports(2)
    server = start_valkey("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus))
    server.admin("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    server.wait_for_cluster()
    return server, port


async def test_a_cluster_that_is_not_there_is_away(opened: Opener) -> None:
    connection = opened("redis+cluster://127.0.0.1:1")

    await breaks(connection)


async def test_a_connection_that_could_not_log_in_is_not_used_again(opened: Opener) -> None:
    said: list[bytes] = []

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            said.append(piece)
            writer.write(b"+OK\r\n")
        writer.close()

    peer = await asyncio.start_server(agree, "127.0.0.1", 0)
    connection = opened(f"redis://me:hush@127.0.0.1:{peer.sockets[0].getsockname()[1]}?protocol=3")
    for _ in range(2):
        await fails(connection, reading(connection))
    await connection.close()
    peer.close()

    assert len(said) == 2
    assert all(piece.startswith(b"*5\r\n$5\r\nHELLO") for piece in said), "each began anew"


class Result:
    """What a task returns."""


async def test_an_error_that_redis_answers_keeps_no_task_and_no_result_in_memory(
    redis_url: str, opened: Opener
) -> None:
    connection = opened(redis_url)

    async def work() -> Result:
        with suppress(redis_errors.NoScriptError):
            await connection.client.evalsha("0" * 40, 0)
        return Result()

    gc.disable()
    try:
        task = asyncio.create_task(work())
        result = weakref.ref(await task)
        del task
        await asyncio.sleep(0)
        assert result() is None
    finally:
        gc.enable()
