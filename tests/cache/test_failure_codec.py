"""A failure read back by another replica."""

from __future__ import annotations

import pytest

from proxy.cache.failure_codec import decode, encode
from proxy.errors import (
    AnswerCut,
    BadAnswer,
    ConnectionLost,
    OriginError,
    Restricted,
    TooSlow,
    Unreachable,
    UpstreamFailed,
)


@pytest.mark.parametrize(
    "error",
    [
        BadAnswer("bad"),
        ConnectionLost("lost"),
        AnswerCut("cut"),
        TooSlow("slow"),
        Unreachable("one.example cannot be reached: its name cannot be resolved."),
        OriginError(503, b"<html>\xff", content_type="text/html"),
        OriginError(502, b"", content_type=""),
        Restricted(b'{ "code": 0 }', content_type="application/json"),
    ],
    ids=lambda error: f"{type(error).__name__} {error.status}",
)
def test_a_failure_is_read_back_as_it_was(error: UpstreamFailed) -> None:
    again = decode(encode(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"reason":"no-such"}',
        b'{"reason":"origin-error","status":200}',
        b'{"reason":"origin-error","status":99999}',
        b'{"reason":"bad-answer","msg":1}',
        b'{"a":' * 10_000,
    ],
    ids=range(8),
)
def test_anything_else_is_a_failure_without_details(text: bytes) -> None:
    error = decode(text)
    assert type(error) is BadAnswer
    assert error.status == 502


def test_a_content_type_cannot_break_the_head() -> None:
    error = decode(b'{"reason":"restricted","content_type":"a\\r\\nb"}')
    assert isinstance(error, Restricted)
    assert error.content_type == ""
