"""How long an answer may be stored, and how many bytes of history Redis gets from one replica."""

from __future__ import annotations

import pytest

from proxy.cache.lifetimes import Policy, Room
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.messages import Lifetimes, OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from tests.core.query.test_market import query

NOW = 1_800_000_000.0
NONE, SHORT, LONG = (Lifetimes(fresh_seconds=seconds) for seconds in (0.0, 5.0, 600.0))
POSITIVE, NEGATIVE = Lifetimes(fresh_seconds=60.0, stale_if_error_seconds=60.0), Lifetimes(fresh_seconds=10.0)
CANDLES = "symbol=BTCUSDT&interval=1m"
ENDED = f"{CANDLES}&endTime=1500000000000"


def policy(*, market: Lifetimes = NONE, history: Lifetimes = NONE) -> Policy:
    return Policy(positive=POSITIVE, negative=NEGATIVE, market=market, history=history)


def response(body: bytes = b"[]", *, content_type: str = "application/json") -> OriginResponse:
    return OriginResponse(status=200, headers={"content-type": content_type}, body=body, sent_at=NOW, received_at=NOW)


def test_a_document_has_one_lifetime_for_good_answers_and_one_for_errors() -> None:
    chosen, document = policy(), CanonicalQuery(endpoint=ENDPOINTS["/api/v3/exchangeInfo"])
    assert chosen.may_keep(document)
    assert chosen.keeps(document, NOW)
    assert chosen.of(document, response(), is_good=True, now=NOW) is POSITIVE
    assert chosen.of(document, response(), is_good=False, now=NOW) is NEGATIVE


@pytest.mark.parametrize(
    ("chosen", "raw_query", "keeps", "good", "bad"),
    [
        (policy(), ENDED, False, None, None),
        (policy(market=SHORT), CANDLES, True, SHORT, SHORT),
        (policy(market=LONG), CANDLES, True, LONG, NEGATIVE),
        (policy(history=LONG), CANDLES, False, None, None),
        (policy(history=LONG), ENDED, True, LONG, None),
        (policy(market=SHORT, history=LONG), CANDLES, True, SHORT, SHORT),
        (policy(market=SHORT, history=LONG), ENDED, True, LONG, SHORT),
        (policy(market=LONG, history=SHORT), ENDED, True, LONG, NEGATIVE),
    ],
)
def test_market_data_that_can_change_and_history(
    chosen: Policy, raw_query: str, keeps: bool, good: Lifetimes | None, bad: Lifetimes | None
) -> None:
    candles = query("klines", raw_query)
    assert chosen.keeps(candles, NOW) is keeps
    assert chosen.of(candles, response(), is_good=True, now=NOW) is good
    assert chosen.of(candles, response(), is_good=False, now=NOW) is bad


def test_what_is_no_data_is_not_stored() -> None:
    chosen = policy(market=SHORT, history=LONG)
    assert chosen.of(query("klines", ENDED), response(b"[", content_type="text/html"), is_good=True, now=NOW) is None
    assert chosen.of(query("klines", ENDED), response(b'{"code":-1}'), is_good=True, now=NOW) is None


@pytest.mark.parametrize("name", ["fapi/v1/time", "fapi/v1/ping"])
def test_the_time_and_pings_are_kept_for_nobody(name: str) -> None:
    chosen = policy(market=SHORT, history=LONG)
    assert not chosen.may_keep(query(name))
    assert not chosen.keeps(query(name), NOW)


def test_history_is_counted_until_redis_has_forgotten_it() -> None:
    room = Room(100, 60.0)
    assert room.take(60, NOW)
    assert not room.take(41, NOW + 1.0)
    assert room.take(40, NOW + 2.0)
    assert not room.take(1, NOW + 59.9)
    assert room.take(60, NOW + 60.0)
    assert not room.take(1, NOW + 61.9)
    assert room.take(40, NOW + 62.0)


def test_what_is_larger_than_the_room_never_fits() -> None:
    room = Room(100, 60.0)
    assert not room.take(101, NOW)
    assert room.take(100, NOW)
