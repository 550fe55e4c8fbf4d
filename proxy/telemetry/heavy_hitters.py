"""The ten heaviest of a stream of names nobody bounded, as counters that Prometheus can read.

Owns: which names are shown. Must not know: what a name is, who reads.

Weights of at most `_WATCHED` names are kept: a newcomer takes the place of the lightest one that is not shown, and what
that one had is its doubt, not its merit (Metwally, Agrawal, El Abbadi: Efficient computation of frequent and top-k
elements in data streams, ICDT 2005). So floods of names cost no memory and do not push the heavy ones out.

A name is shown from the first while there is room. Later it takes the place of the lightest one shown once it has
certainly spent more than twice as much. Each such change doubles one of ten places: names shown in a process's whole
life are at most ten for each doubling of its weight, and two of the same weight do not chase each other. A counter
begins at 0 when its name is shown, and is dropped with it; what a name spends while it is not shown goes to `OTHER`. So
every counter only grows while it is there, and what all of them grow by is all that is spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OTHER = "other"
"""All that are not shown. A client of this name is one of them."""

SHOWN = 10
_WATCHED = 256
_LEAD = 2


@dataclass(slots=True)
class _Weight:
    total: int
    error: int
    """The part of it that may be others'."""


class HeavyHitters:
    """Counts weight by name."""

    __slots__ = ("_other", "_shown", "_weights")

    def __init__(self) -> None:
        self._weights: dict[str, _Weight] = {}
        self._shown: dict[str, int] = {}
        self._other = 0

    def spend(self, name: str, weight: int) -> None:
        """Count this much more for a name."""
        if name == OTHER:
            self._other += weight
            return
        certain = self._watch(name, weight)
        if name in self._shown:
            self._shown[name] += weight
        elif self._enters(certain):
            self._shown[name] = weight
        else:
            self._other += weight

    def counters(self) -> Mapping[str, int]:
        """Weight by name, `OTHER` last."""
        return {**self._shown, OTHER: self._other}

    def _watch(self, name: str, weight: int) -> int:
        """What this name has certainly spent by now."""
        known = self._weights.get(name)
        if known is None:
            known = self._weights[name] = self._newcomer()
        known.total += weight
        return known.total - known.error

    def _newcomer(self) -> _Weight:
        if len(self._weights) < _WATCHED:
            return _Weight(0, 0)
        hidden = (name for name in self._weights if name not in self._shown)
        lightest = self._weights.pop(min(hidden, key=lambda name: self._weights[name].total))
        return _Weight(lightest.total, lightest.total)

    def _enters(self, certain: int) -> bool:
        """Whether a name of this weight is to be shown; makes room for it."""
        if len(self._shown) < SHOWN:
            return True
        lightest = min(self._shown, key=lambda shown: self._weights[shown].total)
        if certain <= _LEAD * self._weights[lightest].total:
            return False
        del self._shown[lightest]
        return True
