"""The endpoints of wallet and margin, `/sapi`, which have no table.

Owns: their prefix, and the line that any path below it gets. Must not know: which paths exist. Source: Binance's API
documents.
"""

from __future__ import annotations

from hashlib import blake2b

from proxy.core.endpoints.endpoint import CachePolicy, Endpoint, Security
from proxy.core.endpoints.weight_rules import Fixed

PREFIX = "/sapi/"
SAPI = "sapi"
"""All pools of `/sapi` together: the word in metrics and on the status page."""
SAPI_POOLS = 64
"""How many pools the paths of `/sapi` share: paths that a client makes up fill neither memory nor Redis."""


def sapi_endpoint(path: str, method: str) -> Endpoint:
    """The line of a path: it counts 1 in a limit of its own, which the origin's header corrects."""
    return Endpoint(
        name=SAPI,
        path=path,
        method=method,
        security=Security.SIGNED,
        weight=Fixed(1),
        policy=CachePolicy.FORWARDED,
        pool=sapi_pool(path),
        has_used_weight=False,
        on_public_data=False,
    )


def sapi_pool(path: str) -> str:
    """The pool of a path below `/sapi`, such as `sapi-2f`. The origin counts each path by itself.

    The pool is a hash of the path, so every replica finds the same one, and no path can take another's place. Paths
    that share a pool are counted together, which refuses early and never late.
    """
    number = int.from_bytes(blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()) % SAPI_POOLS
    return f"{SAPI}-{number:02x}"
