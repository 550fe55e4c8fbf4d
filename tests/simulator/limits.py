"""What one public IP may spend in one pool: weight, and on spot RAW_REQUESTS; then 429, then a ban (418).

Owns the two windows, fixed to the clock it is given. Must not know HTTP, queries or which program asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Wording(Enum):
    """Whose texts a refusal has."""

    SPOT = "spot"
    FUTURES = "futures"  # the options' too


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
    """418: the IP went on after 429s. The derivatives' text names the caller's IP; spot's does not."""

    until_ms: int
    retry_after_seconds: int
    caller_ip: str | None = None

    @property
    def text(self) -> str:
        if self.caller_ip is not None:
            until = f"IP({self.caller_ip}) banned until {self.until_ms}."
            return f"Way too many requests; {until} Please use the websocket for live updates to avoid bans."
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
    """The counters of one IP in one pool. Requests that are refused with 429 are charged too; banned ones are not.

    The first request past a limit is answered with 429, and so are the next ones; the `ban_after`-th that
    follows the first one starts a ban of `ban_seconds`. `raw` of None: no limit of RAW_REQUESTS. `ban_after` of
    None: never a ban. `caller_ip` is for the wording FUTURES.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        weight: int = 6000,
        window_seconds: int = 60,
        raw: int | None = 300_000,
        ban_after: int | None = 5,
        ban_seconds: int = 120,
        wording: Wording = Wording.SPOT,
        caller_ip: str = "203.0.113.7",
    ) -> None:
        self._clock = clock
        self._wording = wording
        self._caller_ip = caller_ip if wording is Wording.FUTURES else None
        self.weight = Window(window_seconds, weight)
        self.raw = Window(300, 2**62 if raw is None else raw)
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

    def refund(self, weight: int) -> None:
        """Take back what was charged at this very moment: an order that succeeds costs nothing."""
        self.weight.add(-weight, self._clock())

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
        if self.ban_after is not None and self._refused > self.ban_after:
            return self._ban(now)
        return TooMany(over.seconds_left(now), self._text(over))

    def refusal_text(self) -> str:
        """The text of a 429 for weight, whether the limit is passed or not."""
        return self._text(self.weight)

    def banned_for(self, seconds: int, *, now: float) -> Banned:
        """What a ban of so many seconds would answer; none begins."""
        return Banned(int((now + seconds) * 1000), seconds, self._caller_ip)

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
        left = max(1, math.ceil(self._banned_until - now))
        return Banned(int(self._banned_until * 1000), left, self._caller_ip)

    def _text(self, over: Window) -> str:
        if self._wording is Wording.FUTURES:
            return too_many_requests(over.limit, over.length_seconds)
        if over is self.weight:
            return too_much_weight(over.limit)
        return f"Too many requests; current limit is {over.limit} requests per 5 MINUTE. {_ADVICE}"


def too_much_weight(limit: int) -> str:
    """The text of a 429 for weight."""
    return f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. {_ADVICE}"


def too_many_requests(limit: int, window_seconds: int = 60) -> str:
    """The text of a 429 of the derivatives."""
    unit = "minute" if window_seconds == 60 else f"{window_seconds // 60} minutes"
    advice = "Please use the websocket for live updates to avoid polling the API."
    return f"Too many requests; current limit is {limit} requests per {unit}. {advice}"
