"""Where the serverTime of a body is, and what its name says without it."""

from __future__ import annotations

import pytest

from proxy.bodies import entity_tag
from proxy.core.document.parsed import server_time_of


@pytest.mark.parametrize(
    ("body", "time"),
    [
        (b'{"timezone":"UTC","serverTime":1800000000000,"symbols":[]}', b"1800000000000"),
        (b'{"serverTime":1800000000000000,"symbols":[]}', b"1800000000000000"),
        (b'{ "serverTime" : 17 , "symbols":[]}', b"17"),
        (b'{"serverTime":17}', b"17"),
        (b'{"rateLimits":[],"serverTime":17}', None),
        (b'{"inner":{"serverTime":17}}', None),
        (b'[{"serverTime":17}]', None),
        (b'{"text":"\\"serverTime\\":17"}', None),
        (b'{"symbols":[]}', None),
        (b'{"padding":"' + b"x" * 300 + b'","serverTime":17}', None),
        (b'{"padding":"' + b"x" * 229 + b'","serverTime":1800000000000}', None),
        (b"\x00\x00\x67\x00\x03\x00\x05\x00", None),
        (b"", None),
    ],
)
def test_only_the_bodys_own_time_is_found(body: bytes, time: bytes | None) -> None:
    place = server_time_of(body)
    assert (None if place is None else body[place]) == time


def body_at(time: int, *, size: int = 0, status: str = "TRADING") -> bytes:
    return b'{"timezone":"UTC","serverTime":%d,"padding":"%s","status":"%s"}' % (time, b"x" * size, status.encode())


async def tag(body: bytes) -> str:
    return await entity_tag(body, apart=server_time_of(body))


@pytest.mark.parametrize("size", [0, 100_000])
async def test_the_name_is_the_same_but_for_the_time(size: int) -> None:
    one, other = await tag(body_at(1_800_000_000_000, size=size)), await tag(body_at(1_800_000_060_000, size=size))
    assert one.partition(".")[0] == other.partition(".")[0]
    assert (one.partition(".")[2], other.partition(".")[2]) == ("1800000000000", "1800000060000")
    changed = await tag(body_at(1_800_000_000_000, size=size, status="BREAK"))
    microseconds = await tag(body_at(1_800_000_000_000_000, size=size))
    assert len({name.partition(".")[0] for name in (one, changed, microseconds)}) == 3
