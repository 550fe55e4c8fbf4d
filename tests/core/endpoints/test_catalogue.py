"""The endpoint table and what requests cost (Binance's API documents)."""

from __future__ import annotations

import pytest

from proxy.core.endpoints.catalogue import ENDPOINTS, Catalogue, Forward
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint
from proxy.core.endpoints.sapi import SAPI
from proxy.core.messages import ClientRequest
from proxy.core.query.canonical import Bypass, CanonicalQuery, canonicalize
from proxy.errors import ApiNotConfigured, MethodNotAllowed, NotForwarded, SidecarError, UnknownPath

PING, TIME = "/api/v3/ping", "/api/v3/time"
INFO, RULES = "/api/v3/exchangeInfo", "/api/v3/executionRules"


def endpoint_at(path: str) -> Endpoint:
    return ENDPOINTS[path]


def cost(path: str, raw_query: str) -> int:
    endpoint = endpoint_at(path)
    query = canonicalize(endpoint, ClientRequest(method="GET", path=path, raw_query=raw_query))
    assert isinstance(query, CanonicalQuery)
    return query.weight


def symbols(count: int) -> str:
    return "symbols=[" + ",".join(f'"S{number}"' for number in range(count)) + "]"


@pytest.mark.parametrize(
    ("path", "name", "policy", "has_document", "on_public_data"),
    [
        (PING, "ping", CachePolicy.COLLAPSED, False, True),
        (TIME, "time", CachePolicy.FORWARDED, False, True),
        (INFO, "exchangeInfo", CachePolicy.CACHED, True, True),
        (RULES, "executionRules", CachePolicy.CACHED, False, False),
    ],
)
def test_each_endpoint_has_its_row(
    path: str, name: str, policy: CachePolicy, has_document: bool, on_public_data: bool
) -> None:
    row = endpoint_at(path)
    assert (row.name, row.policy, row.has_document, row.on_public_data) == (
        name,
        policy,
        has_document,
        on_public_data,
    )


def test_the_table_has_four_rows_each_under_its_own_path() -> None:
    assert list(ENDPOINTS) == [PING, TIME, INFO, RULES]
    assert all(endpoint.path == path for path, endpoint in ENDPOINTS.items())


@pytest.mark.parametrize(
    "path", ["", "/", "/api/v3", "/api/v3/ping/", "/api/v3/PING", "/api/v3/depth", "/api/v1/ping", "//api/v3/ping"]
)
def test_no_other_path_is_served(path: str) -> None:
    assert path not in ENDPOINTS


@pytest.mark.parametrize(
    ("path", "raw_query", "expected"),
    [
        (PING, "", 1),
        (TIME, "", 1),
        (INFO, "", 20),
        (INFO, "symbol=BTCUSDT", 20),
        (INFO, symbols(100), 20),
        (INFO, "permissions=SPOT&symbolStatus=TRADING", 20),
        (RULES, "", 40),
        (RULES, "symbol=BTCUSDT", 2),
        (RULES, symbols(1), 2),
        (RULES, symbols(2), 4),
        (RULES, symbols(19), 38),
        (RULES, symbols(20), 40),
        (RULES, symbols(21), 40),
        (RULES, "symbolStatus=TRADING", 40),
    ],
)
def test_weight_follows_the_table(path: str, raw_query: str, expected: int) -> None:
    assert cost(path, raw_query) == expected


@pytest.mark.parametrize(
    ("path", "raw_query", "expected"),
    [
        (PING, "%zz", 1),
        (INFO, "symbols=[]", 20),
        (RULES, "symbols=[]", 40),
        (RULES, "symbol=%zz", 40),
        (RULES, "symbol=A&symbolStatus=TRADING", 40),
    ],
)
def test_a_bypass_costs_the_most(path: str, raw_query: str, expected: int) -> None:
    endpoint = endpoint_at(path)
    bypass = canonicalize(endpoint, ClientRequest(method="GET", path=path, raw_query=raw_query))
    assert isinstance(bypass, Bypass)
    assert bypass.query.weight == expected


ON_PUBLIC_DATA = {
    *("aggTrades", "avgPrice", "depth", "exchangeInfo", "klines", "ping", "ticker", "ticker/24hr", "ticker/bookTicker"),
    *("ticker/price", "time", "trades", "uiKlines"),
}
"""What Binance's document says that data-api.binance.vision serves, below /api/v3/."""


def test_the_host_of_public_data_is_asked_for_nothing_that_it_does_not_serve() -> None:
    catalogue = Catalogue(Forward.ALL)
    served = {line.path.removeprefix("/api/v3/") for line in catalogue.served() if line.on_public_data}
    assert served == ON_PUBLIC_DATA
    for path, method in (("/api/v3/nothing", "GET"), ("/sapi/v1/account/status", "GET"), ("/api/v3/order", "PATCH")):
        assert not catalogue.find(path, method).on_public_data


EVERY_API = tuple(Api)


@pytest.mark.parametrize("forward", Forward)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_general_endpoints_are_served_in_every_mode(forward: Forward, method: str) -> None:
    assert Catalogue(forward).find(INFO, method) is endpoint_at(INFO)


@pytest.mark.parametrize(
    ("path", "method", "error", "reason"),
    [
        ("/api/v3/depth", "GET", NotForwarded, "not-forwarded"),
        ("/api/v3/order", "POST", NotForwarded, "not-forwarded"),
        ("/api/v3/ping", "POST", MethodNotAllowed, "method"),
        ("/api/v3/nothing", "GET", UnknownPath, "unknown-path"),
        ("/sapi/v1/capital/config/getall", "GET", NotForwarded, "not-forwarded"),
        ("/nothing", "GET", UnknownPath, "unknown-path"),
        ("/fapi/v1/klines", "GET", NotForwarded, "not-forwarded"),
    ],
)
def test_general_refuses_all_else(path: str, method: str, error: type[SidecarError], reason: str) -> None:
    with pytest.raises(error) as caught:
        Catalogue(Forward.GENERAL, apis=EVERY_API).find(path, method)
    assert (caught.value.status, caught.value.code, caught.value.reason) == (
        405 if error is MethodNotAllowed else 404,
        -1020,
        reason,
    )


@pytest.mark.parametrize("path", ["/api/v3/depth", "/fapi/v1/klines", "/dapi/v1/klines", "/eapi/v1/mark"])
def test_market_serves_public_data_of_every_api(path: str) -> None:
    assert Catalogue(Forward.MARKET, apis=EVERY_API).find(path).path == path


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/v3/account", "GET"),
        ("/api/v3/order", "POST"),
        ("/api/v3/order", "GET"),
        ("/fapi/v1/historicalTrades", "GET"),
        ("/eapi/v1/listenKey", "POST"),
    ],
)
def test_market_refuses_what_wants_a_key_and_names_the_setting(path: str, method: str) -> None:
    with pytest.raises(NotForwarded, match="SIDECAR_FORWARD is market"):
        Catalogue(Forward.MARKET, apis=EVERY_API).find(path, method)


@pytest.mark.parametrize("path", ["/api/api/v3/time", "/api/v3/time/", "/api/v3/tim", "/fapi/v3/", "/futures/data/x"])
def test_a_wrong_path_of_an_api_is_no_request_that_a_mode_leaves_out(path: str) -> None:
    for forward in (Forward.GENERAL, Forward.MARKET):
        with pytest.raises(UnknownPath, match="only SIDECAR_FORWARD=all forwards"):
            Catalogue(forward, apis=EVERY_API).find(path)


@pytest.mark.parametrize(
    "path", ["/sapi/v1/../../api/v3/account", "/api/v3/../v3/time", "/api/v3/./time", "/fapi/..", "/futures/data/."]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_path_is_counted_as_another_one_by_dots(path: str, method: str) -> None:
    for forward in Forward:
        with pytest.raises(UnknownPath, match="no path with the segments"):
            Catalogue(forward, apis=EVERY_API).find(path, method)
    assert Catalogue(Forward.ALL, apis=EVERY_API).find("/sapi/v1/...", method).name == SAPI


def test_an_api_without_hosts_names_its_setting() -> None:
    with pytest.raises(ApiNotConfigured, match="SIDECAR_OPTIONS_UPSTREAMS"):
        Catalogue(Forward.MARKET).find("/eapi/v1/mark")


def test_a_path_of_both_futures_goes_to_usd_futures_unless_the_host_is_a_coin_futures_one() -> None:
    catalogue = Catalogue(Forward.MARKET, apis=EVERY_API)
    assert catalogue.find("/futures/data/basis").api is Api.USD_FUTURES
    assert catalogue.find("/futures/data/basis", to_coin_futures=True).api is Api.COIN_FUTURES
    assert catalogue.find("/futures/data/takerBuySellVol").api is Api.COIN_FUTURES
    assert catalogue.find("/api/v3/depth", to_coin_futures=True).api is Api.SPOT


def test_a_wrong_method_on_a_served_path_is_told_apart() -> None:
    with pytest.raises(MethodNotAllowed):
        Catalogue(Forward.MARKET).find("/api/v3/depth", "POST")
    with pytest.raises(NotForwarded):
        Catalogue(Forward.MARKET).find("/api/v3/account", "POST")


@pytest.mark.parametrize("path", ["/api/v3/order", "/api/v3/nothing", "/sapi/v1/account/status", "/fapi/v1/order"])
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND", "get"])
def test_no_mode_forwards_a_method_that_no_api_has(path: str, method: str) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        Catalogue(Forward.ALL, apis=EVERY_API).find(path, method)
    assert caught.value.allow == "GET, HEAD, POST, PUT, PATCH, DELETE"
    with pytest.raises((NotForwarded, UnknownPath)):
        Catalogue(Forward.MARKET, apis=EVERY_API).find(path, method)
