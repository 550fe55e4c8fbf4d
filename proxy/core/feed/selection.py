"""What a reader of the feed asks for.

Owns: the parameters of `/changes` and what they select. Must not know: how an answer is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import orjson
from msgspec import Struct

from proxy.core.endpoints.endpoint import Api
from proxy.core.feed.position import FEED_APIS
from proxy.core.feed.record import KINDS, Record
from proxy.errors import RequestRejected

SYMBOLS, KINDS_PARAMETER, API, LAST_EVENT_ID = "symbols", "kinds", "api", "lastEventId"
PARAMETERS = (SYMBOLS, KINDS_PARAMETER, API, LAST_EVENT_ID)
_SYMBOL = re.compile(r"[\w.-]{1,50}")
_APIS: Mapping[str, Api] = {api.value: api for api in FEED_APIS}


class Selection(Struct, frozen=True):
    """The changes that a reader wants. None: all. Can be a key."""

    symbols: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    apis: frozenset[Api] | None = None

    def data_of(self, record: Record) -> bytes | None:
        """The data of a record for this reader; None: it does not get it.

        A change of several symbols names those that the reader asked for. A reset is for all readers of its APIs.
        """
        if self.apis is not None and self.apis.isdisjoint(record.apis):
            return None
        if record.is_reset:
            return record.data
        if self.kinds is not None and record.event not in self.kinds:
            return None
        if self.symbols is None:
            return record.data
        names = [name for name in record.symbols if name in self.symbols]
        if not names:
            return None
        return record.data if len(names) == len(record.symbols) else _narrowed(record, names)


def _narrowed(record: Record, names: list[str]) -> bytes:
    data = orjson.loads(record.data)
    data |= {"symbol": names[0] if len(names) == 1 else None, "symbols": names}
    return orjson.dumps(data)


class FeedRequest(Struct, frozen=True):
    """The parameters of one request."""

    selection: Selection
    last_event_id: str | None
    """From the query, for clients that cannot send a header; None if it is empty: a reader has none at first."""


def read_request(raw_query: str) -> FeedRequest:
    """Read the query of a request. Raises RequestRejected, in Binance's words."""
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(raw_query, keep_blank_values=True, errors="strict", max_num_fields=len(PARAMETERS) * 2)
    except ValueError as error:
        raise RequestRejected(-1101, "Too many parameters, or parameters that cannot be decoded.") from error
    for name, value in pairs:
        if name not in PARAMETERS:
            raise RequestRejected(-1104, f"Not all sent parameters were read; known are {', '.join(PARAMETERS)}.")
        if name in given:
            raise RequestRejected(-1101, f"Duplicate values for parameter '{name}'.")
        given[name] = value
    kinds, apis = _words(given, KINDS_PARAMETER), _words(given, API)
    return FeedRequest(
        Selection(
            symbols=_symbols(given),
            kinds=None if kinds is None else _known(kinds, KINDS, KINDS_PARAMETER),
            apis=None if apis is None else frozenset(_APIS[name] for name in _known(apis, frozenset(_APIS), API)),
        ),
        given.get(LAST_EVENT_ID) or None,
    )


def _words(given: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    """The words of a list, separated by commas; None if the parameter is absent."""
    if name not in given:
        return None
    words = tuple(given[name].split(","))
    if not all(words):
        raise RequestRejected(-1105, f"Parameter '{name}' was empty.")
    return words


def _known(words: tuple[str, ...], known: frozenset[str], name: str) -> frozenset[str]:
    if not known.issuperset(words):
        raise RequestRejected(
            -1130, f"Data sent for parameter '{name}' is not valid; known are {', '.join(sorted(known))}."
        )
    return frozenset(words)


def _symbols(given: Mapping[str, str]) -> frozenset[str] | None:
    words = _words(given, SYMBOLS)
    if words is not None and not all(_SYMBOL.fullmatch(word) for word in words):
        raise RequestRejected(
            -1100, f"Illegal characters found in parameter '{SYMBOLS}'; symbols stand with commas between."
        )
    return None if words is None else frozenset(words)
