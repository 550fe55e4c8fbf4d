"""The client of the origin: one request to one host, with deadlines and bounds.

Owns: connections, the order of hosts, the header allow-list, decompression, and the mapping of every client error
into `proxy.errors`. Must not know: quota, caching, what an answer means, how many requests may be on the wire. A status
is only a number here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog
from yarl import URL

from proxy import __version__
from proxy.bodies import decompress
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.endpoints.venues import PUBLIC_DATA_HOST
from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import AnswerCut, BadAnswer, Cause, ConnectionLost, TooSlow, Unreachable, UpstreamFailed
from proxy.origin.causes import cause_of
from proxy.origin.environment_proxy import masked

log = structlog.get_logger(__name__)

COOL_DOWN_SECONDS = 30.0
"""For this long after a failure a host is tried only after the others."""
_CHUNK_BYTES = 1 << 18
_RESTRICTED = 451

_sending: ContextVar[_Sending] = ContextVar("sending")


class _Sending:
    """The check of one request, and whether it has passed."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self.is_allowed = False

    def check(self) -> None:
        self._check()
        self.is_allowed = True
        log.debug("sending")


class _Connector(aiohttp.TCPConnector):
    """Calls the check of a request once its connection is there: aiohttp then writes without waiting for anything."""

    async def connect(self, *args: Any, **kwargs: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*args, **kwargs)
        try:
            _sending.get().check()
        except BaseException:
            connection.release()
            raise
        return connection


class UpstreamObserver(Protocol):
    """Counts the requests to the origin."""

    def upstream_answered(self, host: str, *, status: str, seconds: float) -> None:
        """One attempt ended. `status`: the status code, or the reason of the error if there was none."""

    def connection_failed(self, host: str, *, cause: str) -> None:
        """A connection could not be made, or broke. `cause`: a value of `proxy.errors.Cause`."""


class Upstream:
    """GET requests to the origin's hosts. Use as an async context manager."""

    def __init__(  # noqa: PLR0913 - each is one setting
        self,
        base_urls: tuple[str, ...],
        *,
        connect_seconds: float,
        max_body_bytes: int,
        observer: UpstreamObserver,
        proxies: Mapping[str, URL] | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_urls = base_urls
        self._proxies = proxies or {}
        self._connect_seconds = connect_seconds
        self._max_body_bytes = max_body_bytes
        self._observer = observer
        self._wall = wall
        self._monotonic = monotonic
        self._failed_at: dict[str, float] = {}
        self._restricted: set[str] = set()
        """The base URLs whose last answer was 451."""
        self._causes: dict[str, Cause] = {}
        """Why the last connection to a base URL failed."""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Upstream:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"binance-sidecar/{__version__}", "Accept-Encoding": "gzip"},
            connector=_Connector(limit=0, ttl_dns_cache=60, keepalive_timeout=30),
        )
        # Otherwise aiohttp repeats a GET when a kept-alive connection breaks, and the ledger would not know of the
        # second request.
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    def candidates(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The base URLs to try for this endpoint, in order: those that failed recently come last.

        Hosts that lately did not serve this location are left out, but for the first of them if there is no other:
        each attempt costs weight.
        """
        now = self._monotonic()
        serving = [url for url in self.base_urls if endpoint.on_public_data or _host(url) != PUBLIC_DATA_HOST]
        ordered = sorted(serving or self.base_urls, key=lambda url: self._is_cooling_down(url, now))
        open_to_us = [url for url in ordered if not (url in self._restricted and self._is_cooling_down(url, now))]
        return tuple(open_to_us or ordered[:1])

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
        sending = _Sending(check)
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

    def _record(self, base_url: str, status: int) -> None:
        self._causes.pop(base_url, None)
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
        if self._causes.get(base_url) is not error.cause:
            self._causes[base_url] = error.cause
            log.warning("connection_failed", host=host, cause=error.cause.value, error=str(error.__cause__)[:300])

    async def _exchange(self, base_url: str, query: UpstreamQuery, sending: _Sending, seconds: float) -> OriginResponse:
        assert self._session is not None, "the upstream is used inside its context"
        target = URL(base_url + query.target, encoded=True)
        headers: dict[str, str] = {}
        sent_at = self._wall()
        _sending.set(sending)
        try:
            async with self._session.get(
                target,
                headers=query.upstream_headers,
                allow_redirects=False,
                proxy=self._proxies.get(base_url),
                timeout=aiohttp.ClientTimeout(total=seconds, connect=self._connect_seconds),
            ) as response:
                received_at = self._wall()
                headers.update(_lower(response.headers))
                raw = await self._read(response)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise _failure(_host(base_url), error, headers, is_sent=sending.is_allowed) from error
        body = await self._decode(raw, headers)
        return OriginResponse(
            status=response.status,
            headers=headers,
            body=body,
            gzip=raw if body is not raw else None,
            sent_at=sent_at,
            received_at=received_at,
        )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(part)
            if size > self._max_body_bytes:
                response.close()
                raise BadAnswer("The origin's answer is too large.", headers=_lower(response.headers))
            parts.append(part)
        return b"".join(parts)

    async def _decode(self, raw: bytes, headers: Mapping[str, str]) -> bytes:
        encoding = headers.get("content-encoding", "identity").lower()
        if encoding == "identity" or not raw:
            return raw
        if encoding not in ("gzip", "x-gzip"):
            raise BadAnswer(f"The origin's answer has an unknown coding: {encoding[:20]}.", headers=headers)

        try:
            return await decompress(raw, max_bytes=self._max_body_bytes)
        except ValueError as error:
            raise BadAnswer("The origin's answer cannot be decompressed.", headers=headers) from error


def _failure(host: str, error: Exception, headers: Mapping[str, str], *, is_sent: bool) -> UpstreamFailed:
    """What an error of the HTTP client means. Before the check has passed nothing was sent."""
    cause = cause_of(error)
    if isinstance(error, TimeoutError) and (is_sent or not isinstance(error, aiohttp.ConnectionTimeoutError)):
        return TooSlow(headers=headers)
    if not is_sent:
        return Unreachable(f"{host} cannot be reached: {cause.words}.", cause=cause)
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientConnectionError):
        if headers:
            return AnswerCut("The origin's answer broke off.", headers=headers, cause=cause)
        return ConnectionLost("The connection to the origin broke before an answer came.", cause=cause)
    return BadAnswer("The origin's answer is not HTTP.", headers=headers)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _host(base_url: str) -> str:
    return urlsplit(base_url).netloc
