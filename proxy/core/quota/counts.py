"""The counters of windows, and what one kind of request adds to them.

Owns: `WindowCount`; `Rows`, which are made once for all requests of a weight. Must not know: what is
refused, blocks, clocks. Times are seconds since the epoch by the origin's clock.

While each window stays in the first half of its budget, no limit is near and no client's share counts. There a request
costs a comparison and an addition for each window. What it costs a client is counted only when somebody asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from msgspec import Struct

from proxy.core.quota.charges import Charge, WindowKey, WindowUsage, budget_of, charges_of
from proxy.core.quota.client_share import Clients
from proxy.core.quota.windows import RateLimitKind, Window

_MAX_MADE = 256
"""How many kinds of requests a table holds the rows of."""
_MAX_KNOWN = 1024


class WindowCount:
    """What is used in one window from one start. It changes in place, so that rows may hold it."""

    __slots__ = ("_least_expires", "answered", "clients", "expires", "leased", "refundable", "untold", "used")

    def __init__(self, expires: float) -> None:
        """`expires`: when it is forgotten, unless the clock is moved."""
        self.expires = self._least_expires = expires
        self.used = self.refundable = self.leased = self.untold = 0
        self.answered = 0
        """The part of `used` that is not pending."""
        self.clients: Clients | None = None
        """What each client used; None: nobody was charged."""

    def usage(self) -> WindowUsage:
        """The present values."""
        return WindowUsage(self.used, self.used - self.answered, self.refundable, self.leased, self.untold)

    def put(self, usage: WindowUsage) -> None:
        """Replace the values."""
        self.used, self.answered = usage.used, usage.used - usage.pending
        self.refundable, self.leased, self.untold = usage.refundable, usage.leased, usage.untold

    def move(self, seconds: float) -> None:
        """Keep it for as long as before: the clock was moved by so many seconds. It may be moved back later."""
        self.expires = max(self._least_expires, self.expires + seconds)

    def raise_to(self, header: int) -> int:
        """Raise `used` to what a header proves: as much, and all that is pending. Returns the difference."""
        raised = max(0, header - self.answered)
        self.used += raised
        self.answered += raised
        return raised

    def of_clients(self) -> Clients:
        """The table of clients."""
        if self.clients is None:
            self.clients = Clients()
        return self.clients


class Rows(Struct, frozen=True, eq=False):
    """What one kind of request adds."""

    charges: tuple[Charge, ...]
    rows: tuple[tuple[WindowCount, int, int], ...]
    """Of each charge: the window, the weight, and the most that may be used before, so that the request stays in the
    first half of the budget."""
    refunds: tuple[tuple[WindowCount, int], ...]
    """Of each charge that may be taken back: the window, and the weight."""
    expires: float
    """When the first of the windows is forgotten."""

    def add_early(self) -> bool:
        """Charge one request; False, and nothing is charged, if a window would leave the first half of its budget."""
        for row in self.rows:
            count, weight, most = row
            used = count.used
            if used > most:
                self._take_out(row)
                return False
            count.used = used + weight
        if self.refunds:
            self._open_refunds()
        return True

    def add(self) -> None:
        """Charge one request, whatever is used."""
        for count, weight, _ in self.rows:
            count.used += weight
        self._open_refunds()

    def count_client(self, client: str, times: int) -> None:
        """So many of these requests were charged for a client. `client`: its field."""
        for count, weight, _ in self.rows:
            count.of_clients().add(client, weight * times)

    def settle(self, now: float, refund: bool) -> bool:
        """One of these requests has ended. Whether weight was taken back, which only a `refund` does.

        A counter that was forgotten since then has expired.
        """
        if now >= self.expires:
            return self._unexpired(now).settle(now, refund)
        for count, weight, _ in self.rows:
            answered = count.answered + weight
            count.answered = answered if answered < count.used else count.used  # noqa: FURB136 - `min` is a call
        return self._close_refunds(refund) if self.refunds else False

    def _take_out(self, last: tuple[WindowCount, int, int]) -> None:
        """Take back what was charged before this row."""
        for row in self.rows:
            if row is last:
                return
            row[0].used -= row[1]

    def _open_refunds(self) -> None:
        for count, weight in self.refunds:
            count.refundable += weight

    def _close_refunds(self, refund: bool) -> bool:
        for count, weight in self.refunds:
            settled = min(weight, count.refundable)
            count.refundable -= settled
            if refund:
                count.used -= settled
                count.answered -= settled
        return refund

    def _unexpired(self, now: float) -> Rows:
        rows = tuple(row for row in self.rows if now < row[0].expires)
        refunds = tuple(row for row in self.refunds if now < row[0].expires)
        return Rows(self.charges, rows, refunds, math.inf)


class Known(Struct, eq=False):
    """A kind of request that comes again and again: what each of them adds, and for how long that holds."""

    rows: Rows
    windows: tuple[Window, ...]
    guard_seconds: float
    """With another guard they do not hold."""
    begins: float
    ends: float
    client: str | None
    """The field of who pays, if anybody does."""
    times: int = 0
    """How often it was charged and is not counted for the client yet."""

    def count_client(self) -> None:
        """Count for the client what was charged since this was last called."""
        times, self.times = self.times, 0
        if self.client is not None and times:
            self.rows.count_client(self.client, times)


class RowTable:
    """The rows from one moment at which the windows change in which the origin may count a request to the next.

    Until then all requests of a weight have the same ones.
    """

    __slots__ = ("_begins", "_count_of", "_ends", "_guard_seconds", "_made", "_starts", "_windows", "named")

    def __init__(self, count_of: Callable[[WindowKey], WindowCount]) -> None:
        self._count_of = count_of
        self._windows: tuple[Window, ...] = ()
        self._starts: list[tuple[int, ...]] = []
        """Of each window: those in which a request may be counted."""
        self._guard_seconds = self._begins = self._ends = 0.0
        """For this guard the starts are these from one time to another."""
        self._made: dict[tuple[object, ...], Rows] = {}
        self.named: dict[Hashable, Known] = {}
        """By the names of those that ask again and again."""

    def name(self, name: Hashable, rows: Rows, client: str | None) -> None:
        """Keep by a name what `of` has just told, for as long as the next request with this name adds the same."""
        before = self.named.get(name)
        if before is not None:
            before.count_client()
        elif len(self.named) >= _MAX_KNOWN:
            self.count_clients()
        self.named[name] = Known(rows, self._windows, self._guard_seconds, self._begins, self._ends, client)

    def count_clients(self) -> None:
        """Count for the clients what was charged to them by name. The names are given anew then."""
        for known in self.named.values():
            known.count_client()
        self.named = {}

    def of(
        self,
        now: float,
        cost: Mapping[RateLimitKind, int],
        windows: Iterable[Window],
        *,
        ratio: float,
        refundable: bool,
        guard_seconds: float,
    ) -> Rows:
        """What a request that is sent at `now` adds: the charges are those of `charges_of`."""
        is_known = windows is self._windows and guard_seconds == self._guard_seconds
        if not (is_known and self._begins <= now < self._ends):
            self._enter(now, tuple(windows), guard_seconds)
        key = refundable, ratio, *cost.items()
        rows = self._made.get(key)
        if rows is None:
            if len(self._made) >= _MAX_MADE:
                self._made.clear()
            charges = charges_of(now, cost, self._windows, guard_seconds=guard_seconds, refundable=refundable)
            counted = [(self._count_of(charge.window_key), charge) for charge in charges]
            rows = self._made[key] = rows_of(charges, counted, ratio=ratio)
        return rows

    def clear(self) -> None:
        """Hold no window any more."""
        self.count_clients()
        self._made = {}

    def _enter(self, now: float, windows: tuple[Window, ...], guard_seconds: float) -> None:
        """The first start drops out when its window is over, and the next one is added before that, by the guard."""
        starts = [window.possible_starts(now, guard_seconds) for window in windows]
        if windows is not self._windows or starts != self._starts:
            self.clear()
        self._windows, self._starts, self._guard_seconds = windows, starts, guard_seconds
        since = [max(at[0] + guard_seconds, at[-1] - guard_seconds) for at in starts]
        until = [
            min(window.counted_until(at[0], guard_seconds), at[-1] + window.interval_seconds - guard_seconds)
            for window, at in zip(windows, starts, strict=True)
        ]
        self._begins, self._ends = max(since, default=0.0), min(until, default=0.0)


def rows_of(charges: tuple[Charge, ...], counted: Sequence[tuple[WindowCount, Charge]], *, ratio: float = 0.0) -> Rows:
    """The rows of these charges, of which those are counted whose counters are there."""
    rows = [
        (count, charge.weight, budget_of(charge.window.limit, ratio) // 2 - charge.weight) for count, charge in counted
    ]
    refunds = [(count, charge.weight) for count, charge in counted if charge.is_refundable]
    expires = min((count.expires for count, _ in counted), default=math.inf)
    return Rows(charges, tuple(rows), tuple(refunds), expires)
