"""The streams of changes in Redis: one beside each document, written in the same transaction as the document.

Owns: the keys, the scripts, and what is read from them. Must not know: how changes are found, who is told.

    <prefix>:changes:{<prefix>:<key>}    the stream of the document in <prefix>:<key>

The braces put both keys into one slot of a cluster, so that one script may use them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from msgspec import Struct

from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.log import Bounds, News
from proxy.core.feed.position import FEED_APIS, NOWHERE, Mark
from proxy.core.feed.record import StoredChange
from proxy.redis_client.connection import RedisConnection, RedisOperation

PAGE = 500
"""Changes that are read at a time."""
SHARES: Mapping[Api, float] = {Api.SPOT: 1 / 2, Api.USD_FUTURES: 1 / 4, Api.COIN_FUTURES: 1 / 4}
"""The part of the bytes for the changes of each API."""


class Stored(Struct, frozen=True):
    """A document was stored."""

    told: int
    """How many of its changes were written: none if they could not be continued, or were there already."""


class Conflict(Struct, frozen=True):
    """Another document is stored than the one that the changes begin at. Nothing was stored."""


class ChangeStreams:
    """The streams of one Redis. Every method raises RedisAway."""

    __slots__ = ("_bounds", "_connection", "_keys", "_read", "_store", "_tokens")

    def __init__(self, connection: RedisConnection, keys: Mapping[Api, str], bounds: Bounds) -> None:
        """`keys`: of the document of each API, without the prefix."""
        self._connection = connection
        self._bounds = bounds
        self._keys = {api: _names(connection.prefix, key) for api, key in keys.items()}
        self._tokens: dict[Api, bytes] = {}
        """The token of the last change that was read."""
        self._store = connection.client.register_script(_lua("store_document"))
        self._read = connection.client.register_script(_lua("read_changes"))

    async def store(  # noqa: PLR0913 - what a document is stored with
        self,
        api: Api,
        fields: Mapping[Any, bytes],
        changes: Sequence[StoredChange],
        *,
        base: str,
        version: str,
        expiry_ms: int,
        now_ms: int,
    ) -> Stored | Conflict:
        """Store the fields of an entry, with the changes since the document of the version `base`."""
        share_bytes = round(self._bounds.bytes * SHARES[api])
        arguments: list[Any] = [
            *(base, version, expiry_ms, secrets.token_hex(8), now_ms),
            *(self._bounds.changes, share_bytes, round(self._bounds.seconds * 1000), 2 * len(fields)),
        ]
        for name, value in fields.items():
            arguments += (name, value)
        for change in changes:
            arguments += (change.event, change.data)
        is_stored, told = await self._connection.run(
            RedisOperation.STORE, lambda: self._store(list(self._keys[api]), arguments)
        )
        return Stored(int(told)) if is_stored else Conflict()

    async def news(self, known: Mapping[Api, Mark], *, now_ms: int) -> list[News]:
        """What is new since these marks, of each API where something is."""
        found = [await self._news(api, known.get(api, NOWHERE), now_ms) for api in self._keys]
        return [news for news in found if news is not None]

    async def _news(self, api: Api, known: Mark, now_ms: int) -> News | None:
        is_continued, mark, changes = True, known, list[StoredChange]()
        while True:
            goes_on, items = await self._connection.run(
                RedisOperation.FEED,
                lambda at=mark: self._page(api, at, now_ms),  # type: ignore[misc]
            )
            if not goes_on or (items and items[0][0].number != mark.number + 1):
                is_continued, changes = False, []
            for item in items:
                mark, token, change = item
                self._tokens[api] = token
                if change is not None:
                    changes.append(change)
            if len(items) < PAGE:
                break
        if is_continued and mark == known:
            return None
        return News(api, mark, tuple(changes), is_continued)

    async def _page(
        self, api: Api, known: Mark, now_ms: int
    ) -> tuple[bool, list[tuple[Mark, bytes, StoredChange | None]]]:
        """Whether the stream goes on from this mark, and its next items: mark, token, and the change if it is one."""
        last = f"{known.epoch}-{known.number}" if known != NOWHERE and api in self._tokens else ""
        arguments: list[Any] = [
            *(last, self._tokens.get(api, b""), PAGE),
            *(secrets.token_hex(8), now_ms, round(self._bounds.seconds * 1000)),
        ]
        goes_on, items = await self._read(list(self._keys[api]), arguments)
        return bool(goes_on), [_item(each) for each in items]


def document_keys(venue: str, keys: Mapping[Api, str]) -> Mapping[Api, str]:
    """The keys of the documents whose changes are told."""
    return {api: f"{venue}:{keys[api]}" for api in FEED_APIS if api in keys}


def _item(raw: Any) -> tuple[Mark, bytes, StoredChange | None]:
    """Raises ValueError for an item that is none of ours."""
    name, pairs = raw
    epoch, _, number = bytes(name).partition(b"-")
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    event = bytes(fields.get(b"event", b"")).decode()
    change = None if event == "start" else StoredChange(event, bytes(fields.get(b"data", b"")))
    return Mark(int(epoch), int(number)), bytes(fields.get(b"token", b"")), change


def _names(prefix: str, key: str) -> tuple[str, str]:
    name = f"{prefix}:{key}"
    return name, f"{prefix}:changes:{{{name}}}"


def _lua(name: str) -> str:
    return (resources.files("proxy.feed") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
