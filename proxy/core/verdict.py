"""What an answer of the origin means: the next act as a value.

Owns: the proof that an answer is good, and the reading of every refusal. Must not know: who sent the request, where
an entry is kept, or how a block is shared. Source: Binance's API documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from proxy.core.document.parsed import Document, parse_document
from proxy.core.messages import OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.quota.block import BlockReason
from proxy.core.quota.origin_headers import banned_until, retry_after_seconds
from proxy.errors import BadAnswer, Restricted, UpstreamFailed

SBE_CONTENT_TYPE = "application/sbe"
_SBE_HEAD_BYTES = 8
_SBE_ERROR_TEMPLATE = 100


@dataclass(frozen=True, slots=True)
class Good:
    """200, complete and proven: store it, pass it on."""

    rate_limits: Sequence[Mapping[str, Any]] = ()
    """The document's `rateLimits`, where it has them."""
    server_time: float | None = None
    """The body's `serverTime` in seconds, where it has one."""
    document: Document | None = field(default=None, compare=False, repr=False)
    """What the proof of an exchangeInfo body brought to light: a large one is not proven twice."""


@dataclass(frozen=True, slots=True)
class Negative:
    """The origin refuses this request as such: its body is the answer, for a short while."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """The origin wants no more requests: until `until` (origin's clock), or for as long as the ledger decides."""

    reason: BlockReason
    until: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing to keep and nothing to pass on but the error."""

    error: UpstreamFailed


Verdict = Good | Negative | Throttled | Failed


class _ErrorBody(msgspec.Struct):
    code: int
    msg: str


class _AnyObject(msgspec.Struct):
    code: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _TimeBody(_AnyObject, kw_only=True):
    serverTime: Annotated[int, msgspec.Meta(gt=0)]  # noqa: N815 - the origin's name


_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for a body that is not what it should be."""


def judge(query: CanonicalQuery, response: OriginResponse, now: float) -> Verdict:
    """Read one answer. `now` is the origin's clock, in seconds since the epoch."""
    match response.status:
        case 200:
            return _prove(query, response)
        case 429:
            return Throttled(BlockReason.BACK_OFF, _until(response, now))
        case 418:
            text = response.body.decode(errors="replace")
            told = [until for until in (_until(response, now), banned_until(text)) if until is not None]
            return Throttled(BlockReason.BAN, max(told, default=None))
        case 403:
            return Throttled(BlockReason.PAUSE, _until(response, now))
        case 451:
            content_type = response.headers.get("content-type", "application/json")
            return Failed(Restricted(response.body, content_type=content_type))
        case status if 400 <= status < 500 and _is_error_body(response):
            return Negative()
        case status:
            return Failed(BadAnswer(f"The origin answered {status}.", headers=response.headers))


def _until(response: OriginResponse, now: float) -> float | None:
    seconds = retry_after_seconds(response.headers, now)
    return None if seconds is None else now + seconds


def _prove(query: CanonicalQuery, response: OriginResponse) -> Verdict:
    try:
        return _good(query, response)
    except BadAnswer as error:
        return Failed(BadAnswer(error.msg, headers=response.headers))
    except _UNREADABLE as error:
        return Failed(BadAnswer(f"The origin's answer is not what was asked for: {error}", headers=response.headers))


def _good(query: CanonicalQuery, response: OriginResponse) -> Verdict:
    if _is_sbe(response):
        return _prove_sbe(query, response)
    if query.endpoint.name == "exchangeInfo":
        document = parse_document(response.body)
        return Good(document.rate_limits, _seconds(document.server_time_ms), document)
    is_time = query.endpoint.name == "time"
    # As text: the decoder alone checks only the strings that it returns.
    body = msgspec.json.decode(response.body.decode(), type=_TimeBody if is_time else _AnyObject)
    if body.code is not msgspec.UNSET:
        raise BadAnswer("The origin answered 200 with an error.")
    return Good((), _seconds(body.serverTime) if isinstance(body, _TimeBody) else None)


def _seconds(server_time: int) -> float | None:
    """serverTime has 13 digits (milliseconds) or 16 (microseconds), by X-MBX-TIME-UNIT; None: no such time."""
    if server_time >= 10**17:
        return None
    return server_time / (1e6 if server_time >= 10**15 else 1e3)


def _is_sbe(response: OriginResponse) -> bool:
    return response.headers.get("content-type", "").startswith(SBE_CONTENT_TYPE)


def _prove_sbe(query: CanonicalQuery, response: OriginResponse) -> Verdict:
    """An SBE message begins with block length, template, schema and version, each a little-endian uint16."""
    if query.representation.sbe is None or len(response.body) < _SBE_HEAD_BYTES:
        raise BadAnswer("The origin's answer is no SBE message that was asked for.")
    template = int.from_bytes(response.body[2:4], "little")
    schema = int.from_bytes(response.body[4:6], "little")
    if template == _SBE_ERROR_TEMPLATE or schema != int(query.representation.sbe.partition(":")[0]):
        raise BadAnswer("The origin's answer is an SBE error or of another schema.")
    return Good()


def _is_error_body(response: OriginResponse) -> bool:
    if _is_sbe(response):
        return response.status == 400
    try:
        msgspec.json.decode(response.body, type=_ErrorBody)
    except _UNREADABLE:
        return False
    return True
