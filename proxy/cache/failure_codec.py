"""A failed fill as bytes, so that the replicas that waited for it answer as the one that failed.

Owns: the format, and which bytes are valid. Must not know: where they are kept. Anybody may have written them: bytes
that cannot be read are a failure without details.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.errors import (
    AnswerCut,
    BadAnswer,
    ConnectionLost,
    OriginError,
    Restricted,
    TooSlow,
    Unreachable,
    UpstreamFailed,
)

_BY_REASON: dict[str, type[UpstreamFailed]] = {
    kind.reason: kind for kind in (BadAnswer, ConnectionLost, OriginError, Restricted, TooSlow, Unreachable)
}
_CUT = AnswerCut.code
"""The code that tells AnswerCut from its parent, which has the same reason."""


class _Failure(msgspec.Struct, omit_defaults=True):
    reason: str
    msg: str = ""
    status: int = 0
    content_type: str = ""
    body: bytes = b""
    code: int = 0


def encode(error: UpstreamFailed) -> bytes:
    """The error as JSON."""
    passed: dict[str, Any] = {}
    if isinstance(error, OriginError | Restricted):
        passed = {"status": error.status, "content_type": error.content_type, "body": error.body}
    return msgspec.json.encode(_Failure(error.reason, error.msg, code=error.code, **passed))


def decode(text: bytes) -> UpstreamFailed:
    """The error again; a BadAnswer for anything else."""
    try:
        failure = msgspec.json.decode(text, type=_Failure)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        failure = _Failure("")
    kind = _BY_REASON.get(failure.reason)
    content_type = failure.content_type if failure.content_type.isascii() and failure.content_type.isprintable() else ""
    if kind is Restricted:
        return Restricted(failure.body, content_type=content_type)
    if kind is OriginError and 400 <= failure.status <= 599:
        return OriginError(failure.status, failure.body, content_type=content_type)
    if kind is None or kind is OriginError:
        return BadAnswer("The origin could not answer another replica a moment ago.")
    return (AnswerCut if kind is ConnectionLost and failure.code == _CUT else kind)(failure.msg)
