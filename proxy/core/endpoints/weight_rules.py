"""What a request costs, as rules over its parameters.

Owns: one small rule for each way in which Binance charges. Must not know: endpoints, how a query is read.
A rule charges the dearest form whenever it cannot tell which form the origin would charge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a request, as far as its weight depends on them."""

    symbol_count: int | None = None
    """How many symbols `symbol` or `symbols` names; None where the request names none."""
    values: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """Every parameter, decoded."""


class WeightRule(Protocol):
    """How the origin charges for an endpoint."""

    @property
    def dearest(self) -> int:
        """The most that one request can cost."""

    def of(self, parameters: Parameters) -> int:
        """What a request with these parameters costs."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every request costs the same."""

    weight: int

    @property
    def dearest(self) -> int:
        """The one weight."""
        return self.weight

    def of(self, parameters: Parameters) -> int:
        """The one weight."""
        return self.weight


@dataclass(frozen=True, slots=True)
class EachSymbol:
    """Each symbol costs `each`, all together at most `dearest`; a request that names none costs `dearest`."""

    each: int
    dearest: int

    def of(self, parameters: Parameters) -> int:
        """What these parameters cost."""
        count = parameters.symbol_count
        return self.dearest if count is None else min(self.dearest, self.each * count)
