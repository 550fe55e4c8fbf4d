"""The OpenAPI document: everything that is served stands in it, as the tables have it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.endpoints.catalogue import TABLES, Catalogue, Forward
from proxy.core.endpoints.endpoint import Api, Endpoint, Security
from proxy.core.openapi import describe
from tests.gateway.harness import stage


def described(forward: Forward, *apis: Api) -> dict[str, Any]:
    whole = describe(Catalogue(forward, apis=apis or tuple(Api)).served(), version="1")
    read: dict[str, Any] = orjson.loads(orjson.dumps(whole, option=orjson.OPT_NON_STR_KEYS))
    return read


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


ALL = described(Forward.ALL)


@pytest.mark.parametrize("api", Api)
def test_each_endpoint_with_its_parameters_and_its_weight(api: Api) -> None:
    for endpoint in TABLES[api]:
        check(endpoint, described(Forward.ALL, api)["paths"] if endpoint.path.startswith("/futures/") else ALL["paths"])


def check(endpoint: Endpoint, paths: dict[str, Any]) -> None:
    operation = paths[endpoint.path][endpoint.method.lower()]
    assert operation["tags"] == [endpoint.api.value]
    assert {parameter["name"] for parameter in operation["parameters"]} >= set(endpoint.parameters)
    weight = operation["x-weight"]
    assert (weight if isinstance(weight, int) else weight["dearest"]) == endpoint.weight.dearest
    assert ("security" in operation) == (endpoint.security is not Security.PUBLIC)


def test_a_mode_describes_what_it_serves() -> None:
    own = {"/changes", "/openapi.json"}
    general = described(Forward.GENERAL)["paths"].keys() - own
    assert general == {f"/api/v3/{name}" for name in ("ping", "time", "exchangeInfo", "executionRules")}
    market = described(Forward.MARKET, Api.SPOT)["paths"].keys()
    assert own < market
    assert all(path in own or path.startswith("/api/v3/") for path in market)
    assert "/api/v3/order" not in market
    assert "/api/v3/order" in ALL["paths"]


def test_every_reference_resolves_and_no_operation_has_the_name_of_another() -> None:
    for reference in references(ALL):
        found: Any = ALL
        for word in reference.removeprefix("#/").split("/"):
            found = found[word]
    names = [operation["operationId"] for path in ALL["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


async def test_the_gateway_serves_it() -> None:
    async with stage() as on:
        plain = await on.ask("/openapi.json")
        packed = await on.ask("/openapi.json", Accept_Encoding="gzip")
        assert plain.json == packed.json == described(Forward.MARKET, Api.SPOT) | {"info": plain.json["info"]}
        assert len(packed.raw) < len(plain.raw) / 5
        assert plain.headers["content-type"] == "application/json"
        assert plain.headers["access-control-allow-origin"] == "*"
        assert (await on.ask("/openapi.json", method="HEAD")).raw == b""
        assert (await on.ask("/openapi.json", method="PUT")).status == 405
