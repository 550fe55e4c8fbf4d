"""No key, signature or parameter of an account is in a log at any level, on a page, in Redis or in a file.

Everything that the process writes is searched for everything that was sent: both hold 32 hexadecimal digits that
nothing else has. The gateway is a process of its own, so that nothing it prints is missed.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.chaos.fleet import environment
from tests.gateway.generated import Generator
from tests.gateway.harness import hosts
from tests.server.raw import Raw
from tests.simulator import Fault, Simulator, Sizes
from tests.sizes import sized

LINES = sized(quick=150, usual=150, long=20_000)
CONNECTIONS = 8
START_SECONDS = 30.0
UNLIMITED = 10**7
FAULTS = (
    *(Fault.RESET, Fault.HANG, Fault.TRUNCATED, Fault.GARBAGE, Fault.INVALID_JSON, Fault.ERROR_BODY, Fault.HTML_503),
    *(Fault.INTERNAL_500, Fault.BAD_GATEWAY_502, Fault.OVERLOADED_503, Fault.GATEWAY_TIMEOUT_504, Fault.DOWN),
    *(Fault.RESTRICTED_451, Fault.TOO_MANY_429, Fault.HTML_403, Fault.TEAPOT_418),
)
"""Those that block a pool come last: the requests after them are refused by the gateway."""


@dataclass(frozen=True, slots=True)
class Process:
    """A gateway that serves, and all that it prints."""

    url: str
    printed: Path

    def lines(self) -> int:
        """How many it has printed."""
        return self.printed.read_bytes().count(b"\n")


@asynccontextmanager
async def gateway(origin: Simulator, redis_url: str, folder: Path, log_format: str) -> AsyncIterator[Process]:
    """At debug. Its state is in `folder`, where nothing else is."""
    settings = {
        **{name: urls[0] for name, urls in hosts(origin).items()},
        "port": "0",
        "venue": "spot",
        "forward": "all",
        "log_level": "debug",
        "log_format": log_format,
        "redis_url": redis_url,
        "state_dir": str(folder),
        "keep_warm": "always",
        "upstream_seconds": "0.4",
        "shutdown_seconds": "0",
    }
    printed = folder.parent / f"{log_format}.log"
    with printed.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy"),
            env=environment({name.upper(): text for name, text in settings.items()}),
            stdout=file,
            stderr=file,
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (found := re.search(r"http://127\.0\.0\.1:[1-9]\d+", _listening(printed))):  # noqa: ASYNC110 -- only a file tells
                await asyncio.sleep(0.05)
        yield Process(found[0], printed)
    finally:
        process.terminate()
        await process.wait()


def _listening(printed: Path) -> str:
    return next((line for line in printed.read_text().splitlines() if "listening" in line), "")


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[Raw]:
    """To the gateway."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def send(url: str, generate: Generator, count: int) -> None:
    """So many requests, on as few connections as the gateway allows."""
    while count > 0:
        async with connection(url) as raw:
            while count > 0:
                count -= 1
                if not await raw.status(generate().wire):
                    break


async def send_badly(url: str, generate: Generator) -> None:
    """What the gateway refuses by itself, and clients that leave."""
    for wire in _bad(generate):
        async with connection(url) as raw:
            await raw.status(wire)
    for _ in range(20):
        async with connection(url) as raw:
            raw.writer.write(generate().wire)
            await raw.writer.drain()


def _bad(generate: Generator) -> Iterable[bytes]:
    def request(line: str, more: str = "", body: str = "") -> bytes:
        key, body = generate.secret("key"), body and body + generate.secret("body")
        head = f"{line} HTTP/1.1\r\nHost: a\r\nX-MBX-APIKEY: {key}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        return head.encode() + body.encode()

    def query() -> str:
        return f"a={generate.secret('own')}&signature={generate.secret('sign')}"

    yield request(f"GET  /api/v3/account?{query()}")
    yield request(f"GET /api/v3/account?{query()}", f"X-MBX-{generate.secret('name')}: a\rb\r\n")
    yield request(f"GET /api/v3/account?{query()}", f"X-MBX-A: {generate.secret('long') * 900}\r\n")
    yield request(f"GET /api/v3/account?{query()}&{'b' * 70_000}")
    yield request(f"GET http://elsewhere/api/v3/account?{query()}")
    yield request(f"POST /api/v3/order?{query()}", body="c" * (1 << 20))
    for path in ("/other", "/metrics", "/status", "/livez", "/api/v3/ping", "/api/v3/exchangeInfo", "/api/v3/depth"):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            yield request(f"{method} {path}?{query()}", body="d")
    yield request(f"BREW /api/v3/order?{query()}")
    yield request(f"POST /api/v3/order?{query()}", "Transfer-Encoding: chunked\r\n", body="zz\r\n")


async def dumped(redis_url: str) -> str:
    """Every key and every value."""
    found: list[object] = []
    value: object
    async with Redis.from_url(redis_url) as redis:
        async for key in redis.scan_iter():
            match await redis.type(key):
                case b"string":
                    value = await redis.get(key)
                case b"hash":
                    value = await redis.hgetall(key)
                case b"set":
                    value = await redis.smembers(key)
                case b"zset":
                    value = await redis.zrange(key, 0, -1, withscores=True)
                case b"stream":
                    value = await redis.xrange(key)
                case other:
                    raise TypeError(f"a key of type {other!r}")
            found += [key, value]
    return repr(found)


async def pages(url: str) -> str:
    """What anybody may read of the gateway."""
    async with aiohttp.ClientSession() as session:
        texts = []
        for path in ("/metrics", "/status"):
            async with session.get(url + path) as answer:
                assert answer.status == 200
                texts.append(await answer.text())
        return "\n".join(texts)


def leaked(text: str, secrets: Iterable[str]) -> set[str]:
    """The first or last 16 digits of a secret, wherever they are in the text."""
    parts = {part for secret in secrets for part in (secret[-32:-16], secret[-16:])}
    return parts & set(re.findall(r"(?=([0-9a-f]{16}))", text.lower()))


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_no_secret_is_left_anywhere(log_format: str, redis_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    senders = [Generator(seed) for seed in range(CONNECTIONS)]
    sizes = Sizes(futures=UNLIMITED, options=UNLIMITED)
    async with (
        Simulator(weight_limit=UNLIMITED, raw_limit=UNLIMITED, sizes=sizes) as origin,
        gateway(origin, redis_url, folder, log_format) as process,
    ):
        while process.lines() < LINES:
            await asyncio.gather(*(send(process.url, generate, 100) for generate in senders))
        assert origin.count() > LINES // 4, "most of it went to the origin"
        await send_badly(process.url, senders[0])
        for fault in FAULTS:
            origin.set_fault(fault, retry_after=30)
            await send(process.url, senders[0], 12)
            origin.clear_fault()
        secrets = [secret for generate in senders for secret in generate.made]
        printed, shown = process.printed.read_text(), await pages(process.url)
        written = {str(path): path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()}
        found = {"log": printed, "pages": shown, "redis": await dumped(redis_url), **written}
        assert {place: leaked(text, secrets) for place, text in found.items()} == {place: set() for place in found}
        assert all(len(text) > 100 for text in (printed, shown, found["redis"])), "there was something to search"
        assert "newThing" not in shown, "labels are from the catalogue"
    assert leaked(process.printed.read_text(), secrets) == set(), "nor when it stops"


def test_the_search_finds_what_is_there() -> None:
    generate = Generator(seed=0)
    secret = generate.secret("key")
    assert leaked(f"a {secret[:-5].upper()} b", generate.made)
    assert leaked(f'{{"a":"…{secret[-18:]}"}}', generate.made)
    assert not leaked("0123456789abcdef" * 4, generate.made)
