"""The error for each refusal of a ledger.

Owns: that each refusal is counted. Must not know: why a request is refused, the texts.
"""

from __future__ import annotations

from proxy.core.quota.block import Block
from proxy.core.quota.budget import Blocked
from proxy.core.quota.refusal import Refused
from proxy.core.quota.view import blocked_error, refused_error
from proxy.errors import SendingRefused
from proxy.ports import LedgerObserver
from proxy.quota.limits import KnownLimits


class Refusals:
    """Makes the errors of one ledger, and counts them."""

    __slots__ = ("_limits", "_observer")

    def __init__(self, limits: KnownLimits, observer: LedgerObserver) -> None:
        self._limits = limits
        self._observer = observer

    def refused(self, refused: Refused, now: float, *, ratio: float, client: str | None) -> SendingRefused:
        """The error for a request that would pass the budget, or its client's share of it."""
        return self._count(refused_error(refused, now, ratio=ratio, client=client))

    def blocked(self, block: Block | Blocked, now: float) -> SendingRefused:
        """The error while a block holds."""
        return self._count(blocked_error(block, now, self._limits.windows, self._limits.wording))

    def _count(self, error: SendingRefused) -> SendingRefused:
        self._observer.refused(error.reason)
        return error
