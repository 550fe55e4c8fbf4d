"""`binance-sidecar explain`: what a gateway with these settings makes of one request, without asking the origin.

Owns: the steps of the explanation and their words. Must not know: how a request is answered: the endpoint, the query,
its weight and every refusal come from the core. What would happen now is read from `/status` of the running gateway.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from typing import assert_never
from urllib.parse import unquote

from msgspec import Struct

from proxy.commands.forecast import forecast
from proxy.commands.running import WHERE, NoAnswer, ops_url, status_of
from proxy.core.endpoints.catalogue import Catalogue
from proxy.core.endpoints.endpoint import CachePolicy, Endpoint
from proxy.core.feed.selection import read_request
from proxy.core.messages import ClientRequest
from proxy.core.query.canonical import Bypass, CanonicalQuery, Rejected
from proxy.core.query.history import may_be_final
from proxy.core.query.keyed import KeyedRequest, is_keyed, keyed_request
from proxy.core.query.market import MarketQuery
from proxy.core.query.public import public_query
from proxy.core.quota.pools import default_windows, pool_of
from proxy.errors import MethodNotAllowed, SidecarError
from proxy.page import words
from proxy.server.cors import CHANGES_PATH, OWN_PATHS, is_public
from proxy.server.ops import METHODS, PATHS
from proxy.settings import Settings, TimeSource

USAGE = "explain needs a request, such as: binance-sidecar explain 'GET /api/v3/depth?symbol=BTCUSDT&limit=500'"
_VERSION = re.compile(r"\s+HTTP/[0-9.]+$")
Query = CanonicalQuery | MarketQuery | KeyedRequest
_POLICIES = {
    CachePolicy.CACHED: "kept for all, and filled once for all that ask",
    CachePolicy.COLLAPSED: "never kept; equal requests in flight are one",
    CachePolicy.SHARED: "equal requests in flight are one",
    CachePolicy.FORWARDED: "each request is sent by itself",
}


class Understood(Struct, frozen=True):
    """A request that may be sent."""

    endpoint: Endpoint
    query: Query
    note: str = ""
    """What is odd about it."""


def explain(settings: Settings, request: str | None) -> int:
    """Print the explanation. Returns the exit status: 1 for a request that the gateway refuses by itself."""
    if not request:
        sys.stderr.write(f"binance-sidecar: {USAGE}\n")
        return 2
    asked = read(request)
    print(f"{asked.method} {asked.path}{'?' if asked.raw_query else ''}{asked.raw_query}")  # noqa: T201
    try:
        by = own_answer(settings, asked)
        found = understand(settings, asked) if by is None else None
    except SidecarError as error:
        _tell("answer", f"{error.status}, code {error.code}: {error.msg} Nothing is sent.")
        return 1
    if found is None:
        _tell("answer", f"{by}. Nothing is sent.")
        return 0
    for name, text in lines(settings, found):
        _tell(name, text)
    return 0


def read(request: str) -> ClientRequest:
    """`GET /path?query`, as in a request line; the method may be left out, and so may the host before the path."""
    text = _VERSION.sub("", request.strip())
    method, _, target = text.partition(" ")
    if "/" in method or not target:
        method, target = "GET", text
    target = target.strip()
    if "://" in target.partition("?")[0]:
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    return ClientRequest(method=method.upper(), path=f"/{unquote(path).lstrip('/')}", raw_query=query, target=target)


def own_answer(settings: Settings, asked: ClientRequest) -> str | None:
    """Who answers what the gateway itself offers; None for all else. Raises the SidecarError of one that is refused."""
    if asked.method == "OPTIONS" and is_public(asked.path):
        return "204, which tells browsers that pages of other sites may read this path"
    if asked.path not in OWN_PATHS | PATHS:
        return None
    if asked.method not in METHODS:
        raise MethodNotAllowed(f"Request method '{asked.method[:20]}' is not supported.")
    if asked.path == CHANGES_PATH:
        read_request(asked.raw_query)
    is_apart = asked.path in PATHS and settings.ops_port is not None
    return "by the gateway itself" + (", on the listener of SIDECAR_OPS_PORT" if is_apart else "")


def understand(settings: Settings, asked: ClientRequest) -> Understood:
    """What the gateway makes of a request, as its own steps do. Raises the SidecarError that it would answer."""
    catalogue = Catalogue(settings.forward, apis=settings.apis, unknown_weight=settings.unknown_weight)
    endpoint = catalogue.find(asked.path, asked.method)
    if is_keyed(endpoint, asked):
        if not catalogue.forwards_keyed:
            raise catalogue.not_forwarded()
        return Understood(endpoint, keyed_request(endpoint, asked, gzip=True))
    match public_query(endpoint, asked, gzip=False):
        case Rejected(error):
            raise error
        case Bypass(reason, query):
            return Understood(endpoint, query, f"only Binance can interpret it ({reason.value}); kept for a short time")
        case CanonicalQuery() | MarketQuery() as query:
            return Understood(endpoint, query)
        case never:
            assert_never(never)


def lines(settings: Settings, found: Understood) -> Iterator[tuple[str, str]]:
    """Names and texts, one for each line."""
    endpoint, query = found.endpoint, found.query
    pool = pool_of(endpoint)
    is_own = isinstance(query, KeyedRequest)
    yield "endpoint", f"{endpoint.name} of {endpoint.api.value}, {endpoint.security.value}"
    yield "weight", f"{query.weight:,}{', taken back when it succeeds' if endpoint.is_free_on_success else ''}"
    yield "pool", f"{pool}: {', '.join(words.window(window.name) for window in default_windows(pool))}"
    yield "policy", "each request is sent once, as it came" if is_own else _policy(settings, found)
    yield "key", "none: no answer of an account is kept or shared" if is_own else query.key
    yield "sent as", "as it came" if is_own else _target(settings, found)
    try:
        status = status_of(ops_url(settings), certificate=settings.tls_cert_file)
    except NoAnswer as error:
        yield "now", f"unknown, because no gateway answers: {error}; {WHERE}"
        return
    ratio = max(settings.trading_budget_ratio, settings.budget_ratio)
    yield "now", forecast(status, endpoint, query, trading_ratio=ratio)
    if status["venue"] != settings.venue_name:
        told = f"that gateway is for {status['venue']}, and these settings are for {settings.venue_name}"
        yield "but", f"{told} (SIDECAR_UPSTREAMS, SIDECAR_VENUE): explain needs the settings that the gateway has"


def _policy(settings: Settings, found: Understood) -> str:
    told = _POLICIES[found.endpoint.policy]
    if found.note:
        return f"{told}; {found.note}"
    if found.endpoint.policy is CachePolicy.CACHED:
        return f"{told}; fresh for {settings.fresh_seconds:g} s (SIDECAR_FRESH_SECONDS)"
    if found.endpoint.path == "/api/v3/time" and settings.time is TimeSource.CLOCK:
        return f"told by the gateway's clock while that is known to 50 ms (SIDECAR_TIME); else {told}"
    if found.endpoint.policy is not CachePolicy.SHARED or not isinstance(found.query, MarketQuery):
        return told
    return f"{told}; {_kept(settings, found.query)}"


def _kept(settings: Settings, query: MarketQuery) -> str:
    seconds, history_seconds = settings.market_fresh_seconds, settings.history_seconds
    kept = f"kept for {seconds:g} s" if seconds else "not kept (SIDECAR_MARKET_FRESH_SECONDS is 0)"
    if history_seconds <= seconds or not may_be_final(query, time.time()):
        return kept
    return f"{kept}, but for {history_seconds:g} s if nothing can be added to the answer (SIDECAR_HISTORY_SECONDS)"


def _target(settings: Settings, found: Understood) -> str:
    (first, *_) = settings.upstreams_of(found.endpoint.api)
    query = found.query
    assert not isinstance(query, KeyedRequest)
    return f"GET {first}{query.target}"


def _tell(name: str, text: str) -> None:
    print(f"  {name:<9} {text}")  # noqa: T201 - the output of the command
