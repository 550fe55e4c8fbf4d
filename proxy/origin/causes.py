"""Why a connection failed, as one word.

Owns: the mapping of aiohttp's and the system's errors to `Cause`. Must not know: what is done about it.
"""

from __future__ import annotations

import errno

import aiohttp

from proxy.errors import Cause

_BY_NUMBER = {
    errno.ECONNREFUSED: Cause.REFUSED,
    errno.ETIMEDOUT: Cause.TIMEOUT,
    errno.ECONNRESET: Cause.RESET,
    errno.ECONNABORTED: Cause.RESET,
    errno.EPIPE: Cause.RESET,
    errno.ENETUNREACH: Cause.NETWORK,
    errno.EHOSTUNREACH: Cause.NETWORK,
    errno.EADDRNOTAVAIL: Cause.NETWORK,
}
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
    return _of_system(error)


def _of_system(error: BaseException | None) -> Cause:
    """By the number of the system's error, or of the error behind it."""
    while error is not None:
        system = getattr(error, "os_error", error)
        number = getattr(system, "errno", None)
        if number in _BY_NUMBER:
            return _BY_NUMBER[number]
        if isinstance(system, ConnectionResetError):
            return Cause.RESET
        error = error.__cause__
    return Cause.OTHER
