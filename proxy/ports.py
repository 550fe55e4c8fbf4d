"""What a request needs from the outside, as Protocols.

Owns: the interfaces of the store, the ledger, the upstream, the clock and the observers. Must not know: who implements
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from proxy.core.cache.fill_wait import WaitEnd
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import Entry, OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Reservation
from proxy.core.quota.demand import Demand
from proxy.core.quota.limits import Absurdity
from proxy.core.quota.ratios import Purpose
from proxy.core.quota.view import LedgerView
from proxy.core.quota.windows import Window
from proxy.core.reply import Reply
from proxy.errors import UpstreamFailed


class Store(Protocol):
    """L2: the entries that all replicas share, and the fill lock. Every method raises RedisAway."""

    async def get(self, key: str) -> Entry | None:
        """The entry, or None if there is no readable entry."""

    async def peek(self, key: str) -> float | None:
        """When the entry was stored, in seconds since the epoch; None if there is none. Does not read the body."""

    async def put(self, key: str, entry: Entry) -> None:
        """Store an entry until its horizon."""

    async def acquire(self, key: str, *, ttl_seconds: float = ...) -> FillLock | None:
        """The lock for filling `key`, or None while another replica holds it."""

    async def wait_for_fill(self, key: str, *, newer_than: float, timeout_seconds: float) -> WaitEnd:
        """Wait until another replica has filled `key`, or the wait ends otherwise."""

    async def failure(self, key: str) -> bytes:
        """What the last holder of the fill lock left about its failure (FillLock.release); empty if nothing is left."""


class Ledger(Protocol):
    """The weight used in every rate-limit window, for all replicas of a quota domain together."""

    async def reserve(
        self,
        weight: int,
        *,
        purpose: Purpose = Purpose.PUBLIC,
        refundable: bool = False,
        client: str | None = None,
    ) -> Reservation:
        """Charge before sending, or raise a SendingRefused and charge nothing.

        `refundable`: the origin takes the weight back on a 2xx. `client`: who asked, an `Address` if it gave no name;
        None: no client.
        """

    def reserve_now(self, demand: Demand) -> Reservation | None:
        """The same without waiting. None: that is not possible now, nothing is charged, and the caller awaits
        `reserve`. Raises a SendingRefused, and charges nothing.
        """

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """Correct the usage by the headers of an answer (lower-case names); `ok` for a 2xx.

        A 2xx takes the weight of a refundable reservation back.
        """

    def can_settle_now(self, reservation: Reservation) -> bool:
        """Whether `settle_now` may take an answer in this turn of the loop. If not, the caller awaits `reconcile`."""

    def settle_now(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        """`reconcile` without waiting; never raises."""

    async def release(self, reservation: Reservation) -> None:
        """End a reservation whose request was certainly not sent: it is not pending any more, and stays in `used`."""

    async def block(self, reason: BlockReason, until: float | None) -> None:
        """Send nothing until `until` (by the origin's clock; None: for as long as the reason's penalty says)."""

    def learn(self, windows: tuple[Window, ...]) -> None:
        """Adopt new limits."""

    def view(self) -> LedgerView:
        """The last known windows and block. No I/O."""

    def held_block(self) -> Block | None:
        """The block that holds now, as last known. No I/O. Every request asks this twice, so it costs little."""

    def used_weight(self) -> int:
        """The last known used weight of the current one-minute window. No I/O."""


class Asker(Protocol):
    """Who waits for a reply."""

    def answer(self, reply: Reply) -> None:
        """Here is the reply."""

    def fail(self, error: Exception) -> None:
        """There is none, by a bug of ours."""


class Outbound(Protocol):
    """A request that is sent in this turn of the loop."""

    def check(self) -> None:
        """Called right before the first byte is written. What it raises is raised to the sender: nothing is sent."""

    def landed(self, outcome: OriginResponse | UpstreamFailed) -> None:
        """How it ended. Called in a later turn."""


class Upstream(Protocol):
    """The client of the origin."""

    def candidates(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Base URLs in the order to try them."""

    async def send(
        self, base_url: str, query: UpstreamQuery, *, check: Callable[[], None], seconds: float
    ) -> OriginResponse:
        """Send one request. Raises an UpstreamFailed if there is no complete answer within `seconds`.

        `check` is called right before the first byte is written; what it raises ends the attempt, and nothing is sent.
        """

    def begin(self, base_url: str, query: UpstreamQuery, *, flight: Outbound, seconds: float) -> bool:
        """`send` in this turn of the loop, on a connection that is there. False: there is none, and nothing is sent."""


class Clock(Protocol):
    """This machine's clock and the origin's. Seconds since the epoch."""

    @property
    def offset_seconds(self) -> float:
        """The origin's clock minus this machine's."""

    @property
    def wall(self) -> Callable[[], float]:
        """This machine's clock."""

    @property
    def gap_seconds(self) -> float:
        """The wall clock less a monotonic one at the last look: it changes only when somebody sets the wall clock."""

    @property
    def last_guard_seconds(self) -> float:
        """`guard_seconds()` at the last look."""

    def origin(self) -> float:
        """The estimated time of the origin's clock. Everything that replicas share uses it: windows, blocks, ages."""

    def look(self) -> float:
        """`origin()`, after which `gap_seconds`, `last_guard_seconds` and `offset_seconds` are those of this moment."""

    def to_origin(self, wall: float) -> float:
        """Convert a time of this machine's clock to the origin's."""

    def guard_seconds(self) -> float:
        """How far the time at which the origin counts a request may be from `origin()` when it is sent."""

    def is_synchronized(self) -> bool:
        """Whether the offset of the origin's clock is known."""

    def may_teach(self) -> bool:
        """Whether other replicas may learn the origin's time from this process."""

    def observe_date(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a Date header."""

    def observe_server_time(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from a `serverTime` in a body."""

    def observe_shared(self, origin_time: float, *, sent_at: float, received_at: float) -> None:
        """Learn from the offset that another replica left in Redis."""


class Observer(Protocol):
    """Counts requests and fills. Every label comes from a table."""

    def spent(self, endpoint: str, weight: int, *, client: str | None = None) -> None:
        """A request of this weight was sent to the origin, for this client; None: for no client."""

    def filled(self, endpoint: str, *, result: str, seconds: float) -> None:
        """A fill ended. `result`: `stored`, `negative`, `shared` (by another replica) or an error's reason."""

    def fill_wait(self, end: WaitEnd) -> None:
        """A wait for another replica's fill ended."""


class RefusalObserver(Protocol):
    """Counts refusals."""

    def refused(self, reason: str) -> None:
        """A request was refused. `reason`: the error's reason (`proxy.errors`)."""


class LedgerObserver(RefusalObserver, Protocol):
    """Counts the events of the ledger."""

    def foreign_weight(self, weight: int) -> None:
        """The origin counted this much more in the current minute than our reservations explain."""

    def limits_disbelieved(self, why: Absurdity) -> None:
        """A document has limits that are not believed."""


class NullLedgerObserver:
    """Counts nothing."""

    def foreign_weight(self, weight: int) -> None:
        """Do nothing."""

    def refused(self, reason: str) -> None:
        """Do nothing."""

    def limits_disbelieved(self, why: Absurdity) -> None:
        """Do nothing."""


class BlockKeeper(Protocol):
    """Keeps the block beyond the life of this process."""

    def load(self) -> Block | None:
        """The block that an earlier process kept; None if none counts any more."""

    async def keep(self, block: Block | None) -> None:
        """Keep a block; None: there is none any more. Never raises. Returns when a crash does not forget it."""


class NullBlockKeeper:
    """Keeps nothing."""

    def load(self) -> Block | None:
        """No block."""
        return None

    async def keep(self, block: Block | None) -> None:
        """Do nothing."""


class FillLock(Protocol):
    """The lock for filling one key. Every method raises RedisAway."""

    async def renew(self) -> bool:
        """Extend it to its full lifetime. False: it was lost, and another replica may be filling."""

    async def release(self, *, filled: bool, failure: bytes = b"") -> None:
        """Release it. Call this after the entry is stored. Does nothing to a lock that was lost.

        With `filled=False` the waiting replicas see that the fill failed (WaitEnd.FAILED), and no replica gets the
        lock for a second. `failure` is for them (Store.failure). Pass True after an interruption too: another replica
        then takes over (WaitEnd.RELEASED).
        """
