"""How answers look on the wire: variants, validators, Age, Cache-Status and errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.lines import begin_of
from proxy.core.messages import Entry, Lifetimes, OriginResponse, arrived_age_seconds
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.reply import Outcome, Rendition, Reply, cache_status, error_reply, passed_reply
from proxy.errors import (
    AnswerCut,
    BackedOff,
    BadAnswer,
    Banned,
    BudgetUsedUp,
    ConnectionLost,
    MethodNotAllowed,
    OriginError,
    Paused,
    RequestRejected,
    Restricted,
    SidecarError,
    TooSlow,
    UnknownPath,
    Unreachable,
)

STORED_AT = 1_800_000_000.0
TIME = CanonicalQuery(endpoint=ENDPOINTS["/api/v3/time"])
JSON = "application/json;charset=UTF-8"
VARY = ("Vary", "Accept-Encoding, Accept, X-MBX-SBE, X-MBX-TIME-UNIT")


def entry(*, status: int = 200, gzip: bytes | None = b"GZ") -> Entry:
    return Entry(
        status=status,
        content_type=JSON,
        body=b'{"a":1}',
        gzip=gzip,
        etag="abc.1800000000000",
        stored_at=STORED_AT,
        lifetimes=Lifetimes(fresh_seconds=60.0, stale_while_revalidate_seconds=60.0),
    )


def reply(
    stored: Entry,
    outcome: Outcome = Outcome.HIT,
    *,
    age_seconds: float = 17.5,
    gzip: bool = False,
    if_none_match: str | None = None,
    detail: str | None = None,
) -> Reply:
    """Without its rendition, which says how it was made."""
    rendition = Rendition(
        entry=stored,
        outcome=outcome,
        key="spot:exchangeInfo:all",
        endpoint="exchangeInfo",
        weight=20,
        gzip=gzip,
        if_none_match=if_none_match,
        detail=detail,
    )
    return structs.replace(rendition.reply(STORED_AT + age_seconds), rendition=None)


# Which variant


@pytest.mark.parametrize(
    ("stored", "gzip", "body", "etag", "encoding"),
    [
        (entry(), False, b'{"a":1}', 'W/"abc"', None),
        (entry(), True, b"GZ", 'W/"abc"', "gzip"),
        (entry(gzip=None), True, b'{"a":1}', 'W/"abc"', None),
        (entry(gzip=None), False, b'{"a":1}', 'W/"abc"', None),
        (entry(gzip=b""), True, b"", 'W/"abc"', "gzip"),
    ],
)
def test_each_variant_has_its_own_body_and_all_share_a_weak_etag(
    stored: Entry, gzip: bool, body: bytes, etag: str, encoding: str | None
) -> None:
    answer = reply(stored, gzip=gzip)
    headers = dict(answer.headers)
    assert (answer.status, answer.body, headers["ETag"]) == (200, body, etag)
    assert headers.get("Content-Encoding") == encoding
    assert headers["Content-Type"] == JSON


# Validators


@pytest.mark.parametrize(
    ("stored", "gzip", "if_none_match", "status"),
    [
        (entry(), False, '"abc"', 304),
        (entry(), False, 'W/"abc"', 304),
        (entry(), True, 'W/"abc"', 304),
        (entry(), True, '"abc"', 304),
        (entry(), False, 'W/"abc.1800000000000"', 200),
        (entry(gzip=None), True, '"abc"', 304),
        (entry(), False, "*", 304),
        (entry(), False, '"other"', 200),
        (entry(status=400), False, '"abc"', 400),
        (entry(status=400), False, "*", 400),
    ],
)
def test_a_client_that_holds_any_variant_gets_304(stored: Entry, gzip: bool, if_none_match: str, status: int) -> None:
    assert reply(stored, gzip=gzip, if_none_match=if_none_match).status == status


def test_304_has_the_headers_that_update_a_stored_answer_and_no_body() -> None:
    answer = reply(entry(), gzip=True, if_none_match='W/"abc"')
    assert answer.body == b""
    assert answer.headers == (
        ("ETag", 'W/"abc"'),
        ("Cache-Control", "max-age=60, must-revalidate"),
        VARY,
        ("Age", "17"),
        ("Cache-Status", "binance-sidecar; hit; ttl=42"),
    )


# Notices of the origin


@pytest.mark.parametrize("if_none_match", [None, "*"])
def test_the_notice_of_a_retired_schema_is_passed_on(if_none_match: str | None) -> None:
    answer = reply(replace(entry(), sbe_deprecated="3:4"), if_none_match=if_none_match)
    assert ("X-MBX-SBE-DEPRECATED", "3:4") in answer.headers
    assert "X-MBX-SBE-DEPRECATED" not in dict(reply(entry()).headers)


@pytest.mark.parametrize(("value", "sent"), [("3:4", "3:4"), ("", ""), ("a\r\nb", None), ("\xe9", None)])
def test_the_notice_is_passed_on_with_answers_that_are_not_stored(value: str, sent: str | None) -> None:
    response = OriginResponse(
        status=200, headers={"x-mbx-sbe-deprecated": value}, body=b"", sent_at=STORED_AT, received_at=STORED_AT
    )
    headers = dict(passed_reply(response, Outcome.BYPASS, query=TIME).all_headers())
    assert headers.get("X-MBX-SBE-DEPRECATED") == sent


# Age and Cache-Status


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 0), ({"age": "75"}, 75), ({"age": "-1"}, 0), ({"age": "1.5"}, 0), ({"age": "9" * 5000}, 2**31)],
)
def test_the_age_that_an_answer_arrived_with_is_read(headers: dict[str, str], seconds: int) -> None:
    assert arrived_age_seconds(headers) == seconds


def test_the_age_of_a_cache_before_us_is_added_to_ours_and_costs_no_freshness() -> None:
    headers = dict(reply(replace(entry(), arrived_age_seconds=75)).headers)
    assert (headers["Age"], headers["Cache-Status"]) == ("92", "binance-sidecar; hit; ttl=42")


def test_an_answer_from_an_entry_has_these_headers() -> None:
    assert reply(entry(), gzip=True) == Reply(
        status=200,
        headers=(
            ("ETag", 'W/"abc"'),
            ("Cache-Control", "max-age=60, must-revalidate"),
            VARY,
            ("Age", "17"),
            ("Cache-Status", "binance-sidecar; hit; ttl=42"),
            ("Content-Type", JSON),
            ("Content-Encoding", "gzip"),
        ),
        body=b"GZ",
        outcome=Outcome.HIT,
        endpoint="exchangeInfo",
        weight=20,
    )


@pytest.mark.parametrize(
    ("age_seconds", "age", "ttl"),
    [
        (-1.9, "0", "60"),
        (-5.0, "60", "0"),
        (0.0, "0", "60"),
        (0.9, "0", "59"),
        (60.0, "60", "0"),
        (60.1, "60", "-1"),
        (63.0, "63", "-3"),
    ],
)
def test_age_and_ttl_are_whole_seconds(age_seconds: float, age: str, ttl: str) -> None:
    headers = dict(reply(entry(), Outcome.STALE, age_seconds=age_seconds).headers)
    assert headers["Age"] == age
    assert headers["Cache-Status"] == f"binance-sidecar; hit; ttl={ttl}"


@pytest.mark.parametrize(
    ("outcome", "ttl_seconds", "detail", "expected"),
    [
        (Outcome.HIT, 42.0, None, "hit; ttl=42"),
        (Outcome.HIT, 42.9, None, "hit; ttl=42"),
        (Outcome.STALE, -3.0, None, "hit; ttl=-3"),
        (Outcome.STALE, -0.5, None, "hit; ttl=-1"),
        (Outcome.STALE_IF_ERROR, -300.0, "quota", "hit; ttl=-300; detail=quota"),
        (Outcome.SNAPSHOT, 42.0, None, "hit; ttl=42; detail=snapshot"),
        (Outcome.MISS, 60.0, None, "fwd=uri-miss; stored"),
        (Outcome.EXPIRED, 60.0, None, "fwd=stale; stored"),
        (Outcome.COLLAPSED, 60.0, None, "fwd=uri-miss; collapsed"),
        (Outcome.BYPASS, 0.0, None, "fwd=bypass"),
        (Outcome.REFUSED, 0.0, "quota", "detail=quota"),
        (Outcome.FAILED, 0.0, "too-slow", "detail=too-slow"),
        (Outcome.REJECTED, 0.0, "rejected", "detail=rejected"),
    ],
)
def test_cache_status_tells_where_an_answer_came_from(
    outcome: Outcome, ttl_seconds: float, detail: str | None, expected: str
) -> None:
    status = cache_status(outcome, ttl_seconds=ttl_seconds, detail=detail)
    assert status == f"binance-sidecar; {expected}"


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_cache_status(outcome: Outcome) -> None:
    assert cache_status(outcome, detail="quota").startswith("binance-sidecar; ")


# What is passed on, and what fails


def test_what_is_passed_on_keeps_status_type_body_and_what_it_tells_of_the_weight() -> None:
    response = OriginResponse(
        status=400,
        headers={"content-type": "application/sbe", "cache-control": "max-age=9", "x-mbx-used-weight": "7"},
        body=b"\x00\x01",
        sent_at=STORED_AT,
        received_at=STORED_AT,
    )
    reply = passed_reply(response, Outcome.BYPASS, query=TIME)
    headers = (
        ("Content-Type", "application/sbe"),
        ("Cache-Control", "no-store"),
        ("Cache-Status", "binance-sidecar; fwd=bypass"),
    )
    assert reply.all_headers() == headers
    assert reply == Reply(
        status=400,
        begin=begin_of(400, headers),
        body=b"\x00\x01",
        outcome=Outcome.BYPASS,
        endpoint="time",
        weight=1,
        told_weight=7,
    )


@pytest.mark.parametrize(
    ("error", "status", "body", "detail", "more"),
    [
        (RequestRejected(-1121, "Invalid symbol."), 400, b'{"code":-1121,"msg":"Invalid symbol."}', "rejected", ()),
        (UnknownPath("m"), 404, b'{"code":-1020,"msg":"m"}', "unknown-path", ()),
        (MethodNotAllowed("m"), 405, b'{"code":-1020,"msg":"m"}', "method", (("Allow", "GET, HEAD, OPTIONS"),)),
        (
            BudgetUsedUp("m", retry_after_seconds=12.1),
            429,
            b'{"code":-1003,"msg":"m"}',
            "quota",
            (("Retry-After", "13"),),
        ),
        (
            BackedOff("m", retry_after_seconds=1.0),
            429,
            b'{"code":-1003,"msg":"m"}',
            "back-off",
            (("Retry-After", "1"),),
        ),
        (
            Banned("m", retry_after_seconds=-4.0),
            418,
            b'{"code":-1003,"msg":"m"}',
            "ban",
            (("Retry-After", "1"),),
        ),
        (
            Paused("m", retry_after_seconds=0.2),
            403,
            b'{"code":0,"msg":"m"}',
            "pause",
            (("Retry-After", "1"),),
        ),
        (Unreachable("m"), 502, b'{"code":0,"msg":"m"}', "unreachable", ()),
        (ConnectionLost("m"), 502, b'{"code":0,"msg":"m"}', "connection-lost", ()),
        (AnswerCut("m"), 502, b'{"code":-1001,"msg":"m"}', "connection-lost", ()),
        (BadAnswer("m"), 502, b'{"code":-1001,"msg":"m"}', "bad-answer", ()),
        (TooSlow("m"), 504, b'{"code":-1007,"msg":"m"}', "too-slow", ()),
    ],
)
def test_every_error_has_its_answer(
    error: SidecarError, status: int, body: bytes, detail: str, more: tuple[tuple[str, str], ...]
) -> None:
    assert error_reply(error, Outcome.FAILED, endpoint="ping") == Reply(
        status=status,
        headers=(
            ("Content-Type", JSON),
            ("Cache-Control", "no-store"),
            ("Cache-Status", f"binance-sidecar; detail={detail}"),
            *more,
        ),
        body=body,
        outcome=Outcome.FAILED,
        endpoint="ping",
        weight=0,
    )


def test_an_error_text_is_escaped() -> None:
    error = RequestRejected(-1100, 'a "b" \\w ü\n')
    assert error_reply(error, Outcome.REJECTED).body == '{"code":-1100,"msg":"a \\"b\\" \\\\w ü\\n"}'.encode()


def test_451_passes_the_origins_body() -> None:
    answer = error_reply(Restricted(b'{ "code": 0 }', content_type="application/json"), Outcome.FAILED)
    assert (answer.status, answer.body) == (451, b'{ "code": 0 }')
    assert ("Content-Type", "application/json") in answer.headers


def test_a_5xx_passes_the_origins_status_body_and_type() -> None:
    answer = error_reply(OriginError(503, b"<html>", content_type="text/html"), Outcome.FAILED)
    assert (answer.status, answer.body) == (503, b"<html>")
    assert ("Content-Type", "text/html") in answer.headers
    assert "Content-Type" not in dict(error_reply(OriginError(502, b"", content_type=""), Outcome.FAILED).headers)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, JSON),
        (JSON, JSON),
        ("application/json;\tcharset=UTF-8", "application/json; charset=UTF-8"),
        ("application/json;\xff", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("application/json\x7f", "application/octet-stream"),
        ("application/json\r\nSet-Cookie: a=b", "application/octet-stream"),
        ("text/html\udcff", "application/octet-stream"),
    ],
)
def test_a_content_type_that_may_not_be_sent_again_is_not(told: str | None, expected: str) -> None:
    headers = {} if told is None else {"content-type": told}
    response = OriginResponse(status=200, headers=headers, body=b"{}", sent_at=0.0, received_at=0.0)
    assert response.content_type == expected
