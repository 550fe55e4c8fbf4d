"""The errors of requests that were sent, or that should have been: there is no answer to pass on as a good one.

Owns: status, code and text of each. Must not know: when each error is raised.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.errors.causes import Cause
from proxy.errors.refusals import JSON_CONTENT_TYPE, SidecarError


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


class OutcomeUnknown(UpstreamFailed):
    """A request that must not be repeated was sent, and no usable answer came: the origin may have executed it."""

    status = 504
    code = -1007
    reason = "unknown-outcome"

    def __init__(self, *, headers: Mapping[str, str] | None = None) -> None:
        msg = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
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
