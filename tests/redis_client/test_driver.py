"""Our connections send what redis-py would send."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.client import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import DataError, NoPermissionError, ResponseError

from proxy.redis_client.clients import Client
from proxy.redis_client.driver import SHORT_BYTES, TcpConnection
from proxy.redis_client.pool import Pool, transact
from tests.redis_client.fixtures import Opener, StartValkey

ARGUMENTS = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.integers(),
    st.floats(),
    st.just(b"x" * (SHORT_BYTES + 1)),
)
OURS, THEIRS = TcpConnection(address_map={}), Connection()


@given(st.sampled_from(["GET", "CLIENT SETNAME", "EVALSHA"]), st.lists(ARGUMENTS, max_size=6))
def test_a_command_is_packed_as_redis_py_packs_it(name: str, arguments: list[str | bytes | float]) -> None:
    assert b"".join(OURS.pack_command(name, *arguments)) == b"".join(THEIRS.pack_command(name, *arguments))


def test_a_long_argument_is_not_copied() -> None:
    document = b"x" * (SHORT_BYTES + 1)
    assert any(part is document for part in OURS.pack_command("SET", "k", document))


def test_an_argument_that_no_command_has_is_refused_as_by_redis_py() -> None:
    with pytest.raises(DataError):
        OURS.pack_command("SET", "k", None)


@pytest.mark.parametrize("size", [1, SHORT_BYTES // 2, SHORT_BYTES + 1, 1 << 20])
async def test_no_task_is_made_to_write_a_short_command(redis_url: str, opened: Opener, size: int) -> None:
    client = opened(redis_url).client
    await client.ping()
    loop, made = asyncio.get_running_loop(), []

    def factory(on: asyncio.AbstractEventLoop, work: Any, **named: Any) -> asyncio.Task[Any]:
        made.append(work)
        return asyncio.Task(work, loop=on, **named)

    loop.set_task_factory(cast("Any", factory))
    try:
        await client.set("k", b"x" * size)
    finally:
        loop.set_task_factory(None)
    assert not made or size > SHORT_BYTES
    assert await client.get("k") == b"x" * size


def pool_of(client: Client) -> Pool:
    return cast(Pool, cast(Redis, client).connection_pool)


async def test_a_connection_that_is_in_step_is_used_again(redis_url: str, opened: Opener) -> None:
    client = opened(redis_url).client
    pool = pool_of(client)
    await client.set("k", b"v")
    first = await pool.get_connection()
    await pool.release(first)
    assert await client.get("k") == b"v"
    again = await pool.get_connection()
    await pool.release(again)
    assert again is first


async def test_a_connection_with_an_answer_that_nobody_took_is_opened_anew(redis_url: str, opened: Opener) -> None:
    client = opened(redis_url).client
    pool = pool_of(client)
    await client.set("k", b"v")
    connection = await pool.get_connection()
    await connection.send_command("ECHO", "stray")
    while not await connection.can_read():  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0)
    await pool.release(connection)
    assert await client.get("k") == b"v"


async def test_a_read_with_a_time_limit_of_its_own_ends_without_an_answer(redis_url: str, opened: Opener) -> None:
    pool = pool_of(opened(redis_url).client)
    connection = await pool.get_connection()
    assert await connection.read_response(timeout=0.001) is None
    await connection.send_command("ECHO", "late")
    assert await connection.read_response(timeout=10.0) == b"late"
    await pool.release(connection)


async def test_only_the_idle_connections_are_closed_if_so_asked(redis_url: str, opened: Opener) -> None:
    pool = pool_of(opened(redis_url).client)
    idle, used = await pool.get_connection(), await pool.get_connection()
    await pool.release(idle)
    await pool.disconnect(inuse_connections=False)
    assert (idle.is_connected, used.is_connected) == (False, True)
    await pool.release(used)
    await pool.disconnect()
    assert not used.is_connected


@pytest.mark.parametrize("options", ["", "?protocol=3"])
async def test_commands_are_done_together_or_not_at_all(
    start_valkey: StartValkey, opened: Opener, options: str
) -> None:
    server = start_valkey()
    client = opened(server.url + options).client
    await transact(client, ("SET", "k", b"v"), ("APPEND", "k", 1))
    assert await client.get("k") == b"v1"

    with pytest.raises(ResponseError, match=r"^Command # 1 \(HSET\) of pipeline caused error: .*wrong kind"):
        await transact(client, ("HSET", "k", "a", "b"), ("SET", "other", b"v"))
    assert await client.get("other") == b"v"  # as Redis does it

    server.admin("ACL", "SETUSER", "default", "-append")
    with pytest.raises(NoPermissionError, match=r"^Command # 2 \(APPEND\) of pipeline caused error: "):
        await transact(client, ("SET", "k", b"w"), ("APPEND", "k", 1))
    assert await client.get("k") == b"v1"

    server.admin("ACL", "SETUSER", "default", "-multi")
    with pytest.raises(NoPermissionError, match="multi"):
        await transact(client, ("SET", "k", b"w"))
    assert await client.ping()


async def test_a_document_in_a_transaction_is_written_whole(redis_url: str, opened: Opener) -> None:
    client = opened(redis_url).client
    document = b"x" * (1 << 20)
    await transact(client, ("DEL", "k"), ("HSET", "k", "body", document, "short", b"s"))
    assert await client.hmget("k", ["body", "short"]) == [document, b"s"]


async def test_a_script_that_the_server_does_not_know_is_loaded(redis_url: str, opened: Opener) -> None:
    client = opened(redis_url).client
    script = client.register_script("return {KEYS[1], ARGV[1]}")
    for _ in range(2):
        assert await script(keys=["k"], args=["a"]) == [b"k", b"a"]
        await client.script_flush()
    assert await client.register_script("return 1")() == 1
