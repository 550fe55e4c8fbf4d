"""How long requests took, counted in plain integers.

Owns: `Durations`, and the bounds of all histograms of requests. Must not know: which requests, how series are named.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import partial

from msgspec import Struct

BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds. Every answer on the fast path is far below the first."""
_BOUNDS = (*map(str, BUCKETS_SECONDS), "+Inf")
_bucket_of = partial(bisect_left, BUCKETS_SECONDS)


class Durations(Struct):
    """Those of the requests with the same labels."""

    buckets: list[int]
    """How many fell into each, and into none below it."""
    seconds: float = 0.0

    @classmethod
    def none(cls) -> Durations:
        """Before the first."""
        return cls([0] * len(_BOUNDS))

    def observe(self, seconds: Sequence[float]) -> None:
        """These too."""
        for bucket, count in Counter(map(_bucket_of, seconds)).items():
            self.buckets[bucket] += count
        self.seconds += sum(seconds)

    def cumulative(self, below: int = 0) -> list[tuple[str, float]]:
        """Each bound, and how many took no longer. `below`: so many more took next to no time."""
        total, told = below, []
        for bound, count in zip(_BOUNDS, self.buckets, strict=True):
            total += count
            told.append((bound, float(total)))
        return told
