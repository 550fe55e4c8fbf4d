"""Our connections send what redis-py would send."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import Connection
from redis.exceptions import DataError

from proxy.redis_client.driver import SHORT_BYTES, TcpConnection
from tests.redis_client.fixtures import Opener

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
