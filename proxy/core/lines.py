"""The head of an answer in bytes: its status line, and its headers as lines.

Owns: how these are written. Must not know: which headers an answer has.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

WITHOUT_BODY = frozenset({204, 304})
"""The statuses whose answers have no body (RFC 9110, sections 15.3.5 and 15.4.5)."""


def lines_of(headers: Iterable[tuple[str, str]]) -> bytes:
    """Headers as lines, each with its end. Raises ValueError for what is no text."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode()


def begin_of(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """The status line and the first lines of a head. Raises ValueError as `lines_of`."""
    return status_line(status) + lines_of(headers)


def headers_in(begin: bytes) -> tuple[tuple[str, str], ...]:
    """The headers that `begin_of` has written."""
    parts = [line.partition(": ") for line in begin.decode().split("\r\n")[1:-1]]
    return tuple((name, value) for name, _, value in parts)


@lru_cache(maxsize=64)
def status_line(status: int) -> bytes:
    """With its end. A status that has no phrase has an empty one."""
    phrases = {known.value: known.phrase for known in HTTPStatus}
    return f"HTTP/1.1 {status} {phrases.get(status, '')}\r\n".encode()
