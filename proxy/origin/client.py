"""The client of the origin: one request to one host, with deadlines and bounds.

Owns: connections, the order of hosts, the header allow-list, decompression, and the mapping of every client error
into `proxy.errors`. Must not know: quota, caching, what an answer means. A status is only a number here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from proxy import __version__
from proxy.bodies import decompress
from proxy.core.endpoints.endpoint import Endpoint
from proxy.core.endpoints.venues import PUBLIC_DATA_HOST
from proxy.core.messages import OriginResponse
from proxy.core.query.canonical import CanonicalQuery
from proxy.errors import BadAnswer, ConnectionLost, TooSlow, Unreachable, UpstreamFailed

COOL_DOWN_SECONDS = 30.0
"""For this long after a failure a host is tried only after the others."""
_CHUNK_BYTES = 1 << 18


class UpstreamObserver(Protocol):
    """Counts the requests to the origin."""

    def upstream_answered(self, host: str, *, status: str, seconds: float) -> None:
        """One attempt ended. `status`: the status code, or the reason of the error if there was none."""


class Upstream:
    """GET requests to the origin's hosts. Use as an async context manager."""

    def __init__(  # noqa: PLR0913 - each is one setting
        self,
        base_urls: tuple[str, ...],
        *,
        connect_seconds: float,
        total_seconds: float,
        max_body_bytes: int,
        observer: UpstreamObserver,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_urls = base_urls
        self._timeout = aiohttp.ClientTimeout(total=total_seconds, connect=connect_seconds)
        self._max_body_bytes = max_body_bytes
        self._observer = observer
        self._wall = wall
        self._monotonic = monotonic
        self._failed_at: dict[str, float] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Upstream:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"binance-sidecar/{__version__}", "Accept-Encoding": "gzip"},
            connector=aiohttp.TCPConnector(limit=64, ttl_dns_cache=60, keepalive_timeout=30),
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
        """The base URLs to try for this endpoint, in order: those that failed recently come last."""
        now = self._monotonic()
        serving = [url for url in self.base_urls if endpoint.on_public_data or _host(url) != PUBLIC_DATA_HOST]
        return tuple(sorted(serving or self.base_urls, key=lambda url: self._is_cooling_down(url, now)))

    def health(self) -> dict[str, bool]:
        """For each host, whether its last request succeeded or its failure is at least COOL_DOWN_SECONDS old."""
        now = self._monotonic()
        return {_host(url): not self._is_cooling_down(url, now) for url in self.base_urls}

    def _is_cooling_down(self, base_url: str, now: float) -> bool:
        return now - self._failed_at.get(base_url, float("-inf")) < COOL_DOWN_SECONDS

    async def send(self, base_url: str, query: CanonicalQuery) -> OriginResponse:
        """One request, one answer of any status. Raises an UpstreamFailed if there was no complete answer."""
        started = self._monotonic()
        status = "cancelled"
        try:
            response = await self._exchange(base_url, query)
            status = str(response.status)
            self._record(base_url, ok=response.status < 500)
            return response
        except UpstreamFailed as error:
            status = error.reason
            self._record(base_url, ok=False)
            raise
        finally:
            seconds = self._monotonic() - started
            self._observer.upstream_answered(_host(base_url), status=status, seconds=seconds)

    def _record(self, base_url: str, *, ok: bool) -> None:
        if ok:
            self._failed_at.pop(base_url, None)
        else:
            self._failed_at[base_url] = self._monotonic()

    async def _exchange(self, base_url: str, query: CanonicalQuery) -> OriginResponse:
        assert self._session is not None, "the upstream is used inside its context"
        target = URL(_target(base_url, query), encoded=True)
        headers: dict[str, str] = {}
        sent_at = self._wall()
        try:
            async with self._session.get(target, headers=query.upstream_headers, allow_redirects=False) as response:
                received_at = self._wall()
                headers.update(_lower(response.headers))
                raw = await self._read(response)
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(f"{_host(base_url)}: no connection in time") from error
        except TimeoutError as error:
            raise TooSlow(headers=headers) from error
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{_host(base_url)} cannot be reached") from error
        except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError) as error:
            raise ConnectionLost("The origin's answer broke off.", headers=headers) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise BadAnswer("The origin's answer is not HTTP.", headers=headers) from error
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


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _host(base_url: str) -> str:
    return urlsplit(base_url).netloc


def _target(base_url: str, query: CanonicalQuery) -> str:
    path = f"{base_url}{query.endpoint.path}"
    return f"{path}?{query.upstream_query}" if query.upstream_query else path
