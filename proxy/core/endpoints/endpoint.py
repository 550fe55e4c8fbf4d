"""What an endpoint is: one line of an API's table.

Owns: the fields of a line and their meaning. Must not know: which endpoints exist, how a query is read, how an answer
is kept.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct

from proxy.core.endpoints.weight_rules import Fixed, WeightRule


class Api(Enum):
    """One of the exchange's APIs. The value is the word in settings and metrics."""

    __hash__ = object.__hash__  # Enum hashes the name, by a call in Python for each look-up

    SPOT = "spot"
    USD_FUTURES = "usd-futures"
    COIN_FUTURES = "coin-futures"
    OPTIONS = "options"


class CachePolicy(Enum):
    """What may be done with an answer besides passing it on."""

    CACHED = "cached"
    """Stored, and filled by a single flight."""
    COLLAPSED = "collapsed"
    """Never stored; a request joins only one that is in flight."""
    SHARED = "shared"
    """Equal requests in flight are one; stored only for as long as the operator allows."""
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


class Endpoint(Struct, frozen=True, kw_only=True, eq=False):
    """One line of a table. Lines are compared by identity, which keeps the memo of canonical queries fast."""

    name: str
    """The word in keys, metrics and logs."""
    path: str
    method: str = "GET"
    api: Api = Api.SPOT
    security: Security = Security.PUBLIC
    weight: WeightRule
    parameters: tuple[str, ...] = ()
    """The parameters that the origin reads, in the order in which keys and upstream queries name them."""
    takes_one_parameter: bool = False
    """Whether any two parameters exclude each other. The text of that refusal is not known."""
    policy: CachePolicy
    pool: str | None = None
    """The limit of its own that the origin counts it under, each request as one; None: the API's pool."""
    is_free_on_success: bool = False
    """Whether the origin takes the weight back when the request succeeds."""
    has_used_weight: bool = True
    """Whether its answers tell the used weight of the API's pool, and can be believed."""
    ignores_parameters: bool = False
    """Whether the origin answers alike whatever parameters it gets: all queries share one entry."""
    has_rate_limits: bool = False
    """Whether its answer names the limits of the API."""
    has_document: bool = False
    """Whether the full document can answer filters."""
    has_times: bool = True
    """Whether X-MBX-TIME-UNIT may change the answer."""
    on_public_data: bool = True
    """Whether data-api.binance.vision serves it too."""


class Lines(Struct, frozen=True):
    """Writes the lines of one API's table. `place` is method and path below `prefix`: `GET ticker/24hr`."""

    api: Api
    prefix: str

    def public(self, place: str, weight: WeightRule | int, parameters: str = "", **fields: Any) -> Endpoint:
        """An endpoint that wants nothing of the caller."""
        return self._line(Security.PUBLIC, place, weight, parameters, {"policy": CachePolicy.SHARED, **fields})

    def keyed(self, place: str, weight: WeightRule | int, parameters: str = "", **fields: Any) -> Endpoint:
        """An endpoint that wants a key."""
        return self._line(Security.KEY, place, weight, parameters, fields)

    def signed(self, place: str, weight: WeightRule | int, parameters: str = "", **fields: Any) -> Endpoint:
        """An endpoint that wants a key and a signature."""
        return self._line(Security.SIGNED, place, weight, parameters, fields)

    def _line(
        self, security: Security, place: str, weight: WeightRule | int, parameters: str, fields: dict[str, Any]
    ) -> Endpoint:
        method, _, rest = place.partition(" ")
        path = self.prefix + rest
        usual = {
            "policy": CachePolicy.FORWARDED,
            "name": self._name(path),
            "has_used_weight": "pool" not in fields,
            "on_public_data": security is Security.PUBLIC,
        }
        return Endpoint(
            path=path,
            method=method,
            api=self.api,
            security=security,
            weight=Fixed(weight) if isinstance(weight, int) else weight,
            parameters=tuple(parameters.split()),
            **{**usual, **fields},
        )

    def _name(self, path: str) -> str:
        """Spot's names are short; the others keep their path, and COIN-M's half of a shared path says so."""
        if self.api is Api.SPOT:
            return path.removeprefix(self.prefix)
        coin_half = self.api is Api.COIN_FUTURES and path.startswith("/futures/")
        return f"coin{path}" if coin_half else path.removeprefix("/")
