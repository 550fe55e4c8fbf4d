"""Answers in any pieces: what was meant is what is read, and every bound holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from proxy.forward.answer import AnswerReader, RawResponse
from proxy.forward.head import MAX_HEAD_BYTES, InvalidAnswer
from proxy.forward.known_heads import KnownHeads
from tests.forward.answers import Answer, answers

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MOST = 1 << 16


def wall() -> float:
    return 7.0


def reader(*, has_no_body: bool = False, max_body_bytes: int = MOST, known: KnownHeads | None = None) -> AnswerReader:
    one = AnswerReader(max_body_bytes=max_body_bytes, wall=wall, known=known or KnownHeads())
    if has_no_body:
        one.expect_no_body()
    return one


def feed(one: AnswerReader, text: bytes, step: int = 1) -> RawResponse | None:
    return [one.feed(text[at : at + step]) for at in range(0, len(text), step)][-1]


def complete(one: AnswerReader, text: bytes, step: int = 1) -> RawResponse:
    response = feed(one, text, step)
    assert response is not None
    assert not response.has_surplus
    return response


@pytest.mark.no_cover
@given(st.lists(answers(), min_size=1, max_size=2), st.data())
def test_in_any_pieces_each_answer_is_what_was_meant(all_meant: list[Answer], data: st.DataObject) -> None:
    known = KnownHeads()
    for _ in range(data.draw(st.integers(0, 2), "as often before")):
        for meant in all_meant:
            reader(has_no_body=meant.has_no_body, known=known).feed(meant.text)
    one = reader(known=known)
    for meant in all_meant:
        cuts = sorted(data.draw(st.sets(st.integers(1, len(meant.text) - 1), max_size=12), "cuts"))
        pieces = [meant.text[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
        if meant.has_no_body:
            one.expect_no_body()
        responses = [one.feed(piece) for piece in pieces]
        if meant.ends_with_connection:
            assert not any(responses)
            responses[-1] = one.end()
        *early, response = responses
        assert not any(early), "not before its last byte"
        assert response is not None
        assert not response.has_surplus
        assert (response.status, response.texts, response.body) == (meant.status, meant.texts, meant.body)
        assert response.received_at == 7.0
        assert {**asdict(one), "_received_at": 0.0} == asdict(reader(known=known)), "as new"


@pytest.mark.no_cover
@given(answers(), st.data())
def test_an_answer_that_is_cut_anywhere_is_never_complete(meant: Answer, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(meant.text) - 1))
    one = reader(has_no_body=meant.has_no_body)
    assert one.feed(meant.text[:end]) is None
    may_end_here = meant.ends_with_connection and one.head is not None
    assert (one.end() is not None) == may_end_here


@pytest.mark.no_cover
@given(answers().filter(lambda meant: not meant.ends_with_connection), st.binary(min_size=1, max_size=9), st.booleans())
def test_bytes_after_an_answer_are_noticed(meant: Answer, more: bytes, is_known: bool) -> None:
    known = KnownHeads()
    for _ in range(2 * is_known):
        reader(has_no_body=meant.has_no_body, known=known).feed(meant.text)
    response = reader(has_no_body=meant.has_no_body, known=known).feed(meant.text + more)
    assert response is not None
    assert response.has_surplus
    assert response.body == meant.body


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_long_body_in_pieces(step: int) -> None:
    body = bytes(range(256)) * 40
    one = reader()
    assert complete(one, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body, step).body == body


@pytest.mark.parametrize(
    "text",
    [
        CHUNKED + b"x\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0x1\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b" 1\r\n",
        CHUNKED + b"1\na\r\n0\r\n\r\n",
        CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"1\r\na\n\r\n",
        CHUNKED + b"1" * 16 + b"\r\n",
        CHUNKED + b"1;\x00\r\n",
        CHUNKED + b"1;" + b"a" * 2000,
        CHUNKED + b"0\r\nno colon\r\n\r\n",
        CHUNKED + b"0\r\n" + b"A: 1\r\n" * (MAX_HEAD_BYTES // 5),
        CHUNKED + b"0\r\nA: " + b"a" * MAX_HEAD_BYTES,
        CHUNKED + b"%x\r\n" % (MOST + 1),
        CHUNKED + (b"8000\r\n" + bytes(0x8000) + b"\r\n") * 3,
        HEAD + b"Content-Length: %d\r\n\r\n" % (MOST + 1),
        HEAD + b"\r\n" + bytes(MOST + 1),
        HEAD + b"A: " + b"a" * MAX_HEAD_BYTES,
        HEAD + b"A: 1\r\n" * (MAX_HEAD_BYTES // 5),
        b"HTTP/1.1 103 Early\r\n\r\n" * 100,
        b"SSH-2.0",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"<",
    ],
)
@pytest.mark.parametrize("step", [1, 4096, 1 << 20])
def test_what_is_invalid_or_without_end_is_refused(text: bytes, step: int) -> None:
    one = reader()
    with pytest.raises(InvalidAnswer):
        feed(one, text, max(step, len(text) // 10_000))


def test_some_interim_answers_are_fine() -> None:
    one = reader()
    assert feed(one, b"HTTP/1.1 100 Continue\r\n\r\n" * 16 + HEAD + b"Content-Length: 0\r\n\r\n")


def test_a_body_of_just_the_bound_is_let_through() -> None:
    for text in (
        b"Content-Length: 9\r\n\r\n123456789",
        b"Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n",
    ):
        one = reader(max_body_bytes=9)
        assert complete(one, HEAD + text, 3).body == b"123456789"


def test_the_bound_holds_for_a_body_behind_a_known_head() -> None:
    text, known = HEAD + b"Content-Length: %d\r\n\r\n%b", KnownHeads()
    for length in (1, 2, 9):
        assert complete(reader(max_body_bytes=9, known=known), text % (length, bytes(length)), 99).body == bytes(length)
    with pytest.raises(InvalidAnswer):
        reader(max_body_bytes=9, known=known).feed(text % (10, bytes(10)))


@pytest.mark.no_cover
def test_what_is_kept_of_tiny_chunks_is_not_much_more_than_the_body() -> None:
    one = reader()
    assert complete(one, CHUNKED + b"1\r\na\r\n" * MOST + b"0\r\n\r\n", 4096).body == b"a" * MOST
