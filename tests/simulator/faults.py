"""The ways in which the stand-in can misbehave, and what each answers.

Owns the list of faults and the bodies they send. Must not know sockets: the server acts on them.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from tests.simulator.limits import Limits


class Fault(Enum):
    """What goes wrong from now on."""

    DOWN = "DOWN"  # nobody listens: connections are refused, open ones are cut
    SLOW = "SLOW"  # the right answer, after `delay_seconds`
    HANG = "HANG"  # the request is read and never answered
    RESET = "RESET"  # the request is read, then the connection is reset
    TRUNCATED = "TRUNCATED"  # half of the promised Content-Length, then the end
    INVALID_JSON = "INVALID_JSON"  # 200 with JSON that stops in the middle
    ERROR_BODY = "ERROR_BODY"  # 200 with {"code":-1000,...}
    HTML_403 = "HTML_403"  # the firewall's page
    TEAPOT_418 = "TEAPOT_418"  # banned
    TOO_MANY_429 = "TOO_MANY_429"  # past the limit
    RESTRICTED_451 = "RESTRICTED_451"  # a restricted location, pretty-printed
    INTERNAL_500 = "INTERNAL_500"  # -1000
    BAD_GATEWAY_502 = "BAD_GATEWAY_502"  # -1001
    OVERLOADED_503 = "OVERLOADED_503"  # -1008
    GATEWAY_TIMEOUT_504 = "GATEWAY_TIMEOUT_504"  # -1007
    HTML_503 = "HTML_503"  # the edge's page
    GARBAGE = "GARBAGE"  # bytes that are not HTTP

    @property
    def is_at_edge(self) -> bool:
        """Whether the request never reaches the API: no cost, and no header that tells the used weight."""
        edge = (Fault.DOWN, Fault.HTML_403, Fault.RESTRICTED_451, Fault.HTML_503, Fault.GARBAGE)
        return self in edge


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault that is switched on.

    `times`: for how many requests more (None: until cleared). `paths`, `pools`: only there (None: everywhere).
    """

    fault: Fault
    times: int | None = None
    paths: frozenset[str] | None = None
    delay_seconds: float = 1.0
    retry_after: int | None = None
    pools: frozenset[str] | None = None

    def strikes(self, path: str, pool: str | None) -> bool:
        """`pool` is None for a request that no API has."""
        return (self.paths is None or path in self.paths) and (self.pools is None or pool in self.pools)


def active_fault(
    fault: Fault,
    *,
    times: int | None = None,
    paths: Collection[str] | None = None,
    delay_seconds: float = 1.0,
    retry_after: int | None = None,
    pools: Collection[str] | None = None,
) -> ActiveFault:
    """Check the combination. ValueError for `times` under 1, and for DOWN with `times`, `paths` or `pools`."""
    if fault is Fault.DOWN and (times, paths, pools) != (None, None, None):
        raise ValueError("DOWN refuses every connection: it takes neither times nor paths nor pools")
    if times is not None and times < 1:
        raise ValueError("times must be at least 1")
    where, what = (None if names is None else frozenset(names) for names in (paths, pools))
    return ActiveFault(fault, times, where, delay_seconds, retry_after, what)


@dataclass(frozen=True, slots=True)
class Forged:
    """An answer that a fault sends in place of the right one."""

    status: int
    body: bytes
    content_type: str = "application/json;charset=UTF-8"


def forge(active: ActiveFault, *, now: float, limits: Limits) -> Forged | None:
    """The answer of this fault, or None when the right answer is sent (in a wrong way) or none at all.

    `limits`: those of the request's pool, whose texts a refusal has.
    """
    match active.fault:
        case Fault.TOO_MANY_429:
            return _error(429, -1003, limits.refusal_text())
        case Fault.TEAPOT_418:
            seconds = limits.ban_seconds if active.retry_after is None else active.retry_after
            return _error(418, -1003, limits.banned_for(seconds, now=now).text)
        case Fault.INVALID_JSON:
            begun = b'{"timezone":"UTC","serverTime":%d,"rateLimits":[],"symbols":[{"sym'
            return Forged(200, begun % (now * 1000))
        case Fault.HTML_403:
            return _page(403, "403 ERROR", "The request could not be satisfied. Request blocked.")
        case Fault.HTML_503:
            return _page(503, "503 ERROR", "The request could not be satisfied. The origin is unavailable.")
        case Fault.RESTRICTED_451:
            return Forged(451, b'{\n  "code": 0,\n  "msg": "%s"\n}' % _RESTRICTED.encode())
        case _:
            return _internal(active.fault)


def _internal(fault: Fault) -> Forged | None:
    unknown = "An unknown error occurred while processing the request."
    match fault:
        case Fault.ERROR_BODY:
            return _error(200, -1000, unknown)
        case Fault.INTERNAL_500:
            return _error(500, -1000, unknown)
        case Fault.BAD_GATEWAY_502:
            return _error(502, -1001, "Internal error; unable to process your request. Please try again.")
        case Fault.OVERLOADED_503:
            text = "Server is currently overloaded with other requests. Please try again in a few minutes."
            return _error(503, -1008, text)
        case Fault.GATEWAY_TIMEOUT_504:
            text = "Timeout waiting for response from backend server."
            return _error(504, -1007, f"{text} Send status unknown; execution status unknown.")
        case _:
            return None


_RESTRICTED = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe "
    "you received this message in error."
)


def error_body(code: int, text: str) -> bytes:
    """`{"code":…,"msg":"…"}` with no spaces; characters that UTF-8 cannot carry become `?`."""
    body = json.dumps({"code": code, "msg": text}, separators=(",", ":"), ensure_ascii=False)
    return body.encode("utf-8", "replace")


def _error(status: int, code: int, text: str) -> Forged:
    return Forged(status, error_body(code, text))


def _page(status: int, title: str, text: str) -> Forged:
    head = f"<HTML><HEAD><TITLE>{title}</TITLE></HEAD>"
    page = f"<!DOCTYPE html>\n{head}<BODY><H1>{title}</H1>{text}</BODY></HTML>\n"
    return Forged(status, page.encode(), content_type="text/html")
