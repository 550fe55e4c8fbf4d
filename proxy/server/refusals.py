"""The refusals of HTTP itself, whatever the path: bytes, sizes and hosts that the gateway does not take.

Owns: status, code and text of each. Must not know: connections, parsers.

    SidecarError
    ├── MalformedRequest       400  -1000  the bytes are not valid HTTP
    ├── TargetTooLong          414  -1000
    ├── HeadTooLarge           431  -1000
    ├── BodyTooLarge           413  -1000
    ├── BodyTooSlow            408  -1000
    ├── NotAllowed             403  -1002  the client's address is not one that is served
    ├── Misdirected            421  -1020  the target names a host that is not the origin's
    ├── VersionNotSupported    505  -1000  the request names a version that is not HTTP/1.0 or HTTP/1.1
    ├── LoopDetected           508  -1000  the request has passed a gateway of the same venue and quota domain
    ├── TooManyConnections     503  -1008
    └── TooManyRequests        503  -1008  too many are under way; this one was not sent
"""

from __future__ import annotations

from proxy.errors import SidecarError


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


class BodyTooLarge(SidecarError):
    """The request body is longer than the gateway reads (RFC 9110, section 15.5.14)."""

    status = 413
    reason = "body-too-large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The request body is too large: at most {max_bytes} bytes are read.")


class BodyTooSlow(SidecarError):
    """The request body did not come in time (RFC 9110, section 15.5.9)."""

    status = 408
    reason = "body-too-slow"

    def __init__(self) -> None:
        super().__init__("The request body did not come in time.")


class Misdirected(SidecarError):
    """The request target names a host that the gateway does not stand for (RFC 9110, section 15.5.20)."""

    status = 421
    code = -1020
    reason = "misdirected"

    def __init__(self) -> None:
        super().__init__("This gateway answers for the hosts of its origin only.")


class NotAllowed(SidecarError):
    """The client's address is in none of the networks that are served."""

    status = 403
    code = -1002
    reason = "not-allowed"

    def __init__(self) -> None:
        super().__init__("This gateway does not serve your address (SIDECAR_ALLOWED_NETWORKS).")


class VersionNotSupported(SidecarError):
    """The request names a version of HTTP that the gateway does not speak (RFC 9110, section 15.6.6)."""

    status = 505
    reason = "version"

    def __init__(self) -> None:
        super().__init__("This gateway speaks HTTP/1.0 and HTTP/1.1 only.")


class LoopDetected(SidecarError):
    """The request was sent by a gateway of the same venue and quota domain: its origin leads back here (RFC 5842)."""

    status = 508
    reason = "loop"

    def __init__(self) -> None:
        super().__init__(
            "This request has passed the gateway already: the name of the origin leads back to it. "
            "SIDECAR_UPSTREAM_ADDRESSES tells where the origin is."
        )


class TooManyConnections(SidecarError):
    """The listener has no room for one more connection, and no idle one to close for it."""

    status = 503
    code = -1008
    reason = "too-many-connections"

    def __init__(self) -> None:
        super().__init__("The gateway has too many connections.", retry_after_seconds=1.0)


class TooManyRequests(SidecarError):
    """Too many requests are under way. This one was not sent, so its client may repeat it."""

    status = 503
    code = -1008
    reason = "too-many-requests"

    def __init__(self) -> None:
        super().__init__("The gateway has too many requests under way. This one was not sent.", retry_after_seconds=1.0)
