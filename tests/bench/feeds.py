"""What open feeds and pages cost everybody else: `python -m tests.bench.feeds [--feeds N] [--pages N] [--rounds 5]`.

Owns: the real command before a stand-in, the open feeds, hits at a steady rate with and without both in turn, and the
memory of the process (Linux). Must not know: how the feed and the page work.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

import uvloop

from tests.bench.children import child, read_line, rss_bytes
from tests.bench.footprint import INFO, Gateway, Place, ask, gateway
from tests.bench.steady import Latencies
from tests.bench.steady import ask as ask_steadily
from tests.environment import allow_open_files

FEEDS = 1000
PAGES = 200
ROUNDS = 5
RATE = 2000.0
SECONDS = 3.0
SYMBOLS = 500
MOST_P50, MOST_P99 = 1.1, 2.0
MOST_BYTES = 40_000_000
_REQUEST = b"GET /changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Round:
    """One round: hits without feeds and pages and with them, and the memory that these took."""

    without: Latencies
    beside: Latencies
    grown_bytes: int


@contextmanager
def feeds(port: int, count: int) -> Iterator[None]:
    """So many open feeds, each greeted."""
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]
        for each in opened:
            each.sendall(_REQUEST)
        for each in opened:
            seen = b""
            while b"id: " not in seen:
                received = each.recv(4096)
                if not received:
                    raise ConnectionError("a feed was closed")
                seen += received
        yield


@contextmanager
def pages(port: int, count: int) -> Iterator[None]:
    """So many open status pages, each loaded and renewed."""
    with child("tests.bench.pages", str(port), str(count)) as browsers:
        read_line(browsers)
        yield


def measured(running: Gateway, *, feeds_open: int, pages_open: int, before: int) -> Round:
    """One round. `before`: the memory of the process before there was any feed or page."""
    without = _hits(running)
    with feeds(running.port, feeds_open), pages(running.port, pages_open):
        grown = rss_bytes(running.pid) - before
        beside = _hits(running)
        grown = max(grown, rss_bytes(running.pid) - before)
    return Round(without, beside, grown)


def _hits(running: Gateway) -> Latencies:
    work = ask_steadily("127.0.0.1", running.port, rate=RATE, seconds=SECONDS, symbols=SYMBOLS, ready=lambda: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if the medians are within the bounds."""
    parser = argparse.ArgumentParser(
        "python -m tests.bench.feeds", description="What open feeds and pages cost everybody else."
    )
    parser.add_argument("--feeds", type=int, default=FEEDS)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args(arguments)
    allow_open_files(2 * (chosen.feeds + chosen.pages) + 500)
    os.sched_setaffinity(0, {1} if 1 in os.sched_getaffinity(0) else os.sched_getaffinity(0))
    with child("tests.simulator", "--symbols", "1000") as origin:
        url = read_line(origin).split()[-1]
        with gateway(Place(url, "memory:")) as running:
            connection = running.connect()
            ask(connection, INFO)
            connection.close()
            _hits(running)
            before = rss_bytes(running.pid)
            rounds = [
                measured(running, feeds_open=chosen.feeds, pages_open=chosen.pages, before=before)
                for _ in range(chosen.rounds)
            ]
    return 0 if _told(rounds, f"{chosen.feeds:,} open feeds and {chosen.pages:,} open pages") else 1


def _told(rounds: Sequence[Round], beside: str) -> bool:
    """Print the rounds and their medians. Whether these are within the bounds."""
    for each in rounds:
        print(
            f"p50 {each.without.p50:.3f} -> {each.beside.p50:.3f} ms, p99 {each.without.p99:.3f} -> "
            f"{each.beside.p99:.3f} ms, memory +{each.grown_bytes / 1e6:.1f} MB, "
            f"failed {each.without.failed + each.beside.failed}"
        )
    p50 = median(each.beside.p50 / each.without.p50 for each in rounds)
    p99 = median(each.beside.p99 / each.without.p99 for each in rounds)
    grown = median(each.grown_bytes for each in rounds)
    print(f"{beside}: hits' p50 x {p50:.2f}, p99 x {p99:.2f}, memory +{grown / 1e6:.1f} MB (medians)")
    failed = sum(each.without.failed + each.beside.failed for each in rounds)
    return p50 <= MOST_P50 and p99 <= MOST_P99 and grown <= MOST_BYTES and not failed


if __name__ == "__main__":
    sys.exit(main())
