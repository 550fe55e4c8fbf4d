"""ARCHITECTURE.md: the map is that of the import contracts, one miss costs what the table says, the minute adds up."""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict

from proxy.core.quota.budget import Budget, Reservation
from proxy.core.quota.charges import window_key_of
from proxy.core.quota.refusal import Refused
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import MINUTE_SECONDS, RateLimitKind, Window
from proxy.redis_client.connection import RedisOperation
from tests.gateway.harness import INFO, NOON, stage
from tests.pages.markdown import ROOT, blocks, rows, section, words

PAGE = (ROOT / "ARCHITECTURE.md").read_text()
_ROOMS = re.compile(r"^  (\w+(?: [|:] \w+)*)  +\S", re.MULTILINE)
_EVENT = re.compile(r"^ +(\d+\.\d) +(reserve|answer|lost|refuse) (\d+) .*? (\d+|-) +(\d+) +(\d+)$", re.MULTILINE)
WINDOW = Window(RateLimitKind.REQUEST_WEIGHT, MINUTE_SECONDS, limit=6000)


def contract(name: str) -> list[str]:
    """The layers of an import contract, without the parentheses of optional ones."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in settings if each["id"] == name)
    return [re.sub(r"[()]", "", layer) for layer in layers]


def test_the_map_shows_the_import_contracts() -> None:
    (drawn,) = blocks(section(PAGE, "The map"))
    package, _, core = drawn.partition("proxy/core/\n")
    assert _ROOMS.findall(package) == contract("layers")
    assert _ROOMS.findall(core) == contract("core")


async def test_one_miss_asks_redis_what_the_table_says() -> None:
    async with stage(redis_url="embedded:") as on:
        before = {one: on.metric("redis_operations_total", operation=one.value) for one in RedisOperation}
        answer = await on.ask(f"{INFO}?symbol=BTCUSDT")
        after = {one: on.metric("redis_operations_total", operation=one.value) for one in RedisOperation}
    assert answer.cache_status == "binance-sidecar; fwd=uri-miss; stored"
    apart = (RedisOperation.PING, RedisOperation.PROBE, RedisOperation.SYNC)  # in the background, now and then
    asked = {one.value: after[one] - before[one] for one in RedisOperation if one not in apart}
    table = rows(section(PAGE, "One miss, step by step"))
    told = Counter(words(row[3])[0] for row in table if len(row) == 4 and row[3])
    assert told == {operation: count for operation, count in asked.items() if count}


def test_the_minute_adds_up() -> None:
    minute = NOON - NOON % MINUTE_SECONDS
    budget, under_way = Budget(), defaultdict[int, list[Reservation]](list)
    drawn = section(PAGE, "The ledger")
    events = _EVENT.findall(drawn)
    assert len(events) == len(re.findall(r"^ +\d+\.\d ", drawn, re.MULTILINE)) > 8
    for second, event, weight, header, used, pending in events:
        now, cost = minute + float(second), int(weight)
        if event in ("reserve", "refuse"):
            outcome = budget.reserve(now, {RateLimitKind.REQUEST_WEIGHT: cost}, (WINDOW,), ratio=0.9)
            assert isinstance(outcome, Refused if event == "refuse" else Reservation), second
            if isinstance(outcome, Reservation):
                under_way[cost].append(outcome)
        elif event == "answer":
            report = UsageReport(now, {MINUTE_SECONDS: int(header)}, ok=True)
            budget.reconcile(under_way[cost].pop(), report, now=now)
        usage = budget.usage(window_key_of(WINDOW, WINDOW.start(now)))
        assert (usage.used, usage.pending) == (int(used), int(pending)), second
