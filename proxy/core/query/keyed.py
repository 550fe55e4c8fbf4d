"""A request of one account: sent as it came, because a signature covers its bytes.

Owns: which requests are keyed, what is sent on, what it costs. Must not know: keys, secrets, what a signature is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from proxy.core.endpoints.endpoint import Endpoint, Security
from proxy.core.endpoints.weight_rules import Fixed
from proxy.core.messages import ClientRequest, SentHeaders
from proxy.core.query.market import is_signed, read_parameters

MAX_READ_BYTES = 64 << 10
"""A longer body is not read for the weight: the request costs the dearest form."""
_FORM = "application/x-www-form-urlencoded"


class KeyedRequest(Struct, frozen=True, eq=False):
    """One request of one account. It is shown nowhere: its query, its headers and its body are secrets."""

    endpoint: Endpoint
    method: str
    target: str
    """Path and query, as the client sent them."""
    sent: SentHeaders
    api_key: str
    """The value that `sent` lacks."""
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
    def upstream_query(self) -> str:
        """Part of the target."""
        return self.target.partition("?")[2]

    @property
    def upstream_headers(self) -> Mapping[str, str]:
        """The headers to send."""
        return {**self.sent.all(self.api_key), "Accept-Encoding": "gzip" if self.accepts_gzip else "identity"}


def is_keyed(endpoint: Endpoint, request: ClientRequest) -> bool:
    """Whether a request is one of a single account: its endpoint wants a key, or it carries a signature."""
    if endpoint.security is not Security.PUBLIC or is_signed(request.raw_query):
        return True
    return b"signature=" in request.body and is_signed(_form(request) or "")


def keyed_request(endpoint: Endpoint, request: ClientRequest, *, gzip: bool) -> KeyedRequest:
    """The request as it is sent on. `gzip`: whether the client accepts it."""
    rule = endpoint.weight
    return KeyedRequest(
        endpoint=endpoint,
        method=request.method,
        target=request.target,
        sent=request.sent,
        api_key=request.api_key,
        accepts_gzip=gzip,
        body=request.body,
        weight=rule.weight if isinstance(rule, Fixed) else _weight(endpoint, request),
    )


def is_form(content_type: str) -> bool:
    """Whether a body of this type holds parameters."""
    return content_type.partition(";")[0].strip().lower() == _FORM


def _weight(endpoint: Endpoint, request: ClientRequest) -> int:
    form = _form(request)
    if form is None:
        return endpoint.weight.dearest
    parameters = read_parameters("&".join(part for part in (request.raw_query, form) if part))
    return endpoint.weight.dearest if parameters is None else endpoint.weight.of(parameters)


def _form(request: ClientRequest) -> str | None:
    """The parameters in the body; None for a body that is long or has another form."""
    if not request.body:
        return ""
    if not is_form(request.content_type) or len(request.body) > MAX_READ_BYTES or not request.body.isascii():
        return None
    return request.body.decode("ascii")
