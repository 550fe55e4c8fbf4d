"""A list may come in several lines, on every way and every page: what is accepted, what is known already."""

from __future__ import annotations

import pytest

from proxy.core.endpoints.catalogue import Forward
from tests.gateway.harness import INFO, market, stage
from tests.server.raw import get, raw

GZIP = ("Accept-Encoding: br", "accept-encoding: gzip")
DEPTH = "/api/v3/depth?symbol=BTCUSDT&limit=100"


CODED = (INFO, f"{INFO}?symbol=BTCUSDT", DEPTH, "/status", "/metrics", "/", "/openapi.json", "/page.css")
TAGGED = (INFO, f"{INFO}?symbol=BTCUSDT", "/page.css")


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_a_coding_and_a_tag_of_the_second_line_count(fast_lane: bool) -> None:
    async with stage(fast_lane=fast_lane) as on, raw(on.app) as asking:
        for target in CODED * 2:
            head, _ = await asking.ask(get(target, *GZIP))
            assert b"\r\nContent-Encoding: gzip\r\n" in head, target
        for target in TAGGED * 2:
            head, _ = await asking.ask(get(target))
            tag = head.partition(b"ETag: ")[2].partition(b"\r\n")[0].decode()
            head, _ = await asking.ask(get(target, 'If-None-Match: "other"', f"If-None-Match: {tag}"), has_body=False)
            assert head.startswith(b"HTTP/1.1 304 "), target


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_both_lines_reach_the_origin(fast_lane: bool) -> None:
    async with market(fast_lane=fast_lane, forward=Forward.ALL) as on, raw(on.app) as asking:
        for _ in range(3):
            await asking.ask(get(DEPTH, "Accept: application/json", "Accept: text/html"))
        seen = [request.headers["accept"] for request in on.origin.requests if request.path == "/api/v3/depth"]
        assert seen == ["application/json, text/html"] * 3
