"""Gateways under load and faults, scraped by a real Prometheus: dashboard, rules and alerts ask for what there is."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest_asyncio
from redis.asyncio import Redis

from proxy.app import Application
from proxy.redis_client.embedded import EmbeddedValkey
from tests.deploy.prometheus import Prometheus, prometheus, until
from tests.deploy.toolbox import DEPLOY, load
from tests.gateway.harness import INFO, Client, client, gateway
from tests.simulator import ApiName, Fault, Simulator, generate_document

RULES = "/api/v3/executionRules"
SYMBOLS = 200
BAN_SECONDS = 6
_SELECTOR = re.compile(r"(?<![\w:])(?:up|binance_sidecar[_:][a-z0-9_:]+)(?:\s*\{[^}]*\})?")


@dataclass(slots=True)
class Scene:
    """The origin, two gateways that share a Valkey, clients, and Prometheus."""

    origin: Simulator
    valkey: str
    apps: list[Application]
    clients: list[Client]
    prometheus: Prometheus

    async def ask(self, target: str) -> list[int]:
        """Both gateways at once; the statuses."""
        answers = await asyncio.gather(*(asking.ask(target) for asking in self.clients))
        return [answer.status for answer in answers]

    async def settle(self) -> None:
        """Long enough for two scrapes."""
        await asyncio.sleep(2.2)


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(Simulator(document=generate_document(SYMBOLS)))
        valkey = await EmbeddedValkey.start()
        stack.push_async_callback(valkey.stop)
        options: dict[str, Any] = {
            "redis_url": valkey.url,
            "redis_seconds": 0.25,
            "ops_port": 0,
            "keep_warm": "demand",
            "fresh_seconds": 1.0,
            "stale_while_revalidate_seconds": 0.5,
            "usd_futures_upstreams": (origin.url_of(ApiName.USD_FUTURES),),
        }
        apps = [await stack.enter_async_context(gateway(origin, **options)) for _ in range(2)]
        clients = [await stack.enter_async_context(client(app.url)) for app in apps]
        targets = [app.ops_url.removeprefix("http://") for app in apps]
        running = await stack.enter_async_context(prometheus(tmp_path, targets))
        yield Scene(origin, valkey.url, apps, clients, running)


async def test_dashboard_rules_and_alerts_see_what_happens(scene: Scene) -> None:
    await scene.prometheus.wait_for('sum(up{job="binance-sidecar"}) == 2')
    await _ordinary_load(scene)
    await _changing_documents(scene)
    await _losing_redis(scene)
    await _failing_origin(scene)
    await _ban(scene)
    await scene.settle()
    await _every_query_of_the_dashboard_returns_series(scene.prometheus)
    await _every_rule_is_recorded(scene.prometheus)
    await _the_futures_are_counted_apart(scene.prometheus)
    await _every_alert_asks_for_series_that_exist(scene.prometheus)


async def _ordinary_load(scene: Scene) -> None:
    """Hits, misses, errors of clients, requests that join another's fill here and over there."""
    for target in (INFO, f"{INFO}?symbol=BTCUSDT", "/api/v3/ping", "/api/v3/time", f"{RULES}?symbol=BTCUSDT"):
        assert await scene.ask(target) == [200, 200]
    assert await scene.ask(f"{INFO}?symbol=btcusdt") == [400, 400]
    assert await scene.ask("/fapi/v1/depth?symbol=BTCUSDT") == [200, 200]
    scene.origin.spend(1000)
    assert await scene.ask("/api/v3/time") == [200, 200]
    scene.origin.set_fault(Fault.SLOW, delay_seconds=0.3, paths=[RULES])
    joined = await asyncio.gather(*(scene.ask(f"{RULES}?symbol=ETHUSDT") for _ in range(5)))
    assert joined == [[200, 200]] * 5
    scene.origin.clear_fault()


async def _changing_documents(scene: Scene) -> None:
    """A symbol comes, and then half of them go: not believed at first."""
    whole = scene.origin.document
    scene.origin.add_symbol("NEWUSDT")
    await _refreshed(scene)
    scene.origin.replace_document(generate_document(SYMBOLS // 4))
    await _refreshed(scene)
    scene.origin.replace_document(whole)
    await _refreshed(scene)


async def _refreshed(scene: Scene) -> None:
    """Ask until the document has been refreshed."""
    before = scene.origin.count(INFO)
    async with asyncio.timeout(10):
        while scene.origin.count(INFO) == before:
            await scene.ask(INFO)
            await asyncio.sleep(0.2)


async def _losing_redis(scene: Scene) -> None:
    """Redis hangs for a while."""
    async with Redis.from_url(scene.valkey) as valkey:
        await valkey.client_pause(timeout=1500, all=True)
        async with asyncio.timeout(10):
            while all(app.metrics.registry.get_sample_value("binance_sidecar_redis_up") for app in scene.apps):
                await scene.ask("/api/v3/time")
    await scene.prometheus.wait_for("binance_sidecar_redis_up == 0")
    await asyncio.sleep(1.5)


async def _failing_origin(scene: Scene) -> None:
    """The origin fails, and nothing is stored."""
    scene.origin.set_fault(Fault.INTERNAL_500)
    assert set(await scene.ask(f"{RULES}?symbol=BNBUSDT")) == {500}
    scene.origin.clear_fault()


async def _ban(scene: Scene) -> None:
    """The ban alert fires when the origin bans, and is over when the ban is."""
    firing = 'ALERTS{alertname="BinanceSidecarBanned", alertstate="firing"}'
    assert await scene.prometheus.ask(firing) == []
    scene.origin.set_fault(Fault.TEAPOT_418, retry_after=BAN_SECONDS, times=1)
    await scene.ask("/api/v3/time")
    (alert,) = await scene.prometheus.wait_for(firing)
    assert alert["metric"]["severity"] == "critical"
    assert await scene.ask("/api/v3/time") == [418, 418]
    assert await scene.ask(INFO) == [200, 200]
    stale = 'sum(binance_sidecar_requests_total{cache="stale-if-error"}) > 0'

    async def is_stale() -> bool:
        await scene.ask(f"{INFO}?symbol=BTCUSDT")
        return bool(await scene.prometheus.ask(stale))

    await until(is_stale, within=BAN_SECONDS)
    await scene.prometheus.wait_until_gone(firing, within=BAN_SECONDS + 10)
    await until(partial(_is_answered, scene, "/api/v3/time"), within=10)


async def _is_answered(scene: Scene, target: str) -> bool:
    return await scene.ask(target) == [200, 200]


def _dashboard() -> dict[str, Any]:
    path = DEPLOY / "grafana" / "dashboards" / "binance-sidecar.json"
    dashboard: dict[str, Any] = json.loads(path.read_text())
    return dashboard


def _queries(dashboard: dict[str, Any]) -> Iterator[str]:
    """Every query as Grafana would send it with everything selected."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield _filled_in(target["expr"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield _filled_in(variable["definition"].removeprefix("label_values(").rpartition(",")[0])


def _filled_in(expression: str) -> str:
    filled = re.sub(r"\$(namespace|quota_domain|instance|pool)\b", ".*", expression.replace("$__rate_interval", "2m"))
    assert "$" not in filled, expression
    return filled


async def _every_query_of_the_dashboard_returns_series(server: Prometheus) -> None:
    empty = [query for query in _queries(_dashboard()) if not await server.ask(query)]
    assert empty == []
    for annotation in _dashboard()["annotations"]["list"]:
        await server.ask(_filled_in(annotation["expr"]))


async def _every_rule_is_recorded(server: Prometheus) -> None:
    (group,) = load(DEPLOY / "prometheus" / "rules" / "recording.yml")["groups"]
    empty = [rule["record"] for rule in group["rules"] if not await server.ask(rule["record"])]
    assert empty == []


async def _the_futures_are_counted_apart(server: Prometheus) -> None:
    used = "max_over_time(binance_sidecar:window_used:ratio{{pool='{}', window='REQUEST_WEIGHT:1m'}}[5m])"
    assert await server.value(used.format("spot")) > await server.value(used.format("futures")) > 0
    banned = 'max by (pool) (max_over_time(binance_sidecar:blocked:seconds{reason="ban"}[5m])) > 0'
    assert [series["metric"]["pool"] for series in await server.ask(banned)] == ["spot"]


async def _every_alert_asks_for_series_that_exist(server: Prometheus) -> None:
    """An alert that is quiet returns nothing; what it looks at must be there all the same."""
    (group,) = load(DEPLOY / "prometheus" / "rules" / "alerts.yml")["groups"]
    empty = []
    for rule in group["rules"]:
        await server.ask(rule["expr"])
        selectors = _SELECTOR.findall(rule["expr"])
        assert selectors, rule["alert"]
        empty += [(rule["alert"], selector) for selector in selectors if not await server.ask(selector)]
    assert empty == []
