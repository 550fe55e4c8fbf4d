"""Requests that go through to the origin: what each program adds to their time, and what CPU each costs.

Owns: the load, its rounds, and the figures. Must not know: how a program is set up.

A hundred times a second each program in turn gets one request over a connection of its own, so that all of them meet
the same moments of the machine. The origin is asked directly too: what a program adds is counted from there.

Then each gets requests without a pause. A program that has rested finds cold caches, and a request costs it more than
one that is busy, so how many requests a core can do is counted there.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from tests.bench.forwarded_programs import (
    WEIGHT_LIMIT,
    constant_origin,
    gateway_before,
    name_of,
    nginx_before,
)
from tests.bench.interpreter import Installed
from tests.bench.processes import Running
from tests.bench.programs import Missing, find

PER_SECOND = 100
REQUESTS = 3000
"""In a round, of each kind."""
WARMING = 100
BUSY_TURNS, BUSY_REQUESTS = 20, 100
"""How often in a round each program has its turn to be busy, and how many requests follow each other then."""
SETTLING_SECONDS = 8.0
"""Before the first round. A Redis that has just started grants no lease for five seconds: that is no usual state."""
DIRECT, NGINX, NGINX_TLS = "origin", "nginx", "nginx, TLS"
_SETUPS = tuple((tls, redis) for tls in (False, True) for redis in (False, True))
_SETUPS_OF_EARLIER = _SETUPS[:2]
"""Without TLS."""
_HEAD = "Host: api.binance.com\r\nUser-Agent: bench\r\nAccept: */*\r\n"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """One kind of request. `target` and `body` get a number, as a timestamp and a signature change."""

    name: str
    method: str
    target: str
    body: str = ""
    headers: str = ""

    def request(self, number: int) -> bytes:
        """Its bytes."""
        body = self.body.format(number, f"{number:064x}")
        length = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if body else ""
        return f"{self.method} {self.target} HTTP/1.1\r\n{_HEAD}{self.headers}{length}\r\n{body}".encode()


ORDER = "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=10&timestamp={0:013d}&signature={1}"
WORKS = (
    Forwarded("time", "GET", "/api/v3/time"),
    Forwarded("klines", "GET", f"/api/v3/klines?symbol=BTCUSDT&interval=1m&limit={100}"),
    Forwarded("signed POST", "POST", "/api/v3/order", ORDER, f"X-MBX-APIKEY: {'k' * 64}\r\n"),
)


@dataclass(slots=True)
class Line:
    """One program under one kind of request: the seconds of each answer of a round, and the CPU seconds of it all."""

    program: str
    work: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    busy_seconds: float = 0.0
    """The CPU seconds of the requests without a pause."""

    @property
    def p50(self) -> float:
        return median(self.seconds)

    @property
    def p99(self) -> float:
        return quantiles(self.seconds, n=100)[98]

    @property
    def cpu(self) -> float:
        """Of one request."""
        return self.cpu_seconds / len(self.seconds)

    @property
    def busy(self) -> float:
        """Of one request, of those without a pause."""
        return self.busy_seconds / (BUSY_TURNS * BUSY_REQUESTS)


class Client:
    """One connection that asks and waits."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> float:
        """The seconds until the whole answer is there. RuntimeError for any but a 200."""
        began = time.perf_counter()
        self._socket.sendall(request)
        answer = self._socket.recv(1 << 18)
        while not _is_whole(answer):
            more = self._socket.recv(1 << 18)
            if not more:
                raise RuntimeError("the connection ended")
            answer += more
        taken = time.perf_counter() - began
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(answer[:500].decode(errors="replace"))
        return taken

    def close(self) -> None:
        """End it."""
        self._socket.close()


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length[15:])


def cpu_seconds(running: Running) -> float:
    """What the program's own process has used, to the nanosecond (sched-stats.rst); not its children, as Redis is."""
    threads = Path(f"/proc/{running.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def workers(running: Running) -> float:
    """The same for a program whose children do the work."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return sum(cpu_seconds(Running(int(child), "")) for child in children)


@dataclass(frozen=True, slots=True)
class Measured:
    """A program under way, and how its CPU time is read."""

    name: str
    running: Running
    cpu_seconds: Callable[[Running], float]


def round_of(programs: Sequence[Measured], work: Forwarded, requests: int, per_second: int) -> list[Line]:
    """One round of one kind of request."""
    with ExitStack() as stack:
        clients = [Client(program.running.url) for program in programs]
        for client in clients:
            stack.callback(client.close)
        for number in range(WARMING):
            for client in clients:
                client.ask(work.request(number))
        lines = [Line(program.name, work.name) for program in programs]
        before = [program.cpu_seconds(program.running) for program in programs]
        began = time.monotonic()
        for number in range(requests):
            request = work.request(number)
            for at in range(len(programs)):
                chosen = (at + number) % len(programs)
                lines[chosen].seconds.append(clients[chosen].ask(request))
            time.sleep(max(0.0, began + (number + 1) / per_second - time.monotonic()))
        for line, program, used in zip(lines, programs, before, strict=True):
            line.cpu_seconds = program.cpu_seconds(program.running) - used
        for _ in range(BUSY_TURNS):
            for line, program, client in zip(lines, programs, clients, strict=True):
                line.busy_seconds += _busy_seconds(program, client, work)
        return lines


def _busy_seconds(program: Measured, client: Client, work: Forwarded) -> float:
    """The CPU seconds of requests that follow each other without a pause."""
    before = program.cpu_seconds(program.running)
    for number in range(BUSY_REQUESTS):
        client.ask(work.request(number))
    return program.cpu_seconds(program.running) - before


def table(installed: Sequence[Installed], *, rounds: int) -> str:
    """Measure and tell; without nginx, what is missing."""
    nginx = find("nginx")
    if nginx is None:
        return f"{Missing('nginx', 'nginx-light')}: no forwarded requests were measured"
    return markdown(measure(nginx, installed, rounds=rounds))


def measure(
    nginx: str,
    installed: Sequence[Installed],
    *,
    rounds: int,
    requests: int = REQUESTS,
    per_second: int = PER_SECOND,
) -> list[Line]:
    """All kinds of requests in turn, so many rounds. `installed`: the present gateway, and perhaps an earlier one."""
    lines = []
    with ExitStack() as stack:
        programs = list(_start(nginx, installed, stack))
        round_of(programs, WORKS[0], round(SETTLING_SECONDS * per_second), per_second)
        for number in range(rounds):
            for work in WORKS:
                asked = [program for program in programs if _serves(program, work)]
                made = round_of(asked, work, requests, per_second)
                lines += made
                told = ", ".join(f"{line.program} {line.p50 * 1e3:.2f} ms {line.cpu * 1e6:.0f} µs" for line in made)
                print(f"round {number + 1}: {work.name}: {told}", flush=True)
    return lines


def _serves(program: Measured, work: Forwarded) -> bool:
    """An earlier commit serves the general endpoints only."""
    return work.name == "time" or "earlier" not in program.name


def _start(nginx: str, installed: Sequence[Installed], stack: ExitStack) -> Iterator[Measured]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    origin = stack.enter_context(constant_origin(nginx, _under(folder, "origin")))
    yield Measured(DIRECT, Running(0, origin.url), lambda _: 0.0)
    for tls, name in ((False, NGINX), (True, NGINX_TLS)):
        started = stack.enter_context(nginx_before(nginx, origin, _under(folder, name), tls=tls))
        yield Measured(name, started, workers)
    for each in installed:
        for tls, redis in _SETUPS if not each.is_earlier else _SETUPS_OF_EARLIER:
            started = stack.enter_context(gateway_before(origin, each, tls=tls, redis=redis))
            yield Measured(name_of(tls=tls, redis=redis, earlier=each.is_earlier), started, cpu_seconds)


def _under(folder: Path, name: str) -> Path:
    made = folder / name.replace(", ", "-")
    made.mkdir()
    return made


def markdown(lines: Sequence[Line], per_second: int = PER_SECOND) -> str:
    """Medians of the rounds; nginx by the same way to the origin, in the same round, is 1.00."""
    told = [
        "# Forwarded requests",
        "",
        f"{per_second} requests/s to each program, all in turn. The origin announces a limit of {WEIGHT_LIMIT:,}",
        "weight a minute, which this load does not reach. Candles are kept for no time: each request goes through.",
        f"Measured from {SETTLING_SECONDS:.0f} s after the start on, when leases are granted.",
        f"`busy`: {BUSY_REQUESTS} requests without a pause, each program in turn; requests/s a core are of these.",
        "`added`: to the median of the origin itself. In brackets: times nginx by the same way (TCP or TLS) in the "
        "same round.",
        "",
        "| request | program | added p50 ms | p99 ms | CPU µs | busy, CPU µs | requests/s a core |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for work in dict.fromkeys(line.work for line in lines):
        rounds = _rounds([line for line in lines if line.work == work])
        told += [_row(work, name, rounds) for name in rounds[0] if name != DIRECT]
    return "\n".join(told) + "\n"


def _rounds(lines: Sequence[Line]) -> list[dict[str, Line]]:
    """The lines of one kind of request by program, round by round."""
    count = max(Counter(line.program for line in lines).values())
    size = len(lines) // count
    return [{line.program: line for line in lines[at : at + size]} for at in range(0, len(lines), size)]


def _row(work: str, name: str, rounds: Sequence[dict[str, Line]]) -> str:
    peer = NGINX_TLS if name.endswith("TLS") else NGINX

    def cell(of: Callable[[dict[str, Line], str], float], form: str, unit: float) -> str:
        own = median(of(lines, name) for lines in rounds)
        times = median(of(lines, name) / of(lines, peer) for lines in rounds)
        return f"{own * unit:{form}} ({times:.2f})"

    cells = (
        cell(lambda lines, program: lines[program].p50 - lines[DIRECT].p50, ".3f", 1e3),
        cell(lambda lines, program: lines[program].p99, ".3f", 1e3),
        cell(lambda lines, program: lines[program].cpu, ".1f", 1e6),
        cell(lambda lines, program: lines[program].busy, ".1f", 1e6),
    )
    busy = median(lines[name].busy for lines in rounds)
    return f"| {work} | {name} | {' | '.join(cells)} | {1 / busy:,.0f} |"
