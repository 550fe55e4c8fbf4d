"""The command behind `make bench`: every program under every load in turn, several rounds, one table.

Owns: the order of things, and what is measured around a run of wrk. Must not know: how the table looks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from tests.bench import footprint, forwarded_report, load, report
from tests.bench.baseline import baseline
from tests.bench.interpreter import Installed, add_flag, present
from tests.bench.load import Work
from tests.bench.processes import Running
from tests.bench.programs import EARLIER, INFO, Missing, Program, haproxy, nginx, sidecar, simulator, varnish
from tests.bench.report import Footprint, Idle, Row, Storm, Table
from tests.environment import allow_open_files, forget_settings

RESULTS = Path(__file__).with_name("results")
RETRY_AFTER_SECONDS = 2
BURST_SECONDS = 1
"""Of the first Retry-After: whatever was under way when the origin began to refuse has reached it by then."""
STORM_SECONDS = 6
IDLE_CONNECTIONS = 10_000
IDLE_RUNS = 3
HAPROXY_BUFFERS = (16 << 10, 256 << 10)
IDLE, STORM, MEMORY = "idle connections", "refusals", "memory and start"


FORWARDED = "forwarded"
"""The requests that go through to the origin."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The stand-in's switches, over HTTP."""

    running: Running

    def switch(self, name: str, body: object = None) -> dict[str, int]:
        """Turn one, and read the counters."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.running.url}/_simulator/{name}", data=data)
        with urllib.request.urlopen(request, timeout=30) as answer:
            state: dict[str, int] = json.load(answer)
            return state


@dataclass(frozen=True, slots=True)
class Bench:
    """What is under way."""

    origin: Origin
    programs: dict[str, Running]
    seconds: float

    def row(self, program: str, work: Work, number: int) -> Row:
        """One run, with what it cost the program and the origin."""
        running = self.programs[program]
        before_fill = self.origin.switch("state")
        if work.filled_seconds:
            load.run(running.url, work, work.filled_seconds)
        filled, used = self.origin.switch("state"), running.usage()
        measured = load.run(running.url, work, self.seconds)
        after, usage = self.origin.switch("state"), running.usage()
        if measured.refused or measured.broken:
            raise RuntimeError(f"{program}: {work.name}: {measured}")
        return Row(
            program=program,
            work=work.name,
            round=number,
            requests=measured.requests,
            seconds=measured.seconds,
            cpu_seconds=usage.cpu_seconds - used.cpu_seconds,
            p50_seconds=measured.p50_seconds,
            p99_seconds=measured.p99_seconds,
            rss_bytes=usage.rss_bytes,
            origin_requests=after["requests"] - filled["requests"],
            weight=after["weight_spent"] - before_fill["weight_spent"],
        )

    def storm(self, program: str, work: Work) -> Storm:
        """The origin refuses what nobody has stored; wrk does not give in."""
        url = self.programs[program].url
        self.origin.switch("fault", {"fault": "TOO_MANY_429", "retry_after": RETRY_AFTER_SECONDS})
        before = self.origin.switch("state")
        load.run(url, work, BURST_SECONDS)
        burst = self.origin.switch("state")
        measured = load.run(url, work, STORM_SECONDS)
        after = self.origin.switch("state")
        self.origin.switch("reset", {})
        time.sleep(RETRY_AFTER_SECONDS + 1)
        _ask(f"{url}/api/v3/ping")  # so that the next storm meets a program that does not expect it
        return Storm(
            program=program,
            work=work.name,
            seconds=measured.seconds,
            retry_after_seconds=RETRY_AFTER_SECONDS,
            requests=measured.requests,
            burst_requests=burst["requests"] - before["requests"],
            origin_requests=after["requests"] - burst["requests"],
        )

    def idle(self, program: str, work: Work) -> Idle:
        """Hits on some connections while many others do nothing."""
        running = self.programs[program]
        alone = self._p99_seconds(running, work)
        before = running.usage()
        with _idle(running.url, IDLE_CONNECTIONS):
            after = running.usage()
            among = self._p99_seconds(running, work)
        return Idle(
            program=program,
            connections=IDLE_CONNECTIONS,
            bytes_each=(after.rss_bytes - before.rss_bytes) / IDLE_CONNECTIONS,
            p99_alone_seconds=alone,
            p99_among_seconds=among,
        )

    def _p99_seconds(self, running: Running, work: Work) -> float:
        """The median of a few runs."""
        return median(load.run(running.url, work, self.seconds).p99_seconds for _ in range(IDLE_RUNS))


def _ask(url: str) -> None:
    with urllib.request.urlopen(url, timeout=30) as answer:
        answer.read()


@contextmanager
def _idle(url: str, count: int) -> Iterator[None]:
    """So many connections that were each answered once and are now silent."""
    host, port = url.removeprefix("http://").split(":")
    request = f"GET {INFO}?symbol=BTCUSDT HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            client.sendall(request)
            client.recv(1 << 16)
        yield


def measure(programs: Sequence[Program], *, seconds: float, rounds: int, only: str = "") -> Table:
    """With all programs up all the time and one at a time under load. `only`: the work whose name has these words."""
    works = [work for work in load.works() if only in work.name]
    with ExitStack() as stack:
        origin = Origin(stack.enter_context(simulator()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        started: dict[str, Running] = {}
        for number, program in enumerate(programs):
            own = folder / str(number)
            own.mkdir()
            started[program.label] = stack.enter_context(program.start(origin.running.url, own))
        bench = Bench(origin, started, seconds)
        rows = list(_rows(bench, rounds, works))
        first = list({program.name: program.label for program in reversed(programs)}.values())[::-1]
        idle = [bench.idle(label, load.works()[0]) for label in first if not only or only in IDLE]
        refused = [label for label in first if label != report.PLAIN]
        storms = [bench.storm(label, work) for work in load.storms() for label in refused if not only or only in STORM]
    versions = {program.name: program.version for program in programs}
    return Table(machine=report.machine(), versions=report.versions(versions), rows=rows, idle=idle, storms=storms)


def footprints(installed: Sequence[Installed], starts: int) -> list[Footprint]:
    """Memory and start of ours, and of an earlier commit."""
    names = [EARLIER if each.is_earlier else report.OURS for each in installed]
    return [footprint.measure(name, each, starts=starts) for name, each in zip(names, installed, strict=True)]


def _rows(bench: Bench, rounds: int, works: Sequence[Work]) -> Iterator[Row]:
    for number, work in itertools.product(range(1, rounds + 1), works):
        for program in bench.programs:
            row = bench.row(program, work, number)
            seen, each = f"{row.per_second:,.0f}/s seen", f"{row.per_cpu_second:,.0f}/s a core"
            print(f"round {number}: {work.name}: {program}: {seen}, {each}", flush=True)
            yield row


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 where the load cannot be made here."""
    parser = argparse.ArgumentParser("python -m tests.bench", description="The gateway beside its peers.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--no-save", action="store_true", help="print only")
    parser.add_argument("--baseline", metavar="COMMIT", help="measure that commit too, beside this")
    parser.add_argument(
        "--only",
        default="",
        metavar="WORDS",
        help=f"the works with these words in their names; {IDLE}, {STORM}, {MEMORY}, {FORWARDED}",
    )
    add_flag(parser)
    flags = parser.parse_args(arguments)
    needed = {"wrk": "wrk", "taskset": "util-linux"}
    absent = [
        f"{name} was not found: apt-get install {package}" for name, package in needed.items() if not shutil.which(name)
    ]
    if absent or sys.platform != "linux":
        print("\n".join(absent) or "the figures come from /proc: Linux only", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # everything that was started ends
    forget_settings(os.environ)
    allow_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    peers = (
        *(nginx(from_memory=from_memory) for from_memory in (False, True)),
        varnish(),
        *(haproxy(buffer_bytes=size) for size in HAPROXY_BUFFERS),
    )
    for peer in peers:
        if isinstance(peer, Missing):
            print(peer)
    with ExitStack() as stack:
        try:
            installed = [stack.enter_context(present(flags.python))]
            if flags.baseline:
                installed.append(stack.enter_context(baseline(flags.baseline, installed[0].python)))
        except RuntimeError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        if flags.only == FORWARDED:
            print(installed[0].version, forwarded_report.table(installed, rounds=flags.rounds), sep="\n")
            return 0
        found = (peer for peer in peers if isinstance(peer, Program))
        programs = (*map(sidecar, installed), *found, sidecar(installed[0], fast_lane=False))
        table = measure(programs, seconds=flags.seconds, rounds=flags.rounds, only=flags.only)
        if flags.only in MEMORY:
            table = replace(table, footprints=footprints(installed, starts=flags.rounds + 2))
        through = "" if flags.only else forwarded_report.table(installed, rounds=flags.rounds)
    print(report.markdown(table), through, sep="\n")
    print("For README.md:", *report.ratios(table), sep="\n")
    if not (flags.no_save or flags.only):
        kept = [line for line in through.splitlines(keepends=True) if EARLIER not in line]
        report.save(table.without(EARLIER), RESULTS, beside="".join(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
