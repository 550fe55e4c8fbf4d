"""A gateway whose origin leads back to it: a request that has passed it is answered and never sent."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from proxy.app import run_gateway
from proxy.configuration.addresses import addresses
from proxy.core.endpoints.catalogue import Forward
from tests.events import capture_logs
from tests.gateway.harness import INFO, client, settings, stage
from tests.ports import free_port
from tests.server.raw import fast_answers, get, raw
from tests.simulator import Simulator

VIA = "binance-sidecar-spot-default"


@pytest.mark.parametrize(
    "header",
    [
        f"Via: 1.1 {VIA}",
        f"via: HTTP/1.1 {VIA.upper()} (comment)",
        f"Via: 1.0 fred, 1.1 {VIA}",
        f"Via: 1.1 p.example.net\r\nVia: 1.1 {VIA}",
    ],
)
async def test_a_request_that_has_passed_the_gateway_is_never_sent(header: str) -> None:
    async with stage() as on, raw(on.app) as asking:
        with capture_logs() as logs:
            for target in (INFO, "/api/v3/ping", f"{INFO}?symbol=BTCUSDT", INFO):
                head, body = await asking.ask(get(target, header))
                assert head.startswith(b"HTTP/1.1 508 ")
                assert b"detail=loop" in head
                assert b"SIDECAR_UPSTREAM_ADDRESSES" in body
        assert on.asked() == 0
        assert fast_answers(on.app) == 0
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["loop"]


@pytest.mark.no_cover
@pytest.mark.parametrize("header", ["Via: 1.1 varnish", f"Via: 1.1 {VIA}-other", f"Via: 1.1 fred ({VIA})", "Via: ,"])
async def test_what_others_have_passed_on_is_served(header: str) -> None:
    async with stage() as on, raw(on.app) as asking:
        assert (await asking.ask(get(INFO, header)))[0].startswith(b"HTTP/1.1 200 ")


async def test_every_request_to_the_origin_says_who_sent_it() -> None:
    async with stage(forward=Forward.ALL) as on:
        for target in (INFO, "/api/v3/ping", "/api/v3/account?signature=1"):
            await on.ask(target, X_MBX_APIKEY="k")
        assert {seen.headers["via"] for seen in on.origin.requests} == {f"1.1 {VIA}"}
        assert on.asked() == 3


async def test_two_gateways_that_ask_each_other_end_at_once() -> None:
    ports = [free_port(), free_port()]
    async with Simulator() as unused, AsyncExitStack() as stack:
        for port, other in (ports, ports[::-1]):
            chosen = settings(unused, port=port, upstreams=(f"http://127.0.0.1:{other}",))
            await stack.enter_async_context(run_gateway(chosen))
        for port in ports:
            async with client(f"http://127.0.0.1:{port}") as asking:
                answer = await asking.ask("/api/v3/ping")
                assert answer.status >= 500
                assert b"SIDECAR_UPSTREAM_ADDRESSES" in answer.raw


async def test_a_host_is_connected_to_where_the_setting_says() -> None:
    async with Simulator() as origin:
        port = origin.url.rpartition(":")[2]
        fixed = addresses().read(f"api.binance.com=127.0.0.1:{port}")
        chosen = settings(origin, upstreams=("http://API.binance.com",), upstream_addresses=fixed)
        async with run_gateway(chosen) as app, client(app.url) as asking:
            assert (await asking.ask("/api/v3/ping")).status == 200
        (seen,) = origin.requests
        assert seen.headers["host"].lower() == "api.binance.com"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("a.b=1.2.3.4", ("a.b", "1.2.3.4", None)),
        ("A.B.=1.2.3.4:8443", ("a.b", "1.2.3.4", 8443)),
        ("a=2001:db8::1", ("a", "2001:db8::1", None)),
        ("a=[2001:db8::1]:443", ("a", "2001:db8::1", 443)),
    ],
)
def test_an_address_may_have_a_port(given: str, found: tuple[str, str, int | None]) -> None:
    assert addresses().read(given) == (found,)


@pytest.mark.parametrize(
    "given", ["a", "a=", "=1.2.3.4", "a=host", "a=1.2.3.4:0", "a=1.2.3.4:70000", "https://a=1.2.3.4"]
)
def test_what_is_no_address_is_named(given: str) -> None:
    with pytest.raises(ValueError, match="is not a host and its address"):
        addresses().read(given)
