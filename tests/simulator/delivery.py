"""From the socket to a question, and from an answer to the socket, faults included.

Owns the reading of a request's bytes and the ways in which an answer arrives badly. Must not know limits or answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from tests.simulator import rules, wire
from tests.simulator.api import Asked
from tests.simulator.endpoints import ApiName
from tests.simulator.faults import ActiveFault, Fault
from tests.simulator.wire import Answer


async def read(request: web.BaseRequest, host: ApiName | None, clock: Callable[[], float]) -> Asked:
    """The whole request. Its time is when the last byte was read."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    body = await request.read() if request.body_exists else b""
    target = request.raw_path
    path, _, raw_query = target.partition("?")
    return Asked(
        clock(),
        request.method,
        path,
        raw_query,
        headers,
        target,
        body,
        request.raw_headers,
        host,
    )


def parameters(asked: Asked) -> rules.Pairs:
    """Of the query, then of the body, which is a form unless it looks like JSON."""
    pairs = rules.parse_query(asked.raw_query)
    if not asked.body or asked.body[:1] in b"{[":
        return pairs
    return [*pairs, *rules.parse_query(asked.body.decode("utf-8", "replace"))]


def status_seen(answer: Answer, active: ActiveFault | None) -> int:
    """0 if the fault leaves the request without an answer."""
    silent = (Fault.DOWN, Fault.HANG, Fault.RESET, Fault.GARBAGE)
    return 0 if active is not None and active.fault in silent else answer.status


async def send(
    request: web.BaseRequest,
    asked: Asked,
    answer: Answer,
    active: ActiveFault | None,
    *,
    delay_seconds: float,
) -> web.StreamResponse:
    """Act as the fault says. What is returned is written by the server, unless the connection has ended."""
    if delay_seconds:
        await asyncio.sleep(delay_seconds)
    transport = request.transport
    fault = None if active is None else active.fault
    if transport is None:
        return web.Response()  # the client left; nobody reads this
    match fault:
        case Fault.HANG:
            await asyncio.Event().wait()  # ends when the client leaves
        case Fault.SLOW if active is not None:
            await asyncio.sleep(active.delay_seconds)
        case Fault.RESET | Fault.DOWN:
            wire.reset(transport)
        case Fault.TRUNCATED:
            wire.cut_short(transport, answer, now=asked.at)
        case Fault.GARBAGE:
            wire.send_garbage(transport)
        case _:
            pass  # an answer that arrives whole
    return wire.response(answer, asked=asked.headers, now=asked.at)
