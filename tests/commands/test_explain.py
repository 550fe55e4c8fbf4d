"""`explain` says what the gateway does: its words are held to what a gateway then answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.commands.explain import explain, read
from proxy.commands.forecast import forecast
from proxy.core.endpoints.catalogue import Catalogue, Forward
from proxy.core.query.keyed import keyed_request
from proxy.core.query.market import market_query
from proxy.server.cors import CHANGES_PATH, OPENAPI_PATH
from proxy.server.ops import PATHS
from proxy.settings import Settings, TimeSource
from tests.gateway.harness import INFO, Stage, stage
from tests.simulator import Fault

DEPTH = "/api/v3/depth?symbol=BTCUSDT&limit=500"
WINDOWS = [
    {"pool": "spot", "window": "REQUEST_WEIGHT:1m", "used": 5376, "budget": 5400, "limit": 6000, "reset": 60},
    {"pool": "spot", "window": "RAW_REQUESTS:5m", "used": 3, "budget": 54_900, "limit": 61_000, "reset": 300},
    {"pool": "futures", "window": "REQUEST_WEIGHT:1m", "used": 0, "budget": 2160, "limit": 2400, "reset": 60},
]
HOST = {"api": "spot", "host": "api.binance.com", "healthy": True, "proxy": None}
QUIET: dict[str, Any] = {
    "now": 30.0,
    "windows": WINDOWS,
    "blocks": [],
    "documents": [],
    "entries": [],
    "upstreams": [HOST],
}


async def explained(
    on: Stage, request: str, capsys: pytest.CaptureFixture[str], **changed: Any
) -> tuple[int, dict[str, str]]:
    """The exit status, and each line by its name; the first is `request`."""
    port = int(on.app.url.rpartition(":")[2])
    chosen = Settings(port=port, venue="spot", upstreams=(on.origin.url,), **changed)
    status = await asyncio.to_thread(explain, chosen, request)
    first, *lines = capsys.readouterr().out.splitlines()
    return status, {"request": first} | {line[2:11].strip(): line[12:] for line in lines}


async def test_each_step_is_named_and_the_origin_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    async with stage() as on:
        status, told = await explained(on, f"GET {DEPTH}", capsys)
        assert on.asked() == 0
        assert (status, told["request"]) == (0, f"GET {DEPTH}")
        assert told["endpoint"] == "depth of spot, public"
        assert told["weight"] == "25"
        assert told["pool"] == "spot: REQUEST_WEIGHT 1m, RAW_REQUESTS 5m"
        assert told["policy"].endswith("not kept (SIDECAR_MARKET_FRESH_SECONDS is 0)")
        assert told["key"].startswith("depth:symbol=BTCUSDT&limit=500#")
        assert told["sent as"] == f"GET {on.origin.url}{DEPTH}"
        assert told["now"].startswith("sent at a weight of 25; used so far: REQUEST_WEIGHT 1m 0 of 5,400")
        await on.ask(DEPTH)
        assert on.origin.weight_spent == 25


async def test_the_key_is_that_of_the_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    target = "/api/v3/executionRules?symbols=%5B%22ETHUSDT%22,%22BTCUSDT%22%5D"
    async with stage(market_fresh_seconds=5.0) as on:
        for asked in (target, DEPTH):
            await on.ask(asked)
        _, told = await explained(on, f"GET {target}", capsys)
        keys = [entry["key"] for entry in (await on.ask("/status")).json["entries"]]
        assert told["key"] in keys
        assert told["now"] == "answered from the cache at no weight; the entry is 0 s old."
        _, told = await explained(on, DEPTH, capsys, market_fresh_seconds=5.0)
        assert told["policy"].endswith("kept for 5 s")


async def test_the_full_document_answers_filters(capsys: pytest.CaptureFixture[str]) -> None:
    async with stage() as on:
        _, before = await explained(on, f"{INFO}?symbol=BTCUSDT", capsys)
        assert before["now"].startswith("sent at a weight of 20")
        await on.ask()
        _, told = await explained(on, f"{INFO}?symbol=BTCUSDT", capsys)
        assert told["now"].startswith("answered from the cache")
        assert told["now"].endswith(" For a symbol that it lacks Binance is asked, at a weight of 20.")
        assert (await on.ask(f"{INFO}?symbol=BTCUSDT")).cache_status.startswith("binance-sidecar; hit")
        assert (await on.ask(f"{INFO}?symbol=NOPEUSDT")).cache_status.startswith("binance-sidecar; fwd")
        on.clock.push(61)
        on.origin.set_fault(Fault.TEAPOT_418, retry_after=120)
        await on.ask("/api/v3/time")
        _, told = await explained(on, f"{INFO}?symbol=BTCUSDT", capsys)
        assert told["now"].startswith("not sent: 418, because the ban of pool spot ends in 2 min ")
        assert told["now"].endswith("clients get the stored entry, 1 min 1 s old, while it may be used.")


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("GET /api/v3/exchangeInfo?symbol=", "400, code -1105"),
        ("GET /nothing", "404, code -1020"),
        ("POST /api/v3/order?symbol=BTCUSDT", "404, code -1020"),
        ("GET /fapi/v1/klines?symbol=BTCUSDT", "404, code -1020"),
        ("POST /api/v3/depth?symbol=BTCUSDT", "405, code -1020"),
        ("POST /changes", "405, code -1020"),
        ("GET /changes?kinds=other", "400, code -1130"),
        ("DELETE /status", "405, code -1020"),
        ("OPTIONS /status", "405, code -1020"),
    ],
)
async def test_what_is_refused_is_refused_alike(request_: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    method, _, target = request_.partition(" ")
    async with stage() as on:
        status, told = await explained(on, request_, capsys)
        given = await on.ask(target, method)
    assert status == 1
    assert told["answer"].startswith(answer)
    assert told["answer"] == f"{given.status}, code {given.json['code']}: {given.json['msg']} Nothing is sent."


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        *((f"GET {path}", 200, "by the gateway itself") for path in sorted(PATHS | {OPENAPI_PATH})),
        (f"HEAD {CHANGES_PATH}?kinds=listed", 200, "by the gateway itself"),
        ("OPTIONS /api/v3/depth", 204, "204, which tells browsers"),
        ("OPTIONS /openapi.json", 204, "204, which tells browsers"),
    ],
)
async def test_what_the_gateway_answers_itself_is_not_called_unknown(
    request_: str, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    method, _, target = request_.partition(" ")
    async with stage() as on:
        given = await on.ask(target, method)
        told = await explained(on, request_, capsys)
        assert on.asked() == 0
    assert given.status == status
    assert told[0] == 0
    assert told[1]["answer"].startswith(words)
    assert told[1]["answer"].endswith(". Nothing is sent.")


def test_the_listener_of_probes_is_named_where_it_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(Settings(ops_port=9090), "/metrics") == 0
    assert "by the gateway itself, on the listener of SIDECAR_OPS_PORT." in capsys.readouterr().out


async def test_a_path_means_what_it_means_to_the_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    asked = "GET /api/v3/%64epth?symbol=BTCUSDT"
    async with stage() as on:
        status, told = await explained(on, asked, capsys)
        assert (await on.ask(asked.removeprefix("GET "))).status == 200
    assert (status, told["endpoint"]) == (0, "depth of spot, public")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "not kept (SIDECAR_MARKET_FRESH_SECONDS is 0)"),
        (
            {"history_seconds": 600.0},
            "not kept (SIDECAR_MARKET_FRESH_SECONDS is 0), but for 600 s if nothing can be added to the answer "
            "(SIDECAR_HISTORY_SECONDS)",
        ),
        ({"history_seconds": 1.0, "market_fresh_seconds": 5.0}, "kept for 5 s"),
    ],
)
def test_history_is_told(changed: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    explain(Settings(port=1, **changed), "/api/v3/klines?symbol=BTCUSDT&interval=1m&endTime=1500000000000")
    (policy,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  policy "))
    assert policy == f"  policy    equal requests in flight are one; {told}"


def test_a_clock_of_ones_own_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    explain(Settings(port=1, time=TimeSource.CLOCK), "/api/v3/time")
    assert "told by the gateway's clock while that is known to 50 ms (SIDECAR_TIME)" in capsys.readouterr().out


async def test_an_order_is_told_without_its_signature(capsys: pytest.CaptureFixture[str]) -> None:
    order = "POST /api/v3/order?symbol=BTCUSDT&signature=5ec2e7"
    async with stage() as on:
        _, told = await explained(on, order, capsys, forward=Forward.ALL)
    assert told["key"].startswith("none")
    assert told["weight"] == "1, taken back when it succeeds"
    assert "5ec2e7" not in " ".join(text for name, text in told.items() if name != "request")


async def test_a_gateway_for_another_exchange_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    async with stage() as on:
        _, alike = await explained(on, DEPTH, capsys)
        port = int(on.app.url.rpartition(":")[2])
        assert await asyncio.to_thread(explain, Settings(port=port, venue="testnet"), DEPTH) == 0
    assert "but" not in alike
    assert "  but       that gateway is for spot, and these settings are for testnet (" in capsys.readouterr().out


def test_without_a_gateway_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(Settings(port=1), DEPTH) == 0
    (last,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  now "))
    assert last.startswith("  now       unknown, because no gateway answers: http://127.0.0.1:1/status: ")
    assert last.endswith("; SIDECAR_OPS_PORT, else SIDECAR_PORT, says where it is asked")
    assert explain(Settings(), None) == 2
    assert "explain needs a request" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "method", "path", "query"),
    [
        ("GET /api/v3/depth?symbol=X", "GET", "/api/v3/depth", "symbol=X"),
        ("/api/v3/ping", "GET", "/api/v3/ping", ""),
        ("post https://api.binance.com/api/v3/order?a=1#b", "POST", "/api/v3/order", "a=1"),
        ("api/v3/ping", "GET", "/api/v3/ping", ""),
        ("GET /api/v3/ping HTTP/1.1", "GET", "/api/v3/ping", ""),
        ("/api/v3/%70ing?a=%62", "GET", "/api/v3/ping", "a=%62"),
        ('GET /api/v3/ticker?symbols=["A", "B"]', "GET", "/api/v3/ticker", 'symbols=["A", "B"]'),
        ("GET /api/v3/order?newClientOrderId=a://b", "GET", "/api/v3/order", "newClientOrderId=a://b"),
    ],
)
def test_a_request_may_be_written_in_several_ways(text: str, method: str, path: str, query: str) -> None:
    asked = read(text)
    assert (asked.method, asked.path, asked.raw_query) == (method, path, query)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {},
            "not sent: 429, because in REQUEST_WEIGHT 1m 5,376 of 5,400 are used and this costs 25; "
            "the window ends in 30 s.",
        ),
        ({"windows": WINDOWS[1:]}, "sent at a weight of 25; used so far: RAW_REQUESTS 5m 3 of 54,900."),
        (
            {"windows": [WINDOWS[0] | {"used": 5375}]},
            "sent at a weight of 25; used so far: REQUEST_WEIGHT 1m 5,375 of 5,400.",
        ),
        (
            {"blocks": [{"pool": "spot", "reason": "pause", "until": 90.0}]},
            "not sent: 403, because the pause of pool spot ends in 1 min 0 s.",
        ),
        (
            {"blocks": [{"pool": "spot", "reason": "back-off", "until": 90.0}]},
            "not sent: 429, because the back-off of pool spot ends in 1 min 0 s.",
        ),
        (
            {"windows": [], "blocks": [{"pool": "futures", "reason": "ban", "until": 90.0}]},
            "sent at a weight of 25; used so far: nothing.",
        ),
        (
            {"windows": [], "upstreams": [HOST | {"healthy": False}, HOST | {"api": "options"}]},
            "sent at a weight of 25; used so far: nothing; no host of this API answered lately.",
        ),
        (
            {"windows": [], "upstreams": [HOST | {"healthy": False}, HOST]},
            "sent at a weight of 25; used so far: nothing.",
        ),
    ],
)
def test_the_figures_decide(changed: dict[str, Any], told: str) -> None:
    asked = read(DEPTH)
    endpoint = Catalogue().find(asked.path)
    query = market_query(endpoint, asked, gzip=False)
    assert forecast(QUIET | changed, endpoint, query, trading_ratio=0.98) == told


async def test_a_request_with_a_key_has_no_smaller_budget_than_others(capsys: pytest.CaptureFixture[str]) -> None:
    async with stage(budget_ratio=1.0) as on:
        _, told = await explained(on, "GET /api/v3/account?signature=x", capsys, forward=Forward.ALL, budget_ratio=1.0)
        assert told["now"].endswith("REQUEST_WEIGHT 1m 0 of 6,000, RAW_REQUESTS 5m 0 of 61,000.")


def test_a_request_with_a_key_has_a_larger_budget() -> None:
    asked = read("GET /api/v3/account?signature=x")
    endpoint = Catalogue(Forward.ALL).find(asked.path)
    query = keyed_request(endpoint, asked, gzip=False)
    told = forecast(QUIET, endpoint, query, trading_ratio=0.98)
    assert told.startswith("sent at a weight of 20; used so far: REQUEST_WEIGHT 1m 5,376 of 5,880")
