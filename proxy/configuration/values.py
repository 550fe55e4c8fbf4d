"""What may stand in the settings of this gateway: ports, times, ratios, names, URLs, with their bounds.

Owns: the bounds. Must not know: which setting has which (`proxy.settings`), how a text is read
(`proxy.configuration.kinds`).
"""

from __future__ import annotations

from proxy.configuration.kinds import Kind, number, optional, whole, word, words
from proxy.core.endpoints.base_urls import base_urls

_REDIS_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "embedded",
    "memory",
)
PORT = whole(0, 65535)
"""0: any free one."""
SECONDS = number(0, 86400, is_above=True)
"""A deadline, at most a day."""
LIFETIME = number(0, 30 * 86400)
"""Seconds, at most 30 days."""
RATIO = number(0, 1, is_above=True)
BYTES = whole(1 << 20, 1 << 40)
COUNT = optional(whole(1, 1 << 30))
"""A bound; unset: none."""
_WORD = "1 to 64 letters of ASCII, digits and characters of"
_FIRST = "that begin with a letter or digit"
WORD = word(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", f"{_WORD} ._- {_FIRST}")
DOMAIN = word(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", f"{_WORD} ._:- {_FIRST}")
"""A name, or the address of a node, IPv6 included."""
API_UPSTREAMS: Kind[tuple[str, ...] | None] = words(base_urls)
"""The hosts of an API beside spot; None: not set."""


def spot_upstreams(urls: tuple[str, ...]) -> tuple[str, ...]:
    """The base URLs of spot, which every gateway needs. Raises ValueError with a sentence."""
    if not urls:
        raise ValueError("at least one base URL is needed")
    return base_urls(urls)


def redis_url(url: str) -> str:
    """A URL of `proxy.redis_client.url`, `embedded:` or `memory:`, by its scheme. Raises ValueError with a sentence."""
    scheme = url.partition(":")[0]
    if ":" not in url or scheme not in _REDIS_SCHEMES:
        raise ValueError("must begin with one of " + ", ".join(f"{name}:" for name in _REDIS_SCHEMES))
    return url
