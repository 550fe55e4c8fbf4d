"""One key for all spellings of a question, the origin's own refusals, and what only the origin can tell."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.messages import ClientRequest
from proxy.core.query.canonical import Bypass, CanonicalQuery, Rejected, canonicalize
from proxy.core.query.parameters import BypassReason, read_pairs
from proxy.core.query.representation import Representation
from proxy.core.reply import Outcome, error_reply

PING, TIME = "/api/v3/ping", "/api/v3/time"
INFO, RULES = "/api/v3/exchangeInfo", "/api/v3/executionRules"

DUPLICATE_SYMBOLS = b"""{"code":-1101,"msg":"Duplicate values for parameter 'symbols'."}"""
ILLEGAL_SYMBOL = (
    rb"""{"code":-1100,"msg":"Illegal characters found in parameter 'symbol'; """
    rb"""legal range is '^[\\w\\-._&&[^a-z]]{1,50}$'."}"""
)
ILLEGAL_SYMBOLS = (
    rb"""{"code":-1100,"msg":"Illegal characters found in parameter 'symbols'; legal range is """
    rb"""'^\\[(\"[\\w\\-._&&[^a-z]]{1,50}\"(,\"[\\w\\-._&&[^a-z]]{1,50}\"){0,}){0,1}\\]$'."}"""
)
EMPTY_SYMBOL = b"""{"code":-1105,"msg":"Parameter 'symbol' was empty."}"""
REPEATED_SYMBOL = b"""{"code":-1151,"msg":"Symbol is present multiple times in the list."}"""
BOTH = (
    b"""{"code":-1128,"msg":"Combination of optional parameters invalid. """
    b"""Recommendation: 'symbol' and 'symbols' cannot both be sent."}"""
)
BAD_STATUS = b"""{"code":-1122,"msg":"Invalid symbolStatus."}"""
BAD_TIME_UNIT = b"""{"code":-1194,"msg":"Invalid value for time unit; expected either MICROSECOND or MILLISECOND."}"""


def too_many(count: int) -> bytes:
    return b"""{"code":-1101,"msg":"Too many parameters; expected '0' and received '%d'."}""" % count


def unread(read: int, sent: int) -> bytes:
    text = b"""{"code":-1104,"msg":"Not all sent parameters were read; read '%d' parameter(s) but was sent '%d'."}"""
    return text % (read, sent)


def read(
    path: str,
    raw_query: str,
    *,
    accept: str | None = None,
    time_unit: str | None = None,
    sbe_schema: str | None = None,
) -> CanonicalQuery | Rejected | Bypass:
    endpoint = ENDPOINTS.get(path)
    assert endpoint is not None
    request = ClientRequest(
        method="GET",
        path=path,
        raw_query=raw_query,
        accept=accept,
        time_unit=time_unit,
        sbe_schema=sbe_schema,
    )
    return canonicalize(endpoint, request)


def canonical(path: str, raw_query: str, *, accept: str | None = None) -> CanonicalQuery:
    result = read(path, raw_query, accept=accept)
    assert isinstance(result, CanonicalQuery), result
    return result


# What the origin refuses


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("path", "raw_query", "body"),
    [
        (PING, "x=1", too_many(1)),
        (PING, "x", too_many(1)),
        (TIME, "symbol=BTCUSDT&_=1", too_many(2)),
        (TIME, "a=1&a=2", b"""{"code":-1101,"msg":"Duplicate values for parameter 'a'."}"""),
        (INFO, "symbols=1&symbols=2", DUPLICATE_SYMBOLS),
        (INFO, "symbol=&x=1&symbols=&symbols=", DUPLICATE_SYMBOLS),
        (INFO, "%73ymbols=1&symbols=1", DUPLICATE_SYMBOLS),
        (INFO, "symbols=1&x=1&x=1&symbols=1", DUPLICATE_SYMBOLS),
        (INFO, "x=1", unread(0, 1)),
        (INFO, "symbol=btc&x=1", unread(1, 2)),
        (INFO, "symbol=&symbolStatus=&x=1&y", unread(2, 4)),
        (INFO, "Symbol=BTCUSDT", unread(0, 1)),
        (INFO, "symbol", EMPTY_SYMBOL),
        (INFO, "symbol=", EMPTY_SYMBOL),
        (INFO, "symbol=&showPermissionSets=false", EMPTY_SYMBOL),
        (INFO, "symbol=&symbols=x", EMPTY_SYMBOL),
        (INFO, "symbol=btcusdt", ILLEGAL_SYMBOL),
        (INFO, "symbol=BTC/USDT", ILLEGAL_SYMBOL),
        (INFO, "symbol=BTC+USDT", ILLEGAL_SYMBOL),
        (INFO, "symbol=BTC%2BUSDT", ILLEGAL_SYMBOL),
        (INFO, "symbol=BTCUSDT%0A", ILLEGAL_SYMBOL),
        (INFO, "symbol=%2542", ILLEGAL_SYMBOL),
        (INFO, "symbol=%00", ILLEGAL_SYMBOL),
        (INFO, "symbol=A=B", ILLEGAL_SYMBOL),
        (INFO, "symbol=" + "A" * 51, ILLEGAL_SYMBOL),
        (INFO, "symbol=" + "中" * 51, ILLEGAL_SYMBOL),
        (INFO, "symbol=a%C2%BD", ILLEGAL_SYMBOL),
        (INFO, 'symbol=["BTCUSDT"]', ILLEGAL_SYMBOL),
        (INFO, "symbol=btc&symbols=btc", ILLEGAL_SYMBOL),
        (INFO, "symbols=btc&symbol=btc", ILLEGAL_SYMBOL),
        (INFO, "symbol=btc&permissions=SPOT", ILLEGAL_SYMBOL),
        (INFO, "symbol=btc&symbolStatus=odd", ILLEGAL_SYMBOL),
        (INFO, "symbols=BTCUSDT", ILLEGAL_SYMBOLS),
        (INFO, "symbols=BTCUSDT,BNBBTC", ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["BTCUSDT",+"BNBBTC"]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["BTCUSDT",%20"BNBBTC"]', ILLEGAL_SYMBOLS),
        (INFO, "symbols=['BTCUSDT']", ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["btcusdt"]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["A","b"]', ILLEGAL_SYMBOLS),
        (INFO, r'symbols=["\u0041"]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["A",]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["A""B"]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["A"]]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=[""]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["A",""]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["]', ILLEGAL_SYMBOLS),
        (INFO, "symbols=[", ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["BTCUSDTXX', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=XXBTCUSDT"]', ILLEGAL_SYMBOLS),
        (INFO, "symbols=[1]", ILLEGAL_SYMBOLS),
        (INFO, "symbols=null", ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["A"]%0A', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["' + "A" * 51 + '"]', ILLEGAL_SYMBOLS),
        (INFO, 'symbol=A&symbols=["a"]', ILLEGAL_SYMBOLS),
        (INFO, 'symbols=["A","B","A"]', REPEATED_SYMBOL),
        (INFO, 'symbols=["A","A"]&showPermissionSets=false', REPEATED_SYMBOL),
        (INFO, 'symbol=A&symbols=["A"]', BOTH),
        (INFO, 'symbols=["A","B"]&showPermissionSets=false&symbol=C', BOTH),
        (INFO, "symbolStatus=trading", BAD_STATUS),
        (INFO, "symbolStatus=ODD&permissions=SPOT", BAD_STATUS),
        (RULES, "permissions=SPOT", unread(0, 1)),
        (RULES, "symbols=1&symbols=2", DUPLICATE_SYMBOLS),
        (RULES, "symbol=", EMPTY_SYMBOL),
        (RULES, "symbol=btc", ILLEGAL_SYMBOL),
        (RULES, "symbols=[btc]", ILLEGAL_SYMBOLS),
        (RULES, 'symbols=["A","A"]', REPEATED_SYMBOL),
        (RULES, "symbolStatus=odd", BAD_STATUS),
    ],
)
def test_what_the_origin_refuses_is_refused_in_its_own_words(path: str, raw_query: str, body: bytes) -> None:
    result = read(path, raw_query)
    assert isinstance(result, Rejected), result
    reply = error_reply(result.error, Outcome.REJECTED)
    assert (reply.status, reply.body) == (400, body)
    assert ("Content-Type", "application/json;charset=UTF-8") in reply.headers


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("time_unit", ["", "second", "Microsecond", "MICROSECOND ", "MICROSECOND, MICROSECOND"])
def test_a_bad_time_unit_is_refused_everywhere(path: str, time_unit: str) -> None:
    result = read(path, "", time_unit=time_unit)
    assert isinstance(result, Rejected), result
    assert error_reply(result.error, Outcome.REJECTED).body == BAD_TIME_UNIT


@pytest.mark.parametrize("sbe_schema", ["3:5\n", "é", "x" * 65, "3:5\x00"])
def test_an_sbe_header_that_cannot_be_sent_on_is_refused(sbe_schema: str) -> None:
    result = read(INFO, "", accept="application/sbe", sbe_schema=sbe_schema)
    assert isinstance(result, Rejected), result
    assert result.error.code == -1152


def test_each_refusal_is_an_exception_of_its_own() -> None:
    first, second = read(INFO, "symbol=btc"), read(INFO, "symbol=btc")
    assert isinstance(first, Rejected)
    assert isinstance(second, Rejected)
    assert first.error is not second.error
    assert first.error.msg == second.error.msg


# What only the origin can tell


@pytest.mark.parametrize(
    ("path", "raw_query", "reason"),
    [
        (INFO, "symbol=%", BypassReason.UNREADABLE),
        (INFO, "symbol=%4", BypassReason.UNREADABLE),
        (INFO, "symbol=%4&x=1", BypassReason.UNREADABLE),
        (INFO, "symbol=%zz", BypassReason.UNREADABLE),
        (INFO, "symbol=%C3%28", BypassReason.UNREADABLE),
        (INFO, "symbol=%ED%A0%80", BypassReason.UNREADABLE),
        (INFO, "symbol=\udc80", BypassReason.UNREADABLE),
        (INFO, "%zz=1", BypassReason.UNREADABLE),
        (INFO, "=1", BypassReason.UNREADABLE),
        (INFO, "symbol=A&=", BypassReason.UNREADABLE),
        (PING, "%zz", BypassReason.UNREADABLE),
        (TIME, "%zz", BypassReason.UNREADABLE),
        (INFO, "symbols=", BypassReason.EMPTY_VALUE),
        (INFO, "symbol=&permissions=", BypassReason.EMPTY_VALUE),
        (INFO, "showPermissionSets", BypassReason.EMPTY_VALUE),
        (RULES, "symbolStatus=", BypassReason.EMPTY_VALUE),
        (INFO, "symbol=%C2%BD", BypassReason.UNSURE_CHARACTER),
        (INFO, "symbol=A%CC%81", BypassReason.UNSURE_CHARACTER),
        (INFO, "symbol=%F0%9F%9A%80", BypassReason.UNSURE_CHARACTER),
        (INFO, "symbol=%F0%A0%80%80", BypassReason.UNSURE_CHARACTER),
        (INFO, "symbol=A%C2%85", BypassReason.UNSURE_CHARACTER),
        (INFO, 'symbols=["A","²"]', BypassReason.UNSURE_CHARACTER),
        (INFO, 'symbol=½&symbols=["a"]', BypassReason.UNSURE_CHARACTER),
        (INFO, "symbols=[]", BypassReason.EMPTY_LIST),
        (INFO, "symbols=[]&showPermissionSets=false", BypassReason.EMPTY_LIST),
        (INFO, "symbol=A&permissions=SPOT", BypassReason.COMBINATION),
        (INFO, 'symbols=["A"]&permissions=SPOT', BypassReason.COMBINATION),
        (INFO, "symbol=A&symbolStatus=TRADING", BypassReason.COMBINATION),
        (INFO, "symbol=A&symbolStatus=odd", BypassReason.COMBINATION),
        (INFO, 'symbols=["A","A"]&symbolStatus=odd', BypassReason.COMBINATION),
        (INFO, 'symbol=A&symbols=["B"]&permissions=SPOT', BypassReason.COMBINATION),
        (INFO, "symbol=A&symbols=[]", BypassReason.COMBINATION),
        (INFO, 'symbol=A&symbols=["B","B"]', BypassReason.COMBINATION),
        (INFO, "permissions=spot", BypassReason.PERMISSIONS),
        (INFO, "permissions=SPOT,MARGIN", BypassReason.PERMISSIONS),
        (INFO, "permissions=[]", BypassReason.PERMISSIONS),
        (INFO, 'permissions=[""]', BypassReason.PERMISSIONS),
        (INFO, "permissions=[SPOT]", BypassReason.PERMISSIONS),
        (INFO, 'permissions=["SPOT",+"MARGIN"]', BypassReason.PERMISSIONS),
        (INFO, 'permissions=["SPOT","SPOT"]', BypassReason.PERMISSIONS),
        (INFO, 'permissions="SPOT"', BypassReason.PERMISSIONS),
        (INFO, "permissions=1SPOT", BypassReason.PERMISSIONS),
        (INFO, "permissions=" + "A" * 51, BypassReason.PERMISSIONS),
        (INFO, "permissions=SPOT%0A", BypassReason.PERMISSIONS),
        (INFO, "symbol=btc&permissions=spot", BypassReason.PERMISSIONS),
        (INFO, "showPermissionSets=FALSE", BypassReason.SHOW_PERMISSION_SETS),
        (INFO, "showPermissionSets=0", BypassReason.SHOW_PERMISSION_SETS),
        (INFO, "symbol=btc&showPermissionSets=no", BypassReason.SHOW_PERMISSION_SETS),
        (INFO, "symbolStatus=END_OF_DAY", BypassReason.SYMBOL_STATUS),
        (INFO, "symbolStatus=CANCEL_ONLY&permissions=SPOT", BypassReason.SYMBOL_STATUS),
        (INFO, "symbolStatus=PRE_TRADING", BypassReason.SYMBOL_STATUS),
        (INFO, "symbolStatus=POST_TRADING", BypassReason.SYMBOL_STATUS),
        (RULES, "symbolStatus=AUCTION_MATCH", BypassReason.SYMBOL_STATUS),
        (INFO, "a=1&b=2&c=3&d=4&e=5&f=6", BypassReason.TOO_MANY),
        (INFO, "symbol=A&symbols=B&permissions=C&showPermissionSets=D&symbolStatus=E&x=6", BypassReason.TOO_MANY),
        (RULES, "a=1&b=2&c=3&d=4", BypassReason.TOO_MANY),
        (RULES, "symbol=A&showPermissionSets=true", BypassReason.COMBINATION),
        (RULES, "a=1&b=2", BypassReason.COMBINATION),
        (RULES, 'symbol=A&symbols=["B"]', BypassReason.COMBINATION),
        (RULES, "symbol=&symbols=", BypassReason.COMBINATION),
        (RULES, "symbol=A&symbolStatus=TRADING", BypassReason.COMBINATION),
        (RULES, 'symbols=["A"]&symbolStatus=TRADING', BypassReason.COMBINATION),
        (RULES, "symbols=[]", BypassReason.EMPTY_LIST),
    ],
)
def test_open_questions_go_to_the_origin(path: str, raw_query: str, reason: BypassReason) -> None:
    result = read(path, raw_query)
    assert isinstance(result, Bypass), result
    assert result.reason is reason
    assert result.query.symbols is None
    assert f":bypass={result.query.bypass_hash}" in result.query.key


def bypassed(raw_query: str, *, accept: str | None = None, sbe_schema: str | None = None) -> CanonicalQuery:
    result = read(INFO, raw_query, accept=accept, sbe_schema=sbe_schema)
    assert isinstance(result, Bypass), result
    return result.query


@pytest.mark.parametrize(
    ("raw_query", "verbatim"),
    [
        ("symbols=[]", "symbols=%5B%5D"),
        ("symbols=%5b%5D", "symbols=%5b%5D"),
        ("symbol=%zz&x=%", "symbol=%zz&x=%"),
        ("&&symbols=[]&", "&&symbols=%5B%5D&"),
        ("permissions=a+b c", "permissions=a+b%20c"),
        ("permissions=a\r\nHost: x#", "permissions=a%0D%0AHost:%20x%23"),
        ("symbol=½", "symbol=%C2%BD"),
        ("symbol=\udc80", "symbol=%80"),
        ("permissions=/?:@!$'()*,;=-._~", "permissions=/?:@!$'()*,;=-._~"),
    ],
)
def test_a_bypass_sends_the_clients_own_words(raw_query: str, verbatim: str) -> None:
    assert bypassed(raw_query).upstream_query == verbatim


def test_the_key_of_a_bypass_names_what_was_asked_whatever_the_spelling() -> None:
    key = "exchangeInfo:bypass=1d38c732bb564b1573cebdb7dc275469"
    assert bypassed("symbols=[]&showPermissionSets=false").key == key
    assert bypassed("showPermissionSets=false&&symbols=%5b%5d").key == key
    assert bypassed("showPermissionSets=false&symbols=[]") == bypassed("symbols=[]&showPermissionSets=false")
    assert bypassed("symbols=[]").key != key


def test_plus_is_a_space() -> None:
    assert bypassed("permissions=A+B").key == bypassed("permissions=A%20B").key
    assert bypassed("permissions=A+B").key != bypassed("permissions=A%2BB").key


def test_a_bypass_in_sbe_has_a_key_of_its_own() -> None:
    plain = bypassed("symbols=[]").key
    assert bypassed("symbols=[]", accept="application/sbe", sbe_schema="3:5").key == f"{plain};sbe=3:5"


@pytest.mark.parametrize("raw_query", ["", "symbol=A", "symbol=btc", "symbols=[]"])
@pytest.mark.parametrize("sbe_schema", [None, "", "3", "3:5:1", "a:b", "3:123456", ":", " 3:5"])
def test_sbe_alone_with_a_bad_header_goes_to_the_origin(raw_query: str, sbe_schema: str | None) -> None:
    result = read(INFO, raw_query, accept="application/sbe", sbe_schema=sbe_schema)
    assert isinstance(result, Bypass), result
    assert result.reason is BypassReason.SBE_HEADER
    expected = {"Accept": "application/sbe"} | ({"X-MBX-SBE": sbe_schema} if sbe_schema else {})
    assert result.query.upstream_headers == expected
    assert result.query.representation.sbe is None
    assert result.query.upstream_query == quote(raw_query, safe="=")
    assert result.query.key.endswith(";sbe=malformed")


def test_bad_sbe_headers_have_keys_of_their_own() -> None:
    headers = [None, "3", "4", "3;5"]
    assert len({bypassed("", accept="application/sbe", sbe_schema=header).key for header in headers}) == 4


@pytest.mark.parametrize("accept", ["application/sbe", "application/sbe, application/json"])
def test_a_refusal_in_sbe_is_left_to_the_origin(accept: str) -> None:
    result = read(INFO, "symbol=btc", accept=accept, sbe_schema="3:5")
    assert isinstance(result, Bypass), result
    assert result.reason is BypassReason.SBE_REFUSAL
    assert result.query.upstream_query == "symbol=btc"
    assert result.query.upstream_headers == {"Accept": accept, "X-MBX-SBE": "3:5"}


def test_the_order_of_repeated_names_is_part_of_a_bypass() -> None:
    first = bypassed("a=1&a=1&b=1&b=1", accept="application/sbe", sbe_schema="3:5")
    second = bypassed("b=1&b=1&a=1&a=1", accept="application/sbe", sbe_schema="3:5")
    assert first.key != second.key


# One key for all spellings


@pytest.mark.parametrize(
    ("key", "upstream_query", "spellings"),
    [
        ("exchangeInfo:all", "", ["", "&", "&&", "showPermissionSets=true", "&showPermissionSets=%74rue&"]),
        (
            "exchangeInfo:symbols=BTCUSDT",
            "symbol=BTCUSDT",
            [
                "symbol=BTCUSDT",
                "symbol=%42TCUSDT",
                "%73ymbol=BTCUSDT",
                'symbols=["BTCUSDT"]',
                "symbols=%5B%22BTCUSDT%22%5D",
                "showPermissionSets=true&symbol=BTCUSDT",
                "symbol=BTCUSDT&",
            ],
        ),
        (
            "exchangeInfo:symbols=BNBBTC,BTCUSDT",
            "symbols=%5B%22BNBBTC%22,%22BTCUSDT%22%5D",
            [
                "symbols=%5B%22BTCUSDT%22%2C%22BNBBTC%22%5D",
                "symbols=%5b%22BNBBTC%22%2c%22BTCUSDT%22%5d",
                "symbols=%5B%22BTCUSDT%22,%22BNBBTC%22%5D",
                "symbols=[%22BTCUSDT%22,%22BNBBTC%22]",
                'symbols=["BTCUSDT","BNBBTC"]',
                'symbols=["BNBBTC","BTCUSDT"]',
            ],
        ),
        (
            "exchangeInfo:symbols=币安人生USDT",
            "symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT",
            ["symbol=币安人生USDT", 'symbols=["%E5%B8%81%e5%ae%89%E4%BA%BA%E7%94%9FUSDT"]'],
        ),
        ("exchangeInfo:symbols=A-B_C.9", "symbol=A-B_C.9", ["symbol=A-B_C.9", "symbol=A%2DB%5fC%2E9"]),
        (
            "exchangeInfo:symbols=" + "A" * 50,
            "symbol=" + "A" * 50,
            ["symbol=" + "A" * 50, 'symbols=["' + "A" * 50 + '"]'],
        ),
        (
            "exchangeInfo:permissions=SPOT",
            "permissions=SPOT",
            ["permissions=SPOT", 'permissions=["SPOT"]', "permissions=%5B%22SPOT%22%5D"],
        ),
        (
            "exchangeInfo:permissions=MARGIN,TRD_GRP_261&symbolStatus=HALT&showPermissionSets=false",
            "permissions=%5B%22MARGIN%22,%22TRD_GRP_261%22%5D&symbolStatus=HALT&showPermissionSets=false",
            [
                'permissions=["TRD_GRP_261","MARGIN"]&symbolStatus=HALT&showPermissionSets=false',
                'showPermissionSets=false&symbolStatus=HALT&permissions=["MARGIN","TRD_GRP_261"]',
            ],
        ),
        (
            "exchangeInfo:symbols=A,B&showPermissionSets=false",
            "symbols=%5B%22A%22,%22B%22%5D&showPermissionSets=false",
            ['symbols=["A","B"]&showPermissionSets=false', 'showPermissionSets=false&symbols=["B","A"]'],
        ),
        ("exchangeInfo:symbolStatus=BREAK", "symbolStatus=BREAK", ["symbolStatus=BREAK"]),
        ("exchangeInfo:symbolStatus=TRADING", "symbolStatus=TRADING", ["symbolStatus=%54RADING"]),
    ],
)
def test_every_spelling_of_a_question_has_one_key(key: str, upstream_query: str, spellings: list[str]) -> None:
    queries = [canonical(INFO, spelling) for spelling in spellings]
    assert {query.key for query in queries} == {key}
    assert {query.upstream_query for query in queries} == {upstream_query}
    assert len(set(queries)) == 1


@pytest.mark.parametrize(
    ("path", "raw_query", "key"),
    [
        (PING, "", "ping:all"),
        (TIME, "", "time:all"),
        (RULES, "", "executionRules:all"),
        (RULES, 'symbols=["B","A"]', "executionRules:symbols=A,B"),
        (RULES, "symbolStatus=TRADING", "executionRules:symbolStatus=TRADING"),
    ],
)
def test_each_endpoint_has_keys_of_its_own(path: str, raw_query: str, key: str) -> None:
    assert canonical(path, raw_query).key == key


def test_a_long_key_is_cut_and_ends_in_a_hash() -> None:
    names = ",".join(f'"SYMBOL{number}USDT"' for number in range(10, 40))
    query = canonical(INFO, f"symbols=[{names}]&showPermissionSets=false")
    assert query.key == (
        "exchangeInfo:symbols=SYMBOL10USDT,SYMBOL11USDT,SYMBOL12USDT,SYMBOL13USDT,SYMBOL14USDT,SYMBOL15USDT,"
        "SYMBOL16USDT,SYMBOL17USDT,...#af09e87dec66f801d4a9b51d072adfaf"
    )


def test_long_lists_that_begin_alike_have_keys_of_their_own() -> None:
    head = ",".join(f'"SYMBOL{number}USDT"' for number in range(10, 40))
    keys = {canonical(INFO, f'symbols=[{head},"{tail}"]').key for tail in ("X", "Y")}
    keys |= {canonical(INFO, f'symbols=[{head},"X"]&showPermissionSets=false').key}
    assert len(keys) == 3


# Representations

JSON_HEADERS = {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("accept", "sbe_schema", "suffix", "headers"),
    [
        (None, None, "", JSON_HEADERS),
        ("", None, "", JSON_HEADERS),
        ("*/*", "3:5", "", JSON_HEADERS),
        ("application/json", "nonsense", "", JSON_HEADERS),
        ("text/html", None, "", JSON_HEADERS),
        ("application/sbe;q=0, text/html", "3:5", "", JSON_HEADERS),
        ("application/sbe; q=0.000", "3:5", "", JSON_HEADERS),
        ("application/sbe", "3:5", ";sbe=3:5", {"Accept": "application/sbe", "X-MBX-SBE": "3:5"}),
        ("text/html , Application/SBE;q=0.5", "12345:0", ";sbe=12345:0", None),
        ("application/sbe, application/json", "3:5", ";sbe=3:5,json", None),
        (
            "application/json;q=0.9,application/sbe",
            "3:5",
            ";sbe=3:5,json",
            {"Accept": "application/sbe, application/json", "X-MBX-SBE": "3:5"},
        ),
        ("application/sbe, application/json;q=0", "3:5", ";sbe=3:5", None),
        ("application/sbe, */*", "3:5", ";sbe=3:5,json", None),
        ("application/sbe, application/*", "3:5", ";sbe=3:5,json", None),
        ("application/sbe, application/json", None, "", JSON_HEADERS),
        ("application/sbe, application/json", "3-5", "", JSON_HEADERS),
        ("application/sbe, */*;q=0.1", "3:5\n", "", JSON_HEADERS),
    ],
)
def test_accept_and_the_schema_select_the_representation(
    accept: str | None, sbe_schema: str | None, suffix: str, headers: dict[str, str] | None
) -> None:
    query = read(INFO, "symbol=A", accept=accept, sbe_schema=sbe_schema)
    assert isinstance(query, CanonicalQuery), query
    assert query.key == f"exchangeInfo:symbols=A{suffix}"
    assert headers is None or query.upstream_headers == headers


@pytest.mark.parametrize(
    ("path", "time_unit", "key"),
    [
        (INFO, None, "exchangeInfo:all"),
        (INFO, "MILLISECOND", "exchangeInfo:all"),
        (INFO, "millisecond", "exchangeInfo:all"),
        (INFO, "MICROSECOND", "exchangeInfo:all;time-unit=microsecond"),
        (INFO, "microsecond", "exchangeInfo:all;time-unit=microsecond"),
        (TIME, "microsecond", "time:all;time-unit=microsecond"),
        (PING, "microsecond", "ping:all"),
    ],
)
def test_the_time_unit_is_part_of_the_key_where_it_can_matter(path: str, time_unit: str | None, key: str) -> None:
    query = read(path, "", time_unit=time_unit)
    assert isinstance(query, CanonicalQuery), query
    assert query.key == key
    sent = {"X-MBX-TIME-UNIT": "MICROSECOND"} if key.endswith("microsecond") else {}
    assert query.upstream_headers == JSON_HEADERS | sent


def test_time_unit_and_schema_go_together() -> None:
    query = read(INFO, "", accept="application/sbe", time_unit="MICROSECOND", sbe_schema="3:5")
    assert isinstance(query, CanonicalQuery), query
    assert query.key == "exchangeInfo:all;time-unit=microsecond;sbe=3:5"


# Properties

SYMBOLS = st.text(st.sampled_from("ABCXYZ019-._ÄÉ中币Ω"), min_size=1, max_size=50)
PERMISSIONS = st.from_regex(r"[A-Z][A-Z0-9_]{0,49}", fullmatch=True)
REPRESENTATIONS = st.builds(
    Representation, microseconds=st.booleans(), sbe=st.none() | st.just("3:5"), sbe_or_json=st.just(False)
)


def names(of: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.none() | st.sets(of, min_size=1, max_size=30).map(lambda chosen: tuple(sorted(chosen)))


@st.composite
def questions(draw: st.DrawFn) -> CanonicalQuery:
    """Any question that exchangeInfo answers."""
    endpoint = ENDPOINTS[INFO]
    symbols = draw(names(SYMBOLS))
    return CanonicalQuery(
        endpoint=endpoint,
        symbols=symbols,
        permissions=draw(names(PERMISSIONS)) if symbols is None else None,
        symbol_status=draw(st.sampled_from([None, "TRADING", "HALT", "BREAK"])) if symbols is None else None,
        show_permission_sets=draw(st.booleans()),
        representation=draw(REPRESENTATIONS),
    )


def escape(draw: st.DrawFn, text: str) -> str:
    """Each character as it is, or percent-encoded in either case."""
    ways = (str, lambda char: quote(char, safe=""), lambda char: "".join(f"%{byte:02x}" for byte in char.encode()))
    chosen = draw(st.lists(st.sampled_from(ways), min_size=len(text), max_size=len(text)))
    return "".join(way(char) for way, char in zip(chosen, text, strict=True))


def spell_list(draw: st.DrawFn, name: str, values: tuple[str, ...]) -> tuple[str, str]:
    if len(values) == 1 and draw(st.booleans()):
        return name.replace("symbols", "symbol"), values[0]
    return name, '["' + '","'.join(draw(st.permutations(values))) + '"]'


@st.composite
def spelled(draw: st.DrawFn) -> tuple[CanonicalQuery, str]:
    """A question, and one of the ways to write it."""
    question = draw(questions())
    pairs = []
    if question.symbols is not None:
        pairs.append(spell_list(draw, "symbols", question.symbols))
    if question.permissions is not None:
        pairs.append(spell_list(draw, "permissions", question.permissions))
    if question.symbol_status is not None:
        pairs.append(("symbolStatus", question.symbol_status))
    if not question.show_permission_sets:
        pairs.append(("showPermissionSets", "false"))
    elif draw(st.booleans()):
        pairs.append(("showPermissionSets", "true"))
    segments = [f"{escape(draw, name)}={escape(draw, value)}" for name, value in draw(st.permutations(pairs))]
    separator = draw(st.sampled_from(["&", "&&"]))
    return question, separator.join(segments) + draw(st.sampled_from(["", "&"]))


def ask(query: CanonicalQuery, raw_query: str) -> CanonicalQuery | Rejected | Bypass:
    headers = query.upstream_headers
    return read(
        query.endpoint.path,
        raw_query,
        accept=headers["Accept"],
        time_unit=headers.get("X-MBX-TIME-UNIT"),
        sbe_schema=headers.get("X-MBX-SBE"),
    )


@pytest.mark.no_cover
@given(spelled())
def test_any_spelling_is_read_as_the_question(drawn: tuple[CanonicalQuery, str]) -> None:
    question, spelling = drawn
    result = ask(question, spelling)
    assert result == question
    assert isinstance(result, CanonicalQuery)
    assert result.key == question.key


@pytest.mark.no_cover
@given(questions())
def test_what_is_sent_upstream_is_read_as_the_same_question(question: CanonicalQuery) -> None:
    assert question.upstream_query.isascii()
    assert ask(question, question.upstream_query) == question


@pytest.mark.no_cover
@given(questions(), questions())
def test_different_questions_have_different_keys(first: CanonicalQuery, second: CanonicalQuery) -> None:
    assert (first.key == second.key) == (first == second)


@pytest.mark.no_cover
@given(questions())
def test_keys_are_short_and_fit_on_a_line(question: CanonicalQuery) -> None:
    assert len(question.key) < 260
    assert not any(char.isspace() for char in question.key)


NASTY = st.text(st.sampled_from('%%%4AFaf[]",=+{}\\ \r\n#;½ÄA中🚀\x00')) | st.text()
SEGMENTS = st.one_of(
    NASTY,
    st.builds("{}={}".format, st.sampled_from(ENDPOINTS[INFO].parameters), NASTY),
    st.builds('{}=["{}"]'.format, st.sampled_from(ENDPOINTS[INFO].parameters), NASTY),
)
RAW_QUERIES = st.one_of(
    st.lists(SEGMENTS, max_size=5).map("&".join),
    st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
HEADERS = st.none() | st.text(max_size=100)
ACCEPTS = HEADERS | st.sampled_from(["application/sbe", "application/sbe, application/json"])


@pytest.mark.no_cover
@given(st.sampled_from(sorted(ENDPOINTS)), RAW_QUERIES, ACCEPTS, HEADERS)
@example(INFO, "x" * 100_000, None, None)
@example(INFO, "&" * 100_000, None, None)
@example(INFO, "%" * 100_000, None, None)
@example(INFO, 'symbols=["' + '","' * 50_000, None, None)
@example(INFO, "symbols=[" + '"A",' * 50_000, None, None)
@example(INFO, "symbol=" + "A" * 100_000 + "a", None, None)
@example(INFO, "", "application/sbe" + "; " * 50_000 + "q", None)
def test_no_text_is_too_odd(path: str, raw_query: str, accept: str | None, sbe_schema: str | None) -> None:
    result = read(path, raw_query, accept=accept, sbe_schema=sbe_schema)
    match result:
        case CanonicalQuery():
            assert result.bypass_hash is None
        case Rejected(error):
            assert error.status == 400
            assert error_reply(error, Outcome.REJECTED).body.startswith(b'{"code":-1')
        case Bypass(_, query):
            assert all("!" <= char <= "~" for char in query.upstream_query)
            assert all(value.isascii() and value.isprintable() for value in query.upstream_headers.values())


@pytest.mark.no_cover
@given(st.sampled_from(sorted(ENDPOINTS)), RAW_QUERIES)
def test_a_bypass_that_is_read_again_is_the_same(path: str, raw_query: str) -> None:
    result = read(path, raw_query)
    assume(isinstance(result, Bypass))
    assert isinstance(result, Bypass)
    again = read(path, result.query.upstream_query)
    assert again == result
    assert read_pairs(result.query.upstream_query) == read_pairs(raw_query)


@given(RAW_QUERIES)
def test_what_is_remembered_is_what_would_be_read(raw_query: str) -> None:
    """A long Accept header passes the memo by, and asks for the same."""
    remembered, afresh = read(INFO, raw_query), read(INFO, raw_query, accept="text/html," * 200)
    if isinstance(remembered, Rejected):
        assert isinstance(afresh, Rejected)
        assert (remembered.error.code, remembered.error.msg) == (afresh.error.code, afresh.error.msg)
    else:
        assert remembered == afresh
