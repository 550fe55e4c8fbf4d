"""What a request costs, as rules over its parameters.

Owns: one small rule for each way in which Binance charges. Must not know: endpoints, how a query is read.
A rule charges the dearest form whenever it cannot tell which form the origin would charge.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from msgspec import Struct, field

_NONE: Mapping[str, str] = MappingProxyType({})
_LARGEST_LIMIT_DIGITS = 9


class Parameters(Struct, frozen=True):
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


class Fixed(Struct, frozen=True):
    """Every request costs the same."""

    weight: int

    @property
    def dearest(self) -> int:
        """The one weight."""
        return self.weight

    def of(self, parameters: Parameters) -> int:
        """The one weight."""
        return self.weight


class EachSymbol(Struct, frozen=True):
    """Each symbol costs `each`, all together at most `dearest`; a request that names none costs `dearest`."""

    each: int
    dearest: int

    def of(self, parameters: Parameters) -> int:
        """What these parameters cost."""
        count = parameters.symbol_count
        return self.dearest if count is None else min(self.dearest, self.each * count)


class OneSymbol(Struct, frozen=True):
    """A request with `symbol` costs `one`; every other request costs `dearest`."""

    one: int
    dearest: int

    def of(self, parameters: Parameters) -> int:
        """What these parameters cost."""
        values = parameters.values
        return self.one if values.get("symbol") and "symbols" not in values else self.dearest


class SymbolCount(Struct, frozen=True):
    """Steps of (at most so many symbols, weight), ascending; above them, and without symbols, it costs `dearest`."""

    steps: tuple[tuple[int, int], ...]
    dearest: int

    def of(self, parameters: Parameters) -> int:
        """What these parameters cost."""
        count = parameters.symbol_count
        if count is None:
            return self.dearest
        return next((weight for most, weight in self.steps if count <= most), self.dearest)


class Limit(Struct, frozen=True):
    """Steps of (at most this `limit`, weight), ascending; a larger limit costs `dearest`, none costs `absent`."""

    steps: tuple[tuple[int, int], ...]
    absent: int
    dearest: int

    def of(self, parameters: Parameters) -> int:
        """What these parameters cost."""
        text = parameters.values.get("limit")
        if text is None:
            return self.absent
        limit = whole_number(text)
        if limit is None:
            return self.dearest
        return next((weight for most, weight in self.steps if limit <= most), self.dearest)


class ListedLimit(Struct, frozen=True):
    """Each `limit` that the origin accepts has its weight. It refuses every other limit, which costs `refused`."""

    weights: Mapping[int, int]
    absent: int
    refused: int

    @property
    def dearest(self) -> int:
        """The largest of all."""
        return max(*self.weights.values(), self.absent, self.refused)

    def of(self, parameters: Parameters) -> int:
        """What these parameters cost."""
        text = parameters.values.get("limit")
        if text is None:
            return self.absent
        limit = whole_number(text)
        return self.dearest if limit is None else self.weights.get(limit, self.refused)


class Given(Struct, frozen=True):
    """A request costs `weight` if it has a value for `parameter`, and `dearest` if not."""

    parameter: str
    weight: int
    dearest: int

    def of(self, parameters: Parameters) -> int:
        """What these parameters cost."""
        return self.weight if parameters.values.get(self.parameter) else self.dearest


class Switched(Struct, frozen=True):
    """A request costs `dearest` if it sets `parameter` to anything but `false`, and `weight` if not."""

    parameter: str
    weight: int
    dearest: int

    def of(self, parameters: Parameters) -> int:
        """What these parameters cost."""
        return self.weight if parameters.values.get(self.parameter, "false").lower() == "false" else self.dearest


def whole_number(text: str) -> int | None:
    """A positive decimal number of at most nine digits; None for everything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= _LARGEST_LIMIT_DIGITS):
        return None
    return int(text) or None
