"""What the way to the origin must know of a request, whatever kind it is.

Owns: the interface. Must not know: how a query is read, what its answer is kept for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from proxy.core.endpoints.endpoint import Endpoint


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
    def upstream_headers(self) -> Mapping[str, str]:
        """The headers to send that select the representation."""

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
