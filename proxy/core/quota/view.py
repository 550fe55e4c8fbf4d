"""What both ledgers have in common.

Owns: the view of a ledger, and the error for each refusal. Must not know: where usage is kept, who sends requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import assert_never

from msgspec import Struct

from proxy.core.quota.block import Block, BlockReason
from proxy.core.quota.budget import Blocked, Budget
from proxy.core.quota.charges import WindowKey, budget_of, window_key_of
from proxy.core.quota.client_share import Limit
from proxy.core.quota.refusal import Refused
from proxy.core.quota.windows import (
    DEFAULT_WINDOWS,
    WEIGHT_NAME,
    RateLimitKind,
    Window,
    interval_words,
)
from proxy.errors import BackedOff, Banned, BudgetUsedUp, ClientShareUsedUp, Paused, SendingRefused


class WindowView(Struct, frozen=True):
    """The last known usage of one rate-limit window."""

    name: str
    used: int
    pending: int
    budget: int
    limit: int
    reset: int
    """The window's end, in seconds since the epoch."""
    leased: int = 0
    """Taken ahead of need and not spent; not part of `used`, but it may not be spent by others."""


class Wording(Enum):
    """In which words the origin tells of a block."""

    SPOT = "spot"
    FUTURES = "futures"
    """Both futures and options."""


class LeaseState(Enum):
    """Whether requests are sent from leases. The value is the word on the status page."""

    ON = "on"
    IDLE = "idle"
    """There are no requests."""
    NO_PUSH = "no-push"
    """The push channel is not proven alive: each request is reserved by itself."""
    REFUSED = "refused"
    """Redis' user may not subscribe or publish: each request is reserved by itself."""


class LedgerView(Struct, frozen=True):
    """The last known state of a ledger."""

    windows: tuple[WindowView, ...]
    block: Block | None
    local: bool
    """Whether this process counts alone because Redis is away."""
    wording: Wording = Wording.SPOT
    leases: LeaseState | None = None
    """None: each request is reserved by itself, because the settings say so or nothing is shared."""


def no_lease(key: WindowKey) -> int:
    """Nothing was spent out of leases."""
    return 0


def view_of(  # noqa: PLR0913 - what a view shows
    budget: Budget,
    windows: tuple[Window, ...],
    now: float,
    *,
    ratio: float,
    local: bool,
    wording: Wording = Wording.SPOT,
    leases: LeaseState | None = None,
    untold: Callable[[WindowKey], int] = no_lease,
) -> LedgerView:
    """The view of a budget's current windows. `untold`: what was spent out of leases and is not told yet."""
    views = []
    for window in windows:
        key = window_key_of(window, window.start(now))
        usage, spent, allowed = budget.usage(key), untold(key), budget_of(window.limit, ratio)
        reset, leased = window.reset(now), max(0, usage.leased - spent)
        view = WindowView(window.name, usage.spent + spent, usage.pending, allowed, window.limit, reset, leased)
        views.append(view)
    return LedgerView(tuple(views), budget.block_at(now), local, wording, leases)


def refused_error(refused: Refused, now: float, *, ratio: float, client: str | None = None) -> SendingRefused:
    """The error for a request that would pass the budget, or its client's share of it."""
    window = refused.window
    unit = "request weight" if window.kind is RateLimitKind.REQUEST_WEIGHT else "raw requests"
    budget = f"{budget_of(window.limit, ratio)} {unit} per {interval_words(window.interval_seconds)}"
    seconds = refused.until - now
    match refused.by:
        case Limit.BUDGET:
            msg = f"Too much request weight used; the gateway's budget of {budget} is used up."
            return BudgetUsedUp(msg, retry_after_seconds=seconds)
        case Limit.CLIENT_SHARE:
            msg = f"Too much request weight used; this client's share of the gateway's budget of {budget} is used up."
            return ClientShareUsedUp(msg, client=client, retry_after_seconds=seconds)
        case _:
            assert_never(refused.by)


def blocked_error(
    blocked: Blocked | Block,
    now: float,
    windows: Iterable[Window | WindowView] = DEFAULT_WINDOWS,
    wording: Wording = Wording.SPOT,
) -> SendingRefused:
    """The error while a block holds: the origin's text, built from what all replicas know, because clients parse it.

    `windows`: the known limits. Source: Binance's API documents.
    """
    seconds = blocked.until - now
    match blocked.reason:
        case BlockReason.BACK_OFF:
            limit = next((window.limit for window in windows if window.name == WEIGHT_NAME), 0)
            return BackedOff(_back_off_text(limit, wording), retry_after_seconds=seconds)
        case BlockReason.BAN:
            return Banned(_ban_text(round(blocked.until * 1000), wording), retry_after_seconds=seconds)
        case BlockReason.PAUSE:
            msg = "The origin's firewall refused this IP; nothing is sent for a while."
            return Paused(msg, retry_after_seconds=seconds)
        case _:
            assert_never(blocked.reason)


def _back_off_text(limit: int, wording: Wording) -> str:
    """`limit`: the weight of a minute; 0: not known."""
    match wording:
        case Wording.SPOT:
            allowed = f" current limit is {limit} request weight per 1 MINUTE." if limit else ""
            return f"Too much request weight used;{allowed} {_SPOT_ADVICE} to avoid polling the API."
        case Wording.FUTURES:
            allowed = f" current limit is {limit} requests per minute." if limit else ""
            return f"Too many requests;{allowed} {_FUTURES_ADVICE} to avoid polling the API."
        case _:
            assert_never(wording)


def _ban_text(until_ms: int, wording: Wording) -> str:
    """Binance's text for futures has the caller's address after `IP`, which concerns nobody else."""
    match wording:
        case Wording.SPOT:
            return f"Way too much request weight used; IP banned until {until_ms}. {_SPOT_ADVICE} to avoid bans."
        case Wording.FUTURES:
            return f"Way too many requests; IP banned until {until_ms}. {_FUTURES_ADVICE} to avoid bans."
        case _:
            assert_never(wording)


_SPOT_ADVICE = "Please use WebSocket Streams for live updates"
_FUTURES_ADVICE = "Please use the websocket for live updates"
