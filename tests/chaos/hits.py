"""`python -m tests.chaos.hits PORT SECONDS RATE`: a program of its own that asks for what is stored, and times it.

Owns: one connection, the 99th percentile, the failures. Must not know: who else asks. It imports little, so that it
starts fast.
"""

from __future__ import annotations

import math
import socket
import sys
import time

from tests.bench.children import prefer

ONE = b"GET /api/v3/exchangeInfo?symbol=BTCUSDT HTTP/1.1\r\nHost: here\r\n\r\n"


def hit(port: int, seconds: float, rate: int) -> None:
    """Ask at this rate over one connection, and print the 99th percentile and the failures."""
    prefer(1)  # what is measured is the gateway, not how slow clients on the same machine keep this one from running
    times, failed, end = [], 0, time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
        due = time.monotonic()
        while (due := due + 1 / rate) < end:
            time.sleep(max(0.0, due - time.monotonic()))
            started = time.perf_counter()
            connection.sendall(ONE)
            answer = connection.recv(1 << 20)
            times.append(time.perf_counter() - started)
            failed += not answer.startswith(b"HTTP/1.1 200 ")
    times.sort()
    print(times[math.ceil(0.99 * len(times)) - 1], failed)


if __name__ == "__main__":
    hit(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
