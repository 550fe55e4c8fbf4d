"""The index as one would write it first: the whole document decoded by one `orjson.loads`.

Owns: that index, made of the same values as ours. For documents that the stand-in generates.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator

import orjson

from proxy.core.document.parsed import Document, parse_document, template
from proxy.core.document.snapshot import Snapshot
from proxy.core.document.symbol_index import SHOWING, Permissions, SymbolIndex


def index(
    body: bytes, *, version: str | None = None, document: Document | None = None
) -> Generator[None, None, Snapshot]:
    """The same index, from Python objects of the whole document, in one go."""
    document = document or parse_document(body)
    symbols = orjson.loads(body)["symbols"]
    starts, set_starts, set_ends = array("Q"), array("Q"), array("Q")
    end = body.index(b'"symbols":[') + len(b'"symbols":[')
    for _ in symbols:
        starts.append(end)
        name = b'"permissionSets":'
        set_starts.append(body.index(name, end) + len(name))
        set_ends.append(body.index(b"]]", set_starts[-1]) + 2)
        end = body.index(b"}", body.index(b'"allowedSelfTradePreventionModes"', set_ends[-1])) + 2
    starts.append(end)
    sets = [symbol["permissionSets"][0] for symbol in symbols]
    shown = [sum(permission for name, permission in SHOWING.items() if name in names) for names in sets]
    symbol_index = SymbolIndex(
        starts=starts,
        set_starts=set_starts,
        set_ends=set_ends,
        permissions=bytes(shown),
        all_permissions=Permissions(7),
        statuses=tuple(symbol["status"] for symbol in symbols),
        positions={symbol["symbol"]: place for place, symbol in enumerate(symbols)},
    )
    yield
    return Snapshot(
        body=body,
        version=version or "",
        server_time_ms=document.server_time_ms,
        rate_limits=document.rate_limits,
        template=template(body[: starts[0]], body[end - 1 :]),
        symbol_index=symbol_index,
    )
