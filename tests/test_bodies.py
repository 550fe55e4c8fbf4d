"""gzip in both directions, and the names of bodies."""

from __future__ import annotations

import asyncio
import gzip
import random
import threading
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import bodies
from proxy.bodies import COMPRESS_BYTES, THREAD_BYTES, compress, decompress, entity_tag, gunzip

NOISE = random.Random(0).randbytes(3 * THREAD_BYTES)
BODIES = st.binary(max_size=2000)


# --- Decompressing.


@given(st.lists(BODIES, max_size=4))
def test_all_members_are_decompressed_one_after_the_other(parts: list[bytes]) -> None:
    raw = b"".join(gzip.compress(part) for part in parts)
    assert gunzip(raw, 10_000) == b"".join(parts)


@given(BODIES, st.data())
def test_a_body_that_is_cut_short_anywhere_is_refused(body: bytes, data: st.DataObject) -> None:
    raw = gzip.compress(body)
    end = data.draw(st.integers(1, len(raw) - 1))
    with pytest.raises(ValueError, match="cut short"):
        gunzip(raw[:end], 10_000)


def test_a_second_member_that_is_cut_short_is_refused() -> None:
    with pytest.raises(ValueError, match="cut short"):
        gunzip(gzip.compress(b"whole") + gzip.compress(b"half")[:-1], 10_000)


def flipped(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :]


@pytest.mark.parametrize(
    "raw",
    [
        b"not gzip",
        zlib.compress(b"another format"),
        flipped(gzip.compress(b"x" * 1000), -1),  # its length
        flipped(gzip.compress(b"x" * 1000), -5),  # its checksum
        flipped(gzip.compress(NOISE), 30_000),
        gzip.compress(b"whole") + b"rest",
    ],
    ids=["text", "zlib", "length", "checksum", "middle", "rest"],
)
def test_a_corrupt_body_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="corrupt"):
        gunzip(raw, 1 << 20)


@pytest.mark.parametrize("members", [1, 2, 5])
def test_the_bound_is_on_all_members_together(members: int) -> None:
    raw = gzip.compress(b"x" * 1000) * members
    assert len(gunzip(raw, 1000 * members)) == 1000 * members
    with pytest.raises(ValueError, match="too large"):
        gunzip(raw, 1000 * members - 1)


@pytest.mark.no_cover
def test_a_bomb_is_not_blown_up_to_learn_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    produced: list[int] = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self, wbits: int) -> None:
            self._real = real(wbits=wbits)
            self.eof = False
            self.unused_data = b""

        def decompress(self, raw: bytes, most: int) -> bytes:
            part = self._real.decompress(raw, most)
            produced.append(len(part))
            return part

    monkeypatch.setattr("proxy.bodies.zlib.decompressobj", Watched)
    with pytest.raises(ValueError, match="too large"):
        gunzip(bomb, 1000)
    assert produced == [1001]


async def test_large_bodies_are_worked_on_in_a_thread_and_small_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    real = bodies.gunzip

    def watched(raw: bytes, max_bytes: int) -> bytes:
        threads.append(threading.current_thread())
        return real(raw, max_bytes)

    monkeypatch.setattr(bodies, "gunzip", watched)
    assert await decompress(gzip.compress(b"small"), max_bytes=100) == b"small"
    assert await decompress(gzip.compress(NOISE), max_bytes=1 << 20) == NOISE
    assert threads[0] is threading.main_thread()
    assert threads[1] is not threading.main_thread()


@pytest.mark.parametrize("body", [b"x" * 100, NOISE], ids=["small", "large"])
async def test_what_is_wrong_is_told_from_the_thread_too(body: bytes) -> None:
    with pytest.raises(ValueError, match="too large"):
        await decompress(gzip.compress(body), max_bytes=50)


# --- Compressing.


@pytest.mark.parametrize("size", [COMPRESS_BYTES, THREAD_BYTES, THREAD_BYTES + 1])
async def test_what_is_compressed_is_the_body_and_always_the_same_bytes(size: int) -> None:
    body = NOISE[:size]
    packed = await compress(body)
    assert packed is not None
    assert gzip.decompress(packed) == body
    await asyncio.sleep(0)
    assert await compress(body) == packed
    assert packed[4:8] == bytes(4), "a time of making would make each replica's bytes differ"


async def test_small_bodies_are_left_as_they_are() -> None:
    assert await compress(b"x" * (COMPRESS_BYTES - 1)) is None


# --- Names.


@pytest.mark.parametrize("size", [0, 1, THREAD_BYTES, THREAD_BYTES + 1])
async def test_a_body_has_one_name_and_no_other_body_has_it(size: int) -> None:
    body = NOISE[:size]
    name = await entity_tag(body)
    assert name == await entity_tag(bytes(bytearray(body)))
    assert name != await entity_tag(body + b"x")
    assert name.isalnum()
    assert len(name) == 24
