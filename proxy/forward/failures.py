"""What went wrong with one exchange, as an error of the gateway.

Owns: the mapping of the system's errors to `Cause`, and of a failed exchange to `proxy.errors`. Must not know: how a
connection is made, what is done about a failure.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Mapping

from proxy.errors import AnswerCut, BadAnswer, Cause, ConnectionLost, Unreachable, UpstreamFailed
from proxy.forward.head import Head, InvalidAnswer

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
    (ssl.SSLCertVerificationError, Cause.CERTIFICATE),
    (ssl.SSLError, Cause.TLS),
    (socket.gaierror, Cause.DNS),
    (UnicodeError, Cause.DNS),
)
"""The first that fits counts."""


class ProxyFailed(Exception):
    """The HTTP proxy cannot be reached, or makes no tunnel."""


class ConnectionEnded(Exception):
    """The other side has closed the connection."""


def cause_of(error: BaseException) -> Cause:
    """The cause of an error that a connection met."""
    if isinstance(error, ProxyFailed):
        return Cause.PROXY
    if isinstance(error, ConnectionEnded):
        return Cause.CLOSED
    for kind, cause in _BY_TYPE:
        if isinstance(error, kind):
            return cause
    return Cause.TIMEOUT if isinstance(error, TimeoutError) else cause_of_system(error)


def cause_of_system(error: BaseException | None) -> Cause:
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


def unreachable(host: str, error: BaseException) -> Unreachable:
    """No connection: nothing was sent."""
    cause = cause_of(error)
    return Unreachable(f"{host} cannot be reached: {cause.words}.", cause=cause)


def failed_answer(error: BaseException, head: Head | None) -> UpstreamFailed:
    """The request was sent. `head`: that of the answer if it came."""
    headers = headers_of_head(head)
    if isinstance(error, InvalidAnswer):
        return BadAnswer(str(error), headers=headers)
    cause = cause_of(error)
    if head is None:
        return ConnectionLost("The connection to the origin broke before an answer came.", cause=cause)
    return AnswerCut("The origin's answer broke off.", headers=headers, cause=cause)


def headers_of_head(head: Head | None) -> Mapping[str, str]:
    """Those of a head, if it has come."""
    return {} if head is None else head.texts
