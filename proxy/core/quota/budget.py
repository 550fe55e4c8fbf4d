"""The quota as a pure model: the reference that the Lua scripts in `proxy/quota/lua` are tested against.

Owns: which requests are admitted, and how an answer changes the usage. Must not know: which replica or client counts,
Redis, clocks, headers. Times are seconds since the epoch by the origin's clock.

Each window start has three counters. `used` is an upper bound of what the origin has counted. `pending` is the part of
it that was sent and is not answered yet. A header may or may not include the pending weight, so `used` must be at least
`header + pending`. If no answer comes (time-out, broken connection), all counters stay as they are until they expire,
because the origin may still count that request. One block holds for all windows.

`used` falls in one case: the origin takes the weight of some requests back when they succeed (orders). `refundable` is
the weight of those whose end is open. On a 2xx it is taken from both counters, on any other answer from `refundable`
alone. So `used - refundable` never falls, and whoever has once read it knows the least that is used from then on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from proxy.core.quota.block import Block, BlockReason, next_block
from proxy.core.quota.charges import Charge, WindowKey, WindowUsage, window_key_of
from proxy.core.quota.client_share import Clients, ClientShare, ClientUsage
from proxy.core.quota.count_table import UNUSED, CountTable
from proxy.core.quota.counts import Rows, RowTable, WindowCount, rows_of
from proxy.core.quota.refusal import Refused, first_refusal
from proxy.core.quota.usage_report import Present, PresentWindows, UsageReport, reported_usage
from proxy.core.quota.windows import GUARD_SECONDS, MINUTE_SECONDS, WEIGHT_NAME, RateLimitKind, Window

_NO_MINUTE: Present[WindowCount] = Present(WindowKey(WEIGHT_NAME, MINUTE_SECONDS, 0), 0, 0, UNUSED)


class Reservation(Struct, frozen=True):
    """Permission to send one request."""

    charges: tuple[Charge, ...]
    at: float
    local: bool = False
    """Made by one process alone while Redis was away."""
    leased: bool = False
    """Taken from the budget that the process held ahead of need."""
    is_proven: Callable[[], bool] | None = None
    """Whether the process would know of a block by now; None: it need not ask."""
    is_refundable: bool = True
    """Whether some of the charges may be taken back."""
    rows: Rows | None = None
    """The counters that the charges were added to, for whoever made it."""

    def covers(self, now: float, guard_seconds: float = GUARD_SECONDS) -> bool:
        """Whether a request may be sent at `now`: the origin can count it only in windows that were charged."""
        if self.is_proven is not None and not self.is_proven():
            return False
        charged = {charge.window_key for charge in self.charges}
        windows = {charge.window for charge in self.charges}
        return all(
            window_key_of(window, start) in charged
            for window in windows
            for start in window.possible_starts(now, guard_seconds)
        )


class Blocked(Struct, frozen=True):
    """Nothing may be sent until `until`."""

    reason: BlockReason
    until: float


class Reconciled(Struct, frozen=True):
    """What an answer changed."""

    foreign_weight: int
    """Weight in the current minute that our reservations do not explain."""
    usages: Mapping[WindowKey, WindowUsage]
    """The new usage of every window that the answer or the reservation touches."""


class Budget:
    """Usage and block of one quota domain, in memory."""

    __slots__ = ("_counts", "_minute", "_reported", "_table", "last_block", "version")

    def __init__(self) -> None:
        self.version = 0
        """Grows whenever what is spent in a window changes: a caller that caches that must then read it again."""
        self.last_block: Block | None = None
        """The block that holds, or the one before, whose strikes still count."""
        self._counts = CountTable()
        self._table = RowTable(self._counts.of)
        self._reported = PresentWindows(self._counts.of)
        self._minute = _NO_MINUTE
        """The minute that somebody asked for last."""

    def reserve(  # noqa: PLR0913 - each decides what is charged, or whether
        self,
        now: float,
        cost: Mapping[RateLimitKind, int],
        windows: Iterable[Window],
        *,
        ratio: float,
        client_share: ClientShare | None = None,
        refundable: bool = False,
        guard_seconds: float = GUARD_SECONDS,
        name: Hashable | None = None,
    ) -> Reservation | Refused | Blocked:
        """Charge every window the origin may count the request in, or change nothing and say why and until when.

        `refundable`: the origin takes the weight back if the request succeeds. `name`: of all requests like this one,
        for `reserve_again`.
        """
        self.forget(now)
        block = self.last_block
        if block is not None and block.until > now:
            return Blocked(block.reason, block.until)
        rows = self._table.of(now, cost, windows, ratio=ratio, refundable=refundable, guard_seconds=guard_seconds)
        client = None if client_share is None else client_share.field
        is_early = rows.add_early()
        if not is_early:
            refused = first_refusal(
                rows.charges,
                ratio=ratio,
                used=lambda key: self.usage(key).used,
                client_usage=self._charged_to_client,
                client_share=client_share,
                guard_seconds=guard_seconds,
                unspent=lambda key: self.usage(key).unspent,
            )
            if refused is not None:
                return refused
            rows.add()
        self.version += 1
        if client is not None:
            rows.count_client(client, 1)
        if name is not None and is_early:
            self._table.name(name, rows, client)
        return Reservation(rows.charges, now, rows=rows)

    def reserve_again(
        self, now: float, windows: tuple[Window, ...], guard_seconds: float, name: Hashable
    ) -> Reservation | None:
        """`reserve` a request like one before; None, and nothing is charged, if it is not known or near a limit."""
        known = self._table.named.get(name)
        if (
            known is None
            or known.windows is not windows
            or not known.begins <= now < known.ends
            or guard_seconds != known.guard_seconds
            or self.last_block is not None
        ):
            return None
        rows = known.rows
        if not rows.add_early():
            return None
        known.times += 1
        self.version += 1
        return Reservation(rows.charges, now, rows=rows)

    def reconcile(
        self, reservation: Reservation, report: UsageReport, *, now: float, guard_seconds: float = GUARD_SECONDS
    ) -> Reconciled:
        """Subtract the pending weight, raise `used` to the headers, and end the strikes on a good answer.

        A good answer takes the refundable weight back first: its headers tell the usage without it.
        """
        foreign_weight = self.settle(reservation, report, now, guard_seconds)
        touched = [charge.window_key for charge in reservation.charges]
        touched += reported_usage(report, reservation.at, now, guard_seconds)
        return Reconciled(foreign_weight, {window_key: self.usage(window_key) for window_key in touched})

    def settle(
        self, reservation: Reservation, report: UsageReport, now: float, guard_seconds: float = GUARD_SECONDS
    ) -> int:
        """`reconcile` where only the foreign weight is asked for."""
        rows = reservation.rows or self._rows_of(reservation.charges)
        if rows.settle(now, report.ok):
            self.version += 1
        foreign_weight, at, reported = 0, report.answered_at, self._reported
        for interval_seconds, header in report.used_weight.items():
            window = reported.of(interval_seconds, at, reservation.at, now, guard_seconds)
            if window is not None and header > window.counter.answered:
                raised = window.counter.raise_to(header)
                self.version += 1
                foreign_weight = raised if interval_seconds == MINUTE_SECONDS else foreign_weight
        if self.last_block is not None:
            self.end_block(reservation, report, now)
        return foreign_weight

    def release(self, reservation: Reservation, *, now: float) -> None:
        """Subtract the pending weight of a request that is answered or was not sent. `used` stays."""
        self.version += self._rows_of(reservation.charges).settle(now, False)

    def block(
        self, reason: BlockReason, now: float, *, until: float | None, guard_seconds: float = GUARD_SECONDS
    ) -> Block:
        """Send nothing until `until`; None: for as long as the reason's penalty says."""
        self.last_block = next_block(self.last_block, reason, now, until=until, guard_seconds=guard_seconds)
        return self.last_block

    def end_block(self, reservation: Reservation, report: UsageReport, now: float) -> None:
        """Forget a block and its strikes if a request that was reserved after its end got a good answer.

        One that was reserved before the clock was moved back may seem to be such a request: so the end must be past.
        """
        if report.ok and self.last_block is not None and self.last_block.until <= min(reservation.at, now):
            self.last_block = None

    def block_at(self, now: float) -> Block | None:
        """The block that holds at `now`."""
        return self.last_block if self.last_block is not None and self.last_block.until > now else None

    def usage(self, window_key: WindowKey) -> WindowUsage:
        """The usage of a window; zeros if nothing is recorded."""
        return self._counts.at(window_key.name, window_key.start).usage()

    def minute(self, now: float) -> Present[WindowCount]:
        """The window of weight of the minute that holds at `now`, whether anything is recorded in it or not."""
        minute = self._minute
        if not minute.begins <= now < minute.ends:
            key = WindowKey(WEIGHT_NAME, MINUTE_SECONDS, math.floor(now / MINUTE_SECONDS) * MINUTE_SECONDS)
            minute = Present(key, key.start, key.end, self._counts.at(key.name, key.start))
            self._minute = _NO_MINUTE if minute.counter is UNUSED else minute  # one may be made at any time
        return minute

    def adopt(self, window_key: WindowKey, shared: WindowUsage) -> None:
        """Adopt the usage that all replicas share. What was kept of it before stays kept, whatever is lost there."""
        kept = max(shared.kept, self.usage(window_key).kept)
        self.put(window_key, replace(shared, used=kept + shared.refundable))

    def put(self, window_key: WindowKey, usage: WindowUsage) -> None:
        """Replace the usage of a window."""
        count = self._counts.of(window_key)
        self.version += usage.spent != count.used - count.leased
        count.put(usage)

    def adopt_client(self, window_key: WindowKey, client_share: ClientShare, used: int) -> None:
        """Adopt what one client used; call `adopt` for the window first."""
        self._table.count_clients()
        self._counts.of(window_key).of_clients().adopt(client_share.field, used)

    def adopt_client_count(self, window_key: WindowKey, count: int) -> None:
        """Adopt how many clients were charged; call `adopt` for the window first."""
        self._counts.of(window_key).of_clients().adopt_count(count)

    def client_usage(self, window_key: WindowKey, client_share: ClientShare | None) -> ClientUsage:
        """What this client alone used in a window, as far as this is recorded under its name."""
        clients = self._clients_of(window_key)
        return ClientUsage() if clients is None or client_share is None else clients.confirmed(client_share.field)

    def adopt_block(self, shared: Block) -> None:
        """Replace our block by the one that all replicas share."""
        self.last_block = shared

    def move(self, seconds: float) -> None:
        """Keep the time that is left of the block and of what is recorded when the clock was moved by so many seconds.

        Windows that a wrong clock says are over may come back.
        """
        if self.last_block is not None:
            self.last_block = replace(self.last_block, until=self.last_block.until + seconds)
        self._counts.move(seconds)

    def keeps(self, window_key: WindowKey) -> bool:
        """Whether anything is recorded of a window."""
        return self._counts.has(window_key)

    def forget(self, now: float) -> bool:
        """Drop the usages that have expired. Whether there were any."""
        if not self._counts.forget(now):
            return False
        self._table.clear()  # its rows may hold what is forgotten
        self._reported.clear()
        self._minute = _NO_MINUTE
        return True

    def _clients_of(self, window_key: WindowKey) -> Clients | None:
        self._table.count_clients()
        return self._counts.at(window_key.name, window_key.start).clients

    def _charged_to_client(self, window_key: WindowKey, client_share: ClientShare | None) -> ClientUsage:
        clients = self._clients_of(window_key)
        return ClientUsage() if clients is None or client_share is None else clients.charged(client_share.field)

    def _rows_of(self, charges: tuple[Charge, ...]) -> Rows:
        """The counters that are there of what was charged."""
        counted = [(self._counts.known(charge.window_key.name, charge.window_key.start), charge) for charge in charges]
        return rows_of(charges, [(count, charge) for count, charge in counted if count is not None])
