"""What one public IP may spend: REQUEST_WEIGHT a minute and RAW_REQUESTS in five, then 429, then a ban (418).

Owns the two windows, fixed to the clock it is given. Must not know HTTP, queries or which program asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may be answered."""


@dataclass(frozen=True, slots=True)
class TooMany:
    """429: past a limit until the window's end."""

    retry_after_seconds: int
    text: str


@dataclass(frozen=True, slots=True)
class Banned:
    """418: the IP went on after 429s."""

    until_ms: int
    retry_after_seconds: int

    @property
    def text(self) -> str:
        return (
            f"Way too much request weight used; IP banned until {self.until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )


_ADVICE = "Please use WebSocket Streams for live updates to avoid polling the API."

Verdict: TypeAlias = Admitted | TooMany | Banned


class Window:
    """A fixed window of wall time: it starts at the multiples of its length since the epoch."""

    def __init__(self, length_seconds: int, limit: int) -> None:
        self.length_seconds = length_seconds
        self.limit = limit
        self._start = 0.0
        self._used = 0

    def used(self, now: float) -> int:
        """What has been spent in the window that holds `now` (seconds since the epoch)."""
        start = now - now % self.length_seconds
        if start != self._start:
            self._start, self._used = start, 0
        return self._used

    def add(self, amount: int, now: float) -> None:
        self._used = self.used(now) + amount

    def is_over(self, now: float) -> bool:
        return self.used(now) > self.limit

    def seconds_left(self, now: float) -> int:
        """Whole seconds until the window ends, at least 1."""
        return max(1, math.ceil(self.length_seconds - now % self.length_seconds))


class Limits:
    """The counters of one IP. Requests that are refused with 429 are charged too; banned ones are not.

    The first request past a limit is answered with 429, and so are the next ones; the `ban_after`-th that
    follows the first one starts a ban of `ban_seconds`.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        weight: int = 6000,
        raw: int = 300_000,
        ban_after: int = 5,
        ban_seconds: int = 120,
    ) -> None:
        self._clock = clock
        self.weight = Window(60, weight)
        self.raw = Window(300, raw)
        self.ban_after = ban_after
        self.ban_seconds = ban_seconds
        self._refused = 0
        self._banned_until = 0.0

    @property
    def used_weight(self) -> int:
        """The weight used in this minute, by everybody on the IP."""
        return self.weight.used(self._clock())

    def spend(self, weight: int) -> None:
        """Another program on the same IP spends this weight."""
        self.weight.add(weight, self._clock())

    def charge(self, weight: int) -> Verdict:
        """Count one request of this weight and say whether it may be answered."""
        now = self._clock()
        if now < self._banned_until:
            return self._banned(now)
        self.weight.add(weight, now)
        self.raw.add(1, now)
        over = next((window for window in (self.raw, self.weight) if window.is_over(now)), None)
        if over is None:
            self._refused = 0
            return Admitted()
        self._refused += 1
        if self._refused > self.ban_after:
            return self._ban(now)
        return TooMany(over.seconds_left(now), self._text(over))

    def reset(self) -> None:
        """Forget everything spent, and lift a ban."""
        self.weight = Window(self.weight.length_seconds, self.weight.limit)
        self.raw = Window(self.raw.length_seconds, self.raw.limit)
        self._refused, self._banned_until = 0, 0.0

    def _ban(self, now: float) -> Banned:
        self._refused = 0
        self._banned_until = now + self.ban_seconds
        return self._banned(now)

    def _banned(self, now: float) -> Banned:
        return Banned(int(self._banned_until * 1000), max(1, math.ceil(self._banned_until - now)))

    def _text(self, over: Window) -> str:
        if over is self.weight:
            return too_much_weight(over.limit)
        return f"Too many requests; current limit is {over.limit} requests per 5 MINUTE. {_ADVICE}"


def too_much_weight(limit: int) -> str:
    """The text of a 429 for weight."""
    return f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. {_ADVICE}"
