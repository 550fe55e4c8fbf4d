"""Rules that tell a request's weight from its parameters.

Owns the arithmetic. Must not know paths: the tables say which rule is whose.
"""

from __future__ import annotations

from collections.abc import Collection

from tests.simulator.endpoints import Values, Weigh


def fixed(weight: int) -> Weigh:
    return lambda _: weight


def by_limit(*steps: tuple[int, int], default: int) -> Weigh:
    """`steps`: (highest limit, weight), the last one for everything above too; `default`: without a limit."""

    def weigh(values: Values) -> int:
        limit = number(values.get("limit", ""))
        if limit is None:
            return default
        return next((weight for most, weight in steps if limit <= most), steps[-1][1])

    return weigh


def by_exact_limit(steps: dict[int, int], *, default: int, refused: int) -> Weigh:
    """Only these limits are legal; any other is refused and costs `refused`."""

    def weigh(values: Values) -> int:
        if not values.get("limit"):
            return default
        limit = number(values["limit"])
        return refused if limit is None else steps.get(limit, refused)

    return weigh


def by_presence(keys: Collection[str], *, one: int, none: int) -> Weigh:
    """`one` with any of the parameters, `none` without."""
    return lambda values: one if any(values.get(key) for key in keys) else none


def by_value(key: str, value: str, *, one: int, other: int) -> Weigh:
    """`one` where the parameter has this value, `other` for any other and without."""
    return lambda values: one if values.get(key) == value else other


def by_symbol(*, one: int, none: int) -> Weigh:
    return by_presence(("symbol",), one=one, none=none)


def by_symbol_list(*, one: int, many: int) -> Weigh:
    """`one` for a single symbol, `many` for a list of any length and for all."""
    return by_presence(("symbol",), one=one, none=many)


def by_number_of_symbols(*steps: tuple[int, int], one: int, more: int) -> Weigh:
    """`steps`: (longest list, weight); `more`: longer ones and all symbols."""

    def weigh(values: Values) -> int:
        if values.get("symbol"):
            return one
        if not values.get("symbols"):
            return more
        return next((weight for most, weight in steps if _length(values["symbols"]) <= most), more)

    return weigh


def each_symbol_or_all(weight: int, *, most: int) -> Weigh:
    """So much for each symbol; `most` when none is named."""

    def weigh(values: Values) -> int:
        if values.get("symbols"):
            return min(most, weight * _length(values["symbols"]))
        return weight if values.get("symbol") else most

    return weigh


def number(text: str) -> int | None:
    """Decimal digits only."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _length(symbols: str) -> int:
    return symbols.count(",") + 1
