"""Traffic: from an aiohttp request to a ClientRequest, and from a Reply to bytes.

Owns: which request headers matter, the headers on every answer, and writing large bodies without copying them.
Must not know: how a reply is made.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

from msgspec import Struct
from multidict import CIMultiDict

from proxy.core.endpoints.catalogue import SHARED_PREFIX
from proxy.core.messages import ClientRequest
from proxy.core.query.keyed import is_form
from proxy.core.query.market import is_signed
from proxy.core.quota.origin_headers import USED_IN_MINUTE_HEADER, USED_WEIGHT_HEADER
from proxy.core.quota.pools import SPOT
from proxy.core.reply import Outcome, Reply, error_reply
from proxy.errors import SidecarError
from proxy.event_log import log, shown_path
from proxy.server import web
from proxy.server.bounds import LOG_SECONDS, Connections
from proxy.server.cors import CORS_HEADERS, is_public, preflight_reply
from proxy.server.fast_path_learning import remember
from proxy.server.fast_path_table import FastPathTable
from proxy.server.field_lines import list_in
from proxy.server.keyed import readable_type, with_all_parts
from proxy.server.peers import Peers, plain
from proxy.server.refusals import LoopDetected, MalformedRequest, NotAllowed, TooManyRequests, VersionNotSupported
from proxy.server.target import has_passed, host_of, path_of, refusal
from proxy.server.unreadable import SERVER, internal_error

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

LARGE_BYTES = 64 << 10
"""Larger bodies are written in slices of the stored body, without a copy."""
_SLICE_BYTES = 256 << 10
_SECURE_SLICE_BYTES = 64 << 10
"""Over TLS, which encrypts a slice before the client has taken the one before it."""


class TrafficObserver(Protocol):
    """Counts answers."""

    def answered(self, reply: Reply, seconds: float) -> None:
        """A client got its reply."""


class Headers(Struct, frozen=True):
    """The headers of an answer, both on the fast path and on the slow path.

    Their names are spelled as Binance spells them: some clients compare them case-sensitively.
    """

    used_weight: Callable[[str], int | None]
    """The used weight of a pool in the current minute; None for a pool that is not served."""
    wall: Callable[[], float]
    keep_alive_seconds: float
    """How long a connection may be idle."""

    def __call__(self, reply: Reply, *, is_public: bool, is_kept: bool = True) -> list[tuple[str, str]]:
        """All headers but Content-Length, in order.

        `is_public`: of a path that pages of other sites may read. `is_kept`: on a connection that stays open.
        """
        pool, told = reply.pool, reply.told_weight
        return [*reply.all_headers(), *self.beside(pool, told_weight=told, is_public=is_public, is_kept=is_kept)]

    def beside(
        self, pool: str | None, *, told_weight: int = 0, is_public: bool = True, is_kept: bool = True
    ) -> list[tuple[str, str]]:
        """Those that depend on the pool of a reply, and on what its answer tells of the pool's used weight."""
        used = None if pool is None else self.used_weight(pool)
        text = None if used is None else str(max(used, told_weight))
        return self.with_used(text, pool, is_public=is_public, is_kept=is_kept)

    def with_used(self, used: str | None, pool: str | None, *, is_public: bool, is_kept: bool) -> list[tuple[str, str]]:
        """As `beside`, with this as the pool's used weight; None: no weight is told."""
        return [
            *(CORS_HEADERS if is_public else ()),
            *(() if used is None else _used(used, pool)),
            ("Server", SERVER),
            ("Date", _http_date(int(self.wall()))),
            *((("Keep-Alive", f"timeout={int(self.keep_alive_seconds)}"),) if is_kept else ()),
        ]


def _used(used: str, pool: str | None) -> tuple[tuple[str, str], ...]:
    """The used weight. Spot has both names, the other APIs have only the second one."""
    in_minute = (USED_IN_MINUTE_HEADER, used)
    return ((USED_WEIGHT_HEADER, used), in_minute) if pool == SPOT else (in_minute,)


@lru_cache(maxsize=4)
def _http_date(second: int) -> str:
    """RFC 9110, section 5.6.7."""
    return formatdate(second, usegmt=True)


class Traffic:
    """The handler of the traffic listener."""

    def __init__(  # noqa: PLR0913 - each is a decision of whoever composes
        self,
        handle: Callable[[ClientRequest], Awaitable[Reply]],
        *,
        headers: Headers,
        hosts: frozenset[str],
        observer: TrafficObserver,
        room: Connections,
        peers: Peers,
        via: str,
        closing: Callable[[], bool],
        forwards_keyed: bool = False,
        fast_path: FastPathTable | None = None,
        own: Mapping[str, Handler] = MappingProxyType({}),
    ) -> None:
        """`forwards_keyed`: whether requests of accounts are sent on, so that their bodies are read.

        `own`: the handlers of OWN_PATHS.
        """
        self._own = own
        self._forwards_keyed = forwards_keyed
        self._handle = handle
        self._headers = headers
        self._hosts = hosts
        self._observer = observer
        self._room = room
        self._peers = peers
        self._via = via
        self._loop_told_at = float("-inf")
        self._closing = closing
        self._fast_path = fast_path

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. A bug of ours becomes a 500 in Binance's format, and a traceback in the log."""
        started = time.perf_counter()
        path, refused = path_of(request), self.refusal(request)
        if path in self._own and refused is None and request.method != "OPTIONS":
            return await self._own[path](request)
        try:
            reply = await self._reply_in_bounds(request, path) if refused is None else _rejected(refused)
        except Exception:
            log.exception("unexpected_error", path=shown_path(request.path))
            reply = error_reply(internal_error(), Outcome.FAILED)
        self._observer.answered(reply, time.perf_counter() - started)
        if self._fast_path is not None and reply.pool == SPOT:  # its table knows the used weight of spot only
            remember(self._fast_path, request, reply)
        is_readable = refused is None and is_public(path)
        is_last = isinstance(refused, NotAllowed | VersionNotSupported | MalformedRequest)
        return await self._write(request, reply, is_public=is_readable, is_last=is_last)

    def refusal(self, request: web.BaseRequest) -> SidecarError | None:
        """Why the gateway does not serve this client, or does not answer for this target; None if it does."""
        if not self._peers.is_allowed(plain(request.remote or "")):
            return NotAllowed()
        if has_passed(request, self._via):
            self._tell_of_loop()
            return LoopDetected()
        return refusal(request, self._hosts)

    def _tell_of_loop(self) -> None:
        """A line in the log, at most one a minute."""
        now = time.monotonic()
        if now - self._loop_told_at >= LOG_SECONDS:
            self._loop_told_at = now
            log.warning("loop", via=self._via, cure="SIDECAR_UPSTREAM_ADDRESSES")

    async def _reply_in_bounds(self, request: web.BaseRequest, path: str) -> Reply:
        if not self._room.begin_request():
            return _rejected(TooManyRequests())
        try:
            return await self._reply(request, path)
        finally:
            self._room.requests -= 1

    async def _reply(self, request: web.BaseRequest, path: str) -> Reply:
        if request.method == "OPTIONS" and is_public(path):
            return preflight_reply(path, request.headers.getall("Access-Control-Request-Headers", ()))
        asked = client_request(request, path, self._peers)
        if self._may_be_keyed(request, asked):
            try:
                asked = await with_all_parts(asked, request)
            except SidecarError as error:
                return _rejected(error)
        return await self._handle(asked)

    def _may_be_keyed(self, request: web.BaseRequest, asked: ClientRequest) -> bool:
        """Whether more of a request must be read. A form may carry a signature, also where none is sent on."""
        if request.can_read_body and (self._forwards_keyed or is_form(readable_type(request.headers))):
            return True
        return self._forwards_keyed and (not is_public(asked.path) or is_signed(asked.raw_query))

    async def _write(
        self, request: web.BaseRequest, reply: Reply, *, is_public: bool, is_last: bool
    ) -> web.StreamResponse:
        # After CONNECT come bytes that are no requests. A body that nobody wants is not waited for.
        ends = self._closing() or request.method == "CONNECT" or is_last or request.can_read_body
        is_kept = request.keep_alive and not ends
        headers = CIMultiDict(self._headers(reply, is_public=is_public, is_kept=is_kept))
        if len(reply.body) > LARGE_BYTES and request.method != "HEAD":
            return await self._write_large(request, reply, headers, is_kept=is_kept)
        response = ReleasingResponse(status=reply.status, headers=headers, body=reply.body)
        if not is_kept:
            response.force_close()
        return response

    async def _write_large(
        self, request: web.BaseRequest, reply: Reply, headers: CIMultiDict[str], *, is_kept: bool
    ) -> web.StreamResponse:
        """Write views of the stored body, and wait between them for a slow reader."""
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_length = len(reply.body)
        if not is_kept:
            response.force_close()
        view, size = memoryview(reply.body), _SECURE_SLICE_BYTES if request.secure else _SLICE_BYTES
        try:
            await response.prepare(request)
            for start in range(0, len(view), size):
                await response.write(view[start : start + size])
        except ConnectionError:  # the client disconnected, which is no error of ours
            log.debug("client_left", path=shown_path(request.path))
        return response


class ReleasingResponse(web.Response):
    """Releases its body once it is written: aiohttp keeps the last response of an idle connection."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write the body."""
        await super().write_eof(data)
        self.body = None


def _rejected(error: SidecarError) -> Reply:
    return error_reply(error, Outcome.REJECTED)


def client_request(request: web.BaseRequest, path: str, peers: Peers) -> ClientRequest:
    """The parts of a request that matter. The raw query comes from the request line, still percent-encoded."""
    headers = request.headers
    target = request.raw_path.partition("#")[0]
    return ClientRequest(
        method=request.method,
        path=path,
        host=host_of(request) if path.startswith(SHARED_PREFIX) else "",
        raw_query=target.partition("?")[2],
        accept=list_in(headers, "Accept"),
        accept_encoding=list_in(headers, "Accept-Encoding"),
        if_none_match=list_in(headers, "If-None-Match"),
        time_unit=headers.get("X-MBX-TIME-UNIT"),
        sbe_schema=headers.get("X-MBX-SBE"),
        client=peers.client(plain(request.remote or ""), headers.get("X-Sidecar-Client", "")),
    )
