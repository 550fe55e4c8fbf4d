"""The benchmark `make bench-snapshot`, second part: memory and start. `make bench` has them beside an earlier commit's.

    python -m tests.bench.footprint [--starts 5] [--python PATH]

Owns: a stand-in of full size, a Valkey, and the real command `python -m proxy`, each in a process of its own; what the
kernel says of its memory (Linux), and the time from its start to its first answers, beside what importing the five
libraries takes that it is made of. It starts with compiled bytecode, as an installed package does, and at a real-time
priority where that is allowed (as root).
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import quote

import orjson

from tests.bench.children import child, die_with_parent, peak_rss_bytes, prefer, read_line, rss_bytes
from tests.bench.interpreter import ROOT, Installed, add_flag, present
from tests.bench.report import OURS, Footprint
from tests.environment import without_settings
from tests.ports import free_port
from tests.redis_client.valkey import Valkey

SYMBOLS = 3701
"""Three of them are hidden: 3,698 are shown."""
LIBRARIES = "import aiohttp.web, redis.asyncio, orjson, prometheus_client, uvloop"
MOST = Footprint(
    program="at most",
    idle_bytes=54_000_000,
    steady_bytes=75_000_000,
    asked_bytes=85_000_000,
    peak_bytes=round(75_000_000 * 1.3),
    livez_seconds=1.2,
    libraries_seconds=1.0,
    hit_seconds=0.1,
)
"""The aim, where importing the libraries takes a second; `START_SECONDS` come on top of it."""
START_SECONDS = 0.15
REFRESH_SECONDS = 5.0
STEADY_SECONDS = 18.0
SETTLE_SECONDS = 2.5
"""How long it gets to let go of what it does not need."""
INFO = "/api/v3/exchangeInfo"
_GZIP = {"Accept-Encoding": "gzip"}
_GIVE_UP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the command runs, and what it needs."""

    origin: str
    redis_url: str
    python: str = sys.executable
    folder: Path = ROOT


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, and how long it took to its first 200 of /livez."""

    pid: int
    port: int
    livez_seconds: float

    def connect(self) -> HTTPConnection:
        """A new connection."""
        return HTTPConnection("127.0.0.1", self.port, timeout=_GIVE_UP_SECONDS)


@contextmanager
def gateway(place: Place, **chosen: str) -> Iterator[Gateway]:
    """The real command, alive."""
    port = free_port()
    settings = {
        "SIDECAR_PORT": str(port),
        "SIDECAR_UPSTREAMS": place.origin,
        "SIDECAR_REDIS_URL": place.redis_url,
        "SIDECAR_LOG_LEVEL": "error",
    } | {f"SIDECAR_{name.upper()}": value for name, value in chosen.items()}
    started = time.perf_counter()
    process = subprocess.Popen(
        [place.python, "-m", "proxy"],
        env={**without_settings(os.environ), **settings},
        cwd=place.folder,
        preexec_fn=favoured,  # noqa: PLW1509 - takes no lock that another thread may hold
    )
    try:
        while not _is_alive(port):
            assert time.perf_counter() - started < _GIVE_UP_SECONDS, "the gateway does not answer"
            time.sleep(0.001)
        yield Gateway(process.pid, port, time.perf_counter() - started)
    finally:
        process.kill()
        process.wait()


def _is_alive(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=_GIVE_UP_SECONDS)) as connection:
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except ConnectionRefusedError:
            return False


def favoured() -> None:
    """What is measured is the command, and not what else this machine does."""
    die_with_parent()
    prefer(1)


def ask(connection: HTTPConnection, target: str) -> bytes:
    """One answer as gzip, which must be a good one."""
    connection.request("GET", target, headers=_GZIP)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (target, answer.status, body[:200])
    return body


def idle_bytes(place: Place) -> int:
    """Resident memory of a gateway that has no document."""
    with gateway(place, keep_warm="never") as running:
        time.sleep(SETTLE_SECONDS)
        return rss_bytes(running.pid)


@dataclass(frozen=True, slots=True)
class Asked:
    """Resident memory with the document, and after symbols of it were asked for."""

    shown: int
    symbols: int
    document_bytes: int
    asked_bytes: int

    @property
    def each_bytes(self) -> float:
        """What a symbol that was asked for has added."""
        return (self.asked_bytes - self.document_bytes) / self.symbols


def asked_bytes(place: Place, *, most: int = SYMBOLS, settle_seconds: float = SETTLE_SECONDS) -> Asked:
    """Ask for the document and for every symbol of it, at most so many."""
    with gateway(place, fresh_seconds="3600") as running, closing(running.connect()) as connection:
        document = orjson.loads(gzip.decompress(ask(connection, INFO)))
        shown = [symbol["symbol"] for symbol in document["symbols"]]
        before = rss_bytes(running.pid)
        for name in shown[:most]:
            ask(connection, f"{INFO}?symbol={quote(name)}")
        time.sleep(settle_seconds)
        return Asked(len(shown), min(most, len(shown)), before, rss_bytes(running.pid))


def refreshing_bytes(
    place: Place, *, refresh_seconds: float = REFRESH_SECONDS, seconds: float = STEADY_SECONDS, looks: int = 18
) -> tuple[int, int]:
    """Resident memory between refreshes every few seconds, and the most there was. `looks`: how often it is read."""
    seen = []
    with (
        gateway(place, fresh_seconds=f"{refresh_seconds}", keep_warm="always") as running,
        closing(running.connect()) as connection,
    ):
        ask(connection, INFO)
        for _ in range(looks):
            time.sleep(seconds / looks)
            seen.append(rss_bytes(running.pid))
        return round(median(seen)), peak_rss_bytes(running.pid)


def start_seconds(place: Place) -> tuple[float, float]:
    """From the start of the process to its first /livez, and from there to its first hit out of a warm Redis."""
    with gateway(place) as running, closing(running.connect()) as connection:
        before = time.perf_counter()
        ask(connection, f"{INFO}?symbol=BTCUSDT")
        return running.livez_seconds, time.perf_counter() - before


def import_seconds(place: Place, imported: str = LIBRARIES) -> float:
    """What an interpreter takes that only imports this."""
    started = time.perf_counter()
    subprocess.run(
        [place.python, "-c", imported],
        check=True,
        cwd=place.folder,
        preexec_fn=favoured,
    )
    return time.perf_counter() - started


def measure(program: str, installed: Installed, *, starts: int) -> Footprint:
    """Everything. Memory once, the start so many times; the median counts."""
    valkey = Valkey().start()
    before = dict(os.environ)
    try:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(valkey.folder / "bytecode")
        with child("tests.simulator", "--symbols", str(SYMBOLS), "--weight-limit", "1000000") as simulator:
            origin = read_line(simulator).rsplit(" ", 1)[1]
            place = Place(origin, valkey.url, str(installed.python), installed.folder)
            return _measured(program, place, starts)
    finally:
        os.environ.clear()
        os.environ.update(before)
        valkey.remove()


def _measured(program: str, place: Place, starts: int) -> Footprint:
    import_seconds(place, "import proxy.__main__")  # compiles, which takes memory
    idle = idle_bytes(place)
    steady, peak = refreshing_bytes(place)
    asked = asked_bytes(place)
    imports, started = [], []
    for _ in range(starts):
        imports.append(import_seconds(place))
        started.append(start_seconds(place))
    return Footprint(
        program=program,
        idle_bytes=idle,
        steady_bytes=steady,
        asked_bytes=asked.asked_bytes,
        peak_bytes=peak,
        livez_seconds=median(livez for livez, _ in started),
        libraries_seconds=median(imports),
        hit_seconds=median(hit for _, hit in started),
    )


def broken(found: Footprint) -> list[str]:
    """What is above its bound."""
    most_seconds = MOST.livez_seconds * found.libraries_seconds + START_SECONDS
    bounds = {
        "idle": (found.idle_bytes, MOST.idle_bytes),
        "steady refreshes": (found.steady_bytes, MOST.steady_bytes),
        "every symbol asked": (found.asked_bytes, MOST.asked_bytes),
        "peak": (found.peak_bytes, MOST.peak_bytes),
        "/livez": (found.livez_seconds, most_seconds),
        "first hit": (found.hit_seconds, MOST.hit_seconds),
    }
    return [f"{name}: {value:.3g}, at most {most:.3g}" for name, (value, most) in bounds.items() if value > most]


def main() -> int:
    """Print everything. 1 when one is above its bound."""
    parser = argparse.ArgumentParser("python -m tests.bench.footprint", description="Memory and start.")
    parser.add_argument("--starts", type=int, default=5, help="how often it is started; the median counts")
    add_flag(parser)
    flags = parser.parse_args()
    with present(flags.python) as installed:
        print(installed.version, flush=True)
        found = measure(OURS, installed, starts=flags.starts)
    print(f"memory: {found.idle_bytes / 1e6:.1f} MB idle, {found.steady_bytes / 1e6:.1f} in steady refreshes", end="")
    print(f" (at the most {found.peak_bytes / 1e6:.1f}), {found.asked_bytes / 1e6:.1f} with every symbol asked for")
    print(f"start: /livez after {found.livez_seconds * 1e3:.0f} ms, where the five libraries take", end=" ")
    print(f"{found.libraries_seconds * 1e3:.0f}; first hit from a warm Redis {found.hit_seconds * 1e3:.0f} ms later")
    for line in broken(found):
        print(f"BROKEN {line}")
    return int(bool(broken(found)))


if __name__ == "__main__":
    sys.exit(main())
