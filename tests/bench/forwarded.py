"""Requests that go through to the origin: what each program adds to their time, and what CPU each costs.

Owns: the load, its rounds, and the figures. Must not know: how a program is set up, what is told of the figures.

A hundred times a second each program of a group in turn gets one request over a connection of its own, so that all of
them meet the same moments of the machine. The origin is asked directly too: what a program adds is counted from there.
Only what is compared is in one group: programs that are asked in turn empty each other's caches, and with each of them
the machine rests less between two requests, so that all of them wake faster than at a hundred requests a second.

Then each gets as many requests as it can take, over many connections. A program that has rested finds cold caches and
wakes the other core with each answer, so a request costs it a multiple: what a core can do is counted here.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median, quantiles

from tests.bench import load
from tests.bench.forwarded_programs import (
    constant_origin,
    gateway_before,
    name_of,
    nginx_before,
)
from tests.bench.interpreter import Installed
from tests.bench.processes import Running

PER_SECOND = 100
REQUESTS = 3000
"""In a round, of each kind, to each program that goes to the origin without TLS."""
FEWER_REQUESTS = 1000
"""To the others, of which no 99th percentile is asked."""
WARMING = 100
BUSY_SECONDS, BUSY_CONNECTIONS = 1.0, 32
"""Of the turn of each program in a round to be busy; the same goes before, unmeasured."""
DIFFERENT = 50
"""So many requests of a kind take turns, so that few that are under way at the same time are equal."""
SETTLING_SECONDS = 8.0
"""Before the first round. A Redis that has just started grants no lease for five seconds: that is no usual state."""
DIRECT, NGINX, NGINX_TLS = "origin", "nginx", "nginx, TLS"
_HEAD = "Host: api.binance.com\r\nUser-Agent: bench\r\nAccept: */*\r\n"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """One kind of request. `target` and `body` get a number, as the question, a timestamp or a signature changes."""

    name: str
    method: str
    target: str
    body: str = ""
    headers: str = ""

    def request(self, number: int) -> bytes:
        """Its bytes."""
        body, target = self.body.format(number, f"{number:064x}"), self.target.format(100 + number % DIFFERENT)
        length = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if body else ""
        return f"{self.method} {target} HTTP/1.1\r\n{_HEAD}{self.headers}{length}\r\n{body}".encode()


ORDER = "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=10&timestamp={0:013d}&signature={1}"
WORKS = (
    Forwarded("time", "GET", "/api/v3/time"),
    Forwarded("klines", "GET", "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit={}"),
    Forwarded("signed POST", "POST", "/api/v3/order", ORDER, f"X-MBX-APIKEY: {'k' * 64}\r\n"),
)


@dataclass(slots=True)
class Line:
    """One program under one kind of request: the seconds of each answer of a round, and the CPU seconds of it all."""

    program: str
    work: str
    group: str = ""
    """Those that it shared the round with."""
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    busy: float = 0.0
    """The CPU seconds of one request, of those without a pause."""

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


@dataclass(frozen=True, slots=True)
class Group:
    """Programs that are asked in turn, and how often each is asked in a round."""

    name: str
    programs: tuple[Measured, ...]
    requests: int
    works: tuple[Forwarded, ...] = WORKS


def round_of(group: Group, work: Forwarded, per_second: int) -> list[Line]:
    """One round of one kind of request."""
    programs = group.programs
    with ExitStack() as stack:
        clients = [Client(program.running.url) for program in programs]
        for client in clients:
            stack.callback(client.close)
        for number in range(WARMING):
            for client in clients:
                client.ask(work.request(number))
        lines = [Line(program.name, work.name, group.name) for program in programs]
        before = [program.cpu_seconds(program.running) for program in programs]
        began = time.monotonic()
        for number in range(group.requests):
            request = work.request(number)
            for at in range(len(programs)):
                chosen = (at + number) % len(programs)
                lines[chosen].seconds.append(clients[chosen].ask(request))
            time.sleep(max(0.0, began + (number + 1) / per_second - time.monotonic()))
        for line, program, used in zip(lines, programs, before, strict=True):
            line.cpu_seconds = program.cpu_seconds(program.running) - used
    for line, program in zip(lines, programs, strict=True):
        line.busy = 0.0 if program.name == DIRECT else _busy(program, work)
    return lines


def _busy(program: Measured, work: Forwarded) -> float:
    """The CPU seconds of a request among many without a pause. RuntimeError for any answer but a good one."""
    requests = [work.request(number) for number in range(DIFFERENT)]
    load.run_raw(program.running.url, requests, BUSY_SECONDS, connections=BUSY_CONNECTIONS)
    before = program.cpu_seconds(program.running)
    measured = load.run_raw(program.running.url, requests, BUSY_SECONDS, connections=BUSY_CONNECTIONS)
    if measured.refused or measured.broken:
        raise RuntimeError(f"{program.name}, {work.name}: {measured.refused} refused, {measured.broken} broken")
    return (program.cpu_seconds(program.running) - before) / measured.requests


def measure(nginx: str, installed: Sequence[Installed], *, rounds: int, per_second: int = PER_SECOND) -> list[Line]:
    """All kinds of requests in turn, so many rounds. `installed`: the present gateway, and perhaps an earlier one."""
    lines = []
    with ExitStack() as stack:
        groups = list(_start(nginx, installed, stack))
        time.sleep(SETTLING_SECONDS)
        for number in range(rounds):
            for work, group in product(WORKS, groups):
                made = round_of(group, work, per_second) if work in group.works else []
                lines += made
                told = ", ".join(f"{line.program} {line.p50 * 1e3:.2f} ms {line.cpu * 1e6:.0f} µs" for line in made)
                print(f"round {number + 1}: {work.name}: {told}" if told else "", end="\n" if told else "", flush=True)
    return lines


def _start(nginx: str, installed: Sequence[Installed], stack: ExitStack) -> Iterator[Group]:
    """By TCP, by TLS, and an earlier commit by TCP, which serves the general endpoints only."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    origin = stack.enter_context(constant_origin(nginx, _under(folder, "origin")))
    direct = Measured(DIRECT, Running(0, origin.url), lambda _: 0.0)
    peers = [
        Measured(name, stack.enter_context(nginx_before(nginx, origin, _under(folder, name), tls=tls)), workers)
        for tls, name in ((False, NGINX), (True, NGINX_TLS))
    ]

    def gateways(each: Installed, *, tls: bool) -> Iterator[Measured]:
        for redis in (False, True):
            started = stack.enter_context(gateway_before(origin, each, tls=tls, redis=redis))
            yield Measured(name_of(tls=tls, redis=redis, earlier=each.is_earlier), started, cpu_seconds)

    for each in installed:
        if each.is_earlier:
            yield Group("earlier", (direct, peers[0], *gateways(each, tls=False)), FEWER_REQUESTS, WORKS[:1])
        else:
            yield Group("TCP", (direct, peers[0], *gateways(each, tls=False)), REQUESTS)
            yield Group("TLS", (direct, peers[1], *gateways(each, tls=True)), FEWER_REQUESTS)


def _under(folder: Path, name: str) -> Path:
    made = folder / name.replace(", ", "-")
    made.mkdir()
    return made
