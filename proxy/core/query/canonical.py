"""One canonical query for all ways to write the same request.

Owns: the canonical query, its cache key, the query and headers sent upstream for it, and the headers that select a
representation. Must not know: how an answer is found, what the origin checks (parameters.py).
Source: Binance's API documents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
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
from proxy.core.query.upstream_query import PublicGet
from proxy.errors import RequestRejected

MAX_NORMAL_FORM = 200
"""Characters. In the key a longer normal form is cut and ends with a hash."""
MAX_REMEMBERED = 1024
"""Characters of query and headers. With 4096 entries this limits the memo to about 30 MB."""
_CUT = 120
_SCHEMA = re.compile(r"[0-9]{1,5}:[0-9]{1,5}")
_FORWARDABLE = re.compile(r"[ -~]{0,64}")
_NOT_ACCEPTABLE = re.compile(r"(?:^|;)\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)")
_QUERY_CHARACTERS = "!$&'()*+,-./:;=?@_~%"
"""What a query may contain unescaped besides letters and digits (RFC 3986, section 3.4), and `%`."""
_MICROSECOND = frozenset({"MICROSECOND", "microsecond"})
_MILLISECOND = frozenset({"MILLISECOND", "millisecond"})


class Representation(Struct, frozen=True):
    """The format of the answer. The default is JSON in milliseconds."""

    microseconds: bool = False
    sbe: str | None = None
    """`<schema id>:<version>`; None: JSON."""
    sbe_or_json: bool = False
    """Whether the client accepts JSON as well as `sbe`."""
    bad_sbe: str | None = None
    """The client accepts only SBE, and sent this malformed X-MBX-SBE ("": none). Then `sbe` is None."""

    @property
    def suffix(self) -> str:
        """The end of the cache key. Empty for the default."""
        sbe = "malformed" if self.bad_sbe is not None else self.sbe
        return (
            (";time-unit=microsecond" if self.microseconds else "")
            + (f";sbe={sbe}" if sbe is not None else "")
            + (",json" if self.sbe_or_json else "")
        )

    @property
    def headers(self) -> dict[str, str]:
        """The request headers that ask the origin for this format."""
        schema = self.sbe or self.bad_sbe
        is_sbe = self.sbe is not None or self.bad_sbe is not None
        headers = {"Accept": "application/sbe" if is_sbe else "application/json"}
        if self.sbe_or_json:
            headers["Accept"] = "application/sbe, application/json"
        if schema:
            headers["X-MBX-SBE"] = schema
        if self.microseconds:
            headers["X-MBX-TIME-UNIT"] = "MICROSECOND"
        return headers


JSON = Representation()


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
            normal = f"{normal[: normal.rfind(',', 0, _CUT)]},...#{_hash(normal)}"
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
        return f"{self.endpoint.path}?{self.upstream_query}" if self.upstream_query else self.endpoint.path

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
    representation = _representation(endpoint, accept or "", time_unit, sbe_schema or "")
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


def _representation(
    endpoint: Endpoint, accept: str, time_unit: str | None, sbe_schema: str
) -> Representation | Refusal:
    """An X-MBX-SBE that cannot be forwarded is refused in JSON, because no SBE client writes such a header."""
    if time_unit is not None and time_unit not in _MICROSECOND | _MILLISECOND:
        return Refusal(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
    microseconds = endpoint.has_times and time_unit in _MICROSECOND
    acceptable = _media_types(accept)
    if "application/sbe" not in acceptable:
        return Representation(microseconds)
    json_too = not acceptable.isdisjoint({"application/json", "application/*", "*/*"})
    if _SCHEMA.fullmatch(sbe_schema):
        return Representation(microseconds, sbe=sbe_schema, sbe_or_json=json_too)
    if json_too:
        return Representation(microseconds)
    if not _FORWARDABLE.fullmatch(sbe_schema):
        return Refusal(-1152, "Invalid `X-MBX-SBE` header; expected `<SCHEMA_ID>:<VERSION>`.")
    return Representation(microseconds, bad_sbe=sbe_schema)


def _media_types(accept: str) -> frozenset[str]:
    """The media types of an Accept header in lower case, without those of q=0 (RFC 9110, section 12.5.1)."""
    members = (member.partition(";") for member in accept.lower().split(","))
    return frozenset(kind.strip() for kind, _, rest in members if not _NOT_ACCEPTABLE.search(rest))


def _bypass(
    reason: BypassReason, endpoint: Endpoint, raw_query: str, pairs: Pairs | None, representation: Representation
) -> Bypass:
    verbatim = quote(raw_query.encode("utf-8", "surrogateescape"), safe=_QUERY_CHARACTERS)
    meaning = verbatim if pairs is None else _unordered(pairs)
    query = CanonicalQuery(
        endpoint=endpoint,
        representation=representation,
        bypass_hash=_hash(ascii((meaning, representation.bad_sbe))),
        verbatim=verbatim,
    )
    return Bypass(reason, query)


def _unordered(pairs: Pairs) -> Pairs:
    """Sorted, unless a name occurs twice: then the origin's answer depends on the order."""
    return sorted(pairs) if len(dict(pairs)) == len(pairs) else pairs


def _hash(text: str) -> str:
    """128 bits, so that collisions cannot be found."""
    return sha256(text.encode()).hexdigest()[:32]


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
