"""What would happen to a request now, by the figures of `/status`.

Owns: the order in which entry, block and budget decide, and the sentence about each. Must not know: how the gateway
decides with a ledger: this is what its figures say, and a moment later they may be others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.core.endpoints.endpoint import CachePolicy, Endpoint
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.keyed import KeyedRequest
from proxy.core.query.market import MarketQuery
from proxy.core.quota.charges import budget_of
from proxy.core.quota.pools import api_pool, pool_label, pool_of
from proxy.page import words

Status = Mapping[str, Any]
Query = CanonicalQuery | MarketQuery | KeyedRequest
_STATUSES = {"ban": 418, "back-off": 429, "pause": 403}
_WEIGHT = "REQUEST_WEIGHT"


def forecast(status: Status, endpoint: Endpoint, query: Query, *, trading_ratio: float) -> str:
    """The answer of the gateway with this status, in a sentence."""
    entry = None if isinstance(query, KeyedRequest) else _entry(status, query)
    age = "" if entry is None else f"{words.duration(entry['age_seconds'])} old"
    if entry is not None and entry["age_seconds"] < entry["fresh_seconds"]:
        # `/status` does not tell the symbols of the document.
        is_part = endpoint.has_document and query.names_symbols
        unless = f" For a symbol that it lacks Binance is asked, at a weight of {query.weight:,}." if is_part else ""
        return f"answered from the cache at no weight; the entry is {age}.{unless}"
    stale = f"; clients get the stored entry, {age}, while it may be used" if age else ""
    for block in _blocks(status, endpoint):
        ends = f"the {block['reason']} of pool {block['pool']} ends in {words.left(block['until'], status['now'])}"
        return f"not sent: {_STATUSES[block['reason']]}, because {ends}{stale}."
    ratio = trading_ratio if isinstance(query, KeyedRequest) else None
    rooms = list(_rooms(status, endpoint, query.weight, ratio))
    for window, budget, cost in rooms:
        if window["used"] + cost > budget:
            ends = words.left(window["reset"], status["now"])
            told = f"{window['used']:,} of {budget:,} are used and this costs {cost:,}"
            return f"not sent: 429, because in {_name(window)} {told}; the window ends in {ends}{stale}."
    used = [f"{_name(window)} {window['used']:,} of {budget:,}" for window, budget, _ in rooms]
    away = "" if _is_answered(status, endpoint) else "; no host of this API answered lately"
    return f"sent at a weight of {query.weight:,}; used so far: {', '.join(used) or 'nothing'}{away}."


def _name(window: Status) -> str:
    return words.window(window["window"])


def _entry(status: Status, query: CanonicalQuery | MarketQuery) -> Status | None:
    """The entry that answers the query, with its freshness: the full document answers each filter."""
    if query.endpoint.policy is CachePolicy.CACHED:
        is_filter = query.endpoint.has_document and query.sbe is None and not query.has_own_words
        if is_filter or query.key == CanonicalQuery(endpoint=query.endpoint).key:
            return next((one for one in status["documents"] if one["endpoint"] == query.endpoint.name), None)
    return next((one for one in status["entries"] if one["key"] == query.key and "fresh_seconds" in one), None)


def _blocks(status: Status, endpoint: Endpoint) -> Iterator[Status]:
    """Those that hold the request back: of its pool, and of its API."""
    pools = {pool_label(pool_of(endpoint)), api_pool(endpoint.api)}
    yield from (block for block in status["blocks"] if block["pool"] in pools)


def _is_answered(status: Status, endpoint: Endpoint) -> bool:
    """Whether a host of the API is thought to answer."""
    return any(host["healthy"] for host in status["upstreams"] if host["api"] == endpoint.api.value)


def _rooms(status: Status, endpoint: Endpoint, weight: int, ratio: float | None) -> Iterator[tuple[Status, int, int]]:
    """The windows of the pool, each with the budget of this request and what it costs there."""
    pool = pool_label(pool_of(endpoint))
    for window in status["windows"]:
        if window["pool"] == pool:
            budget = window["budget"] if ratio is None else budget_of(window["limit"], ratio)
            yield window, budget, weight if window["window"].startswith(_WEIGHT) else 1
