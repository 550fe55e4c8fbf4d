"""What the way of a request needs of the outside, as Protocols.

Owns: the shapes of the stores, the ledger, the upstream and the observer. Must not know: who fills them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import Entry, OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.quota.block import BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.view import LedgerView
from proxy.core.quota.windows import Window


class Store(Protocol):
    """L2: entries shared by all replicas, and the fill lock. Raises RedisAway."""

    async def get(self, key: str) -> Entry | None:
        """The entry, or None where there is none that can be read."""

    async def peek(self, key: str) -> float | None:
        """When the entry was stored, in seconds since the epoch, without its body; None where there is none."""

    async def put(self, key: str, entry: Entry) -> None:
        """Keep an entry until its horizon."""

    async def acquire(self, key: str, *, ttl_seconds: float = ...) -> FillLock | None:
        """The right to fill `key`, or None while another replica has it."""

    async def wait_for_fill(self, key: str, *, newer_than: float, timeout_seconds: float) -> WaitEnd:
        """Wait for another replica's fill."""


class Ledger(Protocol):
    """The weight consumed in every rate-limit window, for all replicas of a quota domain together."""

    async def reserve(self, weight: int, *, background: bool = False, client: str | None = None) -> Reservation:
        """Charge before sending, or raise a SendingRefused and charge nothing. `client`: who asks, if anybody."""

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """Correct by the used weight that the origin told in its headers (lower-case names)."""

    async def release(self, reservation: Reservation) -> None:
        """Take a reservation back: the request was certainly not sent."""

    async def block(self, reason: BlockReason, until: float | None) -> None:
        """Send nothing until `until` (origin's clock; None: as the budget's rules say)."""

    def learn(self, windows: tuple[Window, ...]) -> None:
        """Take new limits over."""

    def view(self) -> LedgerView:
        """Windows and block as last known. No I/O."""

    def used_weight(self) -> int:
        """The used weight of the current one-minute window as last known. No I/O."""


class Upstream(Protocol):
    """The client of the origin."""

    def candidates(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Base URLs in the order to try them."""

    async def send(self, base_url: str, query: CanonicalQuery) -> OriginResponse:
        """One request, one answer. Raises an UpstreamFailed where there was no whole answer."""


class Clock(Protocol):
    """Wall time, and the origin's. Seconds since the epoch."""

    @property
    def offset_seconds(self) -> float:
        """The origin's clock less this machine's."""

    @property
    def wall(self) -> Callable[[], float]:
        """This machine's clock."""

    def origin(self) -> float:
        """The origin's clock as we know it: what replicas share goes by it, windows and ages alike."""

    def to_origin(self, wall: float) -> float:
        """A moment of this machine's clock by the origin's."""

    def guard_seconds(self) -> float:
        """How far from that the origin may count a request that is sent now."""

    def is_synchronized(self) -> bool:
        """Whether anything is known of the origin's clock."""

    def observe_date(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a Date header."""

    def observe_server_time(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a `serverTime`."""

    def observe_shared(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from what another replica knew, and the time that has passed since."""


class Observer(Protocol):
    """Who counts. Every label comes from a table."""

    def spent(self, endpoint: str, weight: int, *, client: str | None = None) -> None:
        """A request of this weight went to the origin, for this client if for any."""

    def filled(self, endpoint: str, *, result: str, seconds: float) -> None:
        """A fill ended: `stored`, `negative`, `shared` (another replica's) or an error's reason."""

    def fill_wait(self, end: WaitEnd) -> None:
        """Waiting for another replica's fill ended this way."""


class LedgerObserver(Protocol):
    """Who counts what the ledger sees."""

    def foreign_weight(self, weight: int) -> None:
        """The origin counted so much more in this minute than our own reservations explain."""

    def refused(self, reason: str) -> None:
        """Sending was refused; `reason` is that of the error (`proxy.errors`)."""


class NullLedgerObserver:
    """Counts nothing."""

    def foreign_weight(self, weight: int) -> None:
        """Do nothing."""

    def refused(self, reason: str) -> None:
        """Do nothing."""


class FillLock(Protocol):
    """The right to fill one key. Every method raises RedisAway."""

    async def renew(self) -> bool:
        """Prolong it by its full lifetime. False: it was lost, and another replica may be filling."""

    async def release(self, *, filled: bool) -> None:
        """Let go, after the entry is stored. A lost lock is left alone.

        `filled=False` tells those who wait that the fill failed (WaitEnd.FAILED); nobody gets the lock for a
        second. One who was merely interrupted says True, so that somebody takes over (WaitEnd.RELEASED).
        """
