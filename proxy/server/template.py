"""Requests of accounts that come again on a connection with another target, key or body: read by comparing the rest.

Owns: what stays of such a request, and where its parts are. Must not know: connections, what is done with a request.

The key is no part of what stays, so no secret is kept here.
"""

from __future__ import annotations

from msgspec import Struct

MAX_LINE_BYTES = 8000
"""Longer request lines are not read here. Those that aiohttp refuses are longer still."""
MAX_KEY_BYTES = 256
QUERY = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~!$&'()*+,;=:@/?%-"
"""The bytes of a query that nothing reads differently."""
VERSION, HEAD_END = b" HTTP/1.1", b"\r\n\r\n"
_QUESTION_MARK = ord("?")


class Template(Struct, frozen=True, eq=False):
    """All that stays of a request with a known head."""

    start: bytes
    """Method and path."""
    target_at: int
    """Where the path begins."""
    before: bytes
    """From behind the query to the API key, or to the end of the head if there is no key."""
    after: bytes
    """From behind the key to the end of the head."""
    has_key: bool
    body_bytes: int

    def read(self, chunk: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Target, key and body of the request that these bytes are; None if they are not such a request as a whole."""
        start, before, after = self.start, self.before, self.after
        if not chunk.startswith(start):
            return None
        end = path_end = len(start)
        if not chunk.startswith(before, path_end):
            end = chunk.find(before, path_end)
            query = chunk[path_end:end]
            if not path_end < end <= MAX_LINE_BYTES or query[0] != _QUESTION_MARK or query.translate(None, QUERY):
                return None
        key_end = key_at = end + len(before)
        key = b""
        if self.has_key:
            key_end = chunk.find(b"\r\n", key_at)
            key = chunk[key_at:key_end]
            if not key.isalnum() or len(key) > MAX_KEY_BYTES:
                return None
        body_at = key_end + len(after)
        if len(chunk) - body_at != self.body_bytes or not chunk.startswith(after, key_end):
            return None
        return chunk[self.target_at : end], key, chunk[body_at:]
