"""Base URLs: what one may look like, and the host in it.

Owns: their validation. Must not know: which exchange a host belongs to, who asks it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def base_urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    """The URLs as scheme, host and port, each once: a host that has failed is not the next one to ask.

    Raises ValueError with a phrase for each that cannot be used.
    """
    faulty = [f"{masked(url)} {fault}" for url in urls if (fault := _fault(url)) is not None]
    if faulty:
        raise ValueError("; ".join(faulty))
    return tuple(dict.fromkeys(f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, urls)))


def host_of(url: str) -> str:
    """The host of a base URL, in lower case and without its port."""
    return str(urlsplit(url).hostname).removesuffix(".")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener on this host."""
    return host in ("localhost", "::1") or host.startswith("127.")


def masked(text: str) -> str:
    """The text with everything before an `@` replaced: that may be a password."""
    return re.sub(r".*@", "***@", text, flags=re.DOTALL)


def _fault(url: str) -> str | None:
    """What is wrong with one base URL, or None."""
    unusable = "is not an http or https base URL such as https://api.binance.com"
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return unusable
    if not is_usable:
        return unusable
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        return "must be a scheme, host and port only"
    return None
