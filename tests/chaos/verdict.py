"""What must be true of every ordeal.

Owns: the promises, one sentence each. Must not know: how an outcome came about.
"""

from __future__ import annotations

import math

from tests.chaos.ordeal import Outcome
from tests.chaos.troubles import Seen


def faults(outcome: Outcome) -> list[str]:
    """The promises that were broken, in words; empty: all were kept."""
    checks = {
        f"hits failed: {outcome.load.failed[:3]}": not outcome.load.failed,
        "nothing was asked": outcome.load.answered > 0,
        f"{outcome.extra_weight} weight on top of normal": outcome.extra_weight <= outcome.most_extra_weight,
        f"the metrics tell {outcome.told_weight} weight of {outcome.weight}": outcome.is_told_right,
        "it did not recover": outcome.recovered_seconds < math.inf,
        "afterwards each asked for itself": outcome.shares_again,
        f"{outcome.seen_down} replicas said that Redis is not up": _is_told(outcome),
        f"{outcome.errors} failed operations were counted": _is_counted(outcome),
    }
    return [words for words, kept in checks.items() if not kept]


def _is_told(outcome: Outcome) -> bool:
    match outcome.plan.trouble.seen:
        case Seen.AWAY | Seen.REFUSING:
            return outcome.seen_down == outcome.plan.replicas
        case Seen.FORGETFUL | Seen.NOTHING:
            return outcome.seen_down == 0 or outcome.plan.is_short  # a busy machine may miss the deadline
        case Seen.FAILS_OVER:
            return True  # it may be over between two looks


def _is_counted(outcome: Outcome) -> bool:
    match outcome.plan.trouble.seen:
        case Seen.AWAY | Seen.REFUSING | Seen.FAILS_OVER:
            return outcome.errors > 0
        case Seen.FORGETFUL | Seen.NOTHING:
            return True  # there is nothing to be seen, unless this machine is slow
