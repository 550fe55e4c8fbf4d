"""What each answer of the origin means (Binance's API documents), as one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.messages import ClientRequest, OriginResponse
from proxy.core.query.canonical import CanonicalQuery, canonicalize
from proxy.core.quota.block import BlockReason
from proxy.core.verdict import Failed, Good, Negative, Throttled, Verdict, judge
from proxy.errors import BadAnswer, Restricted

NOW = 1_800_000_000.0
PING, TIME = "/api/v3/ping", "/api/v3/time"
INFO, RULES = "/api/v3/exchangeInfo", "/api/v3/executionRules"
EVERYWHERE = (PING, TIME, INFO, RULES)
LIMITS = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
DOCUMENT = orjson.dumps(
    {"timezone": "UTC", "serverTime": 1_800_000_000_123, "rateLimits": LIMITS, "exchangeFilters": [], "symbols": []}
)
HTML = b"<!DOCTYPE html>\n<HTML><BODY><H1>403 ERROR</H1></BODY></HTML>\n"
ERROR = b'{"code":-1121,"msg":"Invalid symbol."}'
DEEP = b'{"a":' * 100_000
SBE = "application/sbe"


def query(path: str, *, sbe: str | None = None) -> CanonicalQuery:
    accept = SBE if sbe else None
    read = canonicalize(ENDPOINTS[path], ClientRequest(method="GET", path=path, accept=accept, sbe_schema=sbe))
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
        (TIME, b'{"serverTime":1800000000123}', Good((), 1_800_000_000.123)),
        (TIME, b'{"serverTime":1800000000123456}', Good((), 1_800_000_000.123456)),
        (TIME, b'{"serverTime":1800000000123,"new":[1]}', Good((), 1_800_000_000.123)),
        (RULES, b'{"symbolRules":[]}', Good()),
        (RULES, '{"symbolRules":[{"symbol":"币安人生USDT"}]}'.encode(), Good()),
    ],
)
def test_a_whole_answer_that_was_asked_for_is_good(path: str, body: bytes, expected: Good) -> None:
    assert verdict(path, 200, body) == expected


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
        b'{"serverTime":1800000000123,"symbols":[],"rateLimits":[],"code":0}',
        b'{"serverTime":1800000000123,"symbols":[],"rateLimits":[],"a":"\xff"}',
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
        (INFO, b'{"serverTime":1800000000123,"symbols":[]}'),
        (INFO, b'{"serverTime":1800000000123,"rateLimits":[]}'),
        (INFO, b'{"rateLimits":[],"symbols":[]}'),
        (INFO, DOCUMENT[:-1]),
    ],
)
def test_a_200_without_what_was_asked_for_is_bad(path: str, body: bytes) -> None:
    assert isinstance(verdict(path, 200, body), Failed)


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
    assert isinstance(verdict(INFO, 404, message(template=100), sbe="3:5", headers=AS_SBE), Failed)


# --- Refusals of this request.


@pytest.mark.parametrize("status", [400, 401, 404, 405, 409, 499])
@pytest.mark.parametrize("path", EVERYWHERE)
def test_a_4xx_with_an_error_body_is_the_answer(path: str, status: int) -> None:
    assert verdict(path, status, ERROR) == Negative()


@pytest.mark.parametrize(
    "body",
    [b"", HTML, b"{}", b"[]", b'{"code":-1121}', b'{"code":"-1121","msg":"m"}', b'{"code":-1,"msg":"\xff"}', DEEP],
    ids=lambda body: f"{body[:10]!r}{body[-10:]!r}",
)
@pytest.mark.parametrize("status", [400, 404])
def test_a_4xx_without_one_proves_nothing(status: int, body: bytes) -> None:
    told = verdict(INFO, status, body)
    assert isinstance(told, Failed)
    assert isinstance(told.error, BadAnswer)


# --- Refusals of this IP.


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


# --- Everything else.


@pytest.mark.parametrize("status", [100, 201, 204, 206, 301, 302, 304, 500, 501, 502, 503, 504, 520, 599, 999])
@pytest.mark.parametrize("body", [b"", ERROR, DOCUMENT, HTML], ids=["empty", "error", "document", "page"])
def test_any_other_status_proves_nothing(status: int, body: bytes) -> None:
    headers: dict[str, Any] = {"x-mbx-used-weight-1m": "7"}
    told = verdict(INFO, status, body, headers=headers)
    assert isinstance(told, Failed)
    assert isinstance(told.error, BadAnswer)
    assert told.error.msg == f"The origin answered {status}."
    assert told.error.headers == headers
