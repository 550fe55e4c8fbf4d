"""What an answer of the origin means, as a value that names the next step.

Owns: the validation of good answers, and the meaning of every refusal. Must not know: who sent the request, where an
entry is stored, how a block is shared. Source: Binance's API documents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from proxy.core.document.floor import Symbol, decode_bounded, decode_limits
from proxy.core.document.parsed import ERROR_IN_200, Document, parse_document
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.messages import OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.block import BlockReason
from proxy.core.quota.origin_headers import ban_end, retry_after_seconds
from proxy.errors import BadAnswer, OriginError, Restricted, UpstreamFailed

SBE_CONTENT_TYPE = "application/sbe"
_SBE_HEAD_BYTES = 8
_SBE_ERROR_TEMPLATE = 100


class Good(Struct, frozen=True, eq=False):
    """A complete 200, and a valid one if it is to be stored: pass it on. Market data passes as it came.

    To a request with a key any 2xx is good, and passes as it came.
    """

    rate_limits: Sequence[Mapping[str, Any]] = ()
    """The document's `rateLimits`; empty if it has none."""
    server_time: float | None = None
    """The body's `serverTime` in seconds; None if it has none, and for the plain body of `time` (`told_time`)."""
    document: Document | None = None
    """The parsed exchangeInfo body, so that a large one is not parsed twice. It is not compared."""

    def __eq__(self, other: object) -> bool:
        """Whether another one says the same."""
        if not isinstance(other, Good):
            return NotImplemented
        return (self.rate_limits, self.server_time) == (other.rate_limits, other.server_time)

    __hash__ = None  # type: ignore[assignment] # as of everything that holds a mapping


GOOD = Good()
"""That of an answer that passes as it came."""
MAX_ERROR_BYTES = 1 << 16
"""The largest body of an error that is passed on or stored."""
_TOO_MANY_ORDERS = -1015
"""The code of a 429 that tells of an account's limit of orders."""
_ABOUT_NO_REQUEST = frozenset({407, 408, 421, 425})
"""4xx that tell of the connection, not of the request: a later request may succeed."""


class Negative(Struct, frozen=True):
    """The origin refuses this very request: its answer is passed on, and is stored for a short time.

    A 429 about the orders of one account is one too: it says nothing of the IP.
    """

    by_firewall: bool = False
    """A 403: whether the firewall refuses the IP too is open until a ping tells."""


class Throttled(Struct, frozen=True):
    """The origin wants no requests until `until` (by its clock); None: the ledger decides how long."""

    reason: BlockReason
    until: float | None


class Failed(Struct, frozen=True):
    """There is nothing to store, and only the error to pass on."""

    error: UpstreamFailed


Verdict = Good | Negative | Throttled | Failed


class _AnyObject(msgspec.Struct):
    code: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Error(msgspec.Struct):
    code: int


class _TimeBody(_AnyObject, kw_only=True):
    serverTime: Annotated[int, msgspec.Meta(gt=0)]  # noqa: N815 - the origin's name


class _Contracts(_AnyObject, kw_only=True):
    """The exchangeInfo of futures or of options."""

    serverTime: Annotated[int, msgspec.Meta(gt=0)]  # noqa: N815 - the origin's name
    rateLimits: msgspec.Raw  # noqa: N815 - the origin's name
    symbols: list[Symbol] = []
    optionSymbols: list[Symbol] = []  # noqa: N815 - the origin's name


_PLAIN_TIME = re.compile(rb'\{"serverTime":([1-9][0-9]{12})\}')
"""The body of nearly every answer to `time`, in milliseconds."""
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for an invalid body."""


def judge(query: UpstreamQuery, response: OriginResponse, now: float) -> Verdict:
    """Classify one answer. `now`: seconds since the epoch by the origin's clock."""
    if response.status == 200:
        if query.passes_as_it_came:
            return GOOD
        if query.endpoint.name == "time" and _PLAIN_TIME.fullmatch(response.body) is not None:
            return GOOD
    if query.is_keyed and 200 <= response.status < 300:
        return GOOD
    of_account = _of_account(response) if query.is_keyed else None
    return of_account or _of_ip(query, response, now)


def told_time(endpoint: Endpoint, good: Good, response: OriginResponse) -> float | None:
    """The `serverTime` of a good answer, in seconds; None if it tells none. Few of them are asked."""
    plain = _PLAIN_TIME.fullmatch(response.body) if endpoint.name == "time" else None
    return good.server_time if plain is None else int(plain[1]) / 1e3


def _of_ip(query: UpstreamQuery, response: OriginResponse, now: float) -> Verdict:
    match response.status:
        case 200:
            return _validate(query, response)
        case 429:
            return Throttled(BlockReason.BACK_OFF, _until(response, now))
        case 418:
            text = response.body.decode(errors="replace")
            return Throttled(BlockReason.BAN, ban_end(response.headers, text, now))
        case 403 if not query.has_own_words:
            return Throttled(BlockReason.PAUSE, _until(response, now))
        case status if status >= 400 and len(response.body) > MAX_ERROR_BYTES:
            return Failed(BadAnswer(f"The origin's {status} is too large.", headers=response.headers))
        case 403:  # the client chose the words of this query, and the firewall looks at words
            return Negative(by_firewall=True)
        case 451:
            return Failed(Restricted(response.body, content_type=response.content_type, headers=response.headers))
        case status if 400 <= status < 500 and status not in _ABOUT_NO_REQUEST:
            return Negative()
        case status if 400 <= status < 600:
            content_type = response.content_type
            return Failed(OriginError(status, response.body, content_type=content_type, headers=response.headers))
        case status:
            return Failed(BadAnswer(f"The origin answered {status}.", headers=response.headers))


def _of_account(response: OriginResponse) -> Verdict | None:
    """What an answer means that tells of one account only; None: it means what it does to everybody."""
    if response.status == 429 and _is_about_orders(response):
        return Negative()
    return None


def _is_about_orders(response: OriginResponse) -> bool:
    """Whether a 429 tells of a limit of orders, which the origin counts by account: the IP may go on."""
    if len(response.body) > MAX_ERROR_BYTES:
        return False
    try:
        return msgspec.json.decode(response.body.decode(), type=_Error).code == _TOO_MANY_ORDERS
    except _UNREADABLE:
        return False


def _until(response: OriginResponse, now: float) -> float | None:
    seconds = retry_after_seconds(response.headers, now)
    return None if seconds is None else now + seconds


def _validate(query: UpstreamQuery, response: OriginResponse) -> Verdict:
    try:
        return _good(query, response)
    except BadAnswer as error:
        return Failed(BadAnswer(error.msg, headers=response.headers))
    except _UNREADABLE as error:
        return Failed(BadAnswer(f"The origin's answer is not as expected: {error}", headers=response.headers))


def _good(query: UpstreamQuery, response: OriginResponse) -> Verdict:
    if _is_sbe(response):
        return _validate_sbe(query, response)
    if query.endpoint.has_document:
        document = parse_document(response.body)
        if not document.symbols_count and isinstance(query, CanonicalQuery) and query.has_symbols:
            raise BadAnswer("The origin's exchangeInfo has no symbols.")
        return Good(document.rate_limits, _seconds(document.server_time_ms), document)
    if query.endpoint.has_rate_limits:
        return Good(contracts_rate_limits(response.body))
    is_time = query.endpoint.name == "time"
    # Decode to text first: the JSON decoder checks only the strings that it returns for valid UTF-8.
    body = msgspec.json.decode(response.body.decode(), type=_TimeBody if is_time else _AnyObject)
    if body.code is not msgspec.UNSET:
        raise BadAnswer(ERROR_IN_200)
    return Good((), _seconds(body.serverTime) if isinstance(body, _TimeBody) else None)


def contracts_rate_limits(body: bytes) -> Sequence[Mapping[str, Any]]:
    """The `rateLimits` of the exchangeInfo of futures or of options. Raises BadAnswer if it is not valid.

    Valid means: an object with `rateLimits`, `serverTime` and at least one contract, each with a name, and without
    `code`.
    """
    try:
        contracts = decode_bounded(body.decode(), _Contracts)
        limits = decode_limits(contracts.rateLimits)
    except _UNREADABLE as error:
        raise BadAnswer(f"The origin's answer is not a valid exchangeInfo: {error}") from error
    if contracts.code is not msgspec.UNSET:
        raise BadAnswer(ERROR_IN_200)
    if not contracts.symbols and not contracts.optionSymbols:
        raise BadAnswer("The origin's exchangeInfo has no contract.")
    return limits


def is_data(response: OriginResponse) -> bool:
    """Whether a 200 is a whole JSON value and no error, so that it may be stored."""
    if not response.content_type.startswith("application/json"):
        return False
    try:
        text = response.body.decode()
        value = bytes(msgspec.json.decode(text, type=msgspec.Raw))  # millions of elements stay bytes
        return not value.startswith(b"{") or msgspec.json.decode(text, type=_AnyObject).code is msgspec.UNSET
    except _UNREADABLE:
        return False


def _seconds(server_time: int) -> float | None:
    """serverTime in seconds. It has 13 digits (milliseconds) or 16 (microseconds); None for any larger number."""
    if server_time >= 10**17:
        return None
    return server_time / (1e6 if server_time >= 10**15 else 1e3)


def _is_sbe(response: OriginResponse) -> bool:
    return response.headers.get("content-type", "").startswith(SBE_CONTENT_TYPE)


def _validate_sbe(query: UpstreamQuery, response: OriginResponse) -> Verdict:
    """An SBE message starts with block length, template, schema and version, each a little-endian uint16."""
    if query.sbe is None or len(response.body) < _SBE_HEAD_BYTES:
        raise BadAnswer("The origin's answer is SBE without a request for it, or too short.")
    template = int.from_bytes(response.body[2:4], "little")
    schema = int.from_bytes(response.body[4:6], "little")
    if template == _SBE_ERROR_TEMPLATE or schema != int(query.sbe.partition(":")[0]):
        raise BadAnswer("The origin's answer is an SBE error, or has another schema.")
    return Good()
