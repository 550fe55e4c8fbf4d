"""Requests of accounts through the gateway: what goes on as it came, what is sent once, what passes back."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.app import run_gateway
from proxy.event_log import LOGGER
from tests.gateway.harness import Answer, Stage, client, market, settings
from tests.server.raw import get, raw
from tests.simulator import Fault, OrderSizes, Simulator
from tests.simulator.account import HMAC_KEY, HMAC_SECRET

ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "20000",
}
FORM = "application/x-www-form-urlencoded"
CHANGING = ("POST", "PUT", "DELETE")


def signed(on: Stage, parameters: dict[str, str] | None = None) -> str:
    """A query with a signature that the stand-in accepts."""
    query = urlencode({**(parameters or {}), "timestamp": str(int(on.clock.now * 1000))})
    return f"{query}&signature={hmac.new(HMAC_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()}"


async def send(on: Stage, method: str, path: str, parameters: dict[str, str] | None = None, **headers: str) -> Answer:
    return await on.ask(f"{path}?{signed(on, parameters)}", method, X_MBX_APIKEY=HMAC_KEY, **headers)


async def test_an_order_is_placed_seen_and_cancelled() -> None:
    async with market(forward="all") as on:
        last = float((await on.ask("/api/v3/ticker/price?symbol=BTCUSDT")).json["price"])
        placed = await send(on, "POST", "/api/v3/order", {**ORDER, "price": f"{last / 2:.2f}"})
        assert (placed.status, placed.json["status"]) == (200, "NEW")
        number = {"symbol": "BTCUSDT", "orderId": str(placed.json["orderId"])}
        assert (await send(on, "GET", "/api/v3/order", number)).json["orderId"] == placed.json["orderId"]
        assert (await send(on, "DELETE", "/api/v3/order", number)).json["status"] == "CANCELED"
        assert (await send(on, "GET", "/api/v3/account")).json["balances"]


async def test_parameters_in_the_body_reach_the_origin() -> None:
    async with market(forward="all") as on:
        body = signed(on, ORDER).encode()
        async with on.client.session.post(
            f"{on.app.url}/api/v3/order", data=body, headers={"X-MBX-APIKEY": HMAC_KEY, "Content-Type": FORM}
        ) as answer:
            assert answer.status == 200, await answer.text()
        seen = on.origin.requests[-1]
        assert (seen.method, seen.target, seen.body) == ("POST", b"/api/v3/order", body)


async def test_an_account_is_never_asked_for_at_the_host_of_public_data() -> None:
    """That host knows no account, and what it refuses is not sent again."""
    public, main = "http://data-api.binance.vision", "http://api.binance.com"
    async with Simulator() as origin:
        where = origin.url.removeprefix("http://")
        fixed = ",".join(f"{url.removeprefix('http://')}={where}" for url in (public, main))
        chosen = settings(origin, upstreams=(public, main), upstream_addresses=fixed, forward="all")
        async with run_gateway(chosen) as app, client(app.url) as asking:
            await asking.ask("/api/v3/klines?symbol=BTCUSDT&interval=1m")
            for method, path in (("POST", "order"), ("DELETE", "order"), ("GET", "account"), ("GET", "nothing")):
                await asking.ask(f"/api/v3/{path}?signature=1", method, X_MBX_APIKEY=HMAC_KEY)
        assert [f"http://{seen.headers['host']}" for seen in origin.requests] == [public, *[main] * 4]


@pytest.mark.parametrize(("forward", "asked"), [("general", 0), ("market", 0), ("all", 1)])
async def test_a_signature_in_the_body_makes_a_request_keyed_too(forward: str, asked: int) -> None:
    async with market(forward=forward) as on:
        form = {"Content-Type": FORM}
        async with on.client.session.get(f"{on.app.url}/api/v3/time", data=b"signature=5ec237", headers=form) as answer:
            assert (answer.status == 404) is (asked == 0)
            assert b"5ec237" not in await answer.read()
        assert on.asked() == asked


@pytest.mark.parametrize(
    "query", ["a=%7e&b=%2B&c=[x]&signature=1", "%73ignature=1", "", "?", "a=b&&signature=1&", "x=%zz&signature=%"]
)
async def test_the_target_goes_on_byte_for_byte(query: str) -> None:
    async with market(forward="all") as on:
        target = "/api/v3/account" + ("?" + query.removeprefix("?") if query else "")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(on.app.url.rpartition(":")[2]))
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY: k\r\nConnection: close\r\n\r\n".encode())
        await reader.read()
        writer.close()
        await writer.wait_closed()
        assert on.origin.requests[-1].target == target.encode()


@pytest.mark.parametrize("fast_lane", [True, False])
@pytest.mark.parametrize("keys", [("X-MBX-APIKEY: k",), ("X-MBX-APIKEY: k", "X-MBX-APIKEY: l", "x-mbx-apikey: m")])
async def test_a_header_that_comes_twice_goes_on_twice(keys: tuple[str, ...], fast_lane: bool) -> None:
    lines = ("Accept: a/b", *keys, "X-MBX-Other: 1", "Accept: c/d", "X-MBX-Other: 2")
    async with market(forward="all", fast_lane=fast_lane) as on, raw(on.app) as asking:
        for _ in range(3):  # read, then known by its bytes
            await asking.ask(get("/api/v3/account", *lines))
        for seen in on.origin.requests:
            sent = [b": ".join(pair).decode() for pair in seen.raw_headers]
            assert [line for line in sent if line in lines] == list(lines)


async def test_only_listed_headers_go_on() -> None:
    async with market(forward="all") as on:
        await send(
            on, "GET", "/api/v3/account", Cookie="a=b", X_Forwarded_For="10.0.0.1", X_MBX_Other="1", Accept="x/y"
        )
        seen = dict(on.origin.requests[-1].headers)
        assert (seen["x-mbx-apikey"], seen["x-mbx-other"], seen["accept"]) == (HMAC_KEY, "1", "x/y")
        listed = ("host", "x-mbx-apikey", "x-mbx-other", "accept")
        assert set(seen) <= {*listed, "accept-encoding", "user-agent", "via", "content-length", "connection"}
        assert seen["user-agent"].startswith("binance-sidecar/")


@pytest.mark.no_cover
@pytest.mark.parametrize("method", [*CHANGING, "GET"])
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.HANG, Fault.TRUNCATED, Fault.GARBAGE])
@pytest.mark.parametrize("hosts", [1, 2])
async def test_a_request_without_an_answer_is_sent_once_and_its_outcome_is_unknown(
    method: str, fault: Fault, hosts: int
) -> None:
    async with market(forward="all", upstream_seconds=0.6, spot_hosts=hosts) as on:
        await on.ask("/api/v3/time")  # a connection is kept
        on.origin.set_fault(fault)
        answer = await send(on, method, "/api/v3/order", {"symbol": "BTCUSDT", "orderId": "1"})
        assert (answer.status, answer.json["code"]) == (504, -1007)
        assert "execution status unknown" in answer.json["msg"]
        assert on.asked("/api/v3/order") == 1


async def test_the_origins_own_failure_passes_with_its_headers() -> None:
    async with market(forward="all") as on:
        on.origin.set_fault(Fault.OVERLOADED_503)
        straight = await on.client.ask("/api/v3/account", url=on.origin.url)
        through = await send(on, "GET", "/api/v3/account")
        assert (through.status, through.body) == (straight.status, straight.body) == (503, straight.body)
        told = {name for name in straight.headers if name.startswith("x-mbx-")}
        assert told
        assert told <= set(through.headers)


async def test_keyed_answers_are_never_shared_nor_stored() -> None:
    async with market(forward="all", market_fresh_seconds=60.0) as on:
        on.origin.answer_delay_seconds = 0.2
        target = f"/api/v3/klines?symbol=BTCUSDT&interval=1m&{signed(on)}"
        await asyncio.gather(*(on.ask(target) for _ in range(3)))
        await on.ask(target)
        assert on.asked("/api/v3/klines") == 4


@pytest.mark.parametrize(
    ("path", "weight"), [("/api/v3/account", 20), ("/api/v3/openOrders?symbol=BTCUSDT", 6), ("/api/v3/openOrders", 80)]
)
async def test_what_it_weighs_is_counted(path: str, weight: int) -> None:
    async with market(forward="all") as on:
        bare, _, query = path.partition("?")
        await send(on, "GET", bare, dict([query.split("=")]) if query else None)
        assert on.metric("window_used", pool="spot", window="REQUEST_WEIGHT:1m") == weight == on.origin.used_weight


async def test_an_order_costs_nothing_on_success_and_its_weight_on_a_refusal() -> None:
    async with market(forward="all") as on:
        await send(on, "POST", "/api/v3/order", ORDER)
        assert on.metric("window_used", pool="spot", window="REQUEST_WEIGHT:1m") == on.origin.used_weight == 0
        refused = await send(on, "POST", "/api/v3/order", {**ORDER, "symbol": "NOSUCH"})
        assert refused.status == 400
        assert on.metric("window_used", pool="spot", window="REQUEST_WEIGHT:1m") == on.origin.used_weight == 1


async def test_an_accounts_429_blocks_nobody() -> None:
    async with market(forward="all", origin={"order_sizes": OrderSizes(spot=(1, 100))}) as on:
        await send(on, "POST", "/api/v3/order", ORDER)
        refused = await send(on, "POST", "/api/v3/order", ORDER)
        assert (refused.status, refused.json["code"]) == (429, -1015)
        assert (await on.ask("/api/v3/time")).status == 200
        assert (await on.ask("/status")).json["blocks"] == []


async def test_an_endpoint_that_no_table_has_is_forwarded_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger=LOGGER)
    async with market(forward="all", log_level="info") as on:
        for _ in range(2):
            await send(on, "GET", "/api/v3/newThing")
        assert on.asked("/api/v3/newThing") == 2
        assert caplog.messages.count("unknown_endpoint") == 1


@pytest.mark.parametrize(
    "target",
    [
        "/api/v3/account%3Ftimestamp=1&signature=5ec2e7",
        "/api/v3/account&timestamp=1&signature=5ec2e7",
        "/fapi/v1/order%3bsignature%3d5ec2e7",
        f"/api/v3/userDataStream/{'5ec2e7' * 10}",
    ],
)
async def test_what_a_client_puts_into_a_path_by_mistake_is_not_logged(
    target: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger=LOGGER)
    async with market(forward="all", log_level="debug") as on:
        for _ in range(2):
            await on.ask(target)
    unknown = [record for record in caplog.records if record.message == "unknown_endpoint"]
    assert len(unknown) == 1
    assert "5ec2e7" not in str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize(
    "path",
    [
        "/other/v1/thing",
        "/metricsx",
        "/apix/v3/order",
        "/sapi/v1/../../api/v3/order",
        "/sapi/v1/%2e%2E/..%2fapi/v3/order",
    ],
)
async def test_no_other_path_is_forwarded(path: str) -> None:
    async with market(forward="all") as on:
        answer = await send(on, "POST", path)
        assert (answer.status, answer.json["code"], on.asked()) == (404, -1020, 0)


async def test_a_body_over_the_bound_is_413_and_not_sent() -> None:
    async with market(forward="all") as on:
        async with on.client.session.post(
            f"{on.app.url}/api/v3/order", data=io.BytesIO(b"x" * ((1 << 20) + 1))
        ) as answer:
            assert answer.status == 413
        assert on.asked() == 0


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.server.keyed.BODY_SECONDS", 0.2)
    async with market(forward="all") as on:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(on.app.url.rpartition(":")[2]))
        writer.write(b"POST /api/v3/order HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert (await reader.readline()).split()[1] == b"408"
        writer.close()
        await writer.wait_closed()
        assert on.asked() == 0


async def test_wallet_paths_have_pools_of_their_own() -> None:
    async with market(forward="all") as on:
        answer = await send(on, "GET", "/sapi/v1/capital/config/getall")
        assert answer.status == 200
        assert on.metric("window_used", pool="spot", window="REQUEST_WEIGHT:1m") == 0
        assert on.metric("weight_spent_total", endpoint="sapi") == 1


async def test_a_signed_endpoint_has_no_cors() -> None:
    async with market(forward="all") as on:
        answer = await send(on, "GET", "/api/v3/account")
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
async def test_keys_on_an_open_listener_are_warned_of(
    host: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    changed: dict[str, Any] = {"forward": "all", "host": host}
    async with market(**changed) as on:
        warnings = (await on.client.ask("/status", url=on.app.url.replace("0.0.0.0", "127.0.0.1"))).json["warnings"]
        assert bool(warnings) is warned
        assert ("keys_in_clear" in caplog.messages) is warned
