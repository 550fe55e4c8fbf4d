"""One canonical query for all ways to write the same request.

Owns: the canonical query, its cache key, and the query that is sent for it. Must not know: how an answer is found, what
the origin checks (parameters.py), how a client asks for a format (representation.py).
Source: Binance's API documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import assert_never
from urllib.parse import quote

from msgspec import Struct

from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.endpoints.weight_rules import Parameters
from proxy.core.messages import ClientRequest
from proxy.core.query.parameters import (
    BypassReason,
    Pairs,
    Refusal,
    Sent,
    first_objection,
    read_names,
    read_pairs,
    read_permissions,
)
from proxy.core.query.representation import JSON, Representation, read_representation
from proxy.core.query.upstream_query import PublicGet, digest, escaped, target_of
from proxy.errors import RequestRejected

MAX_NORMAL_FORM = 200
"""Characters. In the key a longer normal form is cut and ends with a hash."""
MAX_REMEMBERED = 1024
"""Characters of query and headers. With 4096 entries this limits the memo to about 30 MB."""
_CUT = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalQuery(PublicGet):
    """One request to the origin. Requests with the same meaning are equal and have the same key."""

    endpoint: Endpoint
    symbols: tuple[str, ...] | None = None
    """Sorted, each once."""
    permissions: tuple[str, ...] | None = None
    """Sorted, each once."""
    symbol_status: str | None = None
    show_permission_sets: bool = True
    representation: Representation = JSON
    bypass_hash: str | None = None
    """Identifies a query that only the origin can interpret. Then no filter above is set."""
    verbatim: str = field(default="", compare=False)
    """The client's query, escaped for a request line, if `bypass_hash` is set."""
    key: str = field(init=False, compare=False)
    """The cache key without prefix and venue."""
    weight: int = field(init=False, compare=False)
    """The most that the origin charges for it."""

    def __post_init__(self) -> None:
        normal = self._normal_form
        if len(normal) > MAX_NORMAL_FORM:
            normal = f"{normal[: normal.rfind(',', 0, _CUT)]},...#{digest(normal)}"
        object.__setattr__(self, "key", f"{self.endpoint.name}:{normal}{self.representation.suffix}")
        count = None if self.symbols is None else len(self.symbols)
        object.__setattr__(self, "weight", self.endpoint.weight.of(Parameters(count)))

    @property
    def _normal_form(self) -> str:
        if self.bypass_hash is not None:
            return f"bypass={self.bypass_hash}"
        parts = []
        if self.symbols is not None:
            parts.append(f"symbols={','.join(self.symbols)}")
        if self.permissions is not None:
            parts.append(f"permissions={','.join(self.permissions)}")
        return "&".join(parts + self._flags) or "all"

    @property
    def _flags(self) -> list[str]:
        status = [f"symbolStatus={self.symbol_status}"] if self.symbol_status is not None else []
        return status if self.show_permission_sets else [*status, "showPermissionSets=false"]

    @property
    def upstream_query(self) -> str:
        """The query to send, percent-encoded, without the question mark. May be empty."""
        if self.bypass_hash is not None:
            return self.verbatim
        parts = []
        if self.symbols is not None:
            name = "symbol" if len(self.symbols) == 1 else "symbols"
            parts.append(f"{name}={_list_value(self.symbols)}")
        if self.permissions is not None:
            parts.append(f"permissions={_list_value(self.permissions)}")
        return "&".join(parts + self._flags)

    @property
    def upstream_headers(self) -> Mapping[str, str]:
        """The headers to send that select the representation."""
        return self.representation.headers

    @property
    def target(self) -> str:
        """The target to send."""
        return target_of(self.endpoint, self.upstream_query)

    @property
    def has_own_words(self) -> bool:
        """Whether the client's own words are sent on."""
        return self.bypass_hash is not None

    @property
    def names_symbols(self) -> bool:
        """Whether it asks for symbols by name."""
        return self.symbols is not None

    @property
    def has_symbols(self) -> bool:
        """Whether a valid answer of exchangeInfo names at least one symbol: other filters may match none."""
        is_open = self.bypass_hash is not None or self.permissions is not None or self.symbol_status is not None
        return self.symbols is not None or not is_open

    @property
    def sbe(self) -> str | None:
        """The SBE schema that it asks for."""
        return self.representation.sbe


class Rejected(Struct, frozen=True):
    """The origin would refuse the request with exactly this error, so it is not sent."""

    error: RequestRejected


class Bypass(Struct, frozen=True):
    """Only the origin can interpret the query, so it is forwarded as the client wrote it."""

    reason: BypassReason
    query: CanonicalQuery


def canonicalize(endpoint: Endpoint, request: ClientRequest) -> CanonicalQuery | Rejected | Bypass:
    """Interpret a request for this endpoint. Never raises. Memoized, because most requests repeat."""
    spelling = (request.raw_query, request.accept, request.time_unit, request.sbe_schema)
    is_short = sum(len(text) for text in spelling if text is not None) <= MAX_REMEMBERED
    result = (_remembered if is_short else _canonicalize)(endpoint, *spelling)
    return Rejected(RequestRejected(result.code, result.msg)) if isinstance(result, Refusal) else result


def _canonicalize(
    endpoint: Endpoint, raw_query: str, accept: str | None, time_unit: str | None, sbe_schema: str | None
) -> CanonicalQuery | Bypass | Refusal:
    representation = read_representation(endpoint, accept or "", time_unit, sbe_schema or "")
    if isinstance(representation, Refusal):
        return representation
    pairs = read_pairs(raw_query)
    if pairs is None:
        return _bypass(BypassReason.UNREADABLE, endpoint, raw_query, None, representation)
    objection = first_objection(endpoint, pairs)
    if representation.bad_sbe is not None:
        objection = BypassReason.SBE_HEADER
    elif representation.sbe is not None and isinstance(objection, Refusal):
        objection = BypassReason.SBE_REFUSAL
    match objection:
        case None:
            return _canonical(endpoint, dict(pairs), representation)
        case BypassReason():
            return _bypass(objection, endpoint, raw_query, pairs, representation)
        case Refusal():
            return objection
        case never:
            assert_never(never)


_remembered = lru_cache(maxsize=4096)(_canonicalize)


def _bypass(
    reason: BypassReason, endpoint: Endpoint, raw_query: str, pairs: Pairs | None, representation: Representation
) -> Bypass:
    verbatim = escaped(raw_query)
    meaning = verbatim if pairs is None else _unordered(pairs)
    query = CanonicalQuery(
        endpoint=endpoint,
        representation=representation,
        bypass_hash=digest(ascii((meaning, representation.bad_sbe))),
        verbatim=verbatim,
    )
    return Bypass(reason, query)


def _unordered(pairs: Pairs) -> Pairs:
    """Sorted, unless a name occurs twice: then the origin's answer depends on the order."""
    return sorted(pairs) if len(dict(pairs)) == len(pairs) else pairs


def _list_value(names: Sequence[str]) -> str:
    value = names[0] if len(names) == 1 else '["' + '","'.join(names) + '"]'
    return quote(value, safe=",")


def _canonical(endpoint: Endpoint, sent: Sent, representation: Representation) -> CanonicalQuery:
    symbols = [sent["symbol"]] if "symbol" in sent else read_names(sent.get("symbols", ""))
    permissions = read_permissions(sent["permissions"]) if "permissions" in sent else None
    return CanonicalQuery(
        endpoint=endpoint,
        symbols=None if symbols is None else tuple(sorted(symbols)),
        permissions=None if permissions is None else tuple(sorted(permissions)),
        symbol_status=sent.get("symbolStatus"),
        show_permission_sets=sent.get("showPermissionSets") != "false",
        representation=representation,
    )
