"""Why a connection failed, as one word.

Owns: the mapping of aiohttp's errors to `Cause`. Must not know: what is done about it.
"""

from __future__ import annotations

import aiohttp

from proxy.errors import Cause
from proxy.forward.failures import cause_of_system

_BY_TYPE: tuple[tuple[type[BaseException], Cause], ...] = (
    (aiohttp.ClientConnectorCertificateError, Cause.CERTIFICATE),
    (aiohttp.ServerFingerprintMismatch, Cause.CERTIFICATE),
    (aiohttp.ClientConnectorSSLError, Cause.TLS),
    (aiohttp.ClientSSLError, Cause.TLS),
    (aiohttp.ClientConnectorDNSError, Cause.DNS),
    (aiohttp.ClientProxyConnectionError, Cause.PROXY),
    (aiohttp.ClientHttpProxyError, Cause.PROXY),
    (TimeoutError, Cause.TIMEOUT),
    (aiohttp.ServerDisconnectedError, Cause.CLOSED),
    (aiohttp.ClientPayloadError, Cause.CLOSED),
)
"""The first that fits counts."""


def cause_of(error: BaseException) -> Cause:
    """The cause of an error of the HTTP client."""
    for kind, cause in _BY_TYPE:
        if isinstance(error, kind):
            return cause
    return cause_of_system(error)
