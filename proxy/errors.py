"""Every way a request can fail, and the answer for each.

Owns: the exception tree, the HTTP status, Binance error code, text and Retry-After of each error.
Must not know: sockets, Redis, aiohttp, or when each error is raised.

    SidecarError
    ├── RequestRejected        400  the origin would refuse this request; nothing was sent
    ├── MalformedRequest       400  -1000  the bytes are not valid HTTP
    ├── TargetTooLong          414  -1000
    ├── HeadTooLarge           431  -1000
    ├── Misdirected            421  -1020  the target names a host that is not the origin's
    ├── UnknownPath            404  -1020
    ├── MethodNotAllowed       405  -1020
    ├── SendingRefused              we did not send the request
    │   ├── BudgetUsedUp       429  -1003  Retry-After: the end of the window
    │   ├── ClientShareUsedUp  429  -1003  Retry-After: the end of the window; other clients may still send
    │   ├── BackedOff          429  -1003  Retry-After: what is left of the origin's 429
    │   ├── Banned             418  -1003  Retry-After: what is left of the origin's 418
    │   └── Paused             403  -1000  Retry-After: what is left of our pause after the origin's 403
    ├── UpstreamFailed              we tried to send, and have no answer to pass on
    │   ├── Unreachable        502  -1001  no connection: the request was certainly not sent
    │   ├── ConnectionLost     502  -1001  sent, but the connection broke before the answer was complete
    │   ├── TooSlow            504  -1007  sent, but no complete answer within the deadline
    │   ├── BadAnswer          502  -1001  an answer that cannot be used: 5xx, HTML, invalid, too large
    │   ├── OriginRefused      502  -1001  a 4xx to a fill while a good entry is held, or to a refresh
    │   └── Restricted         451  the origin's body
    └── RedisAway                   internal: the shells then work without Redis; no client gets this error
"""

from __future__ import annotations

import math
from collections.abc import Mapping

JSON_CONTENT_TYPE = "application/json;charset=UTF-8"


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


class MalformedRequest(SidecarError):
    """The client sent bytes that are not a valid HTTP request."""

    status = 400
    reason = "malformed"


class TargetTooLong(SidecarError):
    """The request target is longer than the gateway reads (RFC 9110, section 15.5.15)."""

    status = 414
    reason = "target-too-long"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The request target is too long: at most {max_bytes} bytes are read.")


class HeadTooLarge(SidecarError):
    """One header field is too large, or there are too many of them (RFC 6585, section 5)."""

    status = 431
    reason = "head-too-large"

    def __init__(self, max_field_bytes: int, max_fields: int) -> None:
        limits = f"at most {max_fields} fields of at most {max_field_bytes} bytes each are read"
        super().__init__(f"The request headers are too large: {limits}.")


class Misdirected(SidecarError):
    """The request target names a host that the gateway does not stand for (RFC 9110, section 15.5.20)."""

    status = 421
    code = -1020
    reason = "misdirected"

    def __init__(self) -> None:
        super().__init__("This gateway answers for the hosts of its origin only.")


class UnknownPath(SidecarError):
    """The gateway does not serve this path."""

    status = 404
    code = -1020
    reason = "unknown-path"


class MethodNotAllowed(SidecarError):
    """The method is none that a public endpoint accepts; `allow` is the Allow header."""

    status = 405
    code = -1020
    reason = "method"
    allow = "GET, HEAD, OPTIONS"


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
    code = -1000
    reason = "pause"


class UpstreamFailed(SidecarError):
    """We tried to ask the origin, and there is no answer to pass on."""

    status = 502
    code = -1001
    reason = "upstream"

    def __init__(self, msg: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msg)
        self.headers = headers or {}
        """The headers of the answer if one came, names in lower case: they still report the used weight."""


class Unreachable(UpstreamFailed):
    """No connection could be made: the request was certainly not sent."""

    reason = "unreachable"

    def __init__(self, msg: str = "The origin cannot be reached.", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msg, headers=headers)


class ConnectionLost(UpstreamFailed):
    """The connection broke after the request was sent: the origin may have counted it."""

    reason = "connection-lost"


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

    reason = "bad-answer"


class OriginRefused(UpstreamFailed):
    """The origin answered a fill with a 4xx that must not replace the entry that is held."""

    reason = "origin-refused"


class Restricted(UpstreamFailed):
    """451: the origin does not serve this location. Its body is passed on unchanged."""

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

    def __init__(self, msg: str, *, is_refusal: bool = False) -> None:
        super().__init__(msg)
        self.is_refusal = is_refusal
        """Whether Redis answered, with an error."""
