"""The client for answers that are stored: aiohttp's, which reads a document of many megabytes well.

Owns: its connections, the bound of a body, and the mapping of aiohttp's errors into `proxy.errors`. Must not know:
quota, caching, which host is asked first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from proxy.core.query.upstream_query import UpstreamQuery
from proxy.errors import AnswerCut, BadAnswer, ConnectionLost, TooSlow, Unreachable, UpstreamFailed
from proxy.origin.causes import cause_of
from proxy.origin.sending import USER_AGENT, Answer, Sending

_CHUNK_BYTES = 1 << 18

_sending: ContextVar[Sending] = ContextVar("sending")


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


class DocumentClient:
    """GET requests. Use as an async context manager."""

    def __init__(
        self, *, connect_seconds: float, max_body_bytes: int, proxies: Mapping[str, URL], wall: Callable[[], float]
    ) -> None:
        self._connect_seconds = connect_seconds
        self._max_body_bytes = max_body_bytes
        self._proxies = proxies
        self._wall = wall
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> DocumentClient:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
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

    async def exchange(self, base_url: str, query: UpstreamQuery, sending: Sending, seconds: float) -> Answer:
        """One request, one answer of any status, within `seconds`. Raises an UpstreamFailed."""
        assert self._session is not None, "the upstream is used inside its context"
        target = URL(base_url + query.target, encoded=True)
        headers: dict[str, str] = {}
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
            raise _failure(urlsplit(base_url).netloc, error, headers, is_sent=sending.is_allowed) from error
        return Answer(response.status, headers, raw, received_at)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(part)
            if size > self._max_body_bytes:
                response.close()
                raise BadAnswer("The origin's answer is too large.", headers=_lower(response.headers))
            parts.append(part)
        return b"".join(parts)


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
