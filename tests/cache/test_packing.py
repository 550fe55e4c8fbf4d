"""The gzip variants of large entries: they are whole, and packed anew only where a body changed."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.bodies import THREAD_BYTES, entity_tag
from proxy.cache import packing
from proxy.cache.packing import Packing
from proxy.core.document.parsed import server_time_of

SYMBOLS = b",".join(b'{"symbol":"A%dUSDT","status":"TRADING"}' % number for number in range(2500))
TIME, LATER = 1785050100000, 1785050160000


def document(time: int, symbols: bytes = SYMBOLS) -> bytes:
    return b'{"timezone":"UTC","serverTime":%d,"symbols":[%b]}' % (time, symbols)


async def pack(packer: Packing, body: bytes, *, at_once: bool = False, key: str = "a") -> bytes | None:
    time = server_time_of(body)
    validator = (await entity_tag(body, apart=time)).partition(".")[0]
    return await packer.pack(key, body, validator, time=time, at_once=at_once)


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what is compressed from now on."""
    sizes: list[int] = []
    deflated = packing._deflated

    def counted(data: memoryview, flush: int) -> bytes:
        sizes.append(len(data))
        return deflated(data, flush)

    monkeypatch.setattr(packing, "_deflated", counted)
    return sizes


async def test_only_the_start_is_packed_anew_when_the_time_alone_changes(compressed: list[int]) -> None:
    packer = Packing()
    for time in (TIME, LATER, LATER + 1):
        body = document(time)
        packed = await pack(packer, body)
        assert packed is not None
        assert gzip.decompress(packed) == body
    rest = len(document(TIME)) - len(b'{"timezone":"UTC","serverTime":') - 13
    assert [size for size in compressed if size > 100] == [rest]


async def test_a_body_that_changed_is_packed_anew() -> None:
    packer = Packing()
    for body in (document(TIME), document(TIME, SYMBOLS.replace(b"A7U", b"B7U")), document(TIME // 1000)):
        packed = await pack(packer, body)
        assert packed is not None
        assert gzip.decompress(packed) == body


async def test_a_client_that_waits_gets_what_takes_no_time() -> None:
    packer = Packing()
    assert await pack(packer, document(TIME), at_once=True) is None
    await pack(packer, document(TIME))
    assert await pack(packer, document(LATER), at_once=True, key="b") is None
    packed = await pack(packer, document(LATER), at_once=True)
    assert packed is not None
    assert gzip.decompress(packed) == document(LATER)


async def test_it_is_smaller_than_what_is_packed_in_a_hurry() -> None:
    packed = await pack(Packing(), document(TIME))
    assert packed is not None
    assert len(packed) < len(gzip.compress(document(TIME), 6))


async def test_small_bodies_are_left_alone() -> None:
    assert await pack(Packing(), b'{"serverTime":%d}' % TIME) is None


async def test_few_are_kept(compressed: list[int]) -> None:
    packer = Packing()
    for number in range(packing._MOST_KEPT + 1):
        await pack(packer, document(TIME), key=str(number))
    compressed.clear()
    await pack(packer, document(LATER), key="0")
    await pack(packer, document(LATER), key=str(packing._MOST_KEPT))
    assert len([size for size in compressed if size > 100]) == 1


@given(
    bodies=st.lists(
        st.tuples(st.sampled_from([b"", b'{"serverTime":', b'{"a":1,"serverTime": ']), st.binary()), max_size=4
    )
)
async def test_every_variant_is_whole(bodies: list[tuple[bytes, bytes]]) -> None:
    packer = Packing()
    for start, end in bodies:
        for time in (TIME, LATER):
            body = start + str(time).encode() + b"," + bytes(THREAD_BYTES) + end
            packed = await pack(packer, body)
            assert packed is not None
            assert gzip.decompress(packed) == body
