"""An entry as the fields of a Redis hash, which a person can read with `redis-cli HGETALL`.

Owns: the names and formats of the fields, and which hashes are valid. Must not know: keys, expiry, Redis.

    v             "1", the version of this format
    status        "200"
    content_type  as the origin sent it
    etag          without quotes
    stored_at     seconds since the epoch, decimal
    fresh, swr, sie   the lifetimes, in seconds, decimal
    size          length of the decoded body, in bytes
    encoding      "gzip" or "identity": of the body
    body          the gzip variant if there is one, else the identity body

Only entries that have them contain these fields, which a reader may ignore:

    age           how old the answer was when it arrived, in seconds
    sbe_deprecated  the header X-MBX-SBE-DEPRECATED
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from proxy.bodies import decompress
from proxy.core.messages import Entry, Lifetimes, notice

VERSION = b"1"
FIELDS = (
    "v",
    "status",
    "content_type",
    "etag",
    "stored_at",
    "fresh",
    "swr",
    "sie",
    "size",
    "encoding",
    "body",
    "age",
    "sbe_deprecated",
)
"""The order of the values that `decode` takes."""
_OPTIONAL = 2
"""How many fields at the end may be missing."""
PEEK_FIELDS = ("v", "stored_at")
"""The order of the values that `decode_stored_at` takes."""


def encode(entry: Entry) -> Mapping[Any, bytes]:
    """The fields of an entry. The body is not copied."""
    lifetimes = entry.lifetimes
    optional = {}
    if entry.arrived_age_seconds:
        optional["age"] = b"%d" % entry.arrived_age_seconds
    if entry.sbe_deprecated is not None:
        optional["sbe_deprecated"] = entry.sbe_deprecated.encode()
    return optional | {
        "v": VERSION,
        "status": b"%d" % entry.status,
        "content_type": entry.content_type.encode(),
        "etag": entry.etag.encode(),
        "stored_at": _decimal(entry.stored_at),
        "fresh": _decimal(lifetimes.fresh_seconds),
        "swr": _decimal(lifetimes.stale_while_revalidate_seconds),
        "sie": _decimal(lifetimes.stale_if_error_seconds),
        "size": b"%d" % len(entry.body),
        "encoding": b"identity" if entry.gzip is None else b"gzip",
        "body": entry.body if entry.gzip is None else entry.gzip,
    }


async def decode(values: Sequence[bytes | None], *, max_body_bytes: int) -> Entry | None:
    """The entry with these values of FIELDS; None if they are incomplete, corrupt, too large or of another version."""
    if values[0] != VERSION or len(values) != len(FIELDS):
        return None
    try:
        required = [_present(value) for value in values[1:-_OPTIONAL]]
        age, sbe_deprecated = values[-_OPTIONAL:]
        entry = await _decode(required, max_body_bytes)
        return replace(
            entry,
            arrived_age_seconds=_age(age),
            sbe_deprecated=None if sbe_deprecated is None else notice(sbe_deprecated.decode(errors="replace")),
        )
    except ValueError:
        return None


def decode_stored_at(values: Sequence[bytes | None]) -> float | None:
    """When the entry was stored, in seconds since the epoch, from values of PEEK_FIELDS; None if they are invalid."""
    version, stored_at = values
    if version != VERSION or stored_at is None:
        return None
    try:
        return _seconds(stored_at)
    except ValueError:
        return None


async def _decode(values: Sequence[bytes], max_body_bytes: int) -> Entry:
    status, content_type, etag, stored_at, fresh, swr, sie, size, encoding, raw = values
    size_bytes = int(size)
    if not 0 <= size_bytes <= max_body_bytes:
        raise ValueError("too large")
    body, gzip = await _bodies(encoding, raw, size_bytes)
    if len(body) != size_bytes:
        raise ValueError("size and body differ")
    return Entry(
        status=_status(status),
        content_type=_text(content_type),
        body=body,
        gzip=gzip,
        etag=_text(etag),
        stored_at=_seconds(stored_at),
        lifetimes=Lifetimes(
            fresh_seconds=_seconds(fresh),
            stale_while_revalidate_seconds=_seconds(swr),
            stale_if_error_seconds=_seconds(sie),
        ),
    )


async def _bodies(encoding: bytes, raw: bytes, size_bytes: int) -> tuple[bytes, bytes | None]:
    """The identity body and the gzip variant."""
    match encoding:
        case b"gzip":
            return await decompress(raw, max_bytes=size_bytes), raw
        case b"identity":
            return raw, None
        case _:
            raise ValueError("unknown encoding")


def _present(value: bytes | None) -> bytes:
    if value is None:
        raise ValueError("incomplete")
    return value


def _age(value: bytes | None) -> int:
    """A missing or unreadable one is 0: the entry is good without it."""
    return int(value) if value is not None and len(value) <= 10 and value.isdigit() else 0


def _decimal(seconds: float) -> bytes:
    return repr(float(seconds)).encode()


def _seconds(value: bytes) -> float:
    seconds = float(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError("not a number of seconds")
    return seconds


def _status(value: bytes) -> int:
    status = int(value)
    if not 100 <= status <= 599:
        raise ValueError("not a status")
    return status


def _text(value: bytes) -> str:
    """A valid field value (RFC 9110, section 5.5): any other text could break the head of an answer."""
    text = value.decode("ascii")
    if not text.isprintable() or '"' in text:
        raise ValueError("not a header value")
    return text
