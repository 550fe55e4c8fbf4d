"""What the snapshot answers, against the simulator's independent reading of the same document and by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.document.changes import ChangedSymbols, Suspicion, changed_symbols, suspicion_of
from proxy.core.document.parsed import Document, parse_document
from proxy.core.document.snapshot import CannotAnswer, Snapshot, Unanswerable, index
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.messages import ClientRequest
from proxy.core.query.canonical import CanonicalQuery, canonicalize
from proxy.core.query.representation import Representation
from proxy.errors import BadAnswer
from tests.captures import captures
from tests.simulator import document as simulated
from tests.simulator import rules
from tests.simulator.generation import generate_document
from tests.sizes import sized

INFO = ENDPOINTS[rules.INFO]
SERVER_TIME = b"1790363028806"
MICROSECONDS = Representation(microseconds=True)


CAPTURES = captures()


def indexed(body: bytes, **given_: Any) -> Snapshot:
    return paused(body, **given_)[0]


def paused(body: bytes, **given_: Any) -> tuple[Snapshot, int]:
    """The snapshot, and how often its making paused."""
    slices, pauses = index(body, **given_), 0
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return end.value, pauses
        pauses += 1


def ask(**filters: Any) -> CanonicalQuery:
    return CanonicalQuery(endpoint=INFO, **filters)


def dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def symbol(name: str, status: str = "TRADING", sets: object = (("SPOT",),), **more: object) -> dict[str, object]:
    return {"symbol": name, "status": status, "filters": [], **more, "permissionSets": sets, "stp": "NONE"}


def envelope(symbols: Sequence[object], **more: object) -> dict[str, object]:
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
    head = {"timezone": "UTC", "serverTime": int(SERVER_TIME), "rateLimits": limits, "exchangeFilters": []}
    return {**head, "symbols": symbols, **more}


def of(*symbols: object, **more: object) -> Snapshot:
    return indexed(dump(envelope(symbols, **more)))


# --- Against the simulator: the same document, the same query, byte for byte.


class Origin:
    """The simulator's document with its full answer, and the snapshot made of that."""

    def __init__(self, document: simulated.Document) -> None:
        self.document = document
        self.snapshot = indexed(self.answer(rules.Selection(), b""))

    def answer(self, selection: rules.Selection, more_digits: bytes) -> bytes:
        symbols = rules.select(self.document, selection)
        rendered = simulated.render(self.document, symbols, with_sets=selection.with_sets)
        return rendered.before + SERVER_TIME + more_digits + rendered.after

    def reason(self, selection: rules.Selection) -> Unanswerable | None:
        """What the snapshot cannot prove, told from the simulator's knowledge."""
        shown = {name for name, one in self.document.symbols.items() if one.is_listed}
        if selection.names is not None and not selection.names <= shown:
            return Unanswerable.UNKNOWN_SYMBOL
        if selection.permissions is not None and not selection.permissions <= {"SPOT", "MARGIN", "LEVERAGED"}:
            return Unanswerable.HIDDEN_PERMISSION
        selected = rules.select(self.document, selection)
        if not selection.with_sets and not all(b'"permissionSets":[' in one.full for one in selected):
            return Unanswerable.NO_PERMISSION_SETS
        return None


@cache
def origin(source: Path | None) -> Origin:
    return Origin(generate_document(300) if source is None else simulated.recorded(source))


def legal_query(document: simulated.Document, dice: random.Random) -> dict[str, str]:
    """The parameters of a random legal query, in random order and encoding."""
    sent = {}
    if dice.random() < 0.5:
        few = min(len(document.symbols), dice.choice((1, 1, 2, 5, 40)))
        names = dice.sample(sorted(document.symbols), k=dice.randint(1, few))
        sent = {"symbol": names[0]} if len(names) == 1 and dice.random() < 0.5 else {"symbols": dump(names).decode()}
    else:
        permissions = dice.sample(("SPOT", "MARGIN", "LEVERAGED"), k=dice.randint(0, 3))
        permissions += ["TRD_GRP_004"] if dice.random() < 0.1 else []
        if permissions:
            alone = len(permissions) == 1 and dice.random() < 0.5
            sent["permissions"] = permissions[0] if alone else dump(permissions).decode()
        if dice.random() < 0.6:
            sent["symbolStatus"] = dice.choice(("TRADING", "HALT", "BREAK"))
    if dice.random() < 0.5:
        sent["showPermissionSets"] = dice.choice(("true", "false"))
    return dict(dice.sample(sorted(sent.items()), k=len(sent)))


@pytest.mark.no_cover
@pytest.mark.parametrize("source", [None, *CAPTURES], ids=lambda source: "generated" if source is None else source.stem)
def test_every_legal_query_is_answered_as_the_origin_would_byte_for_byte(source: Path | None) -> None:
    subject, dice, proven = origin(source), random.Random(7), 0
    for _ in range(1500):
        raw = urlencode(legal_query(subject.document, dice))
        unit = dice.choice((None, "MICROSECOND"))
        query = canonicalize(INFO, ClientRequest(method="GET", path=INFO.path, raw_query=raw, time_unit=unit))
        assert isinstance(query, CanonicalQuery), raw
        selection = rules.read_info(rules.parse_query(raw), subject.document)
        assert isinstance(selection, rules.Selection), raw
        reason = subject.reason(selection)
        if reason is not None:
            assert subject.snapshot.select(query) == CannotAnswer(reason), raw
        else:
            proven += 1
            assert subject.snapshot.select(query) == subject.answer(selection, b"000" if unit else b""), raw
    assert proven > 300


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_a_recorded_answer_is_found_again_in_its_own_snapshot(capture: Path) -> None:
    body = capture.read_bytes().strip()
    snapshot = indexed(body)
    names = tuple(sorted(snapshot.statuses))
    assert snapshot.select(ask()) is body
    assert snapshot.select(ask(symbols=names)) == body


# --- Against json: documents of every odd shape.

_TEXT = st.sampled_from(["BTC", "币安", 'a"b', "\\", '"permissionSets":[]', ',{"symbol":', "]}", "serverTime", ""])
_SETS = st.lists(st.lists(st.sampled_from(["SPOT", "MARGIN", "LEVERAGED", "TRD_GRP_004"]), max_size=3), max_size=2)
_MORE = st.dictionaries(
    st.sampled_from(["filters", "permissions", "note", "more"]),
    st.recursive(_TEXT | _SETS, lambda inner: st.dictionaries(_TEXT | st.just("permissionSets"), inner, max_size=3)),
)


@st.composite
def odd_documents(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(["A", "B", "C", "币", 'Q"', "D\\"]), min_size=1, max_size=5, unique=True))
    symbols = []
    for name in names:
        one: dict[str, Any] = {
            "symbol": name,
            "status": draw(st.sampled_from(["TRADING", "BREAK", "CANCEL_ONLY"])),
            **draw(_MORE),
        }
        one |= draw(st.fixed_dictionaries({}, optional={"permissionSets": st.one_of(_SETS, st.none())}))
        symbols.append(dict(draw(st.permutations(sorted(one.items())))))
    more = draw(st.dictionaries(st.sampled_from(["sors", "x"]), st.sampled_from([[], 1, {"serverTime": 1}, [1]])))
    return dict(draw(st.permutations(sorted(envelope(symbols, **more).items()))))


_QUERIES = st.builds(
    ask,
    symbols=st.lists(st.sampled_from(["A", "B", "C", "币", 'Q"']), min_size=1, unique=True).map(tuple),
    show_permission_sets=st.booleans(),
    representation=st.sampled_from([Representation(), MICROSECONDS]),
) | st.builds(
    ask,
    permissions=st.none() | st.sampled_from([("SPOT",), ("LEVERAGED",), ("MARGIN", "SPOT")]),
    symbol_status=st.none() | st.sampled_from(["TRADING", "HALT", "BREAK"]),
    show_permission_sets=st.booleans(),
    representation=st.sampled_from([Representation(), MICROSECONDS]),
)


def naive_answer(document: dict[str, Any], query: CanonicalQuery) -> bytes:
    """Decode everything, filter, encode everything."""

    def shows(one: dict[str, Any]) -> bool:
        sets = one.get("permissionSets", [one.get("permissions")])
        return (
            (query.symbols is None or one["symbol"] in query.symbols)
            and (query.permissions is None or any(name in query.permissions for name in sets[0]))
            and query.symbol_status in {None, one["status"]}
        )

    selected = [
        one if query.show_permission_sets else {**one, "permissionSets": []}
        for one in document["symbols"]
        if shows(one)
    ]
    time = document["serverTime"] * (1000 if query.representation.microseconds else 1)
    return dump({**document, "symbols": selected, "serverTime": time})


@pytest.mark.no_cover
@settings(max_examples=sized(quick=20, usual=30, long=300))
@given(odd_documents(), _QUERIES)
def test_what_is_answered_is_right_however_odd_the_document(document: dict[str, Any], query: CanonicalQuery) -> None:
    answer = indexed(dump(document)).select(query)
    if isinstance(answer, bytes):
        assert answer == naive_answer(document, query)


# --- What is answered, by hand.


def test_the_bare_answer_is_the_body_itself() -> None:
    body = dump(envelope([symbol("A")]))
    assert indexed(body).select(ask()) is body


def test_an_empty_selection_keeps_the_whole_envelope() -> None:
    answer = of(symbol("A"), symbol("B")).select(ask(symbol_status="HALT"))
    assert answer == dump(envelope([]))


def test_symbols_come_in_listing_order() -> None:
    answer = of(symbol("C"), symbol("A"), symbol("B")).select(ask(symbols=("A", "B", "C")))
    assert answer == dump(envelope([symbol("C"), symbol("A"), symbol("B")]))


def test_any_of_the_permissions_suffices() -> None:
    pairs = [symbol("A", sets=[["SPOT"]]), symbol("B", sets=[["MARGIN", "X"]]), symbol("C", sets=[["LEVERAGED"]])]
    answer = of(*pairs).select(ask(permissions=("MARGIN", "SPOT")))
    assert answer == dump(envelope(pairs[:2]))


def test_the_old_permissions_field_counts_where_there_are_no_sets() -> None:
    pairs = [{"symbol": name, "status": "TRADING", "permissions": [held]} for name, held in (("A", "SPOT"), ("B", "X"))]
    answer = of(*pairs).select(ask(permissions=("SPOT",)))
    assert answer == dump(envelope(pairs[:1]))


@pytest.mark.parametrize("first", ["serverTime", "symbols", "x", "rateLimits"])
def test_microseconds_change_the_documents_own_server_time_alone(first: str) -> None:
    document = envelope([symbol("A", serverTime=int(SERVER_TIME))], x={"serverTime": int(SERVER_TIME)})
    document = {first: document[first], **document}
    answer = indexed(dump(document)).select(ask(representation=MICROSECONDS))
    assert answer == dump({**document, "serverTime": int(SERVER_TIME) * 1000})


def test_spaces_in_the_envelope_and_within_a_symbol_are_kept() -> None:
    body = b'{ "rateLimits" : [],"serverTime" : 1790363028806, "symbols" : [%s,%s] }\n'
    one, two = (b'{"symbol" : "%s", "status":"BREAK" }' % name for name in (b"A", b"B"))
    assert indexed(body % (one, two)).select(ask(symbols=("B",))) == (body % (b"", two)).replace(b"[,", b"[")


# --- What cannot be proven.

PLAIN = symbol("A")
OLD = {"symbol": "A", "status": "TRADING", "permissions": ["SPOT"]}
SORS = [{"baseAsset": "BTC", "symbols": ["BTCUSDT"]}]


@pytest.mark.parametrize(
    ("snapshot", "query", "reason"),
    [
        (of(PLAIN), CanonicalQuery(endpoint=ENDPOINTS[rules.EXECUTION_RULES]), Unanswerable.ENDPOINT),
        (of(PLAIN), ask(representation=Representation(sbe="3:5")), Unanswerable.SBE),
        (of(PLAIN), ask(representation=Representation(bad_sbe="")), Unanswerable.SBE),
        (of(PLAIN), ask(bypass_hash="0"), Unanswerable.BYPASS),
        (of(PLAIN), ask(symbols=()), Unanswerable.COMBINATION),
        (of(PLAIN), ask(permissions=()), Unanswerable.COMBINATION),
        (of(PLAIN), ask(symbols=("A",), permissions=("SPOT",)), Unanswerable.COMBINATION),
        (of(PLAIN), ask(symbols=("A",), symbol_status="TRADING"), Unanswerable.COMBINATION),
        (of(PLAIN), ask(symbols=("A", "B")), Unanswerable.UNKNOWN_SYMBOL),
        (of(PLAIN, PLAIN), ask(symbols=("A",)), Unanswerable.REPEATED_SYMBOL),
        (of(PLAIN), ask(symbol_status="END_OF_DAY"), Unanswerable.UNKNOWN_STATUS),
        (of(PLAIN), ask(permissions=("SPOT", "TRD_GRP_004")), Unanswerable.HIDDEN_PERMISSION),
        (of(PLAIN), ask(permissions=("spot",)), Unanswerable.HIDDEN_PERMISSION),
        (of(PLAIN, symbol("B", sets=[["SPOT"], ["X"]])), ask(permissions=("SPOT",)), Unanswerable.SEVERAL_SETS),
        (of(PLAIN, symbol("B", sets=[])), ask(permissions=("SPOT",)), Unanswerable.NO_PERMISSIONS),
        (of(PLAIN, symbol("B", sets=[[]])), ask(permissions=("SPOT",)), Unanswerable.NO_PERMISSIONS),
        (of(PLAIN, symbol("B", sets=None)), ask(permissions=("SPOT",)), Unanswerable.NO_PERMISSIONS),
        (of(PLAIN, symbol("B", sets=["SPOT"])), ask(permissions=("SPOT",)), Unanswerable.NO_PERMISSIONS),
        (of({"symbol": "A", "status": "HALT"}), ask(permissions=("SPOT",)), Unanswerable.NO_PERMISSIONS),
        (of(OLD), ask(show_permission_sets=False), Unanswerable.NO_PERMISSION_SETS),
        (of(symbol("A", sets=None)), ask(show_permission_sets=False), Unanswerable.NO_PERMISSION_SETS),
        (of(PLAIN, sors=SORS), ask(symbols=("A",)), Unanswerable.UNKNOWN_MEMBER),
        (of(PLAIN, sors=SORS), ask(permissions=("SPOT",)), Unanswerable.UNKNOWN_MEMBER),
        (of(PLAIN, sors=SORS), ask(symbol_status="HALT"), Unanswerable.UNKNOWN_MEMBER),
    ],
)
def test_what_the_document_does_not_prove_is_not_answered(
    snapshot: Snapshot, query: CanonicalQuery, reason: Unanswerable
) -> None:
    assert snapshot.select(query) == CannotAnswer(reason)


@pytest.mark.parametrize(
    "one",
    [
        b'{"symbol":"A","status":"HALT","in":{"permissionSets":[["SPOT"]]},"permissionSets":[["SPOT"]]}',
        b'{"x":"12345678901234567890","symbol":"A","status":"HALT","permissionSets": []}',
        b'{"symbol":"A","status":"HALT","permissionSet\\u0073":[["SPOT"]]}',
    ],
)
def test_sets_that_cannot_be_told_from_a_namesake_are_not_left_out(one: bytes) -> None:
    snapshot = indexed(dump(envelope([PLAIN])).replace(dump(PLAIN), one))
    assert snapshot.select(ask(show_permission_sets=False)) == CannotAnswer(Unanswerable.NO_PERMISSION_SETS)


def test_a_namesake_in_a_string_or_with_another_value_is_left_alone() -> None:
    inner = {"permissionSets": [["X"]], "note": '"permissionSets":[["SPOT"]]'}
    answer = of(symbol("A", inside=inner)).select(ask(show_permission_sets=False))
    assert answer == dump(envelope([symbol("A", inside=inner, sets=[])]))


def test_of_many_members_with_the_name_of_the_sets_only_some_are_tried() -> None:
    inner = [{"permissionSets": [["X"]]}] * 1000
    answer = of(symbol("A", inside=inner)).select(ask(show_permission_sets=False))
    assert answer == CannotAnswer(Unanswerable.NO_PERMISSION_SETS)


@pytest.mark.parametrize("more", [{"sors": []}, {"x": 1}, {"x": "y"}, {"x": None}])
def test_a_member_without_content_stands_in_no_filters_way(more: dict[str, object]) -> None:
    assert of(PLAIN, symbol("B"), **more).select(ask(symbols=("A",))) == dump(envelope([PLAIN], **more))


def test_sors_stand_in_the_way_of_no_answer_that_shows_all_symbols() -> None:
    snapshot = of(PLAIN, sors=SORS)
    assert snapshot.select(ask(show_permission_sets=False)) == dump(envelope([symbol("A", sets=[])], sors=SORS))


# --- What is a good body.

GOOD = dump(envelope([PLAIN]))


def test_the_proof_tells_the_limits_and_the_time() -> None:
    proof = parse_document(GOOD)
    assert isinstance(proof, Document)
    assert proof.rate_limits[0]["limit"] == 6000
    assert proof.server_time_ms == int(SERVER_TIME)
    assert parse_document(GOOD.replace(SERVER_TIME, SERVER_TIME + b"999")).server_time_ms == int(SERVER_TIME)
    assert [bytes(raw) for raw in proof.symbols()] == [dump(PLAIN)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        GOOD[:-1],
        GOOD + b"}",
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"NONE", b"NO\xffNE"),
        GOOD.replace(b"NONE", "币".encode()[:2]),
        GOOD.replace(b'"symbols"', b'"Symbols"'),
        GOOD.replace(b'"rateLimits"', b'"limits"'),
        GOOD.replace(b'"serverTime"', b'"time"'),
        GOOD.replace(SERVER_TIME, b"0"),
        GOOD.replace(b'"UTC"', b"UTC"),
        dump(envelope([PLAIN], code=-1003)),
        dump(envelope([PLAIN], code=None)),
        dump(envelope([{"symbol": 1, "status": "TRADING"}])),
        dump(envelope([1])),
        GOOD.replace(b'"UTC"', b"[" * 100_000 + b"]" * 100_000),
    ],
)
def test_a_body_that_proves_nothing_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_document(body)
    with pytest.raises(BadAnswer):
        indexed(body)


@pytest.mark.parametrize(
    "body",
    [
        dump(envelope([])),
        json.dumps(envelope([PLAIN, symbol("B")])).encode(),
        json.dumps(envelope([PLAIN]), indent=1).encode(),
        GOOD.replace(b'"symbols":[', b'"symbols":[ '),
        GOOD.replace(b'"}]}', b'"} ]}'),
        GOOD.replace(SERVER_TIME, SERVER_TIME + b"000"),
        GOOD.replace(b'"serverTime"', b'"server\\u0054ime"'),
        dump(envelope([PLAIN]))[:-1] + b',"symbols":[' + dump(PLAIN) + b"]}",
        dump({"x": [PLAIN], **envelope([PLAIN])}),
        dump(envelope([{"symbol": "A"}])),
    ],
)
def test_a_good_body_whose_symbols_cannot_be_cut_with_certainty_is_not_indexed(body: bytes) -> None:
    parse_document(body)
    with pytest.raises(BadAnswer):
        indexed(body)


@pytest.mark.parametrize("other", [[PLAIN], [PLAIN, symbol("C")]])
def test_the_proof_of_another_body_is_not_believed(other: list[object]) -> None:
    with pytest.raises(BadAnswer):
        indexed(dump(envelope([PLAIN, symbol("B")])), document=parse_document(dump(envelope(other))))


# --- Indexing.


def test_indexing_pauses_after_every_slice() -> None:
    body = dump(envelope([symbol(f"S{number}") for number in range(1280)]))
    assert paused(body, version="v", document=parse_document(body))[1] == 11
    large = dump(envelope([symbol(f"S{number}", note="x" * 100_000) for number in range(30)]))
    assert paused(large, version="v", document=parse_document(large))[1] == 11


def test_the_version_names_the_body() -> None:
    assert indexed(GOOD, version="given").version == "given"
    assert indexed(GOOD).version == indexed(bytes(bytearray(GOOD))).version
    assert indexed(GOOD).version != indexed(GOOD.replace(SERVER_TIME, b"1790363028807")).version


def test_the_snapshot_tells_what_the_proof_told() -> None:
    snapshot = of(PLAIN, symbol("B", "BREAK"))
    assert (snapshot.symbols_count, snapshot.server_time_ms) == (2, int(SERVER_TIME))
    assert snapshot.rate_limits[0]["limit"] == 6000
    assert snapshot.statuses == {"A": "TRADING", "B": "BREAK"}


# --- Old and new.


def test_the_difference_names_what_came_went_and_changed() -> None:
    old = of(symbol("A"), symbol("B"), symbol("C"))
    new = of(symbol("D"), symbol("A"), symbol("C", "HALT"))
    assert changed_symbols(old, new) == ChangedSymbols(added=("D",), removed=("B",), changed_status=("C",))
    assert changed_symbols(old, old) == ChangedSymbols((), (), ())


def many(trading: int, broken: int = 0) -> Snapshot:
    rows = [("TRADING", number) for number in range(trading)] + [("BREAK", number) for number in range(broken)]
    return of(*(symbol(f"{status}{number}", status) for status, number in rows), symbol("LAST", "HALT"))


@pytest.mark.parametrize(
    ("old", "new", "suspicion"),
    [
        (many(20), many(20), None),
        (many(20), many(40), None),
        (many(20), many(19), None),
        (many(20), many(18), Suspicion.TRADING_MISSING),
        (many(0, 9), many(0, 4), None),
        (many(0, 10), many(0, 4), Suspicion.HALF_MISSING),
        (many(20), of(symbol("LAST", "HALT")), Suspicion.HALF_MISSING),
        (many(0), of(symbol("OTHER")), None),
        (of(symbol("A")), of(symbol("A", "BREAK")), None),
    ],
)
def test_a_document_that_lost_much_is_suspicious(old: Snapshot, new: Snapshot, suspicion: Suspicion | None) -> None:
    assert suspicion_of(old, new) is suspicion
