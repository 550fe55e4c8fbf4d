"""Probes, metrics and status, as an operator sees them."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from tests.gateway.harness import INFO, Clock, client, gateway, stage
from tests.simulator import Fault, Simulator


async def test_the_probes_never_depend_on_the_origin() -> None:
    async with stage(keep_warm="always", upstream_seconds=0.3) as on:
        on.origin.set_fault(Fault.DOWN)
        assert (await on.ask("/livez")).status == 200
        assert (await on.ask("/readyz")).status == 200
        on.app.draining = True
        drained = await on.ask("/readyz")
        assert (drained.status, drained.raw) == (503, b"draining\n")
        assert (await on.ask("/livez")).status == 200


async def test_ready_means_that_the_first_warm_up_has_ended() -> None:
    async with stage() as on:
        on.app.refresher.started.clear()
        warming = await on.ask("/readyz")
        assert (warming.status, warming.raw) == (503, b"warming up\n")


async def test_a_warm_up_that_fails_is_ready_too() -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        origin.set_fault(Fault.INTERNAL_500)
        async with gateway(origin, clock, keep_warm="always") as app, client(app.url) as asking:
            assert (await asking.ask("/readyz")).status == 200
            assert origin.count() == 1


async def test_status_tells_what_an_operator_wants_to_know() -> None:
    async with stage() as on:
        await on.ask()
        await on.ask("/api/v3/executionRules?symbol=BTCUSDT")
        on.clock.push(12)
        status = (await on.ask("/status")).json
        assert status["version"] == __version__
        assert status["windows"][0] == {
            "pool": "spot",
            "window": "REQUEST_WEIGHT:1m",
            "used": 22,
            "leased": 0,
            "pending": 0,
            "budget": 5400,
            "limit": 6000,
            "reset": int(on.clock.now // 60 * 60 + 60),
        }
        assert (status["blocked"], status["blocks"]) == (None, [])
        assert status["document"]["age_seconds"] == 12
        assert [entry["key"] for entry in status["entries"]] == ["executionRules:symbols=BTCUSDT"]
        assert status["redis"] == {
            "url": "memory:",
            "up": None,
            "cache_shared": None,
            "quota_shared": None,
            "replicas": 1,
            "counts_alone": False,
            "caches_alone": False,
        }
        host = on.origin.url.removeprefix("http://")
        assert status["upstreams"] == [{"api": "spot", "host": host, "healthy": True, "proxy": None}]


async def test_the_gauges_tell_what_the_status_tells() -> None:
    async with stage() as on:
        for target in (INFO, f"{INFO}?symbol=BTCUSDT", "/api/v3/executionRules?symbol=BTCUSDT"):
            await on.ask(target)
        on.origin.set_fault(Fault.TEAPOT_418, retry_after=120)
        await on.ask("/api/v3/time")
        on.clock.push(12)
        status = (await on.ask("/status")).json
        assert [window["used"] for window in status["windows"]] == [23, 3]
        for window in status["windows"]:
            where = {"pool": window["pool"], "window": window["window"]}
            for name in ("used", "leased", "pending", "budget", "limit"):
                assert on.metric(f"window_{name}", **where) == window[name], name
            assert on.metric("window_reset_timestamp_seconds", **where) == window["reset"]
        until = {
            reason: on.metric("blocked_until_timestamp_seconds", pool="spot", reason=reason)
            for reason in ("back-off", "ban", "pause")
        }
        assert until == {"back-off": 0.0, "ban": status["blocked"]["until"], "pause": 0.0}
        document = status["document"]
        assert on.metric("document_age_seconds") == document["age_seconds"] == 12
        assert on.metric("document_symbols") == document["symbols"] > 0
        counted = {kind: on.metric("entries", kind=kind) for kind in ("answer", "selection", "document")}
        assert counted == {"answer": 1, "selection": document["selections"], "document": 1}
        assert on.metric("entries_bytes", kind="document") > document["bytes"]
        assert 0 < on.metric("entries_bytes", kind="answer") < on.metric("entries_bytes", kind="selection")
        assert on.metric("connections") == 1


async def test_what_happens_at_the_origin_is_counted_by_host() -> None:
    async with stage() as on:
        host = on.origin.url.removeprefix("http://")
        await on.ask("/api/v3/time")
        on.origin.set_fault(Fault.DOWN)
        assert (await on.ask("/api/v3/time")).status == 502
        counted = {
            status: on.metric("upstream_requests_total", host=host, status=status) for status in ("200", "unreachable")
        }
        assert counted == {"200": 1, "unreachable": 1}
        assert on.metric("upstream_request_duration_seconds_count", host=host) == 2
        assert on.metric("upstream_connection_failures_total", host=host, cause="refused") == 1


async def test_metrics_parse_and_tell_what_was_spent_and_saved() -> None:
    async with stage() as on:
        for target in (INFO, INFO, f"{INFO}?symbol=BTCUSDT", f"{INFO}?symbol=", "/api/v3/time"):
            await on.ask(target)
        text = (await on.ask("/metrics")).raw.decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert on.metric("weight_spent_total", endpoint="exchangeInfo") == 20
        assert on.metric("weight_saved_total", endpoint="exchangeInfo") == 40
        assert on.metric("requests_total", endpoint="exchangeInfo", status="200", cache="hit") == 1
        assert on.metric("requests_total", endpoint="exchangeInfo", status="200", cache="snapshot") == 1
        assert on.metric("requests_total", endpoint="exchangeInfo", status="400", cache="rejected") == 1
        assert on.metric("window_used", pool="spot", window="REQUEST_WEIGHT:1m") == 21
        for family in families.values():
            assert family.documentation
        assert {"binance_sidecar_build_info", "binance_sidecar_event_loop_lag_seconds"} <= {
            sample.name.removesuffix("_bucket") for family in families.values() for sample in family.samples
        }


@pytest.mark.parametrize("path", ["/metrics", "/status"])
@pytest.mark.parametrize("ops_port", [None, 0])
async def test_pages_are_compressed_for_whoever_asks(path: str, ops_port: int | None) -> None:
    async with stage(ops_port=ops_port) as on:
        first = await on.client.ask(path, url=on.app.ops_url)
        for accept_encoding in ("gzip", "deflate, gzip;q=0.5", "*"):
            packed = await on.client.ask(path, url=on.app.ops_url, Accept_Encoding=accept_encoding)
            assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
            assert packed.headers["content-type"] == first.headers["content-type"]
            assert packed.body[:20] == first.raw[:20]
        for accept_encoding in ("", "identity", "gzip;q=0", "br"):
            plain = await on.client.ask(path, url=on.app.ops_url, Accept_Encoding=accept_encoding)
            assert "content-encoding" not in plain.headers


async def test_ops_on_a_listener_of_their_own() -> None:
    async with stage(ops_port=0) as on:
        assert (await on.ask("/metrics")).status == 404
        for path in ("/livez", "/readyz", "/metrics", "/status"):
            assert (await on.client.ask(path, url=on.app.ops_url)).status == 200
        assert (await on.client.ask("/api/v3/ping", url=on.app.ops_url)).status == 404


@pytest.mark.parametrize("own_listener", [True, False])
async def test_ops_have_the_errors_that_traffic_has(own_listener: bool) -> None:
    async with stage(ops_port=0) if own_listener else stage() as on:
        ask, url = on.client.ask, on.app.ops_url
        for path in ("/livez", "/readyz", "/metrics", "/status"):
            for method in ("POST", "OPTIONS", "DELETE"):
                refused = await ask(path, method, url=url)
                assert (refused.status, refused.json["code"], refused.headers["allow"]) == (405, -1020, "GET, HEAD")
            head = await ask(path, "HEAD", url=url)
            assert (head.status, head.headers["server"], head.headers["cache-control"]) == (
                *(200, "binance-sidecar", "no-store"),
            )
        unknown = await ask("/nothing", url=url)
        assert (unknown.status, unknown.json["code"]) == (404, -1020)
        assert unknown.cache_status == "binance-sidecar; detail=unknown-path"
        for line, status in ((b"GET http://example.org/livez", b"421"), (b"CONNECT example.org:443", b"405")):
            reader, writer = await asyncio.open_connection(*(on.app.ops_addresses or on.app.addresses)[0])
            writer.write(line + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).split(b" ")[1] == status
            writer.close()
            await writer.wait_closed()


async def test_draining_closes_connections_and_lets_requests_end() -> None:
    clock = Clock()
    async with Simulator(clock=clock) as origin:
        origin.answer_delay_seconds = 0.5
        async with gateway(origin, clock) as app, client(app.url) as asking:
            pending = asyncio.create_task(asking.ask())
            await origin.wait_for(1)
            app.draining = True
            answer = await pending
            assert (answer.status, answer.headers["connection"]) == (200, "close")
