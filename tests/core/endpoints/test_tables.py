"""The tables of all APIs against what Binance charges (`weights.tsv`), and against themselves."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from proxy.core.endpoints import coin_futures, options, spot, usd_futures
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint, Security
from proxy.core.endpoints.weight_rules import EachSymbol, Limit, ListedLimit, OneSymbol, Parameters, whole_number

TABLES = (*spot.TABLE, *usd_futures.TABLE, *coin_futures.TABLE, *options.TABLE)
BY_PLACE = {(endpoint.api.value, endpoint.method, endpoint.path): endpoint for endpoint in TABLES}


def facts() -> list[tuple[str, str, str, str, int]]:
    rows = []
    for line in Path(__file__).with_name("weights.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            api, method, path, query, weight = line.split("\t")
            rows.append((api, method, path, "" if query == "-" else query, int(weight)))
    return rows


def parameters(query: str) -> Parameters:
    values = dict(parse_qsl(query, keep_blank_values=True))
    count = len(json.loads(values["symbols"])) if "symbols" in values else None
    return Parameters(1 if "symbol" in values else count, values)


FACTS = facts()


def test_every_endpoint_of_the_facts_has_its_line_and_no_other_has_one() -> None:
    assert set(BY_PLACE) == {(api, method, path) for api, method, path, _, _ in FACTS}
    assert len(BY_PLACE) == len(TABLES)


def test_every_line_charges_what_binance_charges() -> None:
    wrong = [
        (api, method, path, query, BY_PLACE[api, method, path].weight.of(parameters(query)), weight)
        for api, method, path, query, weight in FACTS
        if BY_PLACE[api, method, path].weight.of(parameters(query)) != weight
    ]
    assert wrong == []


@pytest.mark.no_cover
@pytest.mark.parametrize("endpoint", TABLES, ids=lambda endpoint: f"{endpoint.method} {endpoint.name}")
def test_no_request_costs_more_than_the_dearest(endpoint: Endpoint) -> None:
    queries = ["", "symbol=A", "symbols=[]", "limit=0", "limit=x", "limit=99999999999", "symbol=", "orderId="]
    queries += [query for api, method, path, query, _ in FACTS if BY_PLACE[api, method, path] is endpoint]
    assert max(endpoint.weight.of(parameters(query)) for query in queries) <= endpoint.weight.dearest


def test_a_name_stands_for_one_path() -> None:
    paths = defaultdict(set)
    for endpoint in TABLES:
        paths[endpoint.name].add((endpoint.api, endpoint.path))
    assert {name: places for name, places in paths.items() if len(places) > 1} == {}


def test_what_the_origin_wants_of_the_caller() -> None:
    lines = [endpoint for endpoint in TABLES if endpoint.security is Security.PUBLIC]
    public = {endpoint.name for endpoint in lines}
    assert {endpoint.method for endpoint in lines} == {"GET"}
    assert {"depth", "klines", "historicalTrades", "fapi/v1/klines", "dapi/v1/ticker/24hr", "eapi/v1/mark"} <= public
    assert BY_PLACE["spot", "POST", "/api/v3/order"].security is Security.SIGNED
    assert BY_PLACE["usd-futures", "GET", "/fapi/v1/historicalTrades"].security is Security.KEY
    assert BY_PLACE["options", "POST", "/eapi/v1/listenKey"].security is Security.KEY


def test_only_public_answers_are_kept_or_shared() -> None:
    kept = [endpoint for endpoint in TABLES if endpoint.policy is not CachePolicy.FORWARDED]
    assert all(endpoint.security is Security.PUBLIC and endpoint.method == "GET" for endpoint in kept)
    assert sorted(endpoint.name for endpoint in kept if endpoint.policy is CachePolicy.CACHED) == [
        "dapi/v1/exchangeInfo",
        "eapi/v1/exchangeInfo",
        "exchangeInfo",
        "executionRules",
        "fapi/v1/exchangeInfo",
    ]


def test_limits_of_their_own_are_those_of_the_usd_futures() -> None:
    pools = {endpoint.pool: endpoint.api for endpoint in TABLES if endpoint.pool is not None}
    assert set(pools.values()) == {Api.USD_FUTURES}
    assert sorted(pools) == [
        "funding",
        "futures-data-basis",
        "futures-data-delivery-price",
        "futures-data-globalLongShortAccountRatio",
        "futures-data-openInterestHist",
        "futures-data-takerlongshortRatio",
        "futures-data-topLongShortAccountRatio",
        "futures-data-topLongShortPositionRatio",
    ]


def test_orders_of_spot_cost_nothing_when_they_succeed() -> None:
    free = {(endpoint.method, endpoint.name) for endpoint in TABLES if endpoint.is_free_on_success}
    assert {("POST", "order"), ("DELETE", "order"), ("DELETE", "openOrders"), ("POST", "order/cancelReplace")} <= free
    assert ("PUT", "order/amend/keepPriority") not in free, "free only when the amended order expires by it"
    assert len(free) == 12


def test_used_weight_headers_that_cannot_be_believed() -> None:
    unbelieved = {endpoint.name for endpoint in TABLES if not endpoint.has_used_weight}
    assert unbelieved == {
        "fapi/v1/ticker/bookTicker",
        "fapi/v2/ticker/price",
        "fapi/v1/fundingRate",
        "fapi/v1/fundingInfo",
    } | {endpoint.name for endpoint in TABLES if endpoint.pool is not None}


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("0500", 500), ("", None), ("0", None), ("-5", None), ("1e3", None), ("٣", None)]
)
def test_a_limit_is_a_positive_whole_number(text: str, number: int | None) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("rule", [Limit(((1, 1),), 1, 9), ListedLimit({5: 9}, 1, 1)], ids=["steps", "listed"])
@pytest.mark.parametrize("limit", ["", "x", "1 ", "+1", "9" * 10])
def test_a_limit_that_cannot_be_read_costs_the_most(rule: Limit | ListedLimit, limit: str) -> None:
    assert rule.of(Parameters(values={"limit": limit})) == 9


def test_an_empty_or_doubtful_symbol_costs_the_most() -> None:
    assert OneSymbol(2, 80).of(Parameters(values={"symbol": ""})) == 80
    assert OneSymbol(2, 80).of(Parameters(1, {"symbol": "A", "symbols": '["A"]'})) == 80
    assert EachSymbol(2, 40).of(Parameters(None)) == 40
