"""The state of a gateway in a word, a sentence and an advice, read from the figures of `/status`.

Owns: which states there are, which is the worst, and what to do about each. Must not know: how the figures come about,
where the words are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from proxy.page import words
from proxy.telemetry.events import utc

YOUNG_SECONDS = 60.0
"""How long a gateway that is well has just started."""

Status = Mapping[str, Any]


class Condition(Struct, frozen=True):
    """One thing that an operator should know."""

    state: str
    """A word for programs, which also chooses the colour."""
    title: str
    text: str
    advice: str
    until: float | None = None
    """When it ends by itself, by the origin's clock."""


_STOP_OTHERS = "Find the program on this IP that sends past the gateway, and stop it."
_BLOCKS = {
    "ban": (
        "banned",
        "Banned",
        "Binance banned this IP in pool {}",
        f"Wait: nothing is sent there until then, and stored answers are given. {_STOP_OTHERS}",
    ),
    "back-off": (
        "back-off",
        "Backing off",
        "Binance answered 429 in pool {}",
        f"Wait: the gateway sends again by itself. {_STOP_OTHERS} Then lower SIDECAR_BUDGET_RATIO.",
    ),
    "pause": (
        "paused",
        "Paused",
        "Binance's firewall refused this IP (403) in pool {}",
        "Wait: the gateway tries again by itself. Look for malformed requests of your bots, and see whether "
        "Binance serves this region.",
    ),
}


def summary(status: Status) -> dict[str, Any]:
    """The worst condition, and under `also` the others. Takes `/status` without this field."""
    found = list(conditions(status))
    first, *others = found or [_well(status)]
    return {**asdict(first), "also": [asdict(other) for other in others]}


def conditions(status: Status) -> Iterator[Condition]:
    """Everything that is not as it should be, the worst first."""
    if status["phase"] == "draining":
        yield Condition("draining", "Draining", "This gateway stops.", "Nothing: send new requests to another replica.")
    yield from _blocked(status)
    yield from _lost_origins(status)
    yield from _windows(status)
    yield from _redis(status)


def _well(status: Status) -> Condition:
    if status["phase"] == "starting":
        text = "The first attempt to load the full document is under way."
        return Condition("starting", "Just started", text, "Wait: /readyz says when it is ready.")
    if status["uptime_seconds"] < YOUNG_SECONDS:
        text = "This gateway has just started and is ready; its figures begin at zero."
        return Condition("starting", "Just started", text, "Nothing to do.")
    return Condition("healthy", "Healthy", "All pools are open and within their budgets.", "Nothing to do.")


def _blocked(status: Status) -> Iterator[Condition]:
    order = list(_BLOCKS)
    for block in sorted(status["blocks"], key=lambda block: order.index(block["reason"])):
        state, title, text, advice = _BLOCKS[block["reason"]]
        sentence = f"{text.format(block['pool'])} until {utc(block['until'])}."
        yield Condition(state, title, sentence, advice, block["until"])


def _lost_origins(status: Status) -> Iterator[Condition]:
    for api in dict.fromkeys(host["api"] for host in status["upstreams"]):
        hosts = [host for host in status["upstreams"] if host["api"] == api]
        if not any(host["healthy"] for host in hosts):
            text = f"No host of the {api} API answers; stored answers are given for as long as they last."
            yield Condition("origin-away", "Binance is away", text, "Check the network and the proxy of this machine.")


def _windows(status: Status) -> Iterator[Condition]:
    fullest = sorted(status["windows"], key=lambda window: -window["used"] / max(1, window["budget"]))
    for window in fullest:
        used, budget = window["used"], window["budget"]
        if used < words.NEAR * budget:
            return
        name = words.window(window["window"])
        text = f"{name} of pool {window['pool']}: {used:,} of the budget of {budget:,} is used."
        advice = "See below who spends. What would pass the budget is refused until the window ends."
        is_full = used >= budget
        state, title = ("used-up", "Budget used up") if is_full else ("near-limit", "Near the limit")
        yield Condition(state, title, text, advice, window["reset"])


def _redis(status: Status) -> Iterator[Condition]:
    redis = status["redis"]
    alone = [
        text
        for is_alone, text in (
            (redis["counts_alone"], "counts alone with a part of the budget"),
            (redis["caches_alone"], "caches alone"),
        )
        if is_alone
    ]
    if redis["up"] is False:
        text = f"This replica {', and '.join(alone)}."
        advice = "Look for redis_away or redis_refuses in the log, and at the Redis server; clients need nothing."
        title = "Redis is away" if len(alone) == 2 else "Redis refuses a part"
        yield Condition("redis-away", title, text, advice)
