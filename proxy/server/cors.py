"""What pages of other sites may read, by the headers that browsers look for (Fetch standard, section 3.3).

Owns: the CORS headers, the paths that have them, the answer to OPTIONS. Must not know: how a reply is made.

Binance sends these headers with its public API. Whatever needs a key or a signature never gets them, and neither do
probes, metrics and status.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from proxy.core.endpoints.catalogue import PUBLIC_PATHS, find_public
from proxy.core.reply import Outcome, Reply, cache_status

CORS_HEADERS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
)
MAX_ALLOWED_HEADERS = 32
MAX_NAME_CHARACTERS = 64
_NAME = re.compile(rf"[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{MAX_NAME_CHARACTERS}}}")
"""A field name (RFC 9110, section 5.6.2)."""


CHANGES_PATH, OPENAPI_PATH = "/changes", "/openapi.json"
OWN_PATHS = frozenset({CHANGES_PATH, OPENAPI_PATH})
"""What the gateway itself offers on the traffic listener."""


READABLE_PATHS = PUBLIC_PATHS | OWN_PATHS
"""Every answer of these has the CORS headers."""


def is_public(path: str) -> bool:
    """Whether every answer of this path has the CORS headers."""
    return path in READABLE_PATHS


def preflight_reply(path: str, asked: Iterable[str]) -> Reply:
    """The answer to OPTIONS on a public path. `asked`: the Access-Control-Request-Headers fields of the request.

    The names that are no field names are left out, and so are those after the first 32.
    """
    names = [name.strip() for field in asked for name in field.split(",")]
    allowed = [name for name in names if _NAME.fullmatch(name)][:MAX_ALLOWED_HEADERS]
    headers = [("Cache-Control", "no-store"), ("Cache-Status", cache_status(Outcome.PREFLIGHT, detail="preflight"))]
    if allowed:
        headers.append(("Access-Control-Allow-Headers", ", ".join(allowed)))
    endpoint = find_public(path)
    return Reply(
        status=204,
        headers=tuple(headers),
        body=b"",
        outcome=Outcome.PREFLIGHT,
        endpoint="other" if endpoint is None else endpoint.name,
    )
