"""Entries for tests."""

from __future__ import annotations

import gzip as gzip_format
import string

from hypothesis import strategies as st

from proxy.core.messages import Entry, Lifetimes

BODY = b'{"symbols":[],"rateLimits":[]}'
_SECONDS = st.floats(min_value=0, max_value=1e7, allow_nan=False)
_PRINTABLE = string.ascii_letters + string.digits + "/;=-_. "


def entry(
    body: bytes = BODY, *, stored_at: float = 1_700_000_000.25, fresh_seconds: float = 60.0, compressed: bool = True
) -> Entry:
    """An entry as a fill makes it."""
    return Entry(
        status=200,
        content_type="application/json;charset=UTF-8",
        body=body,
        gzip=gzip_format.compress(body, mtime=0) if compressed else None,
        etag="abc123",
        stored_at=stored_at,
        lifetimes=Lifetimes(
            fresh_seconds=fresh_seconds,
            stale_while_revalidate_seconds=60.0,
            stale_if_error_seconds=86400.0,
        ),
    )


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any entry whose horizon has not passed at once."""
    body = draw(st.binary(max_size=2000))
    return Entry(
        status=draw(st.sampled_from([200, 400])),
        content_type=draw(st.text(_PRINTABLE, max_size=60)),
        body=body,
        gzip=draw(st.sampled_from([None, gzip_format.compress(body, mtime=0)])),
        etag=draw(st.text(string.ascii_letters + string.digits, max_size=40)),
        stored_at=draw(st.floats(min_value=0, max_value=4e9, allow_nan=False)),
        lifetimes=Lifetimes(
            fresh_seconds=60 + draw(_SECONDS),
            stale_while_revalidate_seconds=draw(_SECONDS),
            stale_if_error_seconds=draw(_SECONDS),
        ),
        arrived_age_seconds=draw(st.integers(min_value=0, max_value=2**31)),
        sbe_deprecated=draw(st.none() | st.text(_PRINTABLE, max_size=20)),
    )
