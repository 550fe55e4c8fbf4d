"""An origin that answers each path as a test says, for answers that the stand-in does not give.

Owns: `Script`, a server by script. Must not know: what any test expects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(slots=True)
class Script:
    """What the origin answers, and what it was asked."""

    url: str = ""
    answers: dict[str, tuple[int, Mapping[str, str], bytes]] = field(default_factory=dict)
    """By path: status, headers, body."""
    targets: list[str] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.targets.append(request.raw_path)
        status, headers, body = self.answers.get(request.path, (404, {}, b""))
        response = web.Response(status=status, headers=dict(headers), body=body)
        if "Content-Type" not in headers:
            response.headers.popall("Content-Type", None)
        return response


@asynccontextmanager
async def scripted(answers: Mapping[str, tuple[int, Mapping[str, str], bytes]]) -> AsyncIterator[Script]:
    """A server that answers so; other paths are an empty 404."""
    script = Script(answers=dict(answers))
    runner = web.ServerRunner(web.Server(script))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    script.url = f"http://{host}:{port}"
    try:
        yield script
    finally:
        await runner.cleanup()
