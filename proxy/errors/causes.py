"""Why a connection failed.

Owns: the causes, and the words for each. Must not know: which exception has which cause.
"""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """Why a connection failed. The value is the word in logs and metrics."""

    CERTIFICATE = "certificate"
    TLS = "tls"
    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    RESET = "reset"
    CLOSED = "closed"
    NETWORK = "network"
    PROXY = "proxy"
    OTHER = "other"

    @property
    def words(self) -> str:
        """The cause in a sentence, after the host's name."""
        return _CAUSES[self]


_CAUSES = {
    Cause.CERTIFICATE: "its certificate is not accepted",
    Cause.TLS: "the TLS handshake failed",
    Cause.DNS: "its name cannot be resolved",
    Cause.REFUSED: "the connection was refused",
    Cause.TIMEOUT: "no connection in time",
    Cause.RESET: "the connection was reset",
    Cause.CLOSED: "the connection was closed",
    Cause.NETWORK: "there is no route to it",
    Cause.PROXY: "the HTTP proxy does not connect to it",
    Cause.OTHER: "the connection failed",
}
