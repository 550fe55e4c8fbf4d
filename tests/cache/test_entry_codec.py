"""What is read back from a hash, and what is not."""

from __future__ import annotations

import gzip as gzip_format
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache import entry_codec
from proxy.core.messages import Entry
from tests.cache.entries import BODY, entries, entry

LIMIT = 1 << 20
OPTIONAL = ("age", "sbe_deprecated")
REQUIRED = entry_codec.FIELDS[: -len(OPTIONAL)]
"""The fields of version 0.1.0, which asks Redis for these in this order, and wants all of them."""


async def decoded(fields: dict[str, bytes | None], *, max_body_bytes: int = LIMIT) -> Entry | None:
    return await entry_codec.decode([fields.get(name) for name in entry_codec.FIELDS], max_body_bytes=max_body_bytes)


def encoded(**changes: bytes | None) -> dict[str, bytes | None]:
    return {**entry_codec.encode(entry()), **changes}


@given(entries())
async def test_an_entry_is_read_back_as_it_was(one: Entry) -> None:
    assert await decoded(dict(entry_codec.encode(one))) == one


def test_the_fields_can_be_read_by_a_person() -> None:
    fields = entry_codec.encode(entry(compressed=False))

    assert tuple(fields) == REQUIRED
    assert fields == {
        "v": b"1",
        "status": b"200",
        "content_type": b"application/json;charset=UTF-8",
        "etag": b"abc123",
        "stored_at": b"1700000000.25",
        "fresh": b"60.0",
        "swr": b"60.0",
        "sie": b"86400.0",
        "size": b"%d" % len(BODY),
        "encoding": b"identity",
        "body": BODY,
    }


def test_of_a_compressed_entry_only_the_compressed_body_is_kept() -> None:
    one = entry()
    fields = entry_codec.encode(one)

    assert (fields["encoding"], fields["body"], fields["size"]) == (b"gzip", one.gzip, b"%d" % len(BODY))


def test_the_fields_of_older_versions_are_written_as_these_read_them() -> None:
    names = "v status content_type etag stored_at fresh swr sie size encoding body"
    assert names.split() == list(REQUIRED)
    assert entry_codec.FIELDS[len(REQUIRED) :] == OPTIONAL


async def test_what_few_entries_have_is_written_only_for_them() -> None:
    one = replace(entry(), arrived_age_seconds=7, sbe_deprecated="3:4")
    fields = dict(entry_codec.encode(one))

    assert (fields["age"], fields["sbe_deprecated"]) == (b"7", b"3:4")
    assert await decoded(fields) == one


@pytest.mark.parametrize(
    ("name", "value"),
    [("age", b"-1"), ("age", b"soon"), ("age", b"9" * 11), ("sbe_deprecated", b"a\r\nb"), ("sbe_deprecated", b"\xff")],
)
async def test_an_entry_is_good_without_a_notice_that_cannot_be_read(name: str, value: bytes) -> None:
    assert await decoded(encoded(**{name: value})) == entry()


@pytest.mark.parametrize("name", REQUIRED)
async def test_an_incomplete_hash_is_no_entry(name: str) -> None:
    assert await decoded(encoded()) == entry()
    assert await decoded(encoded(**{name: None})) is None


async def test_an_entry_of_an_older_version_was_new_when_it_came() -> None:
    assert await decoded(encoded(age=None)) == entry()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v", b"2"),
        ("v", b""),
        ("status", b"ok"),
        ("status", b"0"),
        ("status", b"600"),
        ("content_type", b"text/html\r\nSet-Cookie: a=b"),
        ("content_type", "café".encode()),
        ("content_type", b"\xff"),
        ("etag", b'a"b'),
        ("etag", b"a\x00b"),
        ("stored_at", b"yesterday"),
        ("stored_at", b"nan"),
        ("stored_at", b"-1"),
        ("fresh", b"inf"),
        ("fresh", b"-60"),
        ("swr", b""),
        ("sie", b"1e999"),
        ("size", b"-1"),
        ("size", b"many"),
        ("size", b"%d" % (len(BODY) + 1)),
        ("size", b"%d" % (len(BODY) - 1)),
        ("size", b"0"),
        ("size", b"%d" % (LIMIT + 1)),
        ("encoding", b"br"),
        ("encoding", b"identity"),
        ("body", b""),
        ("body", BODY),
        # Without the time: it would be in the name of the test, and parallel processes must find the same names.
        ("body", gzip_format.compress(BODY, mtime=0)[:-1]),
        ("body", gzip_format.compress(BODY, mtime=0) + b"tail"),
        ("body", gzip_format.compress(BODY + b" ", mtime=0)),
    ],
)
async def test_a_hash_that_is_not_as_we_write_it_is_no_entry(name: str, value: bytes) -> None:
    assert await decoded(encoded(**{name: value})) is None


@given(st.sampled_from(entry_codec.FIELDS), st.binary(max_size=100))
async def test_no_value_whatever_raises(name: str, value: bytes) -> None:
    await decoded(encoded(**{name: value}))


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
async def test_a_compressed_body_with_one_byte_changed_never_gives_another_body(place: int, byte: int) -> None:
    body = bytearray(entry().gzip or b"")
    body[place % len(body)] = byte

    found = await decoded(encoded(body=bytes(body)))

    assert found is None or found.body == BODY


@pytest.mark.no_cover
async def test_a_bomb_is_not_unpacked_beyond_its_stated_size() -> None:
    bomb = gzip_format.compress(bytes(100 << 20))

    assert await decoded(encoded(body=bomb, size=b"1000")) is None
    assert await decoded(encoded(body=bomb, size=b"%d" % (100 << 20))) is None


async def test_a_body_larger_than_a_thread_is_started_for_is_read_back_too() -> None:
    one = entry(bytes(range(256)) * 4000)

    assert await decoded(dict(entry_codec.encode(one))) == one


@pytest.mark.parametrize("compressed", [True, False])
async def test_a_body_above_the_limit_is_no_entry(compressed: bool) -> None:
    fields = dict(entry_codec.encode(entry(compressed=compressed)))

    assert await decoded(fields, max_body_bytes=len(BODY)) is not None
    assert await decoded(fields, max_body_bytes=len(BODY) - 1) is None


@pytest.mark.parametrize(
    ("version", "stored_at", "expected"),
    [
        (b"1", b"12.5", 12.5),
        (b"2", b"12.5", None),
        (None, None, None),
        (b"1", None, None),
        (b"1", b"x", None),
        (b"1", b"inf", None),
    ],
)
def test_the_time_alone_is_read_from_our_own_version_only(
    version: bytes | None, stored_at: bytes | None, expected: float | None
) -> None:
    assert entry_codec.decode_stored_at([version, stored_at]) == expected


def test_any_number_is_written_as_a_decimal() -> None:
    assert entry_codec.encode(replace(entry(), stored_at=5))["stored_at"] == b"5.0"
