"""The client of the origin: one request to one host, with deadlines and bounds.

Owns: the order and health of hosts, the headers that name us, decompression. Must not know: quota, caching, what an
answer means, how many requests may be on the wire. A status is only a number here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit

from yarl import URL

from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.endpoints.venues import PUBLIC_DATA_HOST
from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import Cause, ConnectionLost, TooSlow, Unreachable, UpstreamFailed
from proxy.event_log import log
from proxy.forward.client import RawClient
from proxy.forward.messages import RawRequest
from proxy.forward.resolver import FixedAddresses
from proxy.origin.direct_client import DirectClient
from proxy.origin.environment_proxy import masked
from proxy.origin.sending import Answer, Sending, as_bytes, decoded, headers_of, pairs_of

COOL_DOWN_SECONDS = 30.0
"""For this long after a failure a host is tried only after the others."""
TELL_SECONDS = 60.0
"""How often a failure of one host by one cause is logged at most."""
_RESTRICTED = 451


class UpstreamObserver(Protocol):
    """Counts the requests to the origin."""

    def upstream_answered(self, host: str, *, status: str, seconds: float) -> None:
        """One attempt ended. `status`: the status code, or the reason of the error if there was none."""

    def connection_failed(self, host: str, *, cause: str) -> None:
        """A connection could not be made, or broke. `cause`: a value of `proxy.errors.Cause`."""


class Upstream:
    """Requests to the hosts of one API. Use as an async context manager."""

    def __init__(  # noqa: PLR0913 - each is one setting
        self,
        base_urls: tuple[str, ...],
        *,
        connect_seconds: float,
        max_body_bytes: int,
        observer: UpstreamObserver,
        proxies: Mapping[str, URL] | None = None,
        addresses: FixedAddresses | None = None,
        via: str = "",
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_urls = base_urls
        self._proxies = proxies or {}
        self._max_body_bytes = max_body_bytes
        self._observer = observer
        self._wall = wall
        self._monotonic = monotonic
        self._failed_at: dict[str, float] = {}
        """By the monotonic clock; of every base URL whose last request failed, so of all that are named below."""
        self._restricted: set[str] = set()
        """The base URLs whose last answer was 451."""
        self._all = {is_on: self._serving(is_on=is_on) for is_on in (True, False)}
        """The base URLs by whether an endpoint is on the host of public data, while none has failed."""
        self._told_at: dict[tuple[str, Cause], float] = {}
        """When the log was last told of a failure: base URL and cause, by the monotonic clock."""
        self._raw = RawClient(
            connect_seconds=connect_seconds,
            max_body_bytes=max_body_bytes,
            proxies=self._proxies,
            addresses=addresses,
            via=via,
            wall=wall,
            monotonic=monotonic,
        )
        self._direct = DirectClient(
            self._raw,
            max_body_bytes=max_body_bytes,
            wall=wall,
            monotonic=monotonic,
            told=self,
        )
        self.begin = self._direct.begin
        """`send` in this turn of the loop, on a kept connection."""

    async def __aenter__(self) -> Upstream:
        """Open the connection pool."""
        await self._raw.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection pool."""
        await self._direct.close()
        await self._raw.__aexit__(kind, error, trace)

    def candidates(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The base URLs to try for this endpoint, in order: those that failed recently come last.

        Hosts that lately did not serve this location are left out, but for the first of them if there is no other:
        each attempt costs weight.
        """
        serving = self._all[endpoint.on_public_data]
        if not self._failed_at:
            return serving
        now = self._monotonic()
        ordered = sorted(serving, key=lambda url: self._is_cooling_down(url, now))
        open_to_us = [url for url in ordered if not (url in self._restricted and self._is_cooling_down(url, now))]
        return tuple(open_to_us or ordered[:1])

    def _serving(self, *, is_on: bool) -> tuple[str, ...]:
        serving = tuple(url for url in self.base_urls if is_on or _host(url) != PUBLIC_DATA_HOST)
        return serving or self.base_urls

    def health(self) -> dict[str, bool]:
        """For each host, whether its last request succeeded or its failure is at least COOL_DOWN_SECONDS old."""
        now = self._monotonic()
        return {_host(url): not self._is_cooling_down(url, now) for url in self.base_urls}

    def proxy_of(self, host: str) -> str | None:
        """The HTTP proxy on the way to a host, without its credentials; None if there is none."""
        return next((masked(proxy) for url, proxy in self._proxies.items() if _host(url) == host), None)

    def _is_cooling_down(self, base_url: str, now: float) -> bool:
        return now - self._failed_at.get(base_url, float("-inf")) < COOL_DOWN_SECONDS

    async def send(
        self, base_url: str, query: UpstreamQuery, *, check: Callable[[], None], seconds: float
    ) -> OriginResponse:
        """One request, one answer of any status. Raises an UpstreamFailed if there was no complete answer.

        `check` is called right before the first byte is written. What it raises ends the attempt: nothing is sent.
        """
        started = self._monotonic()
        sending = Sending(check, self._wall)
        status: str | None = "cancelled"
        try:
            response = await self._exchange(base_url, query, sending, seconds)
            status = str(response.status)
            self._record(base_url, response.status)
            return response
        except UpstreamFailed as error:
            status = error.reason
            if sending.is_allowed or not isinstance(error, TooSlow):
                self._note_failure(base_url, error)
            raise
        except Exception:
            status = None if not sending.is_allowed else status
            raise
        finally:
            if status is not None:
                taken = self._monotonic() - started
                self._observer.upstream_answered(_host(base_url), status=status, seconds=taken)

    def answered(self, base_url: str, status: int, seconds: float) -> None:
        """One attempt of `begin` got an answer, after so many seconds."""
        if status >= 400 or self._failed_at:
            self._record(base_url, status)
        self._observer.upstream_answered(_host(base_url), status=str(status), seconds=seconds)

    def failed(self, base_url: str, error: UpstreamFailed, seconds: float) -> None:
        """One attempt of `begin` got none that can be used."""
        self._note_failure(base_url, error)
        self._observer.upstream_answered(_host(base_url), status=error.reason, seconds=seconds)

    def _record(self, base_url: str, status: int) -> None:
        self._restricted.discard(base_url)
        if status == _RESTRICTED:
            self._restricted.add(base_url)
        if status >= 500 or status == _RESTRICTED:
            self._failed_at[base_url] = self._monotonic()
        else:
            self._failed_at.pop(base_url, None)

    def _note_failure(self, base_url: str, error: UpstreamFailed) -> None:
        self._failed_at[base_url] = self._monotonic()
        if not isinstance(error, Unreachable | ConnectionLost):
            return
        host = _host(base_url)
        self._observer.connection_failed(host, cause=error.cause.value)
        now, told = self._failed_at[base_url], (base_url, error.cause)
        if now - self._told_at.get(told, -math.inf) >= TELL_SECONDS:
            self._told_at[told] = now
            text = str(error.__cause__ or error.msg)[:300]
            log.warning("connection_failed", host=host, cause=error.cause.value, error=text)

    async def _exchange(self, base_url: str, query: UpstreamQuery, sending: Sending, seconds: float) -> OriginResponse:
        answer = await self._exchange_raw(base_url, query, sending, seconds)
        body = await decoded(answer.raw, answer.headers, max_bytes=self._max_body_bytes)
        return OriginResponse(
            status=answer.status,
            headers=answer.headers,
            body=body,
            gzip=answer.raw if body is not answer.raw else None,
            sent_at=sending.at,
            received_at=answer.received_at,
        )

    async def _exchange_raw(self, base_url: str, query: UpstreamQuery, sending: Sending, seconds: float) -> Answer:
        headers = headers_of(pairs_of(query))
        request = RawRequest(query.method, as_bytes(query.target), headers, query.body)
        raw = await self._raw.exchange(base_url, request, check=sending.check, seconds=seconds)
        return Answer(raw.status, raw.texts, raw.body, raw.received_at)


@cache
def _host(base_url: str) -> str:
    return urlsplit(base_url).netloc
