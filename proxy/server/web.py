"""What a server needs of `aiohttp.web`, which also has routes, files and WebSockets.

Owns: which names those are. Must not know: what they are used for.
"""

from __future__ import annotations

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

__all__ = ["BaseRequest", "RequestHandler", "Response", "Server", "StreamResponse"]
