"""Which requests go this way, and where each goes.

Owns: the choice, and both ways of the gateway together. Must not know: how a request is sent, what its client gets.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.cache.answers import CachedAnswers
from proxy.cache.fills import Fills
from proxy.core.endpoints.catalogue import UNKNOWN, Catalogue
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint, Security
from proxy.core.messages import ClientRequest
from proxy.core.query.accepted import accepts_gzip
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.keyed import is_keyed, keyed_kind, request_of
from proxy.core.query.market import MarketQuery
from proxy.core.query.public import public_query
from proxy.core.reply import forwarded_reply, passed_reply
from proxy.direct.alone import Keyed, Lone, OfAccounts
from proxy.direct.shared import Shared
from proxy.errors import SidecarError
from proxy.gateway import Gateway, PassOn, PublicQuery
from proxy.origin.guarded import Origin
from proxy.origin.origins import Origins
from proxy.quota.clock import OriginClock
from proxy.settings import Settings, TimeSource


class Place(Struct, frozen=True, eq=False):
    """Where the requests with one method and path go."""

    endpoint: Endpoint
    origin: Origin


class DirectGateway:
    """Answers what it can of the requests that a gateway answers."""

    def __init__(self, origins: Origins, fills: Fills, *, catalogue: Catalogue, tells_time: bool) -> None:
        """`tells_time`: whether the gateway may answer for the time itself."""
        self._origins = origins
        self._fills = fills
        self._catalogue = catalogue
        self._tells_time = tells_time
        self._forwards_keyed = catalogue.forwards_keyed
        self._found: dict[tuple[str, str], Place | None] = {}
        """By method and path."""

    def prepare(self, place: Place, request: ClientRequest) -> Lone | Shared | Keyed | None:
        """The request, ready to be sent for any client; None for one that never goes this way."""
        endpoint, origin = place.endpoint, place.origin
        if is_keyed(endpoint, request):
            if not self._forwards_keyed:
                return None
            kind = keyed_kind(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
            return Keyed(request_of(kind, request), origin)
        if request.body:
            return None
        query = public_query(endpoint, request, gzip=accepts_gzip(request.accept_encoding))
        if isinstance(query, MarketQuery):
            return self._public(query, origin, forwarded_reply)
        if not isinstance(query, CanonicalQuery) or (self._tells_time and endpoint.policy is CachePolicy.FORWARDED):
            return None
        return self._public(query, origin, passed_reply)

    def of_accounts(self, place: Place, request: ClientRequest) -> OfAccounts | None:
        """What requests like this one have in common, if all of them are of accounts; None: each is prepared alone."""
        endpoint = place.endpoint
        if endpoint.security is Security.PUBLIC or not self._forwards_keyed:
            return None
        return OfAccounts(keyed_kind(endpoint, request, gzip=accepts_gzip(request.accept_encoding)), place.origin)

    def _public(self, query: PublicQuery, origin: Origin, pass_on: PassOn) -> Lone | Shared:
        if query.endpoint.policy is CachePolicy.FORWARDED:
            return Lone(query, origin, pass_on)
        may_be_kept = isinstance(query, MarketQuery) and self._fills.may_keep(query)
        return Shared(query, origin, pass_on, self._fills, may_be_kept=may_be_kept)

    def find(self, method: str, path: str) -> Place | None:
        """Where requests with this method and path go; None: not this way."""
        name = method, path
        if name in self._found:
            return self._found[name]
        try:
            endpoint = self._catalogue.find(path, method)
        except SidecarError:
            return None
        if endpoint.name == UNKNOWN or endpoint.path != path or method == "HEAD":
            return None
        origin = None if endpoint.policy is CachePolicy.CACHED else self._origins.direct(endpoint)
        self._found[name] = None if origin is None else Place(endpoint, origin)
        return self._found[name]


class Ways(Struct, frozen=True):
    """The ways of a request."""

    ordinary: Gateway
    direct: DirectGateway


def build_ways(settings: Settings, origins: Origins, fills: Fills, cached: CachedAnswers, clock: OriginClock) -> Ways:
    """Both, for the endpoints and APIs that the settings name."""
    catalogue = Catalogue(settings.forward, apis=settings.apis, unknown_weight=settings.unknown_weight)
    tells_time = settings.time is TimeSource.CLOCK
    gateway = Gateway(
        origins,
        fills,
        cached,
        clock,
        catalogue=catalogue,
        coin_futures_hosts=settings.hosts_of(Api.COIN_FUTURES),
        clock_error=clock.error_seconds if tells_time else None,
    )
    return Ways(gateway, DirectGateway(origins, fills, catalogue=catalogue, tells_time=tells_time))
