"""The format of an answer, and how a client asks for it.

Owns: how the headers Accept, X-MBX-TIME-UNIT and X-MBX-SBE are read and sent on, and what they add to a cache key. Must
not know: the rest of a query, answers. Source: Binance's API documents.
"""

from __future__ import annotations

import re

from msgspec import Struct

from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.query.parameters import Refusal

_SCHEMA = re.compile(r"[0-9]{1,5}:[0-9]{1,5}")
_FORWARDABLE = re.compile(r"[ -~]{0,64}")
_NOT_ACCEPTABLE = re.compile(r"(?:^|;)\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)")
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


def read_representation(
    endpoint: Endpoint, accept: str, time_unit: str | None, sbe_schema: str
) -> Representation | Refusal:
    """What the headers Accept, X-MBX-TIME-UNIT and X-MBX-SBE of a request ask for; the first and last are "" if absent.

    An X-MBX-SBE that cannot be forwarded is refused in JSON, because no SBE client writes such a header.
    """
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
