"""The benchmark `make bench-snapshot`, second part: memory with everything asked for, and the start from a warm Redis.

    python -m tests.bench.footprint [--starts 5]

Owns: a stand-in of full size, a Valkey, and the real command `python -m proxy`, each in a process of its own; what the
kernel says of its memory (Linux), and the time from its start to its first hit, beside what its imports take. It starts
with compiled bytecode, as an installed package does, and at a real-time priority where that is allowed (as root).
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import quote

import orjson

from tests.bench.children import child, die_with_parent, peak_rss_bytes, prefer, read_line, rss_bytes
from tests.environment import without_settings
from tests.ports import free_port
from tests.redis_client.valkey import Valkey

SYMBOLS = 3701
"""Three of them are hidden: 3,698 are shown."""
MOST_BYTES = 160_000_000
MOST_START_SECONDS = 0.8
ROUNDS = 5
REFRESH_SECONDS = 4.0
INFO = "/api/v3/exchangeInfo"
_GZIP = {"Accept-Encoding": "gzip"}
_GIVE_UP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, and when its process was started."""

    pid: int
    port: int
    started: float

    def connect(self) -> HTTPConnection:
        """A connection, as soon as there is somebody to take it."""
        while time.perf_counter() - self.started < _GIVE_UP_SECONDS:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return HTTPConnection("127.0.0.1", self.port, timeout=_GIVE_UP_SECONDS)
            except ConnectionRefusedError:
                time.sleep(0.002)
        raise TimeoutError("the gateway does not listen")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes."""

    loaded: int
    """With the document."""
    asked: int
    """After every symbol was asked for."""
    peak: int
    """The most there ever was, while the document was refreshed and every symbol asked for again and again."""


@contextmanager
def gateway(origin: str, redis_url: str, *, fresh_seconds: float = 3600.0) -> Iterator[Gateway]:
    """The real command."""
    port = free_port()
    settings = {
        "SIDECAR_PORT": str(port),
        "SIDECAR_UPSTREAMS": origin,
        "SIDECAR_REDIS_URL": redis_url,
        "SIDECAR_FRESH_SECONDS": str(fresh_seconds),
        "SIDECAR_LOG_LEVEL": "error",
    }
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy"],
        env={**without_settings(os.environ), **settings},
        preexec_fn=favoured,  # noqa: PLW1509 - takes no lock that another thread may hold
    )
    try:
        yield Gateway(process.pid, port, started)
    finally:
        process.kill()
        process.wait()


def favoured() -> None:
    """What is measured is the command, and not what else this machine does."""
    die_with_parent()
    prefer(1)


def ask(connection: HTTPConnection, target: str) -> bytes:
    """One answer, which must be a good one."""
    connection.request("GET", target, headers=_GZIP)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (target, answer.status, body[:200])
    return body


def memory(origin: str, redis_url: str) -> Memory:
    """First without any refresh, then with one every few seconds."""
    loaded, asked, shown = memory_at_rest(origin, redis_url)
    with gateway(origin, redis_url, fresh_seconds=REFRESH_SECONDS) as running, closing(running.connect()) as connection:
        while time.perf_counter() - running.started < ROUNDS * REFRESH_SECONDS:
            ask_for_all(connection, shown)
        return Memory(loaded, asked, peak_rss_bytes(running.pid))


def memory_at_rest(origin: str, redis_url: str) -> tuple[int, int, list[str]]:
    """Resident bytes with the document and after every symbol was asked for; and the symbols."""
    with gateway(origin, redis_url) as running, closing(running.connect()) as connection:
        ask(connection, f"{INFO}?symbol=BTCUSDT")
        loaded = rss_bytes(running.pid)
        shown = names(running)
        ask_for_all(connection, shown)
        return loaded, rss_bytes(running.pid), shown


def ask_for_all(connection: HTTPConnection, shown: list[str]) -> None:
    """One query for each symbol."""
    for name in shown:
        ask(connection, f"{INFO}?symbol={quote(name)}")


def names(running: Gateway) -> list[str]:
    """Every symbol that the document shows."""
    with closing(running.connect()) as connection:
        connection.request("GET", INFO, headers={"Accept-Encoding": "identity"})
        document = orjson.loads(connection.getresponse().read())
    return [symbol["symbol"] for symbol in document["symbols"]]


def first_hit_seconds(origin: str, redis_url: str) -> float:
    """From the start of the process to its first answer, out of a Redis that has the document."""
    with gateway(origin, redis_url) as running, closing(running.connect()) as connection:
        ask(connection, f"{INFO}?symbol=BTCUSDT")
        return time.perf_counter() - running.started


def import_seconds() -> float:
    """What an interpreter that only imports the command takes."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import proxy.__main__"],
        check=True,
        preexec_fn=favoured,
    )
    return time.perf_counter() - started


def main() -> int:
    """Print both. 1 when one is above its bound."""
    parser = argparse.ArgumentParser("python -m tests.bench.footprint", description="Memory and start.")
    parser.add_argument("--starts", type=int, default=5, help="how often it is started; the median counts")
    flags = parser.parse_args()
    valkey = Valkey().start()
    try:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(valkey.folder / "bytecode")
        with child("tests.simulator", "--symbols", str(SYMBOLS)) as simulator:
            origin = read_line(simulator).rsplit(" ", 1)[1]
            used = memory(origin, valkey.url)
            starts = sorted(first_hit_seconds(origin, valkey.url) for _ in range(flags.starts))
            imports = sorted(import_seconds() for _ in range(flags.starts))
    finally:
        valkey.remove()
    middle = len(starts) // 2
    print(
        f"memory: {used.loaded / 1e6:.0f} MB with the document, {used.asked / 1e6:.0f} MB with every symbol asked for,"
    )
    print(f"  {used.peak / 1e6:.0f} MB at the most in {ROUNDS} refreshes (at most {MOST_BYTES / 1e6:.0f} MB)")
    print(f"first hit from a warm Redis: {starts[middle] * 1e3:.0f} ms after the start", end="")
    print(f" ({starts[0] * 1e3:.0f} to {starts[-1] * 1e3:.0f}; at most {MOST_START_SECONDS * 1e3:.0f} ms);", end="")
    print(f" imports alone take {imports[middle] * 1e3:.0f} ms")
    return int(max(used.asked, used.peak) > MOST_BYTES or starts[middle] > MOST_START_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
