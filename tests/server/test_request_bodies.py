"""Bodies of requests: none is decoded, whatever it says of its coding, and none that nobody wants is waited for."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import pytest
from aiohttp import compression_utils
from aiohttp.web import Server
from aiohttp.web_protocol import RequestHandler

from proxy.core.endpoints.catalogue import Forward
from tests.events import capture_logs
from tests.gateway.harness import stage
from tests.server.raw import Raw, get, raw

CODINGS = {
    "gzip": gzip.compress(b"symbol=BTCUSDT"),
    "deflate": zlib.compress(b"symbol=BTCUSDT"),
    "br": b"\x8b\x06\x80symbol=BTCUSDT\x03",
    "zstd": b"(\xb5/\xfd \x0e\x71\x00\x00symbol=BTCUSDT",
}
ORDER = "/api/v3/order?signature=1"


@pytest.fixture
def decoded() -> Iterator[list[int]]:
    """The size of everything that aiohttp's decompressors are fed."""
    sizes: list[int] = []
    kinds = (
        compression_utils.ZLibDecompressor,
        compression_utils.BrotliDecompressor,
        compression_utils.ZSTDDecompressor,
    )

    def counting(kind: type) -> Callable[..., bytes]:
        decompress: Callable[..., bytes] = kind.decompress_sync  # type: ignore[attr-defined]

        def fed(self: object, data: bytes, *args: Any, **kwargs: Any) -> bytes:
            sizes.append(len(data))
            return decompress(self, data, *args, **kwargs)

        return fed

    with ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(mock.patch.object(kind, "decompress_sync", counting(kind)))
        yield sizes


def with_body(target: str, coding: str, body: bytes, *, method: str = "POST", chunked: bool = False) -> bytes:
    if chunked:
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return get(target, f"Content-Encoding: {coding}", "Transfer-Encoding: chunked", method=method) + framed
    return get(target, f"Content-Encoding: {coding}", f"Content-Length: {len(body)}", method=method) + body


async def answered(asking: Raw, request: bytes) -> int:
    head, _ = await asking.ask(request)
    return int(head.split(b" ", 2)[1])


@pytest.mark.no_cover
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("is_what_it_says", [True, False])
@pytest.mark.parametrize("coding", CODINGS)
async def test_a_body_that_nobody_wants_is_not_decoded(
    decoded: list[int], coding: str, is_what_it_says: bool, chunked: bool
) -> None:
    body = CODINGS[coding] if is_what_it_says else b"symbol=BTCUSDT"
    targets = {"/api/v3/ping": (405, "POST"), ORDER: (404, "POST"), "/livez": (405, "POST"), "/nowhere": (404, "GET")}
    async with stage() as on:
        with capture_logs() as logs:
            for target, (status, method) in targets.items():
                async with raw(on.app) as asking:
                    request = with_body(target, coding, body, method=method, chunked=chunked)
                    assert await answered(asking, request) == status
                    assert await asking.end() == b"", "the connection is closed"
            async with raw(on.app) as asking:
                assert await answered(asking, with_body("/api/v3/ping", coding, body, method="GET")) == 200
        assert decoded == []
        assert [line for line in logs if line["log_level"] in ("warning", "error")] == []


@pytest.mark.no_cover
@pytest.mark.parametrize("coding", CODINGS)
async def test_a_body_that_is_sent_on_goes_as_it_came(decoded: list[int], coding: str) -> None:
    async with stage(forward=Forward.ALL) as on, raw(on.app) as asking:
        request = with_body(ORDER, coding, CODINGS[coding])
        await asking.ask(request)
        (seen,) = on.origin.requests
        assert seen.body == CODINGS[coding]
        assert decoded == []


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_the_coding_of_a_body_goes_with_it(fast_lane: bool) -> None:
    for coding, told in (("gzip", "gzip"), ("identity", "identity")):
        async with stage(forward=Forward.ALL, fast_lane=fast_lane) as on, raw(on.app) as asking:
            for _ in range(3):  # read, then sent on by the same bytes
                await asking.ask(with_body(ORDER, coding, CODINGS["gzip"]))
            assert [seen.headers.get("content-encoding") for seen in on.origin.requests] == [told] * 3
            assert [seen.body for seen in on.origin.requests] == [CODINGS["gzip"]] * 3


@pytest.mark.parametrize("fast_lane", [True, False])
@pytest.mark.parametrize(("coding", "weight"), [("identity", 6), ("br", 80), ("IDENTITY", 6), ("identity, br", 80)])
async def test_what_a_coded_body_asks_for_is_unknown_and_costs_the_dearest(
    coding: str, weight: int, fast_lane: bool
) -> None:
    form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: {coding}"
    request = get("/api/v3/openOrders", form, "Content-Length: 14") + b"symbol=BTCUSDT"
    async with stage(forward=Forward.ALL, fast_lane=fast_lane) as on, raw(on.app) as asking:
        for times in (1, 2, 3):
            await asking.ask(request)
            assert on.metric("weight_spent_total", endpoint="openOrders") == times * weight


@pytest.mark.parametrize("forward", Forward)
async def test_no_signature_is_looked_for_in_a_coded_body(forward: Forward) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    async with stage(forward=forward) as on:
        for coding, status in (("br", 200), ("identity", 400 if forward is Forward.ALL else 404)):
            async with raw(on.app) as asking:
                request = get("/api/v3/ping", form, f"Content-Encoding: {coding}", "Content-Length: 11")
                assert await answered(asking, request + b"signature=1") == status


async def test_the_count_tells_a_server_that_decodes(decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    made = RequestHandler.__init__

    def decoding(self: RequestHandler, manager: Server, **kwargs: Any) -> None:
        made(self, manager, **(kwargs | {"auto_decompress": True}))

    monkeypatch.setattr(RequestHandler, "__init__", decoding)
    async with stage() as on, raw(on.app) as asking:
        await asking.ask(with_body("/api/v3/ping", "gzip", CODINGS["gzip"], method="GET"))
    assert decoded


@pytest.mark.parametrize("target", ["/api/v3/ping", ORDER, "/livez"])
@pytest.mark.parametrize("forward", ["market", "all"])
async def test_a_body_whose_framing_breaks_after_the_head_writes_no_traceback(
    caplog: pytest.LogCaptureFixture, forward: str, target: str
) -> None:
    async with stage(forward=Forward(forward)) as on, raw(on.app) as asking:
        with capture_logs() as logs:
            asking.writer.write(get(target, "Transfer-Encoding: chunked"))
            await asyncio.sleep(0.01)
            asking.writer.write(b"not a size\r\n" * 3)
            assert (await asking.end()).startswith(b"HTTP/1.1 ")
        assert [line for line in logs if line["log_level"] in ("warning", "error")] == []
        assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


WAITS = "Expect: 100-continue"


@pytest.mark.parametrize("fast_lane", [True, False])
@pytest.mark.parametrize("framing", ["Content-Length: 3", "Transfer-Encoding: chunked"])
async def test_a_client_that_waits_to_send_its_body_is_told_to(framing: str, fast_lane: bool) -> None:
    body = b"a=b" if framing.startswith("Content-Length") else b"3\r\na=b\r\n0\r\n\r\n"
    async with stage(forward=Forward.ALL, fast_lane=fast_lane) as on, raw(on.app) as asking:
        for _ in range(2):
            head, _ = await asking.ask(get(ORDER, WAITS, framing, method="POST"))
            assert head == b"HTTP/1.1 100 Continue\r\n\r\n"
            head, _ = await asking.ask(body)
            assert b" 100 " not in head
        assert [seen.body for seen in on.origin.requests] == [b"a=b", b"a=b"]


@pytest.mark.parametrize(
    ("target", "status"), [(ORDER, 404), ("/api/v3/ping", 405), ("/livez", 405), ("/nowhere", 404)]
)
async def test_a_client_that_waits_in_vain_gets_its_answer_at_once(target: str, status: int) -> None:
    async with stage() as on, raw(on.app) as asking:
        head, _ = await asking.ask(get(target, WAITS, "Content-Length: 3", method="POST"))
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close\r\n" in head


@pytest.mark.parametrize("headers", [(), (WAITS,)])
async def test_a_body_that_says_that_it_is_too_large_is_not_waited_for(headers: tuple[str, ...]) -> None:
    async with stage(forward=Forward.ALL) as on, raw(on.app) as asking:
        head, _ = await asking.ask(get(ORDER, *headers, f"Content-Length: {(1 << 20) + 1}", method="POST"))
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nConnection: close\r\n" in head
        assert on.asked() == 0


async def test_a_client_of_http_1_0_is_told_nothing_between() -> None:
    async with stage(forward=Forward.ALL) as on, raw(on.app) as asking:
        request = get(ORDER, WAITS, "Content-Length: 3", method="POST").replace(b"HTTP/1.1", b"HTTP/1.0")
        asking.writer.write(request)
        await asyncio.sleep(0.01)
        head, _ = await asking.ask(b"a=b")
        assert head.startswith(b"HTTP/1.0 ")
        assert b" 100 " not in head


CHUNKS = b"3\r\na=b\r\n0\r\n\r\n"


@pytest.mark.parametrize("fast_lane", [True, False])
@pytest.mark.parametrize("target", [ORDER, "/api/v3/ping", "/api/v3/exchangeInfo?symbol=BTCUSDT", "/changes", "/livez"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_body_whose_framing_others_may_read_differently_is_refused(
    method: str, target: str, fast_lane: bool
) -> None:
    codings = ("gzip, chunked", "identity, chunked", ",chunked", '"a, chunked')
    framings = [(coding, b"HTTP/1.1") for coding in codings] + [("chunked", b"HTTP/1.0")]
    async with stage(forward=Forward.ALL, fast_lane=fast_lane) as on:
        for coding, version in framings:
            head = get(target, f"Transfer-Encoding: {coding}", "Connection: keep-alive", method=method)
            async with raw(on.app) as asking:
                assert await answered(asking, head.replace(b"HTTP/1.1", version) + CHUNKS) == 400
                assert await asking.end() == b"", "the connection is closed"
        assert on.asked() == 0


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "\tchunked"])
async def test_chunks_are_read_however_they_are_spelled(coding: str) -> None:
    async with stage(forward=Forward.ALL) as on, raw(on.app) as asking:
        for _ in range(2):
            await asking.ask(get(ORDER, f"Transfer-Encoding: {coding}", method="POST") + CHUNKS)
        assert [seen.body for seen in on.origin.requests] == [b"a=b", b"a=b"]
