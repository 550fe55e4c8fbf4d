"""The store's side of leases, as a pure model: the reference for `proxy/quota/lua/sync.lua`.

Owns: what is granted and returned, what may be spent untold, what counts as lost data, when a window becomes exact.
Must not know: Redis, the processes but by what they tell. `used` of a window holds all that is leased, and `refundable`
holds it too.

A store that has lost data grants nothing in the windows that it lost: it takes the most that anybody saw used, and a
part of what is left for what nobody saw, and leaves them exact. There no return lowers `used`: what a process gave back
before the loss is not in what others saw. A store that is new, and that nobody contradicts for some seconds, has lost
nothing that anybody knows. What was returned is taken from `used` once: a store that has less of it than it has told
has lost data too.
"""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.core.quota.budget import Budget
from proxy.core.quota.charges import WindowKey, WindowUsage
from proxy.core.quota.lease import PARTS, Totals, largest_grant, most_untold
from proxy.core.quota.lease_calls import Call, Reply, State, WindowCall, WindowReply, WindowState

GRACE_SECONDS = 5.0
"""A store so young grants nothing: whoever knows more than it does has not told it yet."""


class _Window(Struct):
    """What the store knows of the leases in one window."""

    records: dict[str, Totals] = field(default_factory=dict)
    untold: dict[str, int] = field(default_factory=dict)
    """How much of what it holds each process may have spent."""
    is_exact: bool = False
    is_lost: bool = False
    told: int = -1
    """The most that a header told, without what the origin took back since: no return brings `used` below it."""


class LeaseStore:
    """One store, beside the budget in it."""

    def __init__(self, budget: Budget, *, birth: str, born_at: float) -> None:
        self.budget = budget
        self.birth = birth
        self._born_at = born_at
        self._windows: dict[WindowKey, _Window] = {}
        self._number = 0

    def call(self, call: Call) -> Reply:
        """Take what a process tells, and grant what it may have."""
        is_other = call.birth not in ("", self.birth)
        replies = tuple(self._window(call, told, is_other=is_other) for told in call.windows)
        return Reply(self.birth, replies, self._number, call.now)

    def restore(self, key: WindowKey, *, floor: int, budget: int) -> None:
        """Find that a window has lost data, before a request is reserved in it: as `lua/reserve.lua` does."""
        usage = self.budget.usage(key)
        if usage.kept < floor:
            told = WindowCall(key=key, budget=budget, floor=floor)
            self.budget.put(key, self._recover(self._known(key), usage, told))

    def is_exact(self, key: WindowKey) -> bool:
        """Whether nothing is granted in this window before it is over."""
        return self._known(key).is_exact

    def state(self, server_seconds: float, keys: tuple[WindowKey, ...]) -> State:
        """The state to push."""
        self._number += 1
        known = [(key, self._known(key)) for key in keys]
        states = {key.key: WindowState(self.budget.usage(key), one.is_exact, one.is_lost) for key, one in known}
        return State(self._number, server_seconds, self.birth, states)

    def forget(self, now: float) -> None:
        """Drop the windows that have expired."""
        for key in [key for key in self._windows if key.expires <= now]:
            del self._windows[key]

    def _known(self, key: WindowKey) -> _Window:
        return self._windows.setdefault(key, _Window())

    def _window(self, call: Call, told: WindowCall, *, is_other: bool) -> WindowReply:
        window, usage = self._known(told.key), self.budget.usage(told.key)
        record = window.records.get(call.run)
        untold = window.untold.get(call.run, 0)
        usage = replace(usage, untold=max(0, usage.untold - untold))  # of all others
        is_lost = (
            ((call.suspects_loss or is_other) and told.seen > 0)
            or (told.known_returned >= 0 and record is None)
            or (record is not None and (record.taken < told.totals.taken or record.returned < told.known_returned))
            or usage.kept < told.floor
        )
        if is_lost:
            usage = self._recover(window, usage, told)
            usage = _without(usage, max(0, record.held) if record is not None else 0)
            totals = told.totals
            record = Totals(totals.taken, max(totals.returned, totals.taken - totals.spent), totals.spent)
        else:
            untold = untold if record is not None and told.totals.spent <= record.spent else 0
            usage, record = _told(usage, record or Totals(), told.totals, is_lost=window.is_lost)
            usage = replace(usage, used=max(usage.used, window.told))
        settled = _settle(usage, told)
        window.told -= usage.used - settled.used
        usage = settled
        raised = 0
        if told.header >= 0:
            raised = max(0, told.header + usage.pending + told.held - usage.used)
            usage = replace(usage, used=usage.used + raised)
            window.told = max(told.header, window.told)
        untold = min(untold, max(0, record.held))
        if told.ceiling and (usage.used >= told.ceiling or 0 < told.half <= usage.most_spent + untold):
            window.is_exact = True
        is_leased = not window.is_exact or (told.is_over and not window.is_lost)
        if told.want and is_leased and not is_lost and call.now >= self._born_at + GRACE_SECONDS:
            grant = min(told.want, _largest_grant(usage, max(0, record.held), told, parts=call.parts))
            usage = _leased(usage, grant)
            record = replace(record, taken=record.taken + grant)
        if told.ceiling and is_leased:
            held = max(0, record.held)
            half = 0 if window.is_exact else told.half
            untold = max(untold, most_untold(usage, held=held, half=half, parts=call.parts))
        usage = replace(usage, untold=min(usage.untold + untold, usage.leased))
        if record != Totals() or call.run in window.records:
            window.records[call.run], window.untold[call.run] = record, untold
        self.budget.put(told.key, usage)
        return WindowReply(usage, window.is_exact, record.taken, raised, untold, window.is_lost)

    def _recover(self, window: _Window, usage: WindowUsage, told: WindowCall) -> WindowUsage:
        """Count the most that anybody saw, and once a part of what is left."""
        used = max(usage.used, told.floor, told.seen)
        if not window.is_lost:
            used += -(-max(0, told.budget - used) // PARTS)
        window.is_exact = window.is_lost = True
        return replace(usage, used=used)


def _largest_grant(usage: WindowUsage, held: int, told: WindowCall, *, parts: int) -> int:
    return largest_grant(usage, held=held, budget=told.budget, ceiling=told.ceiling, parts=parts)


def _told(usage: WindowUsage, record: Totals, totals: Totals, *, is_lost: bool) -> tuple[WindowUsage, Totals]:
    """Take over what a process spent and returned. What it spent beyond its lease counts in full."""
    spent, returned = max(0, totals.spent - record.spent), max(0, totals.returned - record.returned)
    held = max(0, record.held)
    leased = min(spent, held)
    returned = min(returned, held - leased)
    usage = replace(usage, used=usage.used + spent - leased - (0 if is_lost else returned))
    new = Totals(record.taken, max(record.returned, totals.returned), max(record.spent, totals.spent))
    return _without(usage, leased + returned), new


def _settle(usage: WindowUsage, told: WindowCall) -> WindowUsage:
    """End requests that were reserved one by one."""
    settled, orders = told.settled, max(0, usage.refundable - usage.leased)
    refunded = min(orders, settled.refunded)
    return replace(
        usage,
        used=usage.used - refunded,
        pending=max(0, usage.pending - settled.pending),
        refundable=usage.refundable - min(orders, refunded + settled.kept),
    )


def _without(usage: WindowUsage, leased: int) -> WindowUsage:
    """The usage with so much less leased."""
    gone = min(leased, usage.leased)
    return replace(usage, leased=usage.leased - gone, refundable=max(0, usage.refundable - gone))


def _leased(usage: WindowUsage, grant: int) -> WindowUsage:
    return replace(usage, used=usage.used + grant, refundable=usage.refundable + grant, leased=usage.leased + grant)
