"""Budget that one process holds ahead of need, in one window.

Owns: the counters of a lease, how large a grant is, how much of it may be spent untold, from when on a window is
counted exactly, which windows need no lease. Must not know: Redis, when it is asked, other processes. Times are seconds
since the epoch by the origin's clock.

A lease has counters that only grow, so they may be told twice, late, or in any order. `taken` is all that the store
granted, `returned` all that was given back, `spent` all that was charged for good. What is held is what is left of
`taken`. In the store a lease is weight that may still be taken back, as that of an order is: `used` holds it, and the
part of `used` that never falls (`WindowUsage.kept`) does not. So no floor undoes a return, not that of a replica
which knows no leases either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from msgspec import Struct

from proxy.core.quota.charges import WindowUsage, budget_of
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.windows import MINUTE_SECONDS, Window

PARTS = 4
"""A grant is at most this part of what each replica could have of the budget that is left."""
EXACT_PART = 0.1
"""With less left of a budget than this part, each request is reserved by itself."""
MARGIN = 1.25
"""A grant is larger than what is expected by this factor: demand is uneven, and a second grant is a round trip. A
process never holds more than so many of the largest grants."""
LARGE_FLEET = 4
"""Of many more replicas than so many each may spend nearly twice its part untold: it is a part of what the others leave
of theirs, so single parts would be half of what all can have."""
LAST_WEIGHT = 3
"""Who may spend so much before it is told spends more by about this: the last request is sent, and told then."""
HEAVY_WEIGHT = 25
"""A process holds enough for a request of this weight, if the store grants it: nearly all weigh less."""
LOOK_AHEAD_SECONDS = 60.0
"""A grant is meant to last so long."""
LEAST_SECONDS = 2.0
"""It lasts so long at least: also just before its window ends."""
REST_SECONDS = 30.0
"""A process without a request for so long expects none."""
SHORT_REST_SECONDS = 5.0
"""The same if by then several would have come."""
RESTING_REQUESTS = 4
"""So many."""


class Totals(Struct, frozen=True):
    """What a process tells of its lease. Each only grows."""

    taken: int = 0
    returned: int = 0
    spent: int = 0

    @property
    def held(self) -> int:
        """What the store still counts as leased."""
        return self.taken - self.returned - self.spent


class Lease:
    """The lease of one process in one window."""

    __slots__ = (
        "_is_lost",
        "_returned",
        "_was_forgotten",
        "header",
        "is_exact",
        "is_over",
        "low_at",
        "mind_at",
        "most",
        "name",
        "open",
        "retry_at",
        "seen",
        "spent",
        "taken",
        "tell_at",
        "told",
        "usage",
        "was_exact",
    )

    def __init__(self, name: str = "", *, was_forgotten: bool = False) -> None:
        """`name`: the window's key, as the store tells it. `was_forgotten`: there was another lease in this window."""
        self.name = name
        self._was_forgotten = was_forgotten
        self._is_lost = False
        self._returned = 0
        self.taken = 0
        """All that the store granted."""
        self.spent = 0
        """All that was charged for good."""
        self.most = 0
        """Up to so much may be spent: what was taken, less what is returned and open."""
        self.open = 0
        """Charged for orders whose end is open: each becomes spent, or is held again."""
        self.told = Totals()
        """What the store has of the totals."""
        self.was_exact = was_forgotten
        """The store grants nothing in this window before its end."""
        self.is_over = False
        """It has ended."""
        self.is_exact = was_forgotten
        """No lease is granted or spent in this window."""
        self.seen = 0
        """The most that was seen used, with all leases."""
        self.usage = WindowUsage()
        """As last seen."""
        self.header = -1
        """The most that the origin told, which the store may lack; -1: nothing."""
        self.low_at = 0
        """With so little held the next grant is due."""
        self.tell_at = 1
        """With so much spent the store must know."""
        self.mind_at = 0
        """With so much spent one of both is due."""
        self.retry_at = -math.inf
        """The store granted nothing: it is not asked before this."""

    @property
    def held(self) -> int:
        """What may still be spent."""
        return self.most - self.spent

    @property
    def totals(self) -> Totals:
        """What is told."""
        return Totals(self.taken, self._returned, self.spent)

    @property
    def has_news(self) -> bool:
        """Whether the store lacks something: of the totals, or of what the origin told."""
        told = self.told
        return (
            self.header >= 0 or self.spent != told.spent or self.taken != told.taken or self._returned != told.returned
        )

    @property
    def is_low(self) -> bool:
        """Whether it is time for the next grant: long before a request must wait."""
        return self.held <= self.low_at

    @property
    def must_tell(self) -> bool:
        """Whether so much was spent that the store must know."""
        return self.spent >= self.tell_at and self.taken > 0

    def asked(self) -> None:
        """The store was asked: the next grant is due at half of what is held, or at three quarters of little."""
        held = max(0, self.held)
        self.low_at = max(held // 2, min(HEAVY_WEIGHT - 1, 3 * held // 4))
        self._look_ahead()

    def was_told(self, told: Totals, *, untold: int) -> None:
        """The store has these totals, and so much more may be spent before it is told."""
        self.told = told
        self.tell_at = told.spent + max(1, untold)
        self._look_ahead()

    def may_be_told(self, totals: Totals) -> None:
        """The store may have these totals, and may have allowed nothing more."""
        self.tell_at = min(self.tell_at, totals.spent + 1)
        self._look_ahead()

    def charge(self, weight: int) -> None:
        """Spend so much, which must be held or need no lease."""
        self.spent += weight

    def open_order(self, weight: int) -> None:
        """So much of what was charged is that of an order, whose end is open."""
        self.spent -= weight
        self.open += weight
        self.most -= weight
        self._look_ahead()

    def settle(self, weight: int, *, succeeded: bool) -> None:
        """An order's end: if it succeeded, the origin takes its weight back, and so do we."""
        closed = min(weight, self.open)
        self.open -= closed
        self.most += closed
        if not succeeded:
            self.spent += closed
        self._look_ahead()

    def make_exact(self, *, is_lost: bool) -> None:
        """Each request is reserved by itself until the window is over, and then too if the store has lost data."""
        self.was_exact = True
        self._is_lost |= is_lost
        self.turn(is_over=self.is_over)

    def turn(self, *, is_over: bool) -> None:
        """The window has ended, or goes on again: the clock was set back."""
        if is_over and not self.is_over:
            self.retry_at = -math.inf
        self.is_over = is_over
        self.is_exact = self.was_exact and (self._was_forgotten or self._is_lost or not is_over)

    def give_back(self) -> None:
        """Hold nothing. It is forgotten first and told later, so that it is returned once or never."""
        given = max(0, self.held)
        self._returned += given
        self.most -= given
        self.low_at = 0
        self._look_ahead()

    def forget_orders(self) -> None:
        """Count open orders as spent: a store that has lost them takes nothing back."""
        self.spent += self.open
        self.most += self.open
        self.open = 0
        self._look_ahead()

    def adopt_taken(self, taken: int) -> None:
        """Learn what the store granted in all. An answer that comes late tells less.

        What was granted to a lease that is forgotten may have been spent, so it counts as spent.
        """
        granted = max(0, taken - self.taken)
        self.taken += granted
        self.most += granted
        if self._was_forgotten:
            self.spent += granted
        self._look_ahead()

    def _look_ahead(self) -> None:
        self.mind_at = min(self.most - self.low_at, self.tell_at)


def expected_need(per_second: float, seconds_left: float) -> int:
    """What is probably needed for the time that is left of the window."""
    return math.ceil(per_second * max(0.0, min(LOOK_AHEAD_SECONDS, max(LEAST_SECONDS, seconds_left))))


def enough(per_second: float, seconds_left: float, *, least: int) -> int:
    """What should be held: what is probably needed, and enough for one request of the weight `least`."""
    return max(math.ceil(MARGIN * expected_need(per_second, seconds_left)), least)


def is_awake(rest_seconds: float, requests_a_second: Callable[[], float]) -> bool:
    """Whether a process that had no request for so long expects one, by the rate of the last ones."""
    if rest_seconds < SHORT_REST_SECONDS or rest_seconds >= REST_SECONDS:
        return rest_seconds < SHORT_REST_SECONDS
    return rest_seconds * requests_a_second() < RESTING_REQUESTS


def largest_grant(usage: WindowUsage, *, held: int, budget: int, ceiling: int, parts: int) -> int:
    """The largest grant to a process that holds so much; `parts`: `PARTS` for each replica."""
    part = (budget - usage.spent) // parts
    return max(0, min(part, math.floor(MARGIN * part) - held, ceiling - usage.used))


def most_untold(usage: WindowUsage, *, held: int, half: int, parts: int) -> int:
    """How much of what a process holds it may spend before it tells: its part of what is left to `half`.

    `usage`: with what all others may. `half`: what may be spent stays below it; 0: there is none.
    """
    if half == 0:
        return held
    left = (half - 1 - usage.most_spent) * PARTS
    return max(0, min(held, max(left // parts, 2 * left // (parts + LARGE_FLEET * PARTS)) - LAST_WEIGHT))


def ceiling_of(window: Window, ratios: Ratios) -> int:
    """Up to so much `used` leases are granted."""
    budget = budget_of(window.limit, ratios.budget)
    return budget - math.ceil(budget * EXACT_PART)


def half_of(window: Window, ratios: Ratios) -> int:
    """From so much on that may be spent each client has a share, which leases do not know; 0: clients have none."""
    return budget_of(window.limit, ratios.budget) // 2 if ratios.client < 1.0 else 0


def may_lease(windows: Iterable[Window], guard_seconds: float) -> bool:
    """Whether leases are worth while: short windows are nearly all edge, and so is all time while it is not known."""
    return all(window.interval_seconds >= max(MINUTE_SECONDS, 4 * guard_seconds) for window in windows)


def cannot_bind(window: Window, windows: Iterable[Window], ratios: Ratios) -> bool:
    """Whether another limit keeps this one: requests weigh at least 1, and both windows begin together."""
    budget = budget_of(window.limit, ratios.budget)
    most = max(ratios.of(Purpose.KEYED, local=False), ratios.budget)
    return any(
        other is not window
        and window.interval_seconds % other.interval_seconds == 0
        and (window.interval_seconds // other.interval_seconds + 2) * budget_of(other.limit, most) <= budget
        and (other.kind is window.kind or other.interval_seconds < window.interval_seconds)
        for other in windows
    )
