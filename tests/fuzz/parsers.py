"""The parsers alone, on bytes that no server would pass on.

Owns: what may come of them. `python -m tests.fuzz.parsers query --seconds 600` lets atheris look for inputs; it is
installed by `tests/fuzz/requirements.lock`, for Python 3.11. Must not know: sockets, gateways.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FunctionType
from typing import Any

from proxy.core.document.parsed import parse_document, server_time_of
from proxy.core.document.snapshot import CannotAnswer, index
from proxy.core.endpoints.catalogue import ENDPOINTS, Catalogue, Forward
from proxy.core.endpoints.endpoint import Api
from proxy.core.messages import ClientRequest, OriginResponse
from proxy.core.query.canonical import Bypass, CanonicalQuery, Rejected, canonicalize
from proxy.core.query.keyed import is_keyed, keyed_request
from proxy.core.query.market import market_query
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.origin_headers import parse_rate_limits
from proxy.core.verdict import contracts_rate_limits, is_data, judge
from proxy.errors import BadAnswer, SidecarError

INFO = "/api/v3/exchangeInfo"
PATHS = (
    *(
        INFO,
        "/api/v3/executionRules",
        "/api/v3/ping",
        "/api/v3/time",
        "/api/v3/klines",
        "/api/v3/depth",
        "/api/v3/order",
    ),
    *("/fapi/v1/exchangeInfo", "/fapi/v1/klines", "/futures/data/openInterestHist", "/eapi/v1/ticker", "/sapi/v1/x"),
)
CATALOGUE = Catalogue(Forward.ALL, apis=frozenset(Api), unknown_weight=1)
SELECTED = tuple(
    CanonicalQuery(endpoint=ENDPOINTS[INFO], **filters)
    for filters in (
        {},
        {"symbols": ("BTCUSDT",)},
        {"permissions": ("SPOT",)},
        {"symbol_status": "TRADING"},
        {"show_permission_sets": False},
    )
)


def try_query(data: bytes) -> None:
    """A path, headers and a raw query. AssertionError or any other error is a fault."""
    if not data:
        return
    path, _, rest = PATHS[data[0] % len(PATHS)], None, data[1:]
    raw_query, *headers = rest.decode("utf-8", "surrogateescape").split("\n")
    accept, time_unit, schema, content_type = (*headers, None, None, None, None)[:4]
    request = ClientRequest(
        method="POST" if data[0] & 0x80 else "GET",
        path=path,
        raw_query=raw_query,
        accept=accept,
        time_unit=time_unit,
        sbe_schema=schema,
        target=f"{path}?{raw_query}",
        content_type=content_type or "",
        body=rest[:100],
    )
    with suppress(SidecarError):
        endpoint = CATALOGUE.find(path, request.method)
        query: UpstreamQuery
        if is_keyed(endpoint, request):
            query = keyed_request(endpoint, request, gzip=False)
            assert query.weight >= 0
            return
        query = _read(endpoint, request)
        assert query.weight >= 0
        assert query.target.isascii()
        assert query.target.isprintable()
        assert " " not in query.target
        assert len(query.key) < 2000
        assert query.key.isprintable()


def _read(endpoint: Any, request: ClientRequest) -> UpstreamQuery:
    if endpoint.path not in ENDPOINTS:
        return market_query(endpoint, request, gzip=True)
    match canonicalize(endpoint, request):
        case Rejected(error):
            raise error
        case Bypass(_, query):
            return query
        case query:
            again = canonicalize(
                endpoint, ClientRequest(method="GET", path=request.path, raw_query=query.upstream_query)
            )
            if query.representation.suffix == "":
                assert again == query, "what is sent means what was asked"
            return query


def try_document(data: bytes) -> None:
    """A body of exchangeInfo. AssertionError or any error but BadAnswer is a fault."""
    server_time_of(data)
    for query in SELECTED:
        judge(query, OriginResponse(status=200, headers={}, body=data, sent_at=0.0, received_at=0.0), 0.0)
    is_data(OriginResponse(status=200, headers={}, body=data, sent_at=0.0, received_at=0.0))
    with suppress(BadAnswer):
        parse_rate_limits(contracts_rate_limits(data))
    with suppress(BadAnswer):
        document = parse_document(data)
        parse_rate_limits(document.rate_limits)
        assert len(document.symbols()) == document.symbols_count
        snapshot = _drain(index(data, document=document))
        for query in SELECTED:
            selected = snapshot.select(query)
            if not isinstance(selected, CannotAnswer):
                parse_document(selected)


def _drain(work: Any) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


PARSERS: dict[str, Callable[[bytes], None]] = {"query": try_query, "document": try_document}


def _functions() -> list[FunctionType]:
    """All functions of the core, with those of its classes."""
    modules = [vars(module) for name, module in sys.modules.items() if name.startswith("proxy.core.")]
    found: dict[int, FunctionType] = {}
    for value in [value for module in modules for value in module.values()]:
        members = vars(value).values() if isinstance(value, type) else (value,)
        for member in members:
            function = member.fget if isinstance(member, property) else member
            if isinstance(function, FunctionType) and function.__module__.startswith("proxy.core."):
                found[id(function)] = function
    return list(found.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 3 where atheris is not installed. An input that is a fault ends the process and is written."""
    parser = argparse.ArgumentParser("python -m tests.fuzz.parsers", description=__doc__.splitlines()[0])
    parser.add_argument("parser", choices=sorted(PARSERS))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", help="a folder of inputs, which grows")
    flags = parser.parse_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        command = f"{sys.executable} tests/tools/install.py {sys.prefix} tests/fuzz/requirements.lock"
        print(f"atheris is not installed. With Python 3.11 this installs it: {command}")
        return 3
    atheris = importlib.import_module("atheris")
    for function in _functions():
        atheris.instrument_func(function)
    told = [sys.argv[0], f"-max_total_time={flags.seconds}", "-max_len=4096", "-rss_limit_mb=1024", "-timeout=10"]
    atheris.Setup([*told, flags.corpus] if flags.corpus else told, PARSERS[flags.parser])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
