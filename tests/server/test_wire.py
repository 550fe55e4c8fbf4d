"""The wire as clients of Binance expect it: names of headers, other sites' pages, targets, half-closed connections."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import socket
from unittest import mock

import pytest

from proxy.app import Application
from proxy.cache.fills import Fills
from proxy.cache.singleflight import SingleFlight
from proxy.server import connection
from proxy.server.api import ReleasingResponse
from proxy.server.cors import MAX_ALLOWED_HEADERS
from tests.gateway.harness import INFO, Stage, market, stage
from tests.server.raw import WAIT_SECONDS, Raw, fast_answers, get, raw
from tests.simulator import Fault

CORS = [b"Access-Control-Allow-Origin: *", b"Access-Control-Allow-Methods: GET, HEAD, OPTIONS"]
ONE = f"{INFO}?symbol=BTCUSDT"
SLASHED = "//api/v3/ping"
WITHOUT_CORS = ("/livez", "/readyz", "/metrics", "/status", "/nowhere", "/", "/api/v3/order", "/api/v3/account")


def cors_in(head: bytes) -> list[bytes]:
    return [line for line in head.split(b"\r\n") if line.lower().startswith(b"access-control-")]


def status_of(head: bytes) -> int:
    return int(head.split(b" ")[1])


async def asked_alone(app: Application, request: bytes) -> tuple[int, bytes, bytes]:
    """Status, head and body, on a connection of its own, until the gateway closes or the answer is whole."""
    async with raw(app) as asking:
        head, body = await asking.ask(request)
        return status_of(head), head, body


# --- Names of headers.


async def test_the_used_weight_is_spelled_as_binance_spells_it_on_every_way() -> None:
    async with stage() as on, raw(on.app) as asking:
        (miss, _), (stored, _), (fast, _) = [await asking.ask(get(ONE)) for _ in range(3)]
        assert fast_answers(on.app) == 1
        passed, _ = await asking.ask(get("/api/v3/time"))
        refused, _ = await asking.ask(get(f"{INFO}?symbol="))
        for head in (miss, stored, fast, passed, refused):
            names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line.lower().startswith(b"x-mbx")]
            assert names == [b"x-mbx-used-weight", b"x-mbx-used-weight-1m"]


# --- Pages of other sites.


async def test_every_answer_of_a_public_path_may_be_read_by_any_page() -> None:
    async with stage() as on, raw(on.app) as asking:
        for target in (
            INFO,
            ONE,
            ONE,
            ONE,
            f"{INFO}?symbol=",
            "/api/v3/time",
            SLASHED,
            "/api/v3/klines?symbol=BTCUSDT",
        ):
            head, _ = await asking.ask(get(target))
            assert cors_in(head) == CORS, target
        assert fast_answers(on.app) > 0
        posted, _ = await asking.ask(get(ONE, method="POST"))
        assert (status_of(posted), cors_in(posted)) == (405, CORS)
        on.origin.set_fault(Fault.TOO_MANY_429, retry_after=7)
        refused, _ = await asking.ask(get("/api/v3/ping"))
        assert (status_of(refused), cors_in(refused)) == (429, CORS)


@pytest.mark.parametrize(("is_fast", "owner", "broken"), [(False, Fills, "join"), (True, SingleFlight, "lead")])
async def test_a_304_and_a_bug_of_ours_may_be_read_too(is_fast: bool, owner: type, broken: str) -> None:
    async with stage(fast_lane=is_fast) as on, raw(on.app) as asking:
        await asking.ask(get(ONE))
        unchanged, _ = await asking.ask(get(ONE, "If-None-Match: *"))
        assert (status_of(unchanged), cors_in(unchanged)) == (304, CORS)
        with mock.patch.object(owner, broken, side_effect=RuntimeError):
            failed, _ = await asking.ask(get("/api/v3/ping"))
        assert (status_of(failed), cors_in(failed)) == (500, CORS)


@pytest.mark.no_cover
@pytest.mark.parametrize("target", WITHOUT_CORS)
async def test_no_page_may_read_operations_accounts_or_what_is_unknown(target: str) -> None:
    async with stage() as on:
        for method in ("GET", "OPTIONS", "POST"):
            _, head, _ = await asked_alone(on.app, get(target, "Origin: https://page.test", method=method))
            assert cors_in(head) == []


@pytest.mark.no_cover
@pytest.mark.parametrize("target", [ONE, "/api/v3/account"])
@pytest.mark.parametrize("before", ["body in the same segment", "body in one of its own", "no body"])
async def test_what_cannot_be_read_is_judged_by_its_own_path(target: str, before: str) -> None:
    """Whatever the connection carried before: an order with its body, on the forwarding path or not."""
    body = b"" if before == "no body" else b"signature=00"
    order = get("/api/v3/order", "X-MBX-APIKEY: k", f"Content-Length: {len(body)}", method="POST")
    is_public = target == ONE
    async with market(forward="all") as on, raw(on.app) as asking:
        for _ in range(3):  # the first ones teach the forwarding path the head
            if before == "body in one of its own":
                asking.writer.write(order)
                await asking.writer.drain()
                await asyncio.sleep(0.01)
                await asking.ask(body)
            else:
                await asking.ask(order + body)
        head, _ = await asking.ask(get(target, "no header"))
        assert status_of(head) == 400
        assert cors_in(head) == (CORS if is_public else [])


async def preflight(on: Stage, target: str, *fields: str) -> tuple[int, bytes, bytes]:
    names = [f"Access-Control-Request-Headers: {field}" for field in fields]
    request = get(target, "Origin: https://page.test", "Access-Control-Request-Method: GET", *names, method="OPTIONS")
    return await asked_alone(on.app, request)


@pytest.mark.no_cover
@pytest.mark.parametrize("path", ["/api/v3/ping", "/api/v3/time", INFO, "/api/v3/executionRules", SLASHED])
async def test_options_allows_the_headers_that_are_asked_for(path: str) -> None:
    async with stage() as on:
        status, head, body = await preflight(on, path, "x-mbx-apikey, content-type")
        assert (status, body) == (204, b"")
        assert cors_in(head) == [b"Access-Control-Allow-Headers: x-mbx-apikey, content-type", *CORS]
        status, head, _ = await preflight(on, path)
        assert (status, cors_in(head)) == (204, CORS)
        assert on.asked() == 0
        counted = sum(
            sample.value
            for family in on.app.metrics.requests.collect()
            for sample in family.samples
            if sample.labels.get("cache") == "preflight" and sample.name.endswith("requests_total")
        )
        assert counted == 2


@pytest.mark.parametrize("path", ["/api/v3/order?signature=1", "/api/v3/nothing", "/sapi/v1/account/status"])
async def test_options_about_accounts_is_refused_and_not_sent(path: str) -> None:
    async with stage(forward="all") as on:
        status, head, _ = await preflight(on, path, "x-mbx-apikey")
        assert (status, cors_in(head), on.asked()) == (405, [], 0)
        assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE\r\n" in head
        assert on.metric("window_used", pool="spot", window="REQUEST_WEIGHT:1m") == 0


async def test_options_repeats_nothing_but_names_of_headers_and_not_too_many() -> None:
    async with stage() as on:
        _, head, _ = await preflight(on, INFO, "a, b c, d\te, (f), g=h, , é, " + "i" * 65, 'j, "k"')
        assert cors_in(head) == [b"Access-Control-Allow-Headers: a, j", *CORS]
        names = [f"x-{number}" for number in range(200)]
        _, head, _ = await preflight(on, INFO, ", ".join(names))
        allowed = ", ".join(names[:MAX_ALLOWED_HEADERS])
        assert cors_in(head)[0] == f"Access-Control-Allow-Headers: {allowed}".encode()


# --- Targets.


@pytest.mark.no_cover
@pytest.mark.parametrize("slashes", ["//", "///", "/" * 40])
async def test_several_slashes_at_the_start_are_one_and_one_is_sent_on(slashes: str) -> None:
    async with stage() as on:
        for path in ("api/v3/ping", "api/v3/time", "api/v3/exchangeInfo?symbol=BTCUSDT"):
            assert (await asked_alone(on.app, get(slashes + path)))[0] == 200
        assert on.origin.counts() == {"/api/v3/ping": 1, "/api/v3/time": 1, INFO: 1}
        _, _, body = await asked_alone(on.app, get(f"{slashes}livez"))
        assert body == b"ok\n"
        _, one, _ = await asked_alone(on.app, get(f"http://127.0.0.1{slashes}api/v3/ping"))
        assert status_of(one) == 200


@pytest.mark.parametrize("target", ["/api//v3/ping", "/%2Fapi/v3/ping", "//api/v3/ping//"])
async def test_other_slashes_are_part_of_the_path(target: str) -> None:
    async with stage() as on:
        assert (await asked_alone(on.app, get(target)))[0] == 404


async def test_the_fast_path_answers_such_a_target_as_the_slow_one_does() -> None:
    async with stage() as on, raw(on.app) as asking:
        answers = [await asking.ask(get(f"/{ONE}")) for _ in range(3)]
        assert fast_answers(on.app) == 1
        assert answers[1] == answers[2] == await asking.ask(get(ONE))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "target",
    [
        "http://example.org/api/v3/time",
        "https://testnet.binance.vision/api/v3/exchangeInfo",
        "http://127.0.0.1@example.org/api/v3/time",
        "http://127.0.0.1.example.org/livez",
        "http://example.org/metrics",
        "http://[::1]:80/api/v3/time",
    ],
)
async def test_a_target_at_a_host_that_is_no_upstreams_is_misdirected(target: str) -> None:
    async with stage() as on:
        for method in ("GET", "POST", "OPTIONS"):
            status, head, body = await asked_alone(on.app, get(target, method=method))
            assert (status, json.loads(body)["code"], cors_in(head)) == (421, -1020, [])
            assert b"Cache-Status: binance-sidecar; detail=misdirected\r\n" in head
        assert on.asked() == 0


async def test_a_target_at_an_upstreams_host_is_answered() -> None:
    async with stage(upstreams=("https://api.Binance.com", "http://127.0.0.1:9")) as on:
        for target in ("http://api.binance.com/livez", "http://API.BINANCE.COM.:443/livez", "http://127.0.0.1/livez"):
            assert (await asked_alone(on.app, get(target)))[0] == 200


@pytest.mark.parametrize("host", ["example.org", "testnet.binance.vision", "[::1]:1", ""])
async def test_the_host_header_refuses_nobody(host: str) -> None:
    async with stage() as on:
        request = get("/api/v3/ping").replace(b"Host: gateway", f"Host: {host}".encode())
        assert (await asked_alone(on.app, request))[0] == 200


@pytest.mark.parametrize("target", ["example.org:443", "127.0.0.1:443", "api.binance.com:443"])
async def test_connect_is_not_allowed_and_ends_the_connection(target: str) -> None:
    async with stage() as on, raw(on.app) as asking:
        head, body = await asking.ask(get(target, method="CONNECT"))
        assert (status_of(head), json.loads(body)["code"]) == (405, -1020)
        assert b"Allow: GET, HEAD, OPTIONS\r\n" in head
        assert await asking.end() == b""


# --- Versions.


@pytest.mark.parametrize("version", ["2.0", "0.9"])
@pytest.mark.parametrize("target", [ONE, "/api/v3/time", "/api/v3/order", "/livez", "/changes", "/", "/nowhere"])
async def test_a_version_that_is_not_spoken_is_told_so_in_one_that_is(version: str, target: str) -> None:
    async with stage(ops_port=0) as on:
        for method, to_ops in itertools.product(("GET", "POST", "OPTIONS"), (False, True)):
            request = get(target, method=method).replace(b"HTTP/1.1", f"HTTP/{version}".encode())
            async with raw(on.app, to_ops=to_ops) as asking:
                head, body = await asking.ask(request)
                assert head.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n"), (method, to_ops)
                assert json.loads(body)["code"] == -1000
                assert await asking.end() == b""
        assert on.asked() == 0


@pytest.mark.no_cover
@pytest.mark.parametrize("version", ["3.0", "1.7", "9.9", "2", "11.1"])
async def test_a_version_that_there_is_not_is_malformed(version: str) -> None:
    async with stage() as on, raw(on.app) as asking:
        head, _ = await asking.ask(get(ONE).replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        assert status_of(head) == 400


async def test_the_answer_to_what_cannot_be_read_does_not_depend_on_what_comes_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received = connection.ClientConnection.data_received

    def in_parts(one: connection.ClientConnection, data: bytes) -> None:
        for part in data.split(b"|"):  # before the answer to the first is written
            received(one, part)

    monkeypatch.setattr(connection.ClientConnection, "data_received", in_parts)
    unreadable = get(ONE).replace(b"\r\n", b"\n")
    async with stage() as on:
        for behind in (b"", b"|" + get("/nowhere"), b"|" + get(ONE, method="get")):
            status, head, _ = await asked_alone(on.app, unreadable + behind)
            assert (status, cors_in(head)) == (400, CORS)


# --- Too long.

LONG = "a" * 8200


async def refused(on: Stage, request: bytes, *, pause: bool = False) -> tuple[int, bytes, dict[str, object]]:
    """Status, head and body of what is answered before the connection ends; a part of the request may come late."""
    async with raw(on.app) as asking:
        asking.writer.write(request[:5000] if pause else request)
        if pause:
            await asyncio.sleep(0.01)
            asking.writer.write(request[5000:])
        head, _, body = (await asking.end()).partition(b"\r\n\r\n")
        return status_of(head), head, json.loads(body)


@pytest.mark.no_cover
@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("fast_lane", [True, False])
async def test_a_target_that_is_too_long_is_told_so(fast_lane: bool, pause: bool) -> None:
    async with stage(fast_lane=fast_lane) as on:
        status, head, body = await refused(on, get(f"{ONE}{LONG}"), pause=pause)
        assert (status, body["code"]) == (414, -1000)
        assert body["msg"] == "The request target is too long: at most 8190 bytes are read."
        assert cors_in(head) == CORS
        assert (await refused(on, get(f"/{ONE}{LONG}")))[0] == 414
        for target in (f"/{LONG}", f"/api/v3/order?{LONG}", f"http://example.org/{LONG}", f"/metrics?{LONG}"):
            status, head, _ = await refused(on, get(target))
            assert (status, cors_in(head)) == (414, [])


@pytest.mark.parametrize(
    "headers",
    [(f"X-Long: {LONG}",), (f"{LONG}: a",), tuple(f"X-{number}: a" for number in range(200)), (f"X: /{LONG}",)],
    ids=["value", "name", "many", "slash"],
)
@pytest.mark.parametrize("pause", [False, True])
async def test_a_head_that_is_too_large_is_told_so(headers: tuple[str, ...], pause: bool) -> None:
    async with stage() as on:
        status, head, body = await refused(on, get(ONE, *headers), pause=pause)
        assert (status, body["code"], cors_in(head)) == (431, -1000, CORS)
        for target in ("/api/v3/order", "/livez", "http://example.org/api/v3/ping", "/api/v3/pingpong"):
            status, head, _ = await refused(on, get(target, *headers))
            assert (status, cors_in(head)) == (431, [])
        assert body["msg"] == (
            "The request headers are too large: at most 128 fields of at most 8192 bytes each are read."
        )
        assert b"431 Request Header Fields Too Large\r\n" in head


async def test_who_sends_megabytes_of_target_still_reads_why_it_was_refused() -> None:
    def send_all_then_read(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=WAIT_SECONDS) as asking:
            asking.sendall(get(ONE + "a" * (4 << 20)))
            return asking.recv(4096)

    async with stage() as on:
        answer = await asyncio.to_thread(send_all_then_read, on.app.addresses[0])
        assert status_of(answer) == 414


async def send_on(asking: Raw) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            asking.writer.write(b"a" * 1000)
            await asking.writer.drain()
            await asyncio.sleep(0.01)


async def test_who_goes_on_sending_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.05)
    async with stage() as on, raw(on.app) as asking:
        asking.writer.write(get(ONE + LONG))
        await asking.answer()
        with pytest.raises(ConnectionError):
            await send_on(asking)


# --- Connections that are half closed.


async def half_closed(asking: Raw, requests: bytes) -> bytes:
    asking.writer.write(requests)
    asking.half_close()
    return await asking.end()


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_who_has_ended_its_side_gets_every_answer(fast_lane: bool) -> None:
    async with stage(fast_lane=fast_lane) as on:
        for target in (ONE, ONE, ONE, "/api/v3/time", "/livez"):
            async with raw(on.app) as asking:
                answer = await half_closed(asking, get(target))
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), target
        async with raw(on.app) as asking:
            answers = await half_closed(asking, get("/api/v3/ping") * 3 + get("/livez") * 100)
            assert answers.count(b"HTTP/1.1 200 OK\r\n") == 103
            assert answers.endswith(b"ok\n")


async def test_who_ends_its_side_while_the_origin_is_asked_gets_its_answer() -> None:
    async with stage() as on:
        on.origin.answer_delay_seconds = 0.1
        async with raw(on.app) as asking:
            asking.writer.write(get(INFO))
            await on.origin.wait_for(1)
            asking.half_close()
            head, _, body = (await asking.end()).partition(b"\r\n\r\n")
            assert status_of(head) == 200
            assert len(json.loads(body)["symbols"]) > 90


@pytest.mark.parametrize("begun", [b"", b"GET /api", get("/api/v3/ping")[:-2]])
async def test_who_ends_its_side_with_nothing_to_answer_is_closed_at_once(begun: bytes) -> None:
    async with stage() as on, raw(on.app) as asking:
        await asking.ask(get("/livez"))
        assert await half_closed(asking, begun) == b""


# --- What an idle connection holds.


async def test_an_idle_connection_keeps_no_body() -> None:
    async with stage() as on, raw(on.app) as asking:
        head, body = await asking.ask(get(ONE))
        assert head.startswith(b"HTTP/1.1 200 ")
        assert len(body) > 1000
        answers = [one for one in gc.get_objects() if isinstance(one, ReleasingResponse)]
        assert answers
        assert [one.body for one in answers if one.body] == []
