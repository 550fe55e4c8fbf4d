"""The ten names with the most weight, out of an unbounded number, as counters that Prometheus can read.

Owns: which names are shown. Must not know: what a name is, who reads.

The weights of at most `_WATCHED` names are counted. A new name replaces the lightest one that is not shown, and
inherits the evicted count as its error bound (Space-Saving: Metwally, Agrawal, El Abbadi, Efficient computation of
frequent and top-k elements in data streams, ICDT 2005). So a flood of names costs no memory and evicts no heavy name.

A name is shown at once while there is room. Later it replaces the lightest shown name when it has certainly spent more
than twice as much. So each replacement at least doubles the weight in one of ten places: the number of names ever
shown grows with the logarithm of the weight, and two names of equal weight do not replace each other in turn. A counter
begins at 0 when its name is shown, and is dropped with it; what a name spends while it is not shown counts as `OTHER`.
So every counter only grows while it exists, and the sum of all increases is the weight that was spent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter

from msgspec import Struct

OTHER = "other"
"""All names that are not shown. A client with this very name counts here."""

SHOWN = 10
_WATCHED = 256
_LEAD = 2
_NAME = itemgetter(0)


class _Weight(Struct):
    total: int
    error: int
    """The part of the total that may belong to evicted names."""


class HeavyHitters:
    """Counts weight by name."""

    __slots__ = ("_other", "_shown", "_weights")

    def __init__(self) -> None:
        self._weights: dict[str, _Weight] = {}
        self._shown: dict[str, int] = {}
        self._other = 0

    def spend(self, name: str, weight: int) -> None:
        """Add weight to a name."""
        shown = self._shown.get(name)
        if shown is not None:
            self._weights[name].total += weight
            self._shown[name] = shown + weight
            return
        if name == OTHER:
            self._other += weight
            return
        certain = self._watch(name, weight)
        if self._enters(certain):
            self._shown[name] = weight
        else:
            self._other += weight

    def spend_all(self, spending: Sequence[tuple[str, int]]) -> None:
        """`spend` for each name and weight, in this order."""
        if self._shown.keys() >= set(map(_NAME, spending)):  # nobody is replaced: the order makes no difference
            spending = [(name, weight * times) for (name, weight), times in Counter(spending).items()]
        for name, weight in spending:
            self.spend(name, weight)

    def counters(self) -> Mapping[str, int]:
        """Weight by name, `OTHER` last."""
        return {**self._shown, OTHER: self._other}

    def _watch(self, name: str, weight: int) -> int:
        """Count the weight. Returns what this name has certainly spent so far."""
        counted = self._weights.get(name)
        if counted is None:
            counted = self._weights[name] = self._newcomer()
        counted.total += weight
        return counted.total - counted.error

    def _newcomer(self) -> _Weight:
        if len(self._weights) < _WATCHED:
            return _Weight(0, 0)
        hidden = (name for name in self._weights if name not in self._shown)
        lightest = self._weights.pop(min(hidden, key=lambda name: self._weights[name].total))
        return _Weight(lightest.total, lightest.total)

    def _enters(self, certain: int) -> bool:
        """Whether a name with this weight is now shown. Makes room for it."""
        if len(self._shown) < SHOWN:
            return True
        lightest = min(self._shown, key=lambda shown: self._weights[shown].total)
        if certain <= _LEAD * self._weights[lightest].total:
            return False
        del self._shown[lightest]
        return True
