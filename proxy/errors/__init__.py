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
    │   ├── Paused             403      0  Retry-After: what is left of our pause after the origin's 403
    │   └── NotSent            503  -1008  a request with a key got no connection in time
    ├── UpstreamFailed              we tried to send, and have no answer to pass on
    │   ├── Unreachable        502      0  no connection: the request was certainly not sent
    │   ├── ConnectionLost     502      0  sent, but the connection broke before an answer came
    │   │   └── AnswerCut      502  -1001  it broke before the answer was complete
    │   ├── TooSlow            504  -1007  no complete answer within the deadline
    │   ├── OutcomeUnknown     504  -1007  a request that must not be repeated was sent, and nothing tells its outcome
    │   ├── BadAnswer          502  -1001  an answer that cannot be used: cut, invalid, unproven, too large
    │   ├── OriginRefused      502  -1001  a 4xx to a fill while a good entry is held, or to a refresh
    │   └── PassedOn                the origin's own answer is the error: its status, content type and body
    │       ├── OriginError    500  or another 5xx, or a 4xx that is about no request
    │       └── Restricted     451  the origin does not serve this location
    └── RedisAway                   internal: the shells then work without Redis; no client gets this error

The refusals of HTTP itself are in `proxy/server/refusals.py`.
"""

from __future__ import annotations

from proxy.errors.causes import Cause
from proxy.errors.refusals import (
    INTERNAL_ERROR,
    JSON_CONTENT_TYPE,
    ApiNotConfigured,
    BackedOff,
    Banned,
    BudgetUsedUp,
    ClientShareUsedUp,
    MethodNotAllowed,
    NotForwarded,
    NotSent,
    Paused,
    RedisAway,
    RequestRejected,
    SendingRefused,
    SidecarError,
    UnknownPath,
)
from proxy.errors.upstream import (
    AnswerCut,
    BadAnswer,
    ConnectionLost,
    OriginError,
    OriginRefused,
    OutcomeUnknown,
    PassedOn,
    Restricted,
    TooSlow,
    Unreachable,
    UpstreamFailed,
)

__all__ = [
    "INTERNAL_ERROR",
    "JSON_CONTENT_TYPE",
    "AnswerCut",
    "ApiNotConfigured",
    "BackedOff",
    "BadAnswer",
    "Banned",
    "BudgetUsedUp",
    "Cause",
    "ClientShareUsedUp",
    "ConnectionLost",
    "MethodNotAllowed",
    "NotForwarded",
    "NotSent",
    "OriginError",
    "OriginRefused",
    "OutcomeUnknown",
    "PassedOn",
    "Paused",
    "RedisAway",
    "RequestRejected",
    "Restricted",
    "SendingRefused",
    "SidecarError",
    "TooSlow",
    "UnknownPath",
    "Unreachable",
    "UpstreamFailed",
]
