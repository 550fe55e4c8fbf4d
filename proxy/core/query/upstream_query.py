"""What the way to the origin must know of a request, whatever kind it is.

Owns: the interface, and what several kinds write alike: a query in a request line, a hash in a key. Must not know: how
a query is read, what its answer is kept for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import ClassVar, Protocol
from urllib.parse import quote

from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import Pairs

_QUERY_CHARACTERS = "!$&'()*+,-./:;=?@_~%"
"""What a query may contain unescaped besides letters and digits (RFC 3986, section 3.4), and `%`."""
_UNESCAPED = re.compile(rf"[A-Za-z0-9{re.escape(_QUERY_CHARACTERS)}]*")


class UpstreamQuery(Protocol):
    """One request to the origin."""

    @property
    def endpoint(self) -> Endpoint:
        """The line of the table."""

    @property
    def key(self) -> str:
        """Equal for requests with the same answer. Without prefix and venue."""

    @property
    def weight(self) -> int:
        """The most that the origin charges for it."""

    @property
    def method(self) -> str:
        """The method to send."""

    @property
    def target(self) -> str:
        """The target of the request line to send: path and query, percent-encoded."""

    @property
    def body(self) -> bytes:
        """The body to send."""

    @property
    def is_keyed(self) -> bool:
        """Whether it is the request of one account: sent as it came, never twice, never stored, never shared."""

    @property
    def passes_as_it_came(self) -> bool:
        """Whether a 200 is good whatever it says."""

    @property
    def upstream_headers(self) -> Mapping[str, str] | Pairs:
        """The headers to send that select the representation, or those that a client sent."""

    @property
    def has_own_words(self) -> bool:
        """Whether the client chose words in it: the origin's firewall looks at words."""

    @property
    def names_symbols(self) -> bool:
        """Whether it asks for symbols by name."""

    @property
    def sbe(self) -> str | None:
        """`<schema id>:<version>` of the SBE answer that it asks for; None: JSON."""


class PublicGet:
    """What all requests for public data have in common: whoever asks, the answer is the same."""

    __slots__ = ()

    method: ClassVar[str] = "GET"
    """Only GET is asked."""
    body: ClassVar[bytes] = b""
    """No body."""
    is_keyed: ClassVar[bool] = False
    """Never."""
    passes_as_it_came: ClassVar[bool] = False
    """Its answer is read."""


def escaped(raw_query: str) -> str:
    """A client's query for a request line: what may not stand there is percent-encoded, the rest stays as it is.

    Bytes of the request line that are not UTF-8 are lone surrogates in `raw_query` (PEP 383).
    """
    if _UNESCAPED.fullmatch(raw_query):
        return raw_query
    return quote(raw_query.encode("utf-8", "surrogateescape"), safe=_QUERY_CHARACTERS)


def target_of(endpoint: Endpoint, query: str) -> str:
    """The target of a request line. `query` is percent-encoded, without the question mark, and may be empty."""
    return f"{endpoint.path}?{query}" if query else endpoint.path


def digest(text: str) -> str:
    """128 bits in hexadecimal, so that collisions cannot be found."""
    return sha256(text.encode()).hexdigest()[:32]
