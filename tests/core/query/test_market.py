"""A request for market data: sent on as written, charged by its parameters, equal to those that mean the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.endpoints.catalogue import TABLES
from proxy.core.endpoints.endpoint import Endpoint, Security
from proxy.core.messages import ClientRequest
from proxy.core.query.market import MarketQuery, is_signed, market_query, read_parameters

LINES = {line.name: line for table in TABLES.values() for line in table if line.security is Security.PUBLIC}


def query(name: str, raw_query: str = "", *, gzip: bool = True, **headers: Any) -> MarketQuery:
    request = ClientRequest(method="GET", path=LINES[name].path, raw_query=raw_query, **headers)
    return market_query(LINES[name], request, gzip=gzip)


@pytest.mark.parametrize(
    ("name", "raw_query", "weight"),
    [
        ("depth", "symbol=BTCUSDT", 5),
        ("depth", "symbol=BTCUSDT&limit=500", 25),
        ("depth", "symbol=BTCUSDT&limit=%35%30%31", 50),
        ("depth", "limit=5000&symbol=BTCUSDT", 250),
        ("depth", "symbol=BTCUSDT&limit=5&limit=5000", 250),
        ("depth", "symbol=BTCUSDT&limit=", 250),
        ("ticker/24hr", "", 80),
        ("ticker/24hr", "symbol=BTCUSDT", 2),
        ("ticker/24hr", "symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D", 2),
        ("ticker/24hr", 'symbols=["BTCUSDT","ETHUSDT"]', 2),
        ("ticker/24hr", "symbols=BTCUSDT,ETHUSDT", 80),
        ("ticker/24hr", "symbols=[]", 80),
        ("ticker/24hr", 'symbols=["\udcff"]', 80),
        ("ticker/24hr", "symbols=%5B%22%ff%22%5D", 2),
        ("ticker/24hr", "symbol=A&symbols=[%22A%22]", 80),
        ("ticker/price", "symbols=[%22A%22]", 4),
        ("ticker", "symbols=[%22A%22,%22B%22]&windowSize=1d", 8),
        ("klines", "symbol=BTCUSDT&interval=1m&limit=1000", 2),
        ("fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=100", 2),
        ("fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=500", 5),
        ("fapi/v1/depth", "symbol=BTCUSDT&limit=7", 1),
        ("dapi/v1/depth", "symbol=BTCUSD_PERP", 10),
        ("eapi/v1/openInterest", "underlyingAsset=BTC&expiration=261225", 0),
    ],
)
def test_the_weight_follows_the_parameters(name: str, raw_query: str, weight: int) -> None:
    assert query(name, raw_query).weight == weight


def test_a_query_is_sent_on_as_the_client_wrote_it() -> None:
    assert (
        query("klines", "symbol=%42TC&interval=1m&x=%7e%2B+~").upstream_query == "symbol=%42TC&interval=1m&x=%7e%2B+~"
    )
    assert query("ticker/24hr", 'symbols=["A","B"]').upstream_query == "symbols=%5B%22A%22,%22B%22%5D"
    assert query("ticker/24hr").upstream_query == ""


def test_only_the_listed_headers_are_sent_on() -> None:
    headers = query("depth", accept="application/sbe", sbe_schema="3:5", time_unit="MICROSECOND").upstream_headers
    assert headers == {
        "Accept": "application/sbe",
        "Accept-Encoding": "gzip",
        "X-MBX-SBE": "3:5",
        "X-MBX-TIME-UNIT": "MICROSECOND",
    }
    assert query("depth", gzip=False, accept="a\r\nX-Evil: 1").upstream_headers == {
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }


def test_requests_are_equal_only_if_the_origin_gets_the_same() -> None:
    keys = {
        query("depth", "symbol=A").key,
        query("depth", "symbol=B").key,
        query("depth", "symbol=A&limit=5").key,
        query("depth", "limit=5&symbol=A").key,
        query("depth", "symbol=A", gzip=False).key,
        query("depth", "symbol=A", accept="application/json").key,
        query("depth", "symbol=A", time_unit="MICROSECOND").key,
        query("depth", "symbol=A", sbe_schema="3:5").key,
        query("trades", "symbol=A").key,
        query("fapi/v1/depth", "symbol=A").key,
    }
    assert len(keys) == 10
    assert query("depth", "symbol=A").key == query("depth", "symbol=A").key


@given(st.text(max_size=40), st.sampled_from(sorted(LINES)))
def test_any_query_costs_at_most_the_dearest_and_fits_a_request_line(raw_query: str, name: str) -> None:
    line: Endpoint = LINES[name]
    made = query(name, raw_query)
    assert 0 <= made.weight <= line.weight.dearest
    assert made.upstream_query.isascii()
    assert not any(character.isspace() for character in made.upstream_query)


def test_a_query_that_cannot_be_read_has_no_parameters() -> None:
    assert read_parameters("a=1&a=2") is None
    assert read_parameters("&".join(f"a{n}=1" for n in range(65))) is None
    assert read_parameters("") is not None


@pytest.mark.parametrize(
    ("raw_query", "expected"),
    [
        ("symbol=A&signature=abc", True),
        ("signature=", True),
        ("%73ignature=x", True),
        ("symbol=signature", False),
        ("xsignature=1", False),
        ("", False),
    ],
)
def test_a_signature_is_recognised(raw_query: str, expected: bool) -> None:
    assert is_signed(raw_query) is expected
