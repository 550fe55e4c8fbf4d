"""The errors of requests that were not sent, and what all errors have in common.

Owns: status, code, text and Retry-After of each. Must not know: when each error is raised.
"""

from __future__ import annotations

import math

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


class NotSent(SendingRefused):
    """A request with a key got no connection in time. It was certainly not sent, so its client may repeat it."""

    status = 503
    code = -1008
    reason = "not-sent"

    def __init__(self) -> None:
        msg = "Server is currently overloaded with other requests. Please try again in a few minutes."
        super().__init__(msg, retry_after_seconds=1.0)


class RedisAway(SidecarError):
    """A Redis operation failed, timed out, or was not tried because the breaker is open."""

    reason = "redis-away"

    def __init__(self, msg: str, *, is_refusal: bool = False) -> None:
        super().__init__(msg)
        self.is_refusal = is_refusal
        """Whether Redis answered, with an error."""
