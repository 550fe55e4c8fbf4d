"""What requests are charged in the windows that hold, kept for those that come again and again.

Owns: the frame that holds, and what every request of one demand adds in it. Must not know: whether leases suffice, how
they are fetched. Times are seconds since the epoch by the origin's clock.
"""

from __future__ import annotations

from itertools import takewhile

from msgspec import Struct

from proxy.core.quota.charges import Charge
from proxy.core.quota.client_share import field_of
from proxy.core.quota.demand import Demand
from proxy.core.quota.lease import Lease
from proxy.core.quota.lease_frame import Frame, Part, frame_at
from proxy.core.quota.lease_news import News
from proxy.core.quota.lease_table import LeaseTable
from proxy.core.quota.ratios import Ratios
from proxy.core.quota.windows import Window

_MAX_MADE = 1024

BoundRow = tuple[Lease, int, int, Part]
"""A charge that needs a lease: the lease, what the charge costs, the budget, and the part of the frame."""


class Spending(Struct, eq=False):
    """What every request of one demand adds, as long as a frame holds."""

    frame: Frame
    charges: tuple[Charge, ...]
    bound: tuple[BoundRow, ...]
    """The charges that need a lease."""
    free: tuple[tuple[Lease, int], ...]
    """The other charges: the lease that counts each, and what it costs."""
    orders: tuple[tuple[Lease, int], ...]
    """Those charges of both kinds that may be taken back."""
    client: str | None
    """The field of who pays, if anybody does."""
    times: int = 0
    """How often it was charged and is not told of the client yet."""

    def take_back(self, row: BoundRow) -> None:
        """Take back what was charged before this row."""
        for lease, cost, *_ in takewhile(lambda charged: charged is not row, self.bound):
            lease.spent -= cost


class Spendings:
    """Those of the frame that holds."""

    __slots__ = ("_leases", "_news", "_ratios", "charged", "frame", "made")

    def __init__(self, leases: LeaseTable, news: News, ratios: Ratios) -> None:
        """`news`: is told what clients used."""
        self._leases = leases
        self._news = news
        self._ratios = ratios
        self.frame: Frame | None = None
        """The last one."""
        self.made: dict[Demand, Spending] = {}
        """What was wanted in it."""
        self.charged: list[Spending] = []
        """Those that were charged and are not counted for their clients yet."""

    def frame_at(self, now: float, windows: tuple[Window, ...], guard_seconds: float) -> Frame | None:
        """The windows that a request is charged in now; None where no leases are spent."""
        frame = self.frame
        if frame is not None and frame.holds(now, windows, guard_seconds):
            return frame
        self._clear()
        frame = self.frame = frame_at(
            now, windows, guard_seconds, ratios=self._ratios, lease_of=self._leases.__getitem__
        )
        for part in frame.parts:
            part.lease.turn(is_over=part.is_over)
        return frame if frame.holds(now, windows, guard_seconds) else None

    def find(self, now: float, demand: Demand, windows: tuple[Window, ...], guard_seconds: float) -> Spending | None:
        """What a request adds, kept in `made`: it is the same as long as the frame holds. None as in `frame_at`."""
        frame = self.frame_at(now, windows, guard_seconds)
        if frame is None:
            return None
        spending = self.made.get(demand)
        if spending is None:
            if len(self.made) >= _MAX_MADE:
                self._clear()
            spending = self.made[demand] = _spending(frame, demand)
        return spending

    def parts_at(self, now: float) -> tuple[Part, ...]:
        """The windows that may be spent from now or in a moment."""
        return () if self.frame is None else self.frame.parts_at(now)

    def may_fetch(self, part: Part, now: float) -> bool:
        """Whether a grant in this window could be spent, now or in a moment."""
        return self.frame is not None and self.frame.may_fetch(part, now)

    def count_clients(self) -> None:
        """Count for the clients what was charged to them since this was last called."""
        for spending in self.charged:
            if spending.client is not None:
                self._news.use(spending.charges, spending.client, spending.times)
            spending.times = 0
        self.charged.clear()

    def _clear(self) -> None:
        self.count_clients()
        self.made.clear()


def _spending(frame: Frame, demand: Demand) -> Spending:
    charges: list[Charge] = []
    bound: list[BoundRow] = []
    free: list[tuple[Lease, int]] = []
    orders: list[tuple[Lease, int]] = []
    for part in sorted(frame.parts, key=lambda part: part.key.end):
        cost, is_order = part.cost(demand.weight), demand.refundable and part.counts_weight
        charges.append(Charge(part.window, part.key, cost, is_order))
        if is_order:
            orders.append((part.lease, cost))
        if part.is_free:
            free.append((part.lease, cost))
        else:
            bound.append((part.lease, cost, part.budgets[demand.purpose], part))
    return Spending(
        frame,
        tuple(charges),
        tuple(bound),
        tuple(free),
        tuple(orders),
        None if demand.refundable else field_of(demand.client),
    )
