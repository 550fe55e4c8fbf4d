"""How fast a Python is at what the gateway does: `python -I tests/bench/calibration.py` prints seconds, and what it is.

Owns: a fixed piece of work, with the calls, attributes, dict lookups and bytes of a request. Must not know: what the
figure is for. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time

REQUESTS, TIMES = 5_000, 6
_ASKED = tuple(
    b"GET /api/v3/klines?symbol=SYMBOL%d&interval=1m HTTP/1.1\r\nHost: binance\r\nAccept: */*\r\n\r\n" % number
    for number in range(64)
)


class Counter:
    """What is counted of each path."""

    __slots__ = ("requests", "weight")

    def __init__(self) -> None:
        self.requests = self.weight = 0

    def add(self, weight: int) -> None:
        """One request."""
        self.requests += 1
        self.weight += weight


class Router:
    """What is known of paths and targets."""

    def __init__(self) -> None:
        self._weights = {b"/api/v3/time": 1, b"/api/v3/klines": 2}
        self._counters = {path: Counter() for path in self._weights}
        self._known: dict[bytes, tuple[bytes, int]] = {}

    def answer(self, received: bytes) -> list[bytes]:
        """Head and body."""
        line, _, rest = received.partition(b"\r\n")
        method, target, _ = line.split(b" ", 2)
        path, weight = self._known.get(target) or self._look_up(target)
        headers = dict(self._header(each) for each in rest.split(b"\r\n") if each)
        self._counters[path].add(weight)
        if method == b"HEAD" or b"host" not in headers:
            return [b"HTTP/1.1 400 Bad Request\r\n\r\n"]
        return [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target), target]

    def _look_up(self, target: bytes) -> tuple[bytes, int]:
        path = target.partition(b"?")[0]
        self._known[target] = found = (path, self._weights[path])
        return found

    def _header(self, line: bytes) -> tuple[bytes, bytes]:
        name, _, value = line.partition(b": ")
        return name.lower(), value


def seconds() -> float:
    """CPU seconds of the work, once."""
    router, began = Router(), time.process_time()
    for number in range(REQUESTS):
        b"".join(router.answer(_ASKED[number & 63]))
    return time.process_time() - began


if __name__ == "__main__":
    told = {
        "seconds": min(seconds() for _ in range(TIMES)),
        "version": platform.python_version(),
        "home": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
    }
    print(json.dumps(told))
