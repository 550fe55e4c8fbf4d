"""What an endpoint is: one line of an API's table.

Owns: the fields of a line and their meaning. Must not know: which endpoints exist, how a query is read, how an answer
is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from proxy.core.endpoints.weight_rules import WeightRule


class CachePolicy(Enum):
    """What may be done with an answer besides passing it on."""

    CACHED = "cached"
    """Stored, and filled by a single flight."""
    COLLAPSED = "collapsed"
    """Never stored; a request joins only one that is in flight."""
    FORWARDED = "forwarded"
    """Never stored nor collapsed: each request has an answer of its own."""


class Security(Enum):
    """What the origin wants to see of the caller."""

    PUBLIC = "public"
    """Nothing: the answer is the same for every caller."""
    KEY = "key"
    """An API key in X-MBX-APIKEY."""
    SIGNED = "signed"
    """An API key and a signature over the request."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """One line of a table. Lines are compared by identity, which keeps the memo of canonical queries fast."""

    name: str
    """The word in keys, metrics and logs."""
    path: str
    method: str = "GET"
    security: Security = Security.PUBLIC
    weight: WeightRule
    parameters: tuple[str, ...] = ()
    """The parameters that the origin reads, in the order in which keys and upstream queries name them."""
    policy: CachePolicy
    has_document: bool = False
    """Whether the full document can answer filters."""
    has_times: bool = True
    """Whether X-MBX-TIME-UNIT may change the answer."""
    on_public_data: bool = True
    """Whether data-api.binance.vision serves it too."""
