"""The endpoint table and what requests cost (Binance's API documents)."""

from __future__ import annotations

import pytest

from proxy.core.endpoints.catalogue import ENDPOINTS, find
from proxy.core.endpoints.endpoint import CachePolicy, Endpoint
from proxy.core.messages import ClientRequest
from proxy.core.query.canonical import Bypass, CanonicalQuery, canonicalize

PING, TIME = "/api/v3/ping", "/api/v3/time"
INFO, RULES = "/api/v3/exchangeInfo", "/api/v3/executionRules"


def endpoint_at(path: str) -> Endpoint:
    endpoint = find(path)
    assert endpoint is not None
    return endpoint


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
    assert find(path) is None


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
