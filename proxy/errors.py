"""Every way a request can fail, and the answer for each.

Owns: the exception tree, the HTTP status, Binance error code, text and Retry-After of each error.
Must not know: sockets, Redis, aiohttp, or when each error is raised.

    SidecarError
    ├── RequestRejected        400  the origin would refuse this request; nothing was sent
    ├── UnknownPath            404  -1020
    ├── NotForwarded           404  -1020  an endpoint of the exchange that SIDECAR_FORWARD leaves out
    ├── ApiNotConfigured       404  -1020  an endpoint of an API for which no host is configured
    ├── MethodNotAllowed       405  -1020
    ├── SendingRefused              we did not send the request
    │   ├── BudgetUsedUp       429  -1003  Retry-After: the end of the window
    │   ├── ClientShareUsedUp  429  -1003  Retry-After: the end of the window; other clients may still send
    │   ├── BackedOff          429  -1003  Retry-After: what is left of the origin's 429
    │   ├── Banned             418  -1003  Retry-After: what is left of the origin's 418
    │   └── Paused             403      0  Retry-After: what is left of our pause after the origin's 403
    ├── UpstreamFailed              we tried to send, and have no answer to pass on
    │   ├── Unreachable        502      0  no connection: the request was certainly not sent
    │   ├── ConnectionLost     502      0  sent, but the connection broke before an answer came
    │   │   └── AnswerCut      502  -1001  it broke before the answer was complete
    │   ├── TooSlow            504  -1007  no complete answer within the deadline
    │   ├── BadAnswer          502  -1001  an answer that cannot be used: cut, invalid, unproven, too large
    │   ├── OriginRefused      502  -1001  a 4xx to a fill while a good entry is held, or to a refresh
    │   └── PassedOn                the origin's own answer is the error: its status, content type and body
    │       ├── OriginError    500  or another 5xx, or a 4xx that is about no request
    │       └── Restricted     451  the origin does not serve this location
    └── RedisAway                   internal: the shells then work without Redis; no client gets this error

The refusals of HTTP itself are in `proxy/server/refusals.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum

JSON_CONTENT_TYPE = "application/json;charset=UTF-8"
INTERNAL_ERROR = "An unknown error occurred while processing the request."
"""The origin's text for an error of its own, which is ours for a bug."""


class SidecarError(Exception):
    """An error answer: status, the body `{"code": code, "msg": msg}`, Retry-After in seconds."""

    status = 500
    code = -1000
    reason = "internal"
    """The word for this error in Cache-Status, logs and metrics."""

    def __init__(self, msg: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(msg)
        self.msg = msg
        self.retry_after_seconds = retry_after_seconds

    @property
    def retry_after(self) -> str | None:
        """The Retry-After header: whole seconds, rounded up, at least 1 (RFC 9110, section 10.2.3)."""
        if self.retry_after_seconds is None:
            return None
        return str(max(1, math.ceil(self.retry_after_seconds)))


class RequestRejected(SidecarError):
    """The origin would refuse this request with the same code and text. Source: Binance's API documents."""

    status = 400
    reason = "rejected"

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code


class UnknownPath(SidecarError):
    """The gateway does not serve this path."""

    status = 404
    code = -1020
    reason = "unknown-path"


class NotForwarded(SidecarError):
    """The exchange has this endpoint, but SIDECAR_FORWARD leaves it out."""

    status = 404
    code = -1020
    reason = "not-forwarded"


class ApiNotConfigured(SidecarError):
    """The exchange has this endpoint, but the gateway has no host for its API."""

    status = 404
    code = -1020
    reason = "no-upstream"


class MethodNotAllowed(SidecarError):
    """The method is none that the path accepts."""

    status = 405
    code = -1020
    reason = "method"

    def __init__(self, msg: str, *, allow: str = "GET, HEAD, OPTIONS") -> None:
        super().__init__(msg)
        self.allow = allow
        """The Allow header. The default is that of public endpoints."""


class SendingRefused(SidecarError):
    """The request was not sent: the quota forbids it for the next `retry_after_seconds`."""

    status = 429
    code = -1003
    reason = "quota"


class BudgetUsedUp(SendingRefused):
    """The request would pass our budget in a rate-limit window."""


class ClientShareUsedUp(SendingRefused):
    """The request would pass the share of our budget that one client may use."""

    reason = "client-share"

    def __init__(self, msg: str, *, client: str | None, retry_after_seconds: float | None = None) -> None:
        super().__init__(msg, retry_after_seconds=retry_after_seconds)
        self.client = client
        """The client whose share is used up. Other clients are not refused."""


class BackedOff(SendingRefused):
    """The origin answered 429, and its back-off is not over."""

    reason = "back-off"


class Banned(SendingRefused):
    """The origin answered 418, and the ban of this IP is not over."""

    status = 418
    reason = "ban"


class Paused(SendingRefused):
    """The origin's firewall answered 403, and our pause after it is not over."""

    status = 403
    code = 0
    """No code of Binance means this. Clients then go by the status, as they do with the firewall's own page."""
    reason = "pause"


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


class UpstreamFailed(SidecarError):
    """We tried to ask the origin, and there is no answer to pass on."""

    status = 502
    code = 0
    """Nothing came. Clients then go by the status: to ccxt that is a network error, which Binance's -1001 is not."""
    reason = "upstream"

    def __init__(self, msg: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msg)
        self.headers = headers or {}
        """The headers of the answer if one came, names in lower case: they still report the used weight."""


class Unreachable(UpstreamFailed):
    """No connection could be made: the request was certainly not sent."""

    reason = "unreachable"

    def __init__(
        self,
        msg: str = "The origin cannot be reached.",
        *,
        headers: Mapping[str, str] | None = None,
        cause: Cause = Cause.OTHER,
    ) -> None:
        super().__init__(msg, headers=headers)
        self.cause = cause


class ConnectionLost(UpstreamFailed):
    """The connection broke after the request was sent, and nothing came: the origin may have counted it."""

    reason = "connection-lost"

    def __init__(self, msg: str, *, headers: Mapping[str, str] | None = None, cause: Cause = Cause.CLOSED) -> None:
        super().__init__(msg, headers=headers)
        self.cause = cause


class AnswerCut(ConnectionLost):
    """The connection broke within the answer."""

    code = -1001


class TooSlow(UpstreamFailed):
    """No complete answer within the deadline: the origin may have counted the request."""

    status = 504
    code = -1007
    reason = "too-slow"

    def __init__(
        self,
        msg: str = "Timeout waiting for response from backend server.",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(msg, headers=headers)


class BadAnswer(UpstreamFailed):
    """An answer came, but it cannot be used."""

    code = -1001
    reason = "bad-answer"


class OriginRefused(UpstreamFailed):
    """The origin answered a fill with a 4xx that must not replace the entry that is held."""

    code = -1001
    reason = "origin-refused"


class PassedOn(UpstreamFailed):
    """The origin's own answer is the error: its status, content type and body."""

    def __init__(self, msg: str, body: bytes, *, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msg, headers=headers)
        self.body = body
        self.content_type = content_type
        """Empty if the origin sent none."""


class OriginError(PassedOn):
    """The origin failed (5xx), or answered 4xx for a reason that is not the request. Its answer is passed on."""

    status = 500
    reason = "origin-error"

    def __init__(
        self, status: int, body: bytes, *, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"The origin answered {status}.", body, content_type=content_type, headers=headers)
        self.status = status


class Restricted(PassedOn):
    """451: the origin does not serve this location. Its body is passed on unchanged."""

    status = 451
    code = 0
    reason = "restricted"

    def __init__(
        self, body: bytes, *, content_type: str = JSON_CONTENT_TYPE, headers: Mapping[str, str] | None = None
    ) -> None:
        msg = "Service unavailable from a restricted location."
        super().__init__(msg, body, content_type=content_type, headers=headers)


class RedisAway(SidecarError):
    """A Redis operation failed, timed out, or was not tried because the breaker is open."""

    reason = "redis-away"

    def __init__(self, msg: str, *, is_refusal: bool = False) -> None:
        super().__init__(msg)
        self.is_refusal = is_refusal
        """Whether Redis answered, with an error."""
