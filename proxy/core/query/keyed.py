"""A request of one account: sent as it came, because a signature covers its bytes.

Owns: which requests are keyed, what is sent on, what it costs. Must not know: keys, secrets, what a signature is.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from proxy.core.endpoints.endpoint import Endpoint, Security
from proxy.core.endpoints.weight_rules import Fixed
from proxy.core.messages import ClientRequest, Pairs, SentHeaders
from proxy.core.query.market import is_signed, read_parameters

MAX_READ_BYTES = 64 << 10
"""A longer body is not read for the weight: the request costs the dearest form."""
_FORM = "application/x-www-form-urlencoded"


class KeyedRequest(Struct, frozen=True, eq=False):
    """One request of one account. It is shown nowhere: its query, its headers and its body are secrets."""

    endpoint: Endpoint
    method: str
    raw_target: bytes
    """Path and query, as the client sent them."""
    sent: SentHeaders
    raw_key: bytes
    """The API key: the value that `sent` lacks."""
    accepts_gzip: bool
    """Whether the origin may answer in gzip."""
    body: bytes
    weight: int
    """The most that the origin charges for it."""

    is_keyed: ClassVar[bool] = True
    passes_as_it_came: ClassVar[bool] = True
    has_own_words: ClassVar[bool] = True
    """All of it is the client's."""
    names_symbols: ClassVar[bool] = False
    """No answer to it is stored."""
    sbe: ClassVar[None] = None
    """Its answer is not read."""

    def __repr__(self) -> str:
        """Without its secrets."""
        return f"KeyedRequest({self.method} {self.endpoint.path})"

    @property
    def key(self) -> str:
        """Its endpoint: no answer to it is ever stored or shared, so nothing needs more."""
        return self.endpoint.name

    @property
    def target(self) -> str:
        """The same as text."""
        return self.raw_target.decode("utf-8", "surrogateescape")

    @property
    def upstream_headers(self) -> Pairs:
        """The headers to send."""
        key = self.raw_key.decode("utf-8", "surrogateescape")
        return (*self.sent.all(key), ("Accept-Encoding", "gzip" if self.accepts_gzip else "identity"))


class KeyedKind(Struct, frozen=True, eq=False):
    """What requests of accounts have in common that differ in target, key and body alone."""

    endpoint: Endpoint
    method: str
    sent: SentHeaders
    accepts_gzip: bool
    content_type: str
    weight: int | None
    """What each of them costs; None: that depends on its parameters."""

    def request(self, target: bytes, api_key: bytes, body: bytes) -> KeyedRequest:
        """The request as it is sent on."""
        weight = self.weight
        if weight is None:
            weight = _weight(self.endpoint, target.decode("utf-8", "surrogateescape"), body, self.content_type)
        return KeyedRequest(self.endpoint, self.method, target, self.sent, api_key, self.accepts_gzip, body, weight)


def is_keyed(endpoint: Endpoint, request: ClientRequest) -> bool:
    """Whether a request is one of a single account: its endpoint wants a key, or it carries a signature."""
    if endpoint.security is not Security.PUBLIC or is_signed(request.raw_query):
        return True
    return b"signature=" in request.body and is_signed(_form(request.body, request.content_type) or "")


def keyed_kind(endpoint: Endpoint, request: ClientRequest, *, gzip: bool) -> KeyedKind:
    """That of a request. `gzip`: whether the client accepts it."""
    rule = endpoint.weight
    weight = rule.weight if isinstance(rule, Fixed) else None
    return KeyedKind(endpoint, request.method, request.sent, gzip, request.content_type, weight)


def keyed_request(endpoint: Endpoint, request: ClientRequest, *, gzip: bool) -> KeyedRequest:
    """The request as it is sent on. `gzip`: whether the client accepts it."""
    return request_of(keyed_kind(endpoint, request, gzip=gzip), request)


def request_of(kind: KeyedKind, request: ClientRequest) -> KeyedRequest:
    """A request of this kind as it is sent on."""
    target = request.target.encode("utf-8", "surrogateescape")
    return kind.request(target, request.api_key.encode("utf-8", "surrogateescape"), request.body)


def is_form(content_type: str) -> bool:
    """Whether a body of this type holds parameters."""
    return content_type.partition(";")[0].strip().lower() == _FORM


def _weight(endpoint: Endpoint, target: str, body: bytes, content_type: str) -> int:
    form = _form(body, content_type)
    if form is None:
        return endpoint.weight.dearest
    query = target.partition("#")[0].partition("?")[2]
    parameters = read_parameters("&".join(part for part in (query, form) if part))
    return endpoint.weight.dearest if parameters is None else endpoint.weight.of(parameters)


def _form(body: bytes, content_type: str) -> str | None:
    """The parameters in the body; None for a body that is long or has another form."""
    if not body:
        return ""
    if not is_form(content_type) or len(body) > MAX_READ_BYTES or not body.isascii():
        return None
    return body.decode("ascii")
