"""A start without Redis: it hangs, it is not there, it comes later. The gateway is ready and serves all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.app import Application
from tests.gateway.harness import INFO, client, gateway
from tests.ports import free_port
from tests.redis_client.valkey import Valkey
from tests.simulator import Simulator

REDIS_SECONDS = 0.25
READY_SECONDS = 20.0
"""A start that waits for Redis never ends; this one takes half a second, unless the machine is busy."""
FORMS = ("unix", "redis", "redis+sentinel", "redis+cluster")


@contextmanager
def server(*options: str) -> Iterator[Valkey]:
    made = Valkey(*options)
    try:
        yield made
    finally:
        made.remove()


def url(form: str, made: Valkey, port: int) -> str:
    """In which a gateway may name it; a Sentinel or a node of a cluster that hangs need not be one."""
    if form == "unix":
        return made.url
    return f"{form}://127.0.0.1:{port}" + ("/main" if form == "redis+sentinel" else "")


async def recovered(app: Application) -> None:
    async with asyncio.timeout(30):
        while app.metrics.registry.get_sample_value("binance_sidecar_redis_up") != 1:  # noqa: ASYNC110 - a gauge
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("form", FORMS)
async def test_a_redis_that_hangs_keeps_nobody_from_being_ready(form: str) -> None:
    port = free_port()
    with server("--port", str(port)) as hanging:
        hanging.start()
        hanging.freeze()
        started = time.monotonic()
        async with (
            Simulator() as origin,
            gateway(origin, redis_url=url(form, hanging, port), redis_seconds=REDIS_SECONDS) as app,
            client(app.ops_url) as asking,
        ):
            assert (await asking.ask("/readyz")).status == 200
            assert time.monotonic() - started < READY_SECONDS
            assert (await asking.ask(INFO)).status == 200
            assert (await asking.ask(INFO)).cache_status.startswith("binance-sidecar; hit;")
            assert origin.count() == 1
        hanging.thaw()


@pytest.mark.parametrize("trouble", ["hangs", "is down"])
async def test_a_redis_that_comes_later_is_taken_into_use(trouble: str) -> None:
    with server() as redis:
        if trouble == "hangs":
            redis.start()
            redis.freeze()
        async with Simulator() as origin:
            changed: dict[str, Any] = {"redis_url": redis.url, "redis_seconds": REDIS_SECONDS}
            async with gateway(origin, **changed) as one, gateway(origin, **changed) as two, client(one.url) as asking:
                assert (await asking.ask(INFO)).status == 200
                if trouble == "hangs":
                    redis.thaw()
                else:
                    redis.start()
                await asyncio.gather(recovered(one), recovered(two))
                rules = "/api/v3/executionRules?symbol=BTCUSDT"
                assert (await asking.ask(rules)).cache_status.endswith("fwd=uri-miss; stored")
                assert "; hit;" in (await asking.ask(rules, url=two.url)).cache_status
                assert origin.count("/api/v3/executionRules") == 1
                assert redis.admin("KEYS", "*REQUEST_WEIGHT*"), "what was spent alone is in the shared ledger"
