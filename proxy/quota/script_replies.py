"""What the Lua scripts answer, as values.

Owns: the order of the results. Must not know: keys, arguments, when a script is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.charges import Charge, WindowKey, WindowUsage
from proxy.core.quota.client_share import Limit
from proxy.core.quota.windows import MINUTE_SECONDS


class StoredBlock(Struct, frozen=True):
    """A block that Redis has."""

    block: Block
    """With its end by the caller's clock; it may be over."""
    written_until: str
    """The end as its writer wrote it. The block is the same as long as this is."""


class Reserved(Struct, frozen=True):
    """The result of a request: a block, a charge that exceeds a limit, or, with neither, permission to send."""

    charges: tuple[Charge, ...]
    at: float
    block: StoredBlock | None = None
    exceeded: tuple[Charge, Limit] | None = None
    usages: Mapping[WindowKey, WindowUsage] = field(default_factory=dict)
    client_used: Mapping[WindowKey, int] = field(default_factory=dict)
    """The usage that counts against the client."""
    client_count: Mapping[WindowKey, int] = field(default_factory=dict)
    """How many clients were charged, with the one that asked if it was admitted."""


class Settled(Struct, frozen=True):
    """The result of a reconciliation: the usage of the windows concerned."""

    usages: Mapping[WindowKey, WindowUsage]
    raised: Mapping[WindowKey, int]
    """The weight that the answer's headers added to each."""

    @property
    def foreign_weight(self) -> int:
        """Weight in the current minute that our reservations do not explain."""
        return sum(raised for key, raised in self.raised.items() if key.interval_seconds == MINUTE_SECONDS)


def read_reserved(row: Sequence[Any], charges: tuple[Charge, ...], now: float) -> Reserved | float:
    """The answer of `lua/reserve.lua`: a float is the origin's time."""
    match _text(row[0]):
        case "clock":
            return float(row[1])
        case "blocked":
            return Reserved(charges, now, read_block(row[1:]))
        case outcome:
            keys = [charge.window_key for charge in charges]
            exceeded = (charges[int(row[1]) - 1], Limit(outcome)) if int(row[1]) else None
            client_used = {key: int(value) for key, value in zip(keys, row[5::7], strict=True)}
            client_count = {key: int(value) for key, value in zip(keys, row[6::7], strict=True)}
            usage = read_usage(keys, _columns(row[2:], 7, (0, 1, 2, 5, 6)))
            return Reserved(charges, now, None, exceeded, usage, client_used, client_count)


def read_settled(row: Sequence[Any], keys: Sequence[WindowKey]) -> Settled:
    """The answer of `lua/reconcile.lua`."""
    raised = {key: int(value) for key, value in zip(keys, row[3::6], strict=True)}
    return Settled(read_usage(keys, _columns(row, 6, (0, 1, 2, 4, 5))), raised)


def read_usage(keys: Sequence[WindowKey], row: Sequence[Any]) -> dict[WindowKey, WindowUsage]:
    """The usage of each window, in the order of its fields."""
    usages = (WindowUsage(*map(int, row[at : at + 5])) for at in range(0, len(row), 5))
    return dict(zip(keys, usages, strict=True))


def _columns(row: Sequence[Any], width: int, columns: Sequence[int]) -> list[Any]:
    """These columns of a table that comes as one row."""
    return [row[at + column] for at in range(0, len(row), width) for column in columns]


def read_block(row: Sequence[Any]) -> StoredBlock:
    """The answer of `lua/block.lua` and `lua/read_block.lua`."""
    reason, until, strikes, written_until = (_text(value) for value in row)
    return StoredBlock(Block(BlockReason(reason), float(until), int(strikes)), written_until)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
