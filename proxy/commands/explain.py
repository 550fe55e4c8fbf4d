"""`binance-sidecar explain`: what a gateway with these settings makes of one request, without asking the origin.

Owns: the steps of the explanation and their words. Must not know: how a request is answered: the endpoint, the query,
its weight and every refusal come from the core. What would happen now is read from `/status` of the running gateway.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import assert_never

from msgspec import Struct

from proxy.cache.lifetimes import Policy
from proxy.commands.forecast import forecast
from proxy.commands.running import NoAnswer, ops_url, status_of
from proxy.core.endpoints.catalogue import ENDPOINTS, Catalogue
from proxy.core.endpoints.endpoint import CachePolicy, Endpoint
from proxy.core.messages import ClientRequest, Lifetimes
from proxy.core.query.canonical import Bypass, CanonicalQuery, Rejected, canonicalize
from proxy.core.query.keyed import KeyedRequest, is_keyed, keyed_request
from proxy.core.query.market import MarketQuery, market_query
from proxy.core.quota.pools import default_windows, pool_of
from proxy.errors import SidecarError
from proxy.settings import Settings

USAGE = "explain needs a request, such as: binance-sidecar explain 'GET /api/v3/depth?symbol=BTCUSDT&limit=500'"
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
        found = understand(settings, asked)
    except SidecarError as error:
        _tell("answer", f"{error.status}, code {error.code}: {error.msg} Nothing is sent.")
        return 1
    for name, text in lines(settings, found):
        _tell(name, text)
    return 0


def read(request: str) -> ClientRequest:
    """`GET /path?query`; the method may be left out, and so may the host before the path."""
    method, _, target = request.strip().rpartition(" ")
    if "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    return ClientRequest(
        method=method.strip().upper() or "GET", path=f"/{path.lstrip('/')}", raw_query=query, target=target
    )


def understand(settings: Settings, asked: ClientRequest) -> Understood:
    """What the gateway makes of a request, as its own steps do. Raises the SidecarError that it would answer."""
    catalogue = Catalogue(settings.forward, apis=settings.apis, unknown_weight=settings.unknown_weight)
    endpoint = catalogue.find(asked.path, asked.method)
    if is_keyed(endpoint, asked):
        if not catalogue.forwards_keyed:
            raise catalogue.not_forwarded()
        return Understood(endpoint, keyed_request(endpoint, asked, gzip=True))
    if endpoint.path not in ENDPOINTS:
        if endpoint.policy is CachePolicy.CACHED:
            return Understood(endpoint, CanonicalQuery(endpoint=endpoint))
        return Understood(endpoint, market_query(endpoint, asked, gzip=False))
    match canonicalize(endpoint, asked):
        case Rejected(error):
            raise error
        case Bypass(reason, query):
            return Understood(endpoint, query, f"only Binance can interpret it ({reason.value}); kept for a short time")
        case CanonicalQuery() as query:
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
    yield "pool", f"{pool}: {', '.join(window.name.replace(':', ' ') for window in default_windows(pool))}"
    yield "policy", "each request is sent once, as it came" if is_own else _policy(settings, found)
    yield "key", "none: no answer of an account is kept or shared" if is_own else query.key
    yield "sent as", "as it came" if is_own else _target(settings, found)
    try:
        base_url = ops_url(settings)
        yield (
            "now",
            forecast(
                status_of(base_url, certificate=settings.tls_cert_file),
                endpoint,
                query,
                trading_ratio=settings.trading_budget_ratio,
            ),
        )
    except NoAnswer as error:
        yield "now", f"unknown, because no gateway answers: {error}"


def _policy(settings: Settings, found: Understood) -> str:
    told = _POLICIES[found.endpoint.policy]
    if found.note:
        return f"{told}; {found.note}"
    if found.endpoint.policy is CachePolicy.CACHED:
        return f"{told}; fresh for {settings.fresh_seconds:g} s (SIDECAR_FRESH_SECONDS)"
    if found.endpoint.policy is not CachePolicy.SHARED or not isinstance(found.query, MarketQuery):
        return told
    kept = _market_seconds(settings, found.query)
    return f"{told}; " + (f"kept for {kept:g} s" if kept else "not kept (SIDECAR_MARKET_FRESH_SECONDS is 0)")


def _market_seconds(settings: Settings, query: MarketQuery) -> float:
    nothing = Lifetimes(fresh_seconds=0.0)
    policy = Policy(positive=nothing, negative=nothing, market=Lifetimes(fresh_seconds=settings.market_fresh_seconds))
    return settings.market_fresh_seconds if policy.keeps(query, 0.0) else 0.0


def _target(settings: Settings, found: Understood) -> str:
    (first, *_) = settings.upstreams_of(found.endpoint.api)
    query = found.query
    assert not isinstance(query, KeyedRequest)
    return f"GET {first}{query.target}"


def _tell(name: str, text: str) -> None:
    print(f"  {name:<9} {text}")  # noqa: T201 - the output of the command
