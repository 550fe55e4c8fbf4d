"""What each answer of the origin means (Binance's API documents), as one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import ClientRequest, OriginResponse
from proxy.core.query.canonical import Bypass, CanonicalQuery, canonicalize
from proxy.core.quota.block import BlockReason
from proxy.core.verdict import (
    MAX_ERROR_BYTES,
    Failed,
    Good,
    Negative,
    Throttled,
    Verdict,
    contracts_rate_limits,
    judge,
    told_time,
)
from proxy.errors import BadAnswer, OriginError, Restricted

NOW = 1_800_000_000.0
PING, TIME = "/api/v3/ping", "/api/v3/time"
INFO, RULES = "/api/v3/exchangeInfo", "/api/v3/executionRules"
EVERYWHERE = (PING, TIME, INFO, RULES)
LIMITS = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
DOCUMENT = orjson.dumps(
    {
        "timezone": "UTC",
        "serverTime": 1_800_000_000_123,
        "rateLimits": LIMITS,
        "exchangeFilters": [],
        "symbols": [{"symbol": "A"}],
    }
)
HTML = b"<!DOCTYPE html>\n<HTML><BODY><H1>403 ERROR</H1></BODY></HTML>\n"
ERROR = b'{"code":-1121,"msg":"Invalid symbol."}'
DEEP = b'{"a":' * 100_000
SBE = "application/sbe"


def query(path: str, *, sbe: str | None = None, raw_query: str = "") -> CanonicalQuery:
    accept = SBE if sbe is not None else None
    request = ClientRequest(method="GET", path=path, raw_query=raw_query, accept=accept, sbe_schema=sbe)
    read = canonicalize(ENDPOINTS[path], request)
    if isinstance(read, Bypass):
        return read.query
    assert isinstance(read, CanonicalQuery)
    return read


def verdict(
    path: str, status: int, body: bytes = b"", *, sbe: str | None = None, headers: Mapping[str, str] | None = None
) -> Verdict:
    response = OriginResponse(status=status, headers=headers or {}, body=body, sent_at=NOW, received_at=NOW)
    return judge(query(path, sbe=sbe), response, NOW)


# --- 200.


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (PING, b"{}", Good()),
        (TIME, b'{"serverTime":1800000000123}', Good()),
        (TIME, b'{"serverTime":1800000000123456}', Good((), 1_800_000_000.123456)),
        (TIME, b'{"serverTime":1800000000123,"new":[1]}', Good((), 1_800_000_000.123)),
        (RULES, b'{"symbolRules":[]}', Good()),
        (RULES, '{"symbolRules":[{"symbol":"币安人生USDT"}]}'.encode(), Good()),
    ],
)
def test_a_whole_answer_that_was_asked_for_is_good(path: str, body: bytes, expected: Good) -> None:
    assert verdict(path, 200, body) == expected


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"serverTime":1800000000123}', 1_800_000_000.123),
        (b'{"serverTime":1800000000123456}', 1_800_000_000.123456),
        (b'{"new":[1],"serverTime":1800000000123}', 1_800_000_000.123),
    ],
)
def test_the_time_is_told_to_those_that_ask(body: bytes, seconds: float) -> None:
    response = OriginResponse(status=200, headers={}, body=body, sent_at=NOW, received_at=NOW)
    good = judge(query(TIME), response, NOW)
    assert isinstance(good, Good)
    assert told_time(query(TIME).endpoint, good, response) == seconds


def test_a_document_tells_its_limits_and_its_time() -> None:
    assert verdict(INFO, 200, DOCUMENT) == Good(tuple(LIMITS), 1_800_000_000.123)


@pytest.mark.parametrize("path", [TIME, INFO])
def test_a_time_that_no_clock_can_have_is_not_told(path: str) -> None:
    digits = b"1" + b"0" * 400
    body = DOCUMENT.replace(b"1800000000123", digits) if path == INFO else b'{"serverTime":%b}' % digits
    told = verdict(path, 200, body)
    assert isinstance(told, Good)
    assert told.server_time is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"{} {}",
        b"not JSON",
        HTML,
        ERROR,
        b'{"code":null}',
        b'{"serverTime":1800000000123,"symbols":[{"symbol":"A"}],"rateLimits":[],"code":0}',
        b'{"serverTime":1800000000123,"symbols":[{"symbol":"A"}],"rateLimits":[],"a":"\xff"}',
        b"\xff",
        DEEP,
    ],
    ids=lambda body: f"{body[:10]!r}{body[-10:]!r}",
)
@pytest.mark.parametrize("path", EVERYWHERE)
def test_a_200_that_proves_nothing_is_bad(path: str, body: bytes) -> None:
    told = verdict(path, 200, body, headers={"x-mbx-used-weight-1m": "7"})
    assert isinstance(told, Failed)
    assert isinstance(told.error, BadAnswer)
    assert told.error.headers == {"x-mbx-used-weight-1m": "7"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TIME, b"{}"),
        (TIME, b'{"serverTime":"1800000000123"}'),
        (TIME, b'{"serverTime":0}'),
        (TIME, b'{"serverTime":-1}'),
        (TIME, b'{"serverTime":1e400}'),
        (INFO, b"{}"),
        (INFO, b'{"serverTime":1800000000123,"symbols":[{"symbol":"A"}]}'),
        (INFO, b'{"serverTime":1800000000123,"rateLimits":[]}'),
        (INFO, b'{"rateLimits":[],"symbols":[{"symbol":"A"}]}'),
        (INFO, DOCUMENT[:-1]),
    ],
)
def test_a_200_without_what_was_asked_for_is_bad(path: str, body: bytes) -> None:
    assert isinstance(verdict(path, 200, body), Failed)


@pytest.mark.parametrize(
    ("raw_query", "may_be_empty"),
    [
        ("", False),
        ("showPermissionSets=false", False),
        ("symbol=BTCUSDT", False),
        ("symbols=%5B%22BTCUSDT%22%5D", False),
        ("symbolStatus=HALT", True),
        ("permissions=MARGIN", True),
        ("symbols=[]", True),
    ],
)
def test_a_document_without_symbols_is_good_only_if_a_filter_may_match_none(raw_query: str, may_be_empty: bool) -> None:
    asked, empty = query(INFO, raw_query=raw_query), DOCUMENT.replace(b'[{"symbol":"A"}]', b"[]")
    for body, is_good in ((DOCUMENT, True), (empty, may_be_empty)):
        response = OriginResponse(status=200, headers={}, body=body, sent_at=NOW, received_at=NOW)
        assert isinstance(judge(asked, response, NOW), Good) is is_good


@pytest.mark.parametrize("contract", [b"1", b"null", b'"A"', b"[]", b"{}", b'{"symbol":1}', b'{"symbol":""}'])
@pytest.mark.parametrize("member", [b"symbols", b"optionSymbols"])
def test_a_contract_has_a_name(member: bytes, contract: bytes) -> None:
    body = b'{"serverTime":1800000000123,"rateLimits":[],"%b":[{"symbol":"A"},%b]}'
    assert contracts_rate_limits(body % (member, b'{"symbol":"B"}')) == []
    with pytest.raises(BadAnswer):
        contracts_rate_limits(body % (member, contract))


# --- SBE: eight bytes of head, little-endian: block length, template, schema, version.


def message(*, template: int = 103, schema: int = 3) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in (26, template, schema, 5)) + b"rest"


AS_SBE = {"content-type": SBE}


def test_an_sbe_message_of_the_schema_that_was_asked_for_is_good() -> None:
    assert verdict(INFO, 200, message(), sbe="3:5", headers=AS_SBE) == Good()


@pytest.mark.parametrize(
    ("body", "sbe"),
    [
        (message(template=100), "3:5"),
        (message(schema=2), "3:5"),
        (message()[:7], "3:5"),
        (b"", "3:5"),
        (message(), None),
    ],
    ids=["an error", "another schema", "cut short", "empty", "not asked for"],
)
def test_any_other_sbe_message_is_bad(body: bytes, sbe: str | None) -> None:
    assert isinstance(verdict(INFO, 200, body, sbe=sbe, headers=AS_SBE), Failed)


def test_json_is_good_too_where_sbe_was_asked_for() -> None:
    told = verdict(INFO, 200, DOCUMENT, sbe="3:5", headers={"content-type": "application/json;charset=UTF-8"})
    assert isinstance(told, Good)


def test_an_sbe_error_with_400_is_the_origins_own_refusal() -> None:
    assert verdict(INFO, 400, message(template=100), sbe="3:5", headers=AS_SBE) == Negative()


# --- Refusals of this request.


@pytest.mark.parametrize("status", [400, 401, 404, 405, 409, 499])
@pytest.mark.parametrize("path", EVERYWHERE)
def test_a_4xx_with_an_error_body_is_the_answer(path: str, status: int) -> None:
    assert verdict(path, status, ERROR) == Negative()


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "body",
    [b"", HTML, b"{}", b"[]", b'{"code":-1121}', b'{"code":"-1121","msg":"m"}', b'{"code":-1,"msg":"\xff"}', DEEP],
    ids=lambda body: f"{body[:10]!r}{body[-10:]!r}",
)
@pytest.mark.parametrize("status", [400, 404, 410, 414])
@pytest.mark.parametrize("path", EVERYWHERE)
def test_a_4xx_is_the_answer_whatever_its_body(path: str, status: int, body: bytes) -> None:
    assert verdict(path, status, body[:MAX_ERROR_BYTES]) == Negative()


@pytest.mark.parametrize("status", [407, 408, 421, 425])
def test_a_4xx_about_the_connection_is_passed_on_and_not_stored(status: int) -> None:
    told = verdict(INFO, status, HTML, headers={"content-type": "text/html"})
    assert isinstance(told, Failed)
    assert isinstance(told.error, OriginError)
    assert (told.error.status, told.error.body, told.error.content_type) == (status, HTML, "text/html")


@pytest.mark.parametrize("status", [400, 404, 451, 500, 503])
def test_an_error_too_large_to_be_held_proves_nothing(status: int) -> None:
    told = verdict(INFO, status, bytes(MAX_ERROR_BYTES + 1))
    assert isinstance(told, Failed)
    assert isinstance(told.error, BadAnswer)


# --- Refusals of this IP.


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (429, ERROR, {"retry-after": "7"}, Throttled(BlockReason.BACK_OFF, NOW + 7)),
        (429, HTML, {}, Throttled(BlockReason.BACK_OFF, None)),
        (429, b"", {"retry-after": "soon"}, Throttled(BlockReason.BACK_OFF, None)),
        (429, b"", {"retry-after": "Fri, 15 Jan 2027 08:00:20 GMT"}, Throttled(BlockReason.BACK_OFF, NOW + 20)),
        (403, HTML, {}, Throttled(BlockReason.PAUSE, None)),
        (403, ERROR, {"retry-after": "90"}, Throttled(BlockReason.PAUSE, NOW + 90)),
        (418, ERROR, {"retry-after": "120"}, Throttled(BlockReason.BAN, NOW + 120)),
        (418, b"IP banned until 1800000300000.", {}, Throttled(BlockReason.BAN, NOW + 300)),
        (418, b"IP banned until 1800000300000.", {"retry-after": "0"}, Throttled(BlockReason.BAN, NOW + 300)),
        (418, b"IP banned until 1800000300000.", {"retry-after": "400"}, Throttled(BlockReason.BAN, NOW + 400)),
        (418, b"\xff\xfe", {}, Throttled(BlockReason.BAN, None)),
    ],
)
@pytest.mark.parametrize("path", EVERYWHERE)
def test_a_refusal_of_the_ip_blocks_until_the_latest_that_it_tells(
    path: str, status: int, body: bytes, headers: dict[str, str], expected: Throttled
) -> None:
    assert verdict(path, status, body, headers=headers) == expected


def test_a_restricted_location_keeps_the_origins_body() -> None:
    told = verdict(INFO, 451, b'{\n  "code": 0\n}', headers={"content-type": "application/json"})
    assert isinstance(told, Failed)
    assert isinstance(told.error, Restricted)
    assert (told.error.body, told.error.content_type) == (b'{\n  "code": 0\n}', "application/json")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (INFO, {"raw_query": "permissions=UNION%20SELECT"}),
        (INFO, {"raw_query": "showPermissionSets=maybe"}),
        (RULES, {"raw_query": "symbols=%5B%5D"}),
        (PING, {"sbe": ""}),
    ],
)
def test_a_403_to_a_clients_own_words_tells_nothing_of_the_ip(path: str, asked: dict[str, str]) -> None:
    read = query(path, **asked)
    assert read.bypass_hash is not None
    for body in (HTML, ERROR, b""):
        told = judge(read, OriginResponse(status=403, headers={}, body=body, sent_at=NOW, received_at=NOW), NOW)
        assert told == Negative(by_firewall=True)


@pytest.mark.parametrize("status", [429, 418])
def test_other_refusals_of_the_ip_block_whatever_was_asked(status: int) -> None:
    read = query(INFO, raw_query="permissions=UNION%20SELECT")
    told = judge(read, OriginResponse(status=status, headers={}, body=b"", sent_at=NOW, received_at=NOW), NOW)
    assert isinstance(told, Throttled)


# --- Failures of the origin.


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 599])
@pytest.mark.parametrize(
    ("body", "content_type"), [(b"", ""), (ERROR, "application/json;charset=UTF-8"), (HTML, "text/html")]
)
def test_a_5xx_keeps_status_type_and_body(status: int, body: bytes, content_type: str) -> None:
    headers = {"x-mbx-used-weight-1m": "7"} | ({"content-type": content_type} if content_type else {})
    told = verdict(INFO, status, body, headers=headers)
    assert isinstance(told, Failed)
    assert isinstance(told.error, OriginError)
    assert (told.error.status, told.error.body, told.error.content_type) == (status, body, content_type)
    assert told.error.headers == headers


# --- Requests with a key.


@dataclass(frozen=True)
class Keyed:
    """A request of one account, as far as its answer is judged."""

    endpoint: Endpoint = ENDPOINTS[INFO]
    key: str = "k"
    weight: int = 1
    method: str = "POST"
    target: str = "/"
    body: bytes = b""
    is_keyed: bool = True
    passes_as_it_came: bool = False
    upstream_headers: Mapping[str, str] = field(default_factory=dict)
    has_own_words: bool = True
    names_symbols: bool = False
    sbe: str | None = None


ORDERS_LIMIT = b'{"code":-1015,"msg":"Too many new orders; current limit is 100 orders per 10 SECOND."}'


def of_account(status: int, body: bytes = b"") -> Verdict:
    return judge(Keyed(), OriginResponse(status=status, headers={}, body=body, sent_at=NOW, received_at=NOW), NOW)


@pytest.mark.parametrize("status", [200, 201, 204, 206])
@pytest.mark.parametrize("body", [b"", b"[]", b"not JSON", ERROR], ids=["empty", "list", "text", "error in 200"])
def test_any_2xx_to_a_request_with_a_key_passes_as_it_came(status: int, body: bytes) -> None:
    assert of_account(status, body) == Good()


def test_a_429_about_an_accounts_orders_says_nothing_of_the_ip() -> None:
    assert of_account(429, ORDERS_LIMIT) == Negative()


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":-1003,"msg":"Too much request weight used."}',
        b'{"code":"-1015"}',
        b"[-1015]",
        b"",
        HTML,
        DEEP,
        b'{"code":-1015,"msg":"\xff"}',
        b'{"code":-1015}' + b" " * MAX_ERROR_BYTES,
    ],
    ids=["weight", "text", "list", "empty", "page", "deep", "not UTF-8", "too large"],
)
def test_any_other_429_to_a_request_with_a_key_blocks(body: bytes) -> None:
    assert of_account(429, body) == Throttled(BlockReason.BACK_OFF, None)


def test_a_429_about_orders_blocks_whoever_sent_none() -> None:
    assert verdict(INFO, 429, ORDERS_LIMIT) == Throttled(BlockReason.BACK_OFF, None)
    assert of_account(418, ORDERS_LIMIT) == Throttled(BlockReason.BAN, None)
    assert of_account(400, ORDERS_LIMIT) == Negative()


# --- Everything else.


@pytest.mark.parametrize("status", [100, 201, 204, 206, 301, 302, 304, 600, 999])
@pytest.mark.parametrize("body", [b"", ERROR, DOCUMENT, HTML], ids=["empty", "error", "document", "page"])
def test_any_other_status_proves_nothing(status: int, body: bytes) -> None:
    headers: dict[str, Any] = {"x-mbx-used-weight-1m": "7"}
    told = verdict(INFO, status, body, headers=headers)
    assert isinstance(told, Failed)
    assert isinstance(told.error, BadAnswer)
    assert told.error.msg == f"The origin answered {status}."
    assert told.error.headers == headers
