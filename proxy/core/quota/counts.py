"""The counters of windows, and what one kind of request adds to them.

Owns: `WindowCount`; `Rows`, which are made once for all requests of a weight between two edges. Must not know: what is
refused, blocks, clocks. Times are seconds since the epoch by the origin's clock.

While each window stays in the first half of its budget, no limit is near and no client's share counts. There a request
costs a comparison and some additions for each window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from proxy.core.quota.charges import Charge, WindowKey, WindowUsage, budget_of, charges_of
from proxy.core.quota.client_share import Clients
from proxy.core.quota.windows import RateLimitKind, Window

_MAX_MADE = 256
"""How many kinds of requests a table holds the rows of."""
_MAX_KNOWN = 1024


class WindowCount:
    """What is used in one window from one start. It changes in place, so that rows may hold it."""

    __slots__ = ("clients", "expires", "leased", "pending", "refundable", "used")

    def __init__(self, expires: int) -> None:
        """`expires`: when it is forgotten."""
        self.expires = expires
        self.used = self.pending = self.refundable = self.leased = 0
        self.clients: Clients | None = None
        """What each client used; None: nobody was charged."""

    def usage(self) -> WindowUsage:
        """The present values."""
        return WindowUsage(self.used, self.pending, self.refundable, self.leased)

    def put(self, usage: WindowUsage) -> None:
        """Replace the values."""
        self.used, self.pending = usage.used, usage.pending
        self.refundable, self.leased = usage.refundable, usage.leased

    def of_clients(self) -> Clients:
        """The table of clients."""
        if self.clients is None:
            self.clients = Clients()
        return self.clients


class Rows(Struct, frozen=True, eq=False):
    """What one kind of request adds."""

    charges: tuple[Charge, ...]
    rows: tuple[tuple[WindowCount, int, int, int], ...]
    """Of each charge: the window, the weight, the part of it that may be taken back, and the most that may be used
    before, so that the request stays in the first half of the budget."""
    is_between: bool
    """Whether they hold until the next edge."""

    def add(self, client: str | None, is_admitted: bool) -> bool:
        """Charge one request; False, and nothing is charged, if a window would leave the first half of its budget.

        `client`: the field of who pays for it, if anybody does. `is_admitted`: charge it whatever is used.
        """
        rows = self.rows
        if not is_admitted:
            for count, _, _, most in rows:
                if count.used > most:
                    return False
        for count, weight, refundable, _ in rows:
            count.used += weight
            count.pending += weight
            count.refundable += refundable
            if client is not None:
                clients = count.clients or count.of_clients()
                if client in clients.used:
                    clients.used[client] += weight
                else:
                    clients.add(client, weight)
        return True

    def settle(self, now: float, refund: bool) -> bool:
        """One of these requests has ended. Whether weight was taken back, which only a `refund` does.

        A counter that was forgotten since then has expired.
        """
        is_taken_back = False
        for count, weight, refundable, _ in self.rows:
            if count.expires <= now:
                continue
            count.pending = count.pending - weight if count.pending > weight else 0
            if refundable:
                settled = min(refundable, count.refundable)
                count.refundable -= settled
                count.used -= settled if refund else 0
                is_taken_back |= refund
        return is_taken_back


class RowTable:
    """The rows between two edges: there all requests of a weight have the same ones.

    Near an edge, where a request may count in several windows, they are made for each request.
    """

    __slots__ = ("_begins", "_count_of", "_ends", "_made", "_named", "_windows")

    def __init__(self, count_of: Callable[[WindowKey], WindowCount]) -> None:
        self._count_of = count_of
        self._windows: tuple[Window, ...] = ()
        self._begins = self._ends = 0
        """The last start and the first end of the windows that hold."""
        self._made: dict[tuple[object, ...], Rows] = {}
        self._named: dict[tuple[object, ...], tuple[Rows, str | None]] = {}
        """Rows and the client's field by the names of those that ask again and again."""

    def known(
        self, name: tuple[object, ...], now: float, windows: Iterable[Window], guard_seconds: float
    ) -> tuple[Rows, str | None] | None:
        """What was given this name, if the windows are still the same: rows, and the client's field."""
        if windows is self._windows and self._begins + guard_seconds <= now < self._ends - guard_seconds:
            return self._named.get(name)
        return None

    def name(self, name: tuple[object, ...], rows: Rows, client: str | None) -> None:
        """Give a name to what a request adds, until the next edge. Rows made near an edge get none."""
        if rows.is_between:
            if len(self._named) >= _MAX_KNOWN:
                self._named.clear()
            self._named[name] = rows, client

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
        if self._is_between(now, windows, guard_seconds):
            key = refundable, ratio, *cost.items()
            rows = self._made.get(key)
            if rows is None:
                if len(self._made) >= _MAX_MADE:
                    self._made.clear()
                charges = charges_of(now, cost, windows, guard_seconds=guard_seconds, refundable=refundable)
                rows = self._made[key] = self._rows(charges, ratio, is_between=True)
            return rows
        self._enter(now, tuple(windows))
        charges = charges_of(now, cost, self._windows, guard_seconds=guard_seconds, refundable=refundable)
        return self._rows(charges, ratio, is_between=False)

    def _is_between(self, now: float, windows: Iterable[Window], guard_seconds: float) -> bool:
        return windows is self._windows and self._begins + guard_seconds <= now < self._ends - guard_seconds

    def clear(self) -> None:
        """Hold no window any more."""
        self._made, self._named = {}, {}

    def _rows(self, charges: tuple[Charge, ...], ratio: float, *, is_between: bool) -> Rows:
        rows = [
            (
                self._count_of(charge.window_key),
                charge.weight,
                charge.refundable,
                budget_of(charge.window.limit, ratio) // 2 - charge.weight,
            )
            for charge in charges
        ]
        return Rows(charges, tuple(rows), is_between)

    def _enter(self, now: float, windows: tuple[Window, ...]) -> None:
        self._windows, self._made, self._named = windows, {}, {}
        self._begins = max((window.start(now) for window in windows), default=0)
        self._ends = min((window.reset(now) for window in windows), default=0)
