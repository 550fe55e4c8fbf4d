"""The changes between two documents: what is told, how it is grouped, and that it takes small slices."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import orjson
import pytest

from proxy.core.document.changes import Change, ChangeKind
from proxy.core.document.differences import differences, listing_of, read_listing
from proxy.core.document.snapshot import index
from proxy.errors import BadAnswer

T = TypeVar("T")
LIMITS = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
LOT = {"filterType": "LOT_SIZE", "minQty": "0.1"}
PRICE = {"filterType": "PRICE_FILTER", "tickSize": "0.01"}


def done(work: Generator[None, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def symbol(name: str, **members: Any) -> dict[str, Any]:
    return {"symbol": name, "status": "TRADING", "filters": [LOT], "permissionSets": [["SPOT", "A"]], **members}


def document(*symbols: dict[str, Any], limits: Any = LIMITS) -> bytes:
    return orjson.dumps({"serverTime": 1_785_050_100_000, "rateLimits": limits, "symbols": list(symbols)})


def between(old: bytes, new: bytes) -> tuple[Change, ...]:
    return done(differences(done(read_listing(old)), done(read_listing(new))))


@pytest.mark.parametrize(
    ("after", "change"),
    [
        ({"status": "BREAK"}, Change(ChangeKind.STATUS, ("A",), "TRADING", "BREAK")),
        (
            {"filters": [LOT | {"minQty": "0.2"}, PRICE]},
            Change(
                ChangeKind.FILTERS,
                ("A",),
                {"LOT_SIZE": LOT},
                {"LOT_SIZE": LOT | {"minQty": "0.2"}, "PRICE_FILTER": PRICE},
            ),
        ),
        ({"filters": []}, Change(ChangeKind.FILTERS, ("A",), {"LOT_SIZE": LOT}, {})),
        ({"filters": [LOT, LOT]}, Change(ChangeKind.FILTERS, ("A",), {}, {"LOT_SIZE#2": LOT})),
        ({"permissionSets": [["SPOT"], ["B"]]}, Change(ChangeKind.PERMISSIONS, ("A",), ["A"], ["B"])),
        ({"permissionSets": ["SPOT", "A", "GRID"]}, Change(ChangeKind.PERMISSIONS, ("A",), [], ["GRID"])),
    ],
)
def test_a_symbol_that_changed(after: dict[str, Any], change: Change) -> None:
    assert between(document(symbol("A"), symbol("B")), document(symbol("B"), symbol("A", **after))) == (change,)


def test_the_old_place_of_the_permissions_is_read_too() -> None:
    old, new = (symbol("A", permissionSets=[], permissions=names) for names in (["SPOT"], ["SPOT", "MARGIN"]))
    assert between(document(old), document(new)) == (Change(ChangeKind.PERMISSIONS, ("A",), [], ["MARGIN"]),)


def test_coin_futures_name_their_status_otherwise() -> None:
    old, new = ({"symbol": "A_PERP", "contractStatus": status} for status in ("TRADING", "SETTLING"))
    assert between(document(old), document(new)) == (Change(ChangeKind.STATUS, ("A_PERP",), "TRADING", "SETTLING"),)


def test_symbols_that_came_and_went_and_other_limits() -> None:
    other = [LIMITS[0] | {"limit": 1200}]
    old = document(symbol("A"), symbol("B", status="HALT"))
    new = document(symbol("C", status="PRE_TRADING"), symbol("A"), limits=other)
    assert between(old, new) == (
        Change(ChangeKind.LIMITS, (), LIMITS, other),
        Change(ChangeKind.DELISTED, ("B",), "HALT", None),
        Change(ChangeKind.LISTED, ("C",), None, "PRE_TRADING"),
    )
    assert between(old, old) == ()


@pytest.mark.parametrize(
    "after",
    [
        {"icebergAllowed": False},
        {"filters": [PRICE, LOT]},
        {"permissionSets": [["A", "SPOT"]]},
        {"status": "TRADING", "note": "x"},
    ],
)
def test_what_no_kind_is_about_is_ignored(after: dict[str, Any]) -> None:
    old = document(symbol("A", filters=[LOT, PRICE]))
    assert between(old, document(symbol("A", **({"filters": [LOT, PRICE]} | after)))) == ()


@pytest.mark.parametrize("odd", [1, None, "x", {"a": 1}, [1], [[1]], ["x"]])
def test_members_in_no_documented_form_break_nothing(odd: Any) -> None:
    strange = symbol("A", status=odd, filters=odd, permissionSets=odd, permissions=odd)
    told = [*between(document(symbol("A")), document(strange)), *between(document(strange), document(symbol("A")))]
    assert {change.symbols for change in told} == {("A",)}


@pytest.mark.parametrize("body", [b"", b"[]", b'{"symbols":[{}]}', b'{"symbols":{}}', b'{"symbols":[{"symbol":1}]}'])
def test_a_body_that_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        done(read_listing(body))


@pytest.mark.no_cover
def test_a_new_group_of_thousands_is_one_change_and_small_slices() -> None:
    old = [symbol(f"S{number}", permissionSets=[["SPOT", f"GROUP{number % 2}"]]) for number in range(3698)]
    new = [row | {"permissionSets": [[*row["permissionSets"][0], "NEW"]]} for row in old]
    before, after = (listing_of(done(index(document(*rows)))) for rows in (old, new))
    pauses, work = 0, differences(before, after)

    def counted() -> Generator[None, None, tuple[Change, ...]]:
        nonlocal pauses
        while True:
            try:
                next(work)
            except StopIteration as end:
                changes: tuple[Change, ...] = end.value
                return changes
            pauses += 1
            yield

    (change,) = done(counted())
    assert (change.kind, change.old, change.new) == (ChangeKind.PERMISSIONS, [], ["NEW"])
    assert change.symbols == tuple(row["symbol"] for row in old)
    assert pauses == -(-3698 // 64)
