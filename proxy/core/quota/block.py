"""When the origin forbids sending: for which reason, for how long, and how refusals add up.

Owns: `Block` and the rule by which one more refusal changes it; the reference for `proxy/quota/lua/block.lua`. Must
not know: how much weight is used, who shares the block. Times are seconds since the epoch by the origin's clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from proxy.core.quota.windows import LONGEST_BLOCK_SECONDS, MINUTE_SECONDS

REMEMBER_SECONDS = 86_400
"""How long after its end a block still raises the strikes of the next."""

MOST_DOUBLINGS = 30


class BlockReason(Enum):
    """Why nothing may be sent. The value is the word in Redis, logs and metrics."""

    BACK_OFF = "back-off"
    """429."""
    BAN = "ban"
    """418."""
    PAUSE = "pause"
    """403 of the origin's firewall."""


@dataclass(frozen=True, slots=True)
class Penalty:
    """How long a block lasts when the origin does not say."""

    base_seconds: int
    """Doubled with each strike."""
    most_seconds: int
    to_minute_end: bool = False
    """At least until the one-minute window is over."""


PENALTIES: Mapping[BlockReason, Penalty] = MappingProxyType(
    {
        BlockReason.BACK_OFF: Penalty(5, LONGEST_BLOCK_SECONDS, to_minute_end=True),
        BlockReason.BAN: Penalty(120, LONGEST_BLOCK_SECONDS),
        BlockReason.PAUSE: Penalty(60, 3600),
    }
)


@dataclass(frozen=True, slots=True)
class Block:
    """Nothing is sent before `until`; `strikes` earlier blocks came in a row without a good answer between."""

    reason: BlockReason
    until: float
    """To the millisecond."""
    strikes: int = 0


def earliest_end(reason: BlockReason, now: float, guard_seconds: float) -> float:
    """Before this no block ends whose end the origin did not tell."""
    if PENALTIES[reason].to_minute_end:
        return (math.floor(now / MINUTE_SECONDS) + 1) * MINUTE_SECONDS + guard_seconds
    return now


def longer_block(known: Block | None, told: Block) -> Block:
    """Of two words on the same block the one that forbids longer."""
    return told if known is None or known.until <= told.until else known


def next_block(
    known: Block | None, reason: BlockReason, now: float, *, until: float | None, guard_seconds: float
) -> Block:
    """The block that holds after one more refusal of the origin; an `until` that is past tells nothing.

    It ends with the later of both, for that one's reason, at most three days from now. Strikes rise only after a
    block is over: several refusals of requests that were under way together are one.
    """
    if known is not None and known.until + REMEMBER_SECONDS <= now:
        known = None
    holding = known if known is not None and known.until > now else None
    strikes = 0 if known is None else known.strikes + (holding is None)
    if until is None or until <= now:
        penalty = PENALTIES[reason]
        doubled = penalty.base_seconds * 2 ** min(strikes, MOST_DOUBLINGS)
        until = max(earliest_end(reason, now, guard_seconds), now + min(doubled, penalty.most_seconds))
    if holding is not None and holding.until >= until:
        until, reason = holding.until, holding.reason
    return Block(reason, _milliseconds_up(min(until, now + LONGEST_BLOCK_SECONDS)), strikes)


def _milliseconds_up(seconds: float) -> float:
    """Rounded up, so that no block ends early; but not for a hundredth of one, which is a binary fraction's."""
    return math.ceil(seconds * 1000 - 0.01) / 1000
