"""Every way a request can fail, each with the answer it implies.

Owns: the exception tree, the HTTP status, Binance error code, text and Retry-After of each error.
Must not know: sockets, Redis, aiohttp, or when each error is raised.

    SidecarError
    ├── RequestRejected        400  the origin would refuse this request; nothing was sent
    ├── MalformedRequest       400  -1000  no HTTP that can be read
    ├── UnknownPath            404  -1020
    ├── MethodNotAllowed       405  -1020
    ├── SendingRefused              we decided not to send
    │   ├── BudgetUsedUp       429  -1003  Retry-After: the end of the window
    │   ├── ClientShareUsedUp  429  -1003  Retry-After: the end of the window; other clients may still send
    │   ├── BackedOff          429  -1003  Retry-After: what is left of the origin's 429
    │   ├── Banned             418  -1003  Retry-After: what is left of the origin's 418
    │   └── Paused             403  -1000  Retry-After: what is left of our pause after the origin's 403
    ├── UpstreamFailed              we tried, and got nothing that can be passed on
    │   ├── Unreachable        502  -1001  no connection: certainly not sent
    │   ├── ConnectionLost     502  -1001  sent, and the connection broke before the answer was whole
    │   ├── TooSlow            504  -1007  sent, and no whole answer within the deadline
    │   ├── BadAnswer          502  -1001  an answer that proves nothing: 5xx, HTML, invalid, too large
    │   └── Restricted         451  the origin's own body
    └── RedisAway                   internal: shells turn it into local behaviour, no client ever sees it
"""

from __future__ import annotations

import math
from collections.abc import Mapping

JSON_CONTENT_TYPE = "application/json;charset=UTF-8"


class SidecarError(Exception):
    """An answer that is not the one asked for: status, `{"code": code, "msg": msg}`, Retry-After in seconds."""

    status = 500
    code = -1000
    reason = "internal"
    """The one word for this error in Cache-Status, logs and metrics."""

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
    """The origin would refuse this request with the same code and text (Binance's API documents)."""

    status = 400
    reason = "rejected"

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code


class MalformedRequest(SidecarError):
    """The bytes of the client are no HTTP request that can be read."""

    status = 400
    reason = "malformed"


class UnknownPath(SidecarError):
    """The gateway serves the general endpoints only."""

    status = 404
    code = -1020
    reason = "unknown-path"


class MethodNotAllowed(SidecarError):
    """The general endpoints are read with GET and HEAD; `allow` is the Allow header."""

    status = 405
    code = -1020
    reason = "method"
    allow = "GET, HEAD"


class SendingRefused(SidecarError):
    """Nothing was sent: the quota forbids it until `retry_after_seconds` from now."""

    status = 429
    code = -1003
    reason = "quota"


class BudgetUsedUp(SendingRefused):
    """Sending would pass our budget in some rate-limit window."""


class ClientShareUsedUp(SendingRefused):
    """Sending would pass the share of our budget that one client may take."""

    reason = "client-share"

    def __init__(self, msg: str, *, client: str | None, retry_after_seconds: float | None = None) -> None:
        super().__init__(msg, retry_after_seconds=retry_after_seconds)
        self.client = client
        """Whose share it is: the refusal is nobody else's."""


class BackedOff(SendingRefused):
    """The origin answered 429 not long ago."""

    reason = "back-off"


class Banned(SendingRefused):
    """The origin answered 418: the IP is banned."""

    status = 418
    reason = "ban"


class Paused(SendingRefused):
    """The origin's firewall answered 403 not long ago."""

    status = 403
    code = -1000
    reason = "pause"


class UpstreamFailed(SidecarError):
    """The origin was asked, or could not be, and there is nothing to pass on."""

    status = 502
    code = -1001
    reason = "upstream"

    def __init__(self, msg: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msg)
        self.headers = headers or {}
        """The head of the answer, names in lower case, if one came: it still tells the used weight."""


class Unreachable(UpstreamFailed):
    """No connection to the host could be made: the request was certainly not sent."""

    reason = "unreachable"


class ConnectionLost(UpstreamFailed):
    """The connection broke after the request was sent: the origin may have counted it."""

    reason = "connection-lost"


class TooSlow(UpstreamFailed):
    """No whole answer within the deadline: the origin may have counted the request."""

    status = 504
    code = -1007
    reason = "too-slow"


class BadAnswer(UpstreamFailed):
    """An answer came and proves nothing."""

    reason = "bad-answer"


class Restricted(UpstreamFailed):
    """451: the origin does not serve this location; its body is passed on as it is."""

    status = 451
    code = 0
    reason = "restricted"

    def __init__(self, body: bytes, *, content_type: str = JSON_CONTENT_TYPE) -> None:
        super().__init__("Service unavailable from a restricted location.")
        self.body = body
        self.content_type = content_type


class RedisAway(SidecarError):
    """A Redis operation failed, timed out, or was not tried because the breaker is open."""

    reason = "redis-away"
