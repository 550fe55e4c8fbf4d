"""Which limit a request counts in."""

from __future__ import annotations

import pytest

from proxy.core.endpoints.catalogue import TABLES, Catalogue, Forward
from proxy.core.endpoints.endpoint import Api
from proxy.core.endpoints.sapi import SAPI_POOLS, sapi_pool
from proxy.core.quota.pools import api_pool, default_windows, fetch_weight, is_sapi, pool_label, pool_of, pools_of

POOLS = pools_of(Api, lambda _: True)
LINES = {line.name: line for table in TABLES.values() for line in table}


@pytest.mark.parametrize(
    ("name", "pool", "api"),
    [
        ("depth", "spot", "spot"),
        ("fapi/v1/klines", "futures", "futures"),
        ("dapi/v1/klines", "futures", "futures"),
        ("eapi/v1/mark", "options", "options"),
        ("fapi/v1/fundingRate", "funding", "futures"),
        ("fapi/v1/fundingInfo", "funding", "futures"),
        ("dapi/v1/fundingRate", "futures", "futures"),
        ("futures/data/basis", "futures-data-basis", "futures"),
        ("coin/futures/data/basis", "futures", "futures"),
    ],
)
def test_each_endpoint_counts_in_its_pool(name: str, pool: str, api: str) -> None:
    assert (pool_of(LINES[name]), api_pool(LINES[name].api)) == (pool, api)


def test_the_pools_and_their_limits_until_the_origin_names_them() -> None:
    limits = {
        pool: [(window.name, window.limit) for window in default_windows(pool)]
        for pool in POOLS
        if not pool.startswith("futures-data")
    }
    assert limits == {
        "spot": [("REQUEST_WEIGHT:1m", 6000), ("RAW_REQUESTS:5m", 61_000)],
        "futures": [("REQUEST_WEIGHT:1m", 2400)],
        "options": [("REQUEST_WEIGHT:1m", 400)],
        "funding": [("RAW_REQUESTS:5m", 500)],
    }
    statistics = [pool for pool in POOLS if pool.startswith("futures-data")]
    assert len(statistics) == 7
    assert {default_windows(pool)[0].limit for pool in statistics} == {1000}


def test_a_gateway_has_the_pools_of_what_it_forwards() -> None:
    def pools(forward: Forward, *apis: Api) -> tuple[str, ...]:
        return pools_of(apis, Catalogue(forward, apis=apis).forwards)

    assert pools(Forward.GENERAL, *Api) == ("spot",)
    assert pools(Forward.MARKET, Api.SPOT, Api.OPTIONS) == ("spot", "options")
    assert pools(Forward.MARKET, Api.SPOT, Api.COIN_FUTURES) == ("spot", "futures")
    assert pools(Forward.MARKET, *Api) == POOLS
    assert POOLS[:4] == ("spot", "futures", "options", "funding")
    assert len(POOLS) == 11


def test_a_fetch_weighs_what_the_dearest_document_of_the_pool_costs() -> None:
    assert {pool: fetch_weight(pool) for pool in POOLS[:4]} == {"spot": 20, "futures": 1, "options": 1, "funding": 1}


def test_any_number_of_sapi_paths_share_a_bounded_number_of_pools() -> None:
    pools = {sapi_pool(f"/sapi/v1/path{number}") for number in range(5000)}
    assert len(pools) == SAPI_POOLS == 64
    assert all(is_sapi(pool) and pool_label(pool) == "sapi" and len(pool) == 7 for pool in pools)
    assert not any(is_sapi(pool) or pool_label(pool) != pool for pool in POOLS)


def test_every_replica_finds_the_same_pool_for_a_sapi_path() -> None:
    paths = ("/sapi/v1/account/status", "/sapi/v1/capital/config/getall", "/sapi/v1/\udcff")
    assert [sapi_pool(path) for path in paths] == ["sapi-3c", "sapi-03", "sapi-0a"]


def test_each_sapi_pool_has_the_limit_of_one_path() -> None:
    limits = [(window.name, window.limit) for window in default_windows(sapi_pool("/sapi/v1/account/status"))]
    assert limits == [("REQUEST_WEIGHT:1m", 12_000)]
