"""What the stand-in has seen: every request with its bytes, and the counters.

Owns the memory of requests. Must not know how they are answered.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from tests.simulator.api import Asked
from tests.simulator.endpoints import SPOT_POOL, ApiName

_REMEMBERED_REQUESTS = 10_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that reached the socket as HTTP. `status` is 0 when a fault leaves it without an answer.

    `headers` have names in lower case. `target`, `body` and `raw_headers` are as received, but for the framing of
    a chunked body. `host` is the API whose own address was asked; None is the address that serves all. `weight` is
    what it cost in `pool`, which is None for a request that no API has.
    """

    at: float
    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    status: int
    weight: int
    raw_target: str = ""
    body: bytes = b""
    raw_headers: tuple[tuple[bytes, bytes], ...] = ()
    host: ApiName | None = None
    pool: str | None = None

    @property
    def target(self) -> bytes:
        """The request's target, byte for byte."""
        return self.raw_target.encode("utf-8", "surrogateescape")


class Record:
    """The requests seen since the last reset. `spent` is weight by pool."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        self.requests: deque[Seen] = deque(maxlen=_REMEMBERED_REQUESTS)
        self.spent: Counter[str] = Counter()
        self.refusals: Counter[tuple[str, int]] = Counter()
        self.account_refusals = 0
        self.answers_429 = 0
        self.answers_418 = 0
        self.by_path: Counter[str] = Counter()

    @property
    def weight_spent(self) -> int:
        """In the pool of spot."""
        return self.spent[SPOT_POOL]

    def add(self, asked: Asked, *, status: int, weight: int, pool: str | None, is_accounts: bool) -> None:
        """`is_accounts`: a 429 for the account's orders, which says nothing of the IP."""
        self.by_path[asked.path] += 1
        if pool is not None:
            self.spent[pool] += weight
        if is_accounts:
            self.account_refusals += 1
        elif status in (429, 418):
            self.answers_429 += status == 429
            self.answers_418 += status == 418
            self.refusals[pool or "", status] += 1
        self.requests.append(
            Seen(
                asked.at,
                asked.method,
                asked.path,
                asked.raw_query,
                asked.headers,
                status,
                weight,
                asked.target,
                asked.body,
                asked.raw_headers,
                asked.host,
                pool,
            )
        )
        self._arrived.set()

    def count(self, path: str | None = None) -> int:
        return self.by_path.total() if path is None else self.by_path[path]

    async def wait_for(self, count: int, path: str | None = None) -> None:
        """Wait until so many requests have reached the socket since the counters were reset."""
        while self.count(path) < count:
            self._arrived.clear()
            await self._arrived.wait()
