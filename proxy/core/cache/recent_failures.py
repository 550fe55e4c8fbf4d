"""The fills that failed recently, so that the next requests do not try again at once.

Owns: how long a failure counts. Must not know: fills, entries, clocks. Bounded: the oldest failures are dropped.

A failure of the origin, or of ours, counts until a fill of the same key succeeds. Meanwhile requests with a stale entry
do not wait for the origin, and no request asks it again within HOLD_DOWN_SECONDS. Fills in the background wait longer
with each failure, as the refresher does. A refusal by our quota counts until it is over.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from proxy.core.cache.refresh_schedule import retry_seconds
from proxy.errors import SendingRefused, SidecarError

HOLD_DOWN_SECONDS = 1.0
MAX_FAILURES = 1024


class Failure(Struct, frozen=True):
    """The failure of a key's last fill: the error, and when (seconds since the epoch)."""

    error: SidecarError
    at: float
    in_a_row: int
    """How often the origin has failed since the last success. Refusals by our quota do not count."""

    def counts(self, now: float) -> bool:
        """Whether a fill is expected to fail in the same way now."""
        if not isinstance(self.error, SendingRefused):
            return True
        return now < self.at + (self.error.retry_after_seconds or 0.0)

    def is_recent(self, now: float) -> bool:
        """Whether it is too early to try again."""
        return 0 <= now - self.at < HOLD_DOWN_SECONDS

    def backs_off(self, now: float) -> bool:
        """Whether it is too early for a fill that no client waits for: 1 s, doubling to a minute."""
        return 0 <= now - self.at < retry_seconds(max(1, self.in_a_row), jitter=1.0)


class RecentFailures:
    """Failures by cache key."""

    def __init__(self, max_failures: int = MAX_FAILURES) -> None:
        self._max_failures = max_failures
        self._failures: OrderedDict[str, Failure] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def remember(self, key: str, error: SidecarError, now: float) -> None:
        """Record that the fill of `key` failed."""
        before = self._failures.get(key)
        in_a_row = (before.in_a_row if before is not None else 0) + (not isinstance(error, SendingRefused))
        self._failures[key] = Failure(error, now, in_a_row)
        self._failures.move_to_end(key)
        if len(self._failures) > self._max_failures:
            self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        """Record that the fill of `key` succeeded."""
        self._failures.pop(key, None)

    def of(self, key: str, now: float) -> Failure | None:
        """The failure of `key` if it still counts, else None."""
        failure = self._failures.get(key)
        return failure if failure is not None and failure.counts(now) else None

    def raise_if_held_down(self, key: str, now: float) -> None:
        """Raise the error of the last fill if it is too early to ask the origin again."""
        failure = self.of(key, now)
        if failure is not None and not isinstance(failure.error, SendingRefused) and failure.is_recent(now):
            raise failure.error.with_traceback(None)
