"""When the origin forbids sending: why, for how long, and how repeated refusals add up.

Owns: `Block`, and the rule by which one more refusal changes it; the reference for `proxy/quota/lua/block.lua`. Must
not know: how much weight is used, who shares the block. Times are seconds since the epoch by the origin's clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from msgspec import Struct

from proxy.core.quota.windows import LONGEST_BLOCK_SECONDS, MINUTE_SECONDS

STRIKE_MEMORY_SECONDS = 86_400
"""How long after its end a block still raises the strikes of the next."""

MAX_DOUBLINGS = 30


class BlockReason(Enum):
    """Why nothing may be sent. The value is the word in Redis, logs and metrics."""

    BACK_OFF = "back-off"
    """The origin answered 429."""
    BAN = "ban"
    """The origin answered 418."""
    PAUSE = "pause"
    """The origin's firewall answered 403."""


class Penalty(Struct, frozen=True):
    """How long a block lasts if the origin does not say."""

    base_seconds: int
    """Doubled with each strike."""
    max_seconds: int
    to_minute_end: bool = False
    """Lasts at least until the one-minute window is over."""


PENALTIES: Mapping[BlockReason, Penalty] = MappingProxyType(
    {
        BlockReason.BACK_OFF: Penalty(5, LONGEST_BLOCK_SECONDS, to_minute_end=True),
        BlockReason.BAN: Penalty(120, LONGEST_BLOCK_SECONDS),
        BlockReason.PAUSE: Penalty(60, 3600),
    }
)


class Block(Struct, frozen=True):
    """Nothing is sent before `until`."""

    reason: BlockReason
    until: float
    """To the millisecond."""
    strikes: int = 0
    """How many blocks came before this one, without a good answer in between."""


def earliest_end(reason: BlockReason, now: float, guard_seconds: float) -> float:
    """Earliest end of a block for which the origin gave no Retry-After."""
    if PENALTIES[reason].to_minute_end:
        return (math.floor(now / MINUTE_SECONDS) + 1) * MINUTE_SECONDS + guard_seconds
    return now


def next_block(
    previous: Block | None, reason: BlockReason, now: float, *, until: float | None, guard_seconds: float
) -> Block:
    """The block that holds after one more refusal of the origin. An `until` in the past counts as None.

    If a block holds already, the one that ends later wins, with its reason. No block lasts longer than three days from
    now. Strikes grow only once the previous block is over: several requests that were sent together and refused
    together count as one strike.
    """
    if previous is not None and previous.until + STRIKE_MEMORY_SECONDS <= now:
        previous = None
    current = previous if previous is not None and previous.until > now else None
    strikes = 0 if previous is None else previous.strikes + (current is None)
    if until is None or until <= now:
        penalty = PENALTIES[reason]
        doubled = penalty.base_seconds * 2 ** min(strikes, MAX_DOUBLINGS)
        until = max(earliest_end(reason, now, guard_seconds), now + min(doubled, penalty.max_seconds))
    if current is not None and current.until >= until:
        until, reason = current.until, current.reason
    return Block(reason, _milliseconds_up(min(until, now + LONGEST_BLOCK_SECONDS)), strikes)


def _milliseconds_up(seconds: float) -> float:
    """Rounded up, so that no block ends early. Ignores up to 0.01 ms, which is floating-point error."""
    return math.ceil(seconds * 1000 - 0.01) / 1000
