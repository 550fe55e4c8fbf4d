"""What the tests of the ledgers turn by hand: the clock, the connection; and how they ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol, TypeVar

from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Blocked, Budget, Reservation
from proxy.core.quota.charges import WindowKey, cost_of
from proxy.core.quota.client_share import Limit, share_of
from proxy.core.quota.limits import Absurdity, with_learned
from proxy.core.quota.origin_headers import origin_time, parse_used_weight
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.refusal import Refused
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.view import LedgerView, view_of
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS, Window
from proxy.errors import RedisAway, SendingRefused
from proxy.quota.pools import AnyLedger
from proxy.quota.scripts import ScriptRunner
from proxy.redis_client.clients import Client
from proxy.redis_client.connection import RedisOperation

T = TypeVar("T")
HOUR = 1_785_024_000
"""A full hour: the start of a window of one minute and of five."""
RATIOS = Ratios(budget=0.9, refresh=0.5, local=0.25, client=0.25, trading=0.98)


@dataclass
class ManualClock:
    """A clock that is the origin's, turned by hand: a `proxy.ports.Clock` that has nothing to learn."""

    now: float = HOUR + 30.0
    offset_seconds: float = 0.0
    gap_seconds: float = 0.0
    last_guard_seconds: float = GUARD_SECONDS

    def __call__(self) -> float:
        return self.now

    @property
    def wall(self) -> Callable[[], float]:
        return self

    def origin(self) -> float:
        return self.now

    def look(self) -> float:
        return self.now

    def to_origin(self, wall: float) -> float:
        return wall

    def guard_seconds(self) -> float:
        return GUARD_SECONDS

    def is_synchronized(self) -> bool:
        return True

    def may_teach(self) -> bool:
        return True

    def observe_date(self, origin_time: float, *, sent_at: float, received_at: float) -> None: ...

    def observe_server_time(self, origin_time: float, *, sent_at: float, received_at: float) -> None: ...

    def observe_shared(self, origin_time: float, *, sent_at: float, received_at: float) -> None: ...


@dataclass
class Tally:
    """A LedgerObserver that remembers."""

    foreign: int = 0
    refusals: list[str] = field(default_factory=list)
    disbelieved: list[Absurdity] = field(default_factory=list)

    def foreign_weight(self, weight: int) -> None:
        self.foreign += weight

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def limits_disbelieved(self, why: Absurdity) -> None:
        self.disbelieved.append(why)


class Ledger(Protocol):
    """What every ledger can do."""

    async def reserve(
        self, weight: int, *, purpose: Purpose = ..., refundable: bool = False, client: str | None = None
    ) -> Reservation: ...

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None: ...

    async def release(self, reservation: Reservation) -> None: ...

    async def block(self, reason: BlockReason, until: float | None) -> None: ...

    def learn(self, windows: tuple[Window, ...]) -> None: ...

    def view(self) -> LedgerView: ...

    def held_block(self) -> Block | None: ...

    def used_weight(self) -> int: ...


class ModelLedger:
    """The bare model under the face of a ledger: it knows no errors of ours but through the outcome."""

    def __init__(self, clock: ManualClock, tally: Tally, windows: tuple[Window, ...] = DEFAULT_WINDOWS) -> None:
        self.budget = Budget()
        self._clock = clock
        self._tally = tally
        self._windows = windows

    async def reserve(
        self,
        weight: int,
        *,
        purpose: Purpose = Purpose.PUBLIC,
        refundable: bool = False,
        client: str | None = None,
    ) -> Reservation:
        ratio = {Purpose.PUBLIC: 0.9, Purpose.BACKGROUND: 0.5, Purpose.KEYED: 0.98}[purpose]
        client_share = share_of(client, 1.0 if purpose is Purpose.KEYED else RATIOS.client)
        outcome = self.budget.reserve(
            self._clock(),
            cost_of(weight),
            self._windows,
            ratio=ratio,
            client_share=None if refundable else client_share,
            refundable=refundable,
        )
        if isinstance(outcome, Reservation):
            return outcome
        error = SendingRefused("", retry_after_seconds=outcome.until - self._clock())
        self._tally.refused(reason := reason_of(outcome))
        error.reason = reason
        raise error

    async def reconcile(self, reservation: Reservation, headers: Mapping[str, str], *, ok: bool) -> None:
        now = self._clock()
        at = origin_time(headers)
        report = UsageReport(now if at is None else at, parse_used_weight(headers), ok)
        reconciled = self.budget.reconcile(reservation, report, now=now)
        self._tally.foreign_weight(reconciled.foreign_weight)

    async def release(self, reservation: Reservation) -> None:
        self.budget.release(reservation, now=self._clock())

    async def block(self, reason: BlockReason, until: float | None) -> None:
        self.budget.block(reason, self._clock(), until=until)

    def learn(self, windows: tuple[Window, ...]) -> None:
        self._windows = with_learned(self._windows, windows)

    def view(self) -> LedgerView:
        return view_of(self.budget, self._windows, self._clock(), ratio=RATIOS.budget, local=False)

    def held_block(self) -> Block | None:
        return self.budget.block_at(self._clock())

    def used_weight(self) -> int:
        start = DEFAULT_WINDOWS[0].start(self._clock())
        return self.budget.usage(WindowKey("REQUEST_WEIGHT:1m", 60, start)).used


def reason_of(outcome: Refused | Blocked) -> str:
    if isinstance(outcome, Blocked):
        return outcome.reason.value
    return "quota" if outcome.by is Limit.BUDGET else "client-share"


Copied = list[tuple[bytes | str, int, bytes]]
"""Keys, each with the milliseconds until it expires, and what it holds."""


async def copy_of(client: Client, domain_key: str) -> Copied:
    """What Redis knows of a domain."""
    copy: Copied = []
    for key in await client.keys(f"{domain_key}:*".replace("[", r"\[")):
        ttl, value = max(0, await client.pttl(key)), await client.dump(key)
        if value is not None:  # it has not expired meanwhile
            copy.append((key, ttl, value))
    return copy


async def replace_by(client: Client, copy: Copied) -> None:
    """Make Redis forget all that is not in the copy."""
    await client.flushall()
    for key, ttl, value in copy:
        await client.restore(key, ttl, value)


class SwitchedConnection:
    """A connection that can be away, or lose the answers of what it has run."""

    def __init__(self, connection: ScriptRunner, age: Callable[[], Awaitable[None]] | None = None) -> None:
        self._connection = connection
        self._age = age
        self.away = False
        self.loses_answers = False
        self.operations: list[RedisOperation] = []
        self.before_answer: Callable[[], Awaitable[None]] | None = None

    @property
    def client(self) -> Client:
        return self._connection.client

    async def run(self, operation: RedisOperation, call: Callable[[], Awaitable[T]]) -> T:
        self.operations.append(operation)
        if self.away:
            raise RedisAway("away")
        if self._age is not None:
            await self._age()
        result = await self._connection.run(operation, call)
        if self.before_answer is not None:
            hook, self.before_answer = self.before_answer, None
            await hook()
        if self.loses_answers:
            raise RedisAway("the answer was lost")
        return result


class Ageing:
    """Lets a block in Redis expire by a clock that is turned by hand: Redis counts it down by its own."""

    def __init__(self, client: Client, key: str, clock: ManualClock) -> None:
        self._client = client
        self._key = key
        self._clock = clock
        self._at = clock.now

    async def __call__(self) -> None:
        passed_seconds, self._at = self._clock.now - self._at, self._clock.now
        left_ms = await self._client.pttl(self._key) if passed_seconds else 0
        if left_ms > 0:  # a time of zero or less deletes the key
            await self._client.pexpire(self._key, round(left_ms - passed_seconds * 1000))


def settled_now(ledger: AnyLedger, reservation: Reservation, told: Mapping[str, str], *, ok: bool = True) -> bool:
    """Whether the ledger takes an answer without waiting; then it has."""
    can = ledger.can_settle_now(reservation)
    if can:
        ledger.settle_now(reservation, told, ok=ok)
    return can


def headers(used: int | None = None, *, at: float | None = None) -> dict[str, str]:
    """The headers of an answer of the origin."""
    told = {} if used is None else {"x-mbx-used-weight": str(used), "x-mbx-used-weight-1m": str(used)}
    return told if at is None else told | {"date": formatdate(at, usegmt=True)}


async def ask(
    ledger: Ledger,
    weight: int,
    *,
    purpose: Purpose = Purpose.PUBLIC,
    refundable: bool = False,
    client: str | None = None,
) -> Reservation | tuple[str, float]:
    """A reservation, or why not and in how many seconds."""
    try:
        return await ledger.reserve(weight, purpose=purpose, refundable=refundable, client=client)
    except SendingRefused as error:
        return error.reason, round(error.retry_after_seconds or 0.0, 3)


async def admitted(ledger: Ledger, weight: int, *, client: str | None = None) -> Reservation:
    reservation = await ask(ledger, weight, client=client)
    assert isinstance(reservation, Reservation), reservation
    return reservation
