"""A ledger in this process alone.

Owns: the shell around the model of `proxy.core.quota.budget`. Must not know: Redis. It may use the whole budget, so
replicas that share an IP need the ledger in Redis.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Blocked, Budget, Refused, Reservation
from proxy.core.quota.charges import cost_of
from proxy.core.quota.client_share import share_of
from proxy.core.quota.view import (
    LedgerView,
    Ratios,
    blocked_error,
    read_usage_report,
    refused_error,
    used_in_minute,
    view_of,
    with_learned,
)
from proxy.core.quota.windows import DEFAULT_WINDOWS, Window
from proxy.errors import SendingRefused
from proxy.ports import Clock, LedgerObserver, NullLedgerObserver


class MemoryLedger:
    """Counts in this process."""

    __slots__ = ("_clock", "_observer", "_ratios", "_windows", "local_view")

    def __init__(
        self,
        *,
        clock: Clock,
        ratios: Ratios,
        observer: LedgerObserver | None = None,
        windows: tuple[Window, ...] = DEFAULT_WINDOWS,
    ) -> None:
        self.local_view = Budget()
        """The usage of the windows, and the block."""
        self._clock = clock
        self._ratios = ratios
        self._observer = observer or NullLedgerObserver()
        self._windows = windows

    async def reserve(self, weight: int, *, background: bool = False, client: str | None = None) -> Reservation:
        """Charge before sending. Raises a SendingRefused, and then charges nothing."""
        now = self._clock.origin()
        ratio = self._ratios.of(background=background, local=False)
        client_share = share_of(client, self._ratios.client)
        outcome = self.local_view.reserve(
            now,
            cost_of(weight),
            self._windows,
            ratio=ratio,
            client_share=client_share,
            guard_seconds=self._clock.guard_seconds(),
        )
        match outcome:
            case Reservation():
                return outcome
            case Refused():
                raise self._count_refusal(refused_error(outcome, now, ratio=ratio, client=client))
            case Blocked():
                raise self._count_refusal(blocked_error(outcome, now))

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """Correct the usage by an answer's headers (lower-case names); `ok` for a 2xx."""
        now = self._clock.origin()
        reconciled = self.local_view.reconcile(reservation, read_usage_report(headers, now, ok=ok), now=now)
        if reconciled.foreign_weight:
            self._observer.foreign_weight(reconciled.foreign_weight)

    async def release(self, reservation: Reservation) -> None:
        """Take a reservation back: the request was certainly not sent."""
        self.local_view.release(reservation, now=self._clock.origin())

    async def block(self, reason: BlockReason, until: float | None) -> None:
        """Send nothing until `until`; None: for as long as the reason's penalty says."""
        self.local_view.block(reason, self._clock.origin(), until=until, guard_seconds=self._clock.guard_seconds())

    def learn(self, windows: tuple[Window, ...]) -> None:
        """Adopt the origin's limits."""
        self._windows = with_learned(self._windows, windows)

    def view(self) -> LedgerView:
        """The current windows and the block."""
        ratio = self._ratios.of(background=False, local=False)
        return view_of(self.local_view, self._windows, self._clock.origin(), ratio=ratio, local=False)

    def used_weight(self) -> int:
        """The used weight of the current one-minute window."""
        return used_in_minute(self.local_view, self._clock.origin())

    def _count_refusal(self, error: SendingRefused) -> SendingRefused:
        self._observer.refused(error.reason)
        return error
