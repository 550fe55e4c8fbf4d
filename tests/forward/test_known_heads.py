"""Heads like an earlier one: what is read of them is what the reader of all heads says, or nothing."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forward.head import InvalidAnswer, read_head
from proxy.forward.known_heads import MOST_SHAPES, KnownHeads
from tests.forward.answers import Answer, answers

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Fixed: a.b*\r\nContent-Length: %d\r\nDate: %b\r\n"
    b"x-mbx-uuid: %b\r\nServer: nginx\r\nConnection: keep-alive\r\n\r\n"
)


def learned(*texts: bytes, times: int = 2) -> KnownHeads:
    """What is known after each of these texts has come so often."""
    known = KnownHeads()
    for text in [text for text in texts for _ in range(times)]:
        with suppress(InvalidAnswer):
            if known.read(text) is not None:
                continue
            block = text[: text.find(b"\r\n\r\n") + 4]
            head = read_head(block, is_head=False)
            assert head is not None
            known.learn(block, head)
    return known


def test_values_that_changed_once_may_change_again() -> None:
    known = learned(HEAD % (1, b"a", b"1"), HEAD % (1, b"b", b"2"))
    text = HEAD % (12, b"c d", b"~" * 256)
    read = known.read(text + b"body")
    assert read is not None
    assert read == read_head(text, is_head=False)
    assert (read.length, read.texts["date"], read.texts["x-mbx-uuid"]) == (12, "c d", "~" * 256)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"nginx", b"other"),
        (b"200 OK", b"201 OK"),
        (b"a.b*", b"axb*"),
        (b"a.b*", b"a.bb"),
        (b"keep-alive", b"close"),
        (b": 1\r\n", b": x\r\n"),
        (b": 1\r\n", b": -1\r\n"),
        (b": 1\r\n", b": 1\r\nContent-Length: 1\r\n"),
        (b": 1\r\n", b": 1\r\nTransfer-Encoding: chunked\r\n"),
        (b": 1\r\n", b": \r\n"),
        (b": 1\r\n", b": 1000000000000000000000\r\n"),
        (b"Date: a", b"Date:a"),
        (b"Date: a", b"Date: a "),
        (b"Date: a", b"Date: "),
        (b"Date: a", b"Date: a\nb"),
        (b"Date: a", b"Date: a\rb"),
        (b"Date: a", b"Date: a\x00b"),
        (b"Date: a", b"Date: a\r\n b"),
        (b"Date: a", b"Date: \xe9"),
        (b"Date: a", b"Date: \x7f"),
        (b"Date: a", b"Date: " + b"a" * 257),
        (b"Date: a", b"Date: a" + b" " * 4000),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_any_other_difference_is_left_to_the_reader_of_all_heads(before: bytes, after: bytes) -> None:
    known = learned(HEAD % (1, b"b", b"1"), HEAD % (1, b"a", b"1"))
    text = HEAD % (1, b"a", b"1")
    assert known.read(text) is not None
    assert known.read(text.replace(before, after)) is None


def test_a_pattern_is_made_when_other_values_change_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    compiled = re.compile

    def compile_(pattern: str) -> re.Pattern[str]:
        made.append(pattern)
        return compiled(pattern)

    monkeypatch.setattr(re, "compile", compile_)
    heads = [(1, b"a", b"1"), (2, b"a", b"2"), (3, b"b", b"3"), (4, b"c", b"4"), (5, b"\xe9", b"5"), (6, b"\xe8", b"6")]
    learned(*[HEAD % values for values in heads], times=1)
    assert len(made) == 2, "when the id changed, and when the date did"


def test_a_part_of_a_head_is_not_read() -> None:
    text = HEAD % (1, b"a", b"1")
    known = learned(HEAD % (1, b"b", b"2"), text)
    assert not [end for end in range(len(text)) if known.read(text[:end]) is not None]


@pytest.mark.no_cover
@given(answers(), st.data())
def test_what_is_read_is_what_all_heads_would_say(meant: Answer, data: st.DataObject) -> None:
    text = re.sub(rb"\A(HTTP/1.1 10[0-9][^\r]*\r\nX-Early: 1\r\n\r\n)*", b"", meant.text)
    end = text.find(b"\r\n\r\n") + 4
    before = with_values(text[:end], data) + text[end:]
    known = learned(text, before)
    at = data.draw(st.integers(0, end), "where")
    piece = data.draw(st.sampled_from([b"", b"\r", b"\n", b":", b" ", b"1", b"\x00", b"\r\n", b"\r\nX: y", text[:at]]))
    other = text[:at] + piece + text[at + data.draw(st.integers(0, 2), "bytes less") :]
    for one in (text, before, with_values(text[:end], data) + text[end:], other):
        read = known.read(one)
        if read is not None:
            assert one.find(b"\r\n\r\n") + 4 == read.size_bytes
            try:
                assert read == read_head(one[: read.size_bytes], is_head=False)
            except InvalidAnswer as error:
                raise AssertionError(one) from error


def with_values(block: bytes, data: st.DataObject) -> bytes:
    """The same head with another value in some of the lines."""
    first, *lines = block[:-4].split(b"\r\n")
    drawn = st.sampled_from([b"", b"1", b"22", b"a b", b"~", b"a\x80", b"\xa0", b"(.*)", b"]", b"\\d", b"a" * 300])
    for at, line in enumerate(lines):
        value = data.draw(st.none() | drawn, "value")
        if value is not None:
            lines[at] = line.partition(b":")[0] + b": " + value
    return b"\r\n".join([first, *lines]) + b"\r\n\r\n"


def test_few_heads_are_remembered() -> None:
    texts = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-%d: 1\r\n\r\n" % number for number in range(MOST_SHAPES + 1)]
    known = learned(*texts)
    assert [known.read(text) is not None for text in texts] == [False, *[True] * MOST_SHAPES]


def test_a_name_that_stands_twice_and_a_body_without_a_length_are_not_remembered() -> None:
    for text in (b"X: 1\r\nX: 2\r\nContent-Length: 0\r\n", b""):
        block = b"HTTP/1.1 200 OK\r\n" + text + b"\r\n"
        assert learned(block).read(block) is None
