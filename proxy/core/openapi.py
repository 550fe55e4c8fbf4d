"""What the gateway serves, as an OpenAPI 3.1 document made from the catalogue.

Owns: how endpoints, parameters, answers, errors and headers are described. Must not know: which endpoints are served.
Source: OpenAPI 3.1.1. What Binance answers to market data and to orders is passed on, so any JSON is described.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from msgspec.structs import asdict

from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint, Security
from proxy.core.endpoints.weight_rules import Fixed, WeightRule
from proxy.core.feed.position import FEED_APIS
from proxy.core.feed.record import KINDS
from proxy.core.feed.selection import API, KINDS_PARAMETER, LAST_EVENT_ID, SYMBOLS

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_WHOLE: Json = {"type": "integer", "minimum": 0}
_NUMBERS = frozenset({"limit", "recvWindow", "timestamp", "leverage", "newQty", "countdownTime"})
_NUMBER_ENDINGS = ("Id", "Time")
_FLAGS = frozenset({"showPermissionSets", "reduceOnly", "closePosition", "priceProtect", "omitZeroBalances"})
_NAMED_BY_CLIENTS = ("ClientOrderId", "downloadId")
"""Ids that are words."""
_ANSWERS: dict[str, Json] = {
    "ping": {"type": "object"},
    "time": {"type": "object", "required": ["serverTime"], "properties": {"serverTime": _WHOLE}},
}
"""The answers that the gateway checks or makes, by the last word of the path."""
_HEADERS: dict[str, tuple[str, Json]] = {
    "Cache-Status": ("Where the answer came from (RFC 9211).", _TEXT),
    "Retry-After": ("Seconds until it makes sense to ask again.", _WHOLE),
    "x-mbx-used-weight-1m": ("The weight that this IP has used in the pool in the current minute.", _WHOLE),
    "Age": ("Seconds since Binance's answer came.", _WHOLE),
    "ETag": ("Names the rules of the document, not its time.", _TEXT),
}
_REFUSALS = {
    "400": "Binance would refuse the request, or has; or it is no valid HTTP.",
    "403": "Binance's firewall refused this IP or this request.",
    "404": "No such path, or SIDECAR_FORWARD leaves it out.",
    "405": "Another method.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "414": "The target is too long.",
    "418": "Binance has banned this IP; nothing is sent until Retry-After.",
    "421": "The target names another host.",
    "429": "The budget or this client's share of it is used up, or Binance said so; nothing is sent until Retry-After.",
    "431": "A header is too large.",
}
_FAILURES = {
    "451": "Binance does not serve this location.",
    "500": "An error of Binance or of the gateway.",
    "502": "Binance could not be reached, or its answer cannot be used.",
    "503": "Binance is overloaded, or the request was not sent.",
    "504": "Binance did not answer in time.",
}
_PASSED = {"4XX": "Another refusal of Binance, passed on.", "5XX": "Another error of Binance, passed on."}


def describe(endpoints: Iterable[Endpoint], *, version: str) -> Json:
    """The document for these endpoints and the gateway's own, as JSON values."""
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        operations = paths.setdefault(endpoint.path, {})
        operations.setdefault(endpoint.method.lower(), _operation(endpoint))
    paths |= {"/changes": {"get": _changes()}, "/openapi.json": {"get": _itself()}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "binance-sidecar",
            "version": version,
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": (
                "Binance's API through this gateway. GET also serves HEAD, and OPTIONS answers browsers. `x-weight` is "
                "what Binance charges for a request that is sent; an answer from the cache costs nothing. "
                "A parameter that is not named here is sent on where the answer is not from the cache."
            ),
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _error_schema(), "Change": _change_schema()},
            "responses": _responses(),
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-MBX-APIKEY"}},
        },
    }


def _operation(endpoint: Endpoint) -> Json:
    names = [*endpoint.parameters]
    if endpoint.security is Security.SIGNED:
        names += [name for name in ("timestamp", "signature") if name not in names]
    described: Json = {
        "operationId": f"{endpoint.method.lower()} {endpoint.path}",
        "tags": [endpoint.api.value],
        "x-weight": _weight(endpoint.weight),
        "parameters": [{"name": name, "in": "query", "schema": _schema(name)} for name in names],
        "responses": {"200": _answer(endpoint), **_errors()},
    }
    if endpoint.policy is CachePolicy.CACHED:
        described["responses"]["304"] = {"description": "Nothing has changed since the ETag in If-None-Match."}
    if endpoint.security is not Security.PUBLIC:
        described["security"] = [{"key": []}]
    return described


def _weight(rule: WeightRule) -> int | Json:
    """A number, or a rule over the parameters: `dearest` is the most that one request costs."""
    if isinstance(rule, Fixed):
        return rule.dearest
    return {"rule": type(rule).__name__, **asdict(cast(Any, rule)), "dearest": rule.dearest}


def _schema(name: str) -> Json:
    if name in _FLAGS:
        return {"type": "boolean"}
    is_number = name in _NUMBERS or name.endswith(_NUMBER_ENDINGS)
    return _WHOLE if is_number and not name.endswith(_NAMED_BY_CLIENTS) else _TEXT


def _answer(endpoint: Endpoint) -> Json:
    is_public = endpoint.security is Security.PUBLIC
    schema = _ANSWERS.get(endpoint.path.rpartition("/")[2], {}) if is_public else {}
    if endpoint.has_rate_limits:
        schema = _document("optionSymbols" if endpoint.api is Api.OPTIONS else "symbols")
    names = ["Cache-Status", *(["x-mbx-used-weight-1m"] if endpoint.pool is None else [])]
    names += ["Age", "ETag"] if endpoint.policy is CachePolicy.CACHED else []
    return {
        "description": "Binance's answer.",
        "headers": _headers(*names),
        "content": {"application/json": {"schema": schema}, "application/sbe": {}},
    }


def _document(listed: str) -> Json:
    """The schema of an exchangeInfo whose symbols are in the member `listed`."""
    limits: Json = {"type": "array", "items": {"type": "object", "required": ["rateLimitType", "limit"]}}
    symbols: Json = {"type": "array", "items": {"type": "object", "required": ["symbol"]}}
    return {
        "type": "object",
        "required": ["serverTime", "rateLimits", listed],
        "properties": {"serverTime": _WHOLE, "rateLimits": limits, listed: symbols},
    }


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _errors() -> Json:
    statuses = (*_REFUSALS, *_FAILURES, *_PASSED)
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _responses() -> Json:
    """Errors of the gateway's own are JSON; what fails at Binance is passed on with its own type."""
    error: Json = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    anything: Json = {"*/*": {}}
    return {
        status: {
            "description": text,
            "headers": _headers("Cache-Status", "Retry-After"),
            "content": error if status in _REFUSALS else anything,
        }
        for status, text in (_REFUSALS | _FAILURES | _PASSED).items()
    }


def _error_schema() -> Json:
    return {
        "type": "object",
        "required": ["code", "msg"],
        "properties": {"code": {"type": "integer"}, "msg": {"type": "string"}},
    }


def _change_schema() -> Json:
    return {
        "type": "object",
        "required": ["id", "event"],
        "properties": {
            "id": _TEXT,
            "event": {"enum": sorted({*KINDS, "reset"})},
            "symbol": {"type": ["string", "null"]},
            "symbols": {"type": "array", "items": _TEXT},
            "old": {},
            "new": {},
            "api": {"enum": [api.value for api in FEED_APIS]},
            "apis": {"type": "array", "items": {"enum": [api.value for api in FEED_APIS]}},
            "time": _WHOLE,
        },
    }


def _changes() -> Json:
    listed: Json = {
        "type": "object",
        "required": ["id", "reset", "changes"],
        "properties": {
            "id": _TEXT,
            "reset": {"type": "boolean"},
            "changes": {"type": "array", "items": {"$ref": "#/components/schemas/Change"}},
        },
    }
    parameters: list[Json] = [
        {"name": name, "in": "query", "schema": {"type": "string", "minLength": 1}}
        for name in (SYMBOLS, KINDS_PARAMETER, API, LAST_EVENT_ID)
    ]
    return {
        "operationId": "get /changes",
        "tags": ["gateway"],
        "summary": "What changes in exchangeInfo: a stream of events without an end, or a list.",
        "x-weight": 0,
        "parameters": [*parameters, {"name": "Last-Event-ID", "in": "header", "schema": _TEXT}],
        "responses": {
            "200": {
                "description": "Server-Sent Events, or a list for `Accept: application/json`.",
                "content": {"text/event-stream": {}, "application/json": {"schema": listed}},
            },
            **_errors(),
        },
    }


def _itself() -> Json:
    answer = {"description": "This document.", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "operationId": "get /openapi.json",
        "tags": ["gateway"],
        "x-weight": 0,
        "responses": {"200": answer, **_errors()},
    }
