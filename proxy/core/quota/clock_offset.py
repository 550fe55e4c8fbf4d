"""How far the origin's clock is from ours, as an interval that each answer narrows.

Owns: the estimate. Must not know: where the answers come from, or what uses the estimate.

The origin produced its answer at its time T, between our `sent_at` and `received_at`. So
`T - received_at <= offset <= T - sent_at`. A Date header gives T in whole seconds, so its interval is one second
wider (RFC 9110, section 5.6.7). Intervals are intersected. An interval that does not overlap the earlier ones means
that a clock was set: the estimate then starts again from it.

One answer may be wrong. So `ClockEstimate` believes a jump of more than two seconds only when a second answer agrees.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

DATE_RESOLUTION_SECONDS = 1.0

JUMP_SECONDS = 2.0
"""A larger change of the estimate needs two answers that agree."""

DRIFT = 100e-6
"""How much two clocks may move apart in a second. Quartz clocks stay below half of it."""

KNOWN_SECONDS = 1.0
"""For so long clocks do not move apart by what would matter."""

NEWS_SECONDS = 0.001
"""What an answer tells more precisely by less is no news: its own times have no finer resolution."""

UNKNOWN_SECONDS = 60.0
"""The assumed largest offset before the first observation. If a machine's clock is further off, the origin may count
its first requests in windows that were not charged."""


class ClockOffset(Struct, frozen=True):
    """Bounds of (origin's clock - our clock), in seconds. Unbounded until the first observation."""

    lowest: float = float("-inf")
    highest: float = float("inf")

    @property
    def is_known(self) -> bool:
        """Whether anything was observed yet."""
        return self.lowest > float("-inf")

    @property
    def seconds(self) -> float:
        """The estimate: the middle of the interval; 0 while unknown."""
        return (self.lowest + self.highest) / 2 if self.is_known else 0.0

    @property
    def uncertainty_seconds(self) -> float:
        """The largest error of the estimate."""
        return (self.highest - self.lowest) / 2 if self.is_known else UNKNOWN_SECONDS

    def observe(
        self, origin_time: float, *, sent_at: float, received_at: float, resolution_seconds: float = 0.0
    ) -> ClockOffset:
        """Narrow the interval by one answer. Seconds since epoch; `origin_time` by its clock, the others by ours."""
        lowest = origin_time - max(sent_at, received_at)
        return self.narrowed(ClockOffset(lowest, origin_time + resolution_seconds - sent_at))

    def widened(self, seconds: float) -> ClockOffset:
        """The interval after so many seconds without an answer, in which the clocks may have moved apart."""
        drift = DRIFT * max(0.0, seconds)
        return ClockOffset(self.lowest - drift, self.highest + drift)

    def distance(self, other: ClockOffset) -> float:
        """Seconds between the nearest ends of two intervals; 0 if they overlap. Unknown counts as an offset of 0."""
        lowest, highest = (self.lowest, self.highest) if self.is_known else (0.0, 0.0)
        return max(0.0, other.lowest - highest, lowest - other.highest)

    def narrowed(self, other: ClockOffset) -> ClockOffset:
        """The intersection; the other alone if they do not overlap."""
        if other.lowest > self.highest or other.highest < self.lowest:
            return other
        return ClockOffset(max(other.lowest, self.lowest), min(other.highest, self.highest))


class Doubt(Struct, frozen=True):
    """An answer that contradicts the estimate."""

    offset: ClockOffset
    exchange: tuple[float, float]
    """When its request was sent and its answer received. Names the answer: its Date and its body are one answer."""


class ClockEstimate(Struct, frozen=True):
    """The offset that is believed, and the answer that contradicts it."""

    offset: ClockOffset = ClockOffset()
    doubt: Doubt | None = None
    is_confirmed: bool = False
    """Whether the last answer that this process got agrees with the estimate: only then it may teach others."""
    observed_at: float = float("-inf")
    """When that answer was received, by our clock."""

    def observe(
        self, origin_time: float, *, sent_at: float, received_at: float, resolution_seconds: float = 0.0
    ) -> ClockEstimate:
        """Learn from one time in one answer; the arguments are those of `ClockOffset.observe`.

        A jump of more than two seconds needs two answers that agree. The first answers jump from this machine's own
        clock: there the Date and the `serverTime` of one answer are enough.
        """
        seen = ClockOffset().observe(
            origin_time, sent_at=sent_at, received_at=received_at, resolution_seconds=resolution_seconds
        )
        if self.offset.distance(seen) <= JUMP_SECONDS:
            known = self.offset
            if self.observed_at > float("-inf"):
                known = known.widened(received_at - self.observed_at)
            return ClockEstimate(known.narrowed(seen), is_confirmed=True, observed_at=received_at)
        exchange = (sent_at, received_at)
        if self.doubt is None or self.doubt.offset.distance(seen) > JUMP_SECONDS:
            return replace(self, doubt=Doubt(seen, exchange), is_confirmed=False)
        agreed = self.doubt.offset.narrowed(seen)
        if self.offset.is_known and self.doubt.exchange == exchange:
            return replace(self, doubt=Doubt(agreed, exchange))
        return ClockEstimate(agreed, is_confirmed=True, observed_at=received_at)

    def knows(self, origin_time: float, *, sent_at: float, received_at: float, resolution_seconds: float = 0.0) -> bool:
        """Whether `observe` would learn nothing: an answer of this second says less than is known already."""
        offset = self.offset
        return (
            origin_time - received_at <= offset.lowest + NEWS_SECONDS
            and offset.highest - NEWS_SECONDS <= origin_time + resolution_seconds - sent_at
            and sent_at <= received_at < self.observed_at + KNOWN_SECONDS
            and received_at >= self.observed_at
            and self.is_confirmed
            and self.doubt is None
        )

    def adopt(self, shared: ClockOffset) -> ClockEstimate:
        """Believe what another replica has learned. This process must not teach it further."""
        return replace(self, offset=self.offset.narrowed(shared), is_confirmed=False)
