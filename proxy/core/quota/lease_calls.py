"""What a process and the store say to each other about leases.

Owns: the shape of one call, its answer, and the state that is pushed to all processes. Must not know: Redis, how
either side decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from proxy.core.quota.charges import WindowKey, WindowUsage
from proxy.core.quota.lease import Totals


class Settled(Struct, frozen=True):
    """Requests that were reserved one by one, and have ended."""

    pending: int = 0
    refunded: int = 0
    """The weight that the origin took back."""
    kept: int = 0
    """The weight that it could have taken back, and did not."""


NONE_ENDED = Settled()


class WindowCall(Struct, frozen=True, kw_only=True):
    """What a process tells of one window, and what it asks for."""

    key: WindowKey
    budget: int = 0
    ceiling: int = 0
    """Up to so much `used` leases are granted."""
    want: int = 0
    """The grant that is asked for; 0: none."""
    half: int = 0
    """From so much on that may be spent the window is exact; 0: never."""
    is_over: bool = False
    """Whether it has ended, so that it is leased though it is exact, unless data was lost."""
    totals: Totals = field(default_factory=Totals)
    known_returned: int = -1
    """How much of `totals.returned` the store has told that it has; -1: it has told of none of the totals."""
    header: int = -1
    """The most that the origin told to be used; -1: nothing."""
    held: int = 0
    """What the process has not spent, so that no header includes it."""
    floor: int = 0
    """The most `kept` that the store told."""
    seen: int = 0
    """The most `used` that it told."""
    settled: Settled = field(default_factory=Settled)
    clients: Mapping[str, int] = field(default_factory=dict)
    """What each client spent, by its field."""


class Call(Struct, frozen=True, kw_only=True):
    """One call."""

    now: float
    run: str
    """Names the process from its start to its end."""
    number: int
    """Of the clients' use: a number that the store has is not counted again."""
    parts: int
    """`PARTS` for each replica."""
    birth: str = ""
    """The birth mark of the store, as far as known."""
    suspects_loss: bool = False
    """Whether the store may have lost what it last told."""
    publishes: bool = False
    """Whether all processes are told the state."""
    windows: tuple[WindowCall, ...] = ()


class WindowReply(Struct, frozen=True):
    """What the store says of one window."""

    usage: WindowUsage
    is_exact: bool
    taken: int
    """All that this process was granted."""
    raised: int = 0
    """What a header added to `used`."""
    untold: int = 0
    """So much this process may spend before it tells."""
    is_lost: bool = False
    """Whether data was lost: it then stays exact when it is over."""


class Reply(Struct, frozen=True):
    """The answer to a call."""

    birth: str
    windows: tuple[WindowReply, ...]
    number: int
    """Of the last push."""
    server_seconds: float


class WindowState(Struct, frozen=True):
    """A window as it is pushed."""

    usage: WindowUsage
    is_exact: bool
    is_lost: bool = False


class State(Struct, frozen=True):
    """What is pushed to all processes: a heartbeat that carries everything, so one that is lost is made good."""

    number: int
    """Grows by one with each."""
    server_seconds: float
    """The store's time."""
    birth: str
    windows: Mapping[str, WindowState]
    """By the window's key."""
