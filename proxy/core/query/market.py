"""A request for public market data: what is sent on, what it costs, and which other requests are equal to it.

Owns: the reading of parameters for the weight, and the key under which equal requests share one answer. Must not know:
what a parameter means to the origin: the query is sent on as the client wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.endpoints.weight_rules import Parameters
from proxy.core.messages import ClientRequest
from proxy.core.query.upstream_query import PublicGet, digest, escaped, target_of

MAX_REMEMBERED = 1024
"""Characters of query and headers. With 4096 requests this limits the memo to about 30 MB."""
MAX_PARAMETERS = 64
_HEADER_VALUE = re.compile(r"[ -~]{1,256}")


@dataclass(frozen=True, slots=True)
class MarketQuery(PublicGet):
    """One request for public data. Equal requests have the same key."""

    passes_as_it_came: ClassVar[bool] = True
    """Market data is not read."""

    endpoint: Endpoint
    upstream_query: str
    """The client's query as it is sent on, without the question mark."""
    upstream_headers: Mapping[str, str]
    """The headers to send: Accept, Accept-Encoding, X-MBX-TIME-UNIT, X-MBX-SBE."""
    key: str
    weight: int
    """The most that the origin charges for it."""

    @property
    def accepts_gzip(self) -> bool:
        """Whether the origin may answer in gzip."""
        return self.upstream_headers["Accept-Encoding"] == "gzip"

    @property
    def target(self) -> str:
        """The target to send."""
        return target_of(self.endpoint, self.upstream_query)

    @property
    def has_own_words(self) -> bool:
        """Whether it has a query, which is sent as the client wrote it."""
        return bool(self.upstream_query)

    @property
    def names_symbols(self) -> bool:
        """No error answer about a symbol replaces market data."""
        return False

    @property
    def sbe(self) -> str | None:
        """The schema that the client named."""
        return self.upstream_headers.get("X-MBX-SBE")


def market_query(endpoint: Endpoint, request: ClientRequest, *, gzip: bool) -> MarketQuery:
    """The request as it is sent on. `gzip`: whether the client accepts it. Memoized, because most requests repeat."""
    spelling = (request.raw_query, request.accept, request.time_unit, request.sbe_schema)
    is_short = sum(len(text) for text in spelling if text is not None) <= MAX_REMEMBERED
    return (_remembered if is_short else _market_query)(endpoint, *spelling, gzip)


def _market_query(
    endpoint: Endpoint, raw_query: str, accept: str | None, time_unit: str | None, sbe_schema: str | None, gzip: bool
) -> MarketQuery:
    given = {"Accept": accept, "X-MBX-TIME-UNIT": time_unit, "X-MBX-SBE": sbe_schema}
    headers = {name: value for name, value in given.items() if value is not None and _HEADER_VALUE.fullmatch(value)}
    headers["Accept-Encoding"] = "gzip" if gzip else "identity"
    # The HTTP client would fill in a header that is left out.
    headers.setdefault("Accept", "*/*")
    query = escaped(raw_query)
    parameters = read_parameters(raw_query)
    weight = endpoint.weight.dearest if parameters is None else endpoint.weight.of(parameters)
    return MarketQuery(endpoint, query, headers, _key(endpoint, query, headers), weight)


_remembered = lru_cache(maxsize=4096)(_market_query)


def _key(endpoint: Endpoint, query: str, headers: Mapping[str, str]) -> str:
    """Readable as far as it is short; the rest is a hash."""
    shown = re.sub(r"[^A-Za-z0-9=&]", "", query)[:80]
    return f"{endpoint.name}:{shown}#{digest(repr((query, sorted(headers.items()))))}"


def read_parameters(raw_query: str) -> Parameters | None:
    """The parameters of a query; None where a name stands twice or the query cannot be read."""
    try:
        pairs = parse_qsl(raw_query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return None
    values = dict(pairs)
    if len(values) < len(pairs):
        return None
    if "symbols" in values:
        count = _count(values["symbols"])
        return None if count is None or "symbol" in values else Parameters(count, values)
    return Parameters(1 if values.get("symbol") else None, values)


def _count(symbols: str) -> int | None:
    """How many names a JSON list has; None for anything else."""
    try:
        names = msgspec.json.decode(symbols, type=list[str])
    except (msgspec.DecodeError, UnicodeEncodeError):  # the latter for bytes of the request line that are not UTF-8
        return None
    return len(names) or None


def is_signed(raw_query: str) -> bool:
    """Whether a query carries a signature, which makes the request one of a single account."""
    if "signature" not in raw_query and "%" not in raw_query:
        return False  # no name is escaped
    return any(unquote_plus(part.partition("=")[0]) == "signature" for part in raw_query.split("&"))
