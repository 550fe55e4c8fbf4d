"""How much of an exchangeInfo is decoded: what is no symbol, or one too many, ends it."""

from __future__ import annotations

import pytest

from proxy.core.document import floor, parsed
from proxy.core.document.parsed import parse_document, template
from proxy.core.document.symbol_index import Permissions
from proxy.core.verdict import contracts_rate_limits
from proxy.errors import BadAnswer
from tests.core.document.test_snapshot import indexed

HEAD = b'{"serverTime":1800000000123,"rateLimits":[],'
READERS = (parse_document, contracts_rate_limits)


def document(*symbols: bytes, limits: bytes = b"[]") -> bytes:
    return HEAD.replace(b"[]", limits) + b'"symbols":[' + b",".join(symbols) + b"]}"


NAMED = [b'{"symbol":"S%d"}' % number for number in range(5)]


@pytest.mark.parametrize("read", READERS)
def test_no_more_symbols_are_decoded_than_there_may_be(read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(read)
    monkeypatch.setattr(floor, "MAX_SYMBOLS", 4)
    for _ in range(2):
        read(document(*NAMED[:4]))
    with pytest.raises(BadAnswer, match="too many symbols"):
        read(document(*NAMED))
    assert floor._Count.left == -1
    with pytest.raises(BadAnswer, match=r"\$\.symbols\[1\]"):
        read(document(NAMED[0], b"1", *NAMED))
    assert floor._Count.left == 3  # the decoding has ended at the number


def test_the_symbols_are_counted_and_their_bytes_are_told() -> None:
    proof = parse_document(document(*NAMED))
    assert proof.symbols_count == 5
    assert [bytes(raw) for raw in proof.symbols()] == NAMED


@pytest.mark.parametrize("read", READERS)
def test_limits_of_too_many_bytes_are_not_decoded(read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(read)
    limits = b'[{"limit":6000},{"limit":100}]'
    monkeypatch.setattr(floor, "MAX_LIMITS_BYTES", len(limits))
    read(document(*NAMED, limits=limits))
    with pytest.raises(BadAnswer, match="too large"):
        read(document(*NAMED, limits=limits.replace(b",", b", ")))


def test_what_surrounds_the_symbols_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    head, tail = HEAD + b'"symbols":[', b"]}"
    monkeypatch.setattr(parsed, "MAX_ENVELOPE_BYTES", len(head + tail))
    template(head, tail)
    with pytest.raises(BadAnswer, match="around the symbols"):
        template(head, b" " + tail)


@pytest.mark.parametrize(("members", "is_found"), [(3, True), (20, False)])
def test_only_so_many_members_are_tried_for_the_time(members: int, is_found: bool) -> None:
    nested = b",".join([b'{"serverTime":1}'] * (members - 1))
    head = b'{"a":[' + nested + b"]," + HEAD[1:] + b'"symbols":['
    if is_found:
        assert b"1800000000123000" in template(head, b"]}").microseconds_head
    else:
        with pytest.raises(BadAnswer, match="serverTime"):
            template(head, b"]}")


def test_a_list_of_permissions_that_is_too_long_is_not_read() -> None:
    for count, expected in ((10, Permissions.SPOT), (20_000, Permissions.UNKNOWN)):
        sets = b"[[" + b",".join([b'"SPOT"'] * count) + b"]]"
        symbol = b'{"symbol":"A","status":"TRADING","permissionSets":' + sets + b"}"
        assert indexed(document(symbol)).symbol_index.all_permissions == expected
