"""One plain sentence for each change of state, told once; never one for a request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from proxy.core.document.changes import ChangedSymbols
from proxy.core.quota.block import Block, BlockReason
from proxy.telemetry.events import KEPT, Event, EventName, Journal, document_events, redis_changed
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.watch import DocumentObserver, State, differences
from tests.events import capture_logs
from tests.gateway.harness import INFO, NOON, Stage, stage
from tests.pages.markdown import ROOT, rows, section, words
from tests.simulator import Fault

BAN = Block(BlockReason.BAN, NOON + 120)
LIMITS = {"REQUEST_WEIGHT:1m": 6000}
HIGHER = {"REQUEST_WEIGHT:1m": 12_000}


def blocks(**pools: Block) -> State:
    return State(blocks=pools)


def limits(**pools: Mapping[str, int]) -> State:
    return State(limits=pools)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (State(), State(), []),
        (
            State(),
            blocks(spot=BAN),
            ["Binance banned this IP (418) in pool spot; nothing is sent there until 2027-01-15 12:02:05 UTC."],
        ),
        (
            State(),
            blocks(futures=Block(BlockReason.BACK_OFF, NOON + 55)),
            ["Binance answered 429 in pool futures; nothing is sent there until 2027-01-15 12:01:00 UTC."],
        ),
        (
            State(),
            blocks(spot=Block(BlockReason.PAUSE, NOON + 60)),
            [
                "Binance's firewall refused this IP (403) in pool spot; nothing is sent there until "
                "2027-01-15 12:01:05 UTC."
            ],
        ),
        (blocks(spot=BAN), blocks(spot=Block(BlockReason.BAN, BAN.until + 1.5)), []),
        (
            blocks(spot=BAN),
            blocks(spot=Block(BlockReason.BAN, BAN.until + 600)),
            ["Binance banned this IP (418) in pool spot; nothing is sent there until 2027-01-15 12:12:05 UTC."],
        ),
        (blocks(spot=BAN), State(), ["The ban in pool spot is over; requests are sent again."]),
        (limits(), limits(spot=LIMITS), []),
        (
            limits(spot=LIMITS),
            limits(spot=HIGHER),
            ["The limits of pool spot are now REQUEST_WEIGHT 1m 12,000; they were REQUEST_WEIGHT 1m 6,000."],
        ),
        (
            State(),
            State(cache_shared=False, quota_shared=False),
            ["Redis is away; this replica caches alone, and counts alone with a part of the budget."],
        ),
        (
            State(cache_shared=False, quota_shared=False),
            State(cache_shared=False),
            ["Redis takes no entries; this replica caches alone."],
        ),
        (
            State(cache_shared=False),
            State(quota_shared=False),
            ["Redis takes no reservations; this replica counts alone with a part of the budget."],
        ),
        (State(quota_shared=False), State(), ["Redis shares cache and quota among all replicas again."]),
        (State(), State(lost_apis=frozenset({"spot"})), ["No host of Binance's spot API answers."]),
        (State(lost_apis=frozenset({"spot"})), State(), ["Binance's spot API answers again."]),
    ],
)
def test_each_difference_is_one_sentence(before: State, after: State, told: list[str]) -> None:
    assert [event.text for event in differences(before, after)] == told


def test_a_document_tells_what_it_changed() -> None:
    many = tuple(f"S{number}" for number in range(12))
    events = list(document_events(ChangedSymbols(("NEWUSDT",), many, ("A", "B")), api="spot"))
    assert [event.text for event in events] == [
        "Binance listed 1 symbol on spot: NEWUSDT.",
        "Binance removed 12 symbols from spot: S0, S1, S2, S3, S4, S5, S6, S7, S8, S9 and 2 more.",
        "The status of 2 symbols on spot changed: A, B.",
    ]
    assert list(document_events(ChangedSymbols((), (), ()), api="spot")) == []


def test_a_name_of_a_symbol_is_no_longer_than_a_name() -> None:
    (event,) = document_events(ChangedSymbols(("X" * 10_000,), (), ()), api="spot")
    assert len(event.text) < 100


def test_the_journal_is_bounded_and_symbols_push_out_no_ban() -> None:
    journal = Journal(lambda: NOON)
    observer = DocumentObserver(Metrics(), journal, "spot")
    with capture_logs() as lines:
        journal.tell(next(iter(differences(State(), blocks(spot=BAN)))))
        for number in range(2 * KEPT):
            observer.adopted(ChangedSymbols((f"S{number}",), (), ()))
        observer.adopted(None)
    assert [event["event"] for event in journal.events()] == ["banned"]
    assert len(journal.changes()) == KEPT
    assert journal.changes()[0] == {"at": NOON, "event": "listed", "text": "Binance listed 1 symbol on spot: S99."}
    assert len(lines) == 1 + 2 * KEPT
    assert lines[0] == {
        "event": "banned",
        "exc_info": False,
        "log_level": "warning",
        "pool": "spot",
        "text": journal.events()[0]["text"],
        "until": BAN.until,
    }


def test_a_good_end_is_no_warning() -> None:
    journal = Journal(lambda: NOON)
    with capture_logs() as lines:
        for event in (redis_changed(cache=True, quota=True), Event(EventName.LIFTED, "Over.")):
            journal.tell(event)
    assert [line["log_level"] for line in lines] == ["info", "info"]


async def events(on: Stage) -> dict[str, str]:
    """Each event of the status page and its sentence."""
    return {event["event"]: event["text"] for event in (await on.ask("/status")).json["events"]}


async def test_a_ban_is_told_once_however_many_are_refused() -> None:
    with capture_logs() as lines:
        async with stage() as on:
            await on.ask()
            on.origin.set_fault(Fault.TEAPOT_418, retry_after=30)
            for _ in range(20):
                await on.ask("/api/v3/time")
            async with asyncio.timeout(10):
                while "banned" not in (told := await events(on)):  # noqa: ASYNC110 - it is told nowhere else
                    await asyncio.sleep(0.02)
    assert told["banned"].startswith("Binance banned this IP (418) in pool spot; nothing is sent there until ")
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["banned"]


@pytest.mark.no_cover
async def test_a_request_writes_no_line() -> None:
    async with stage() as on:
        await on.ask()
        async with asyncio.timeout(10):
            while "limits_changed" not in await events(on):  # noqa: ASYNC110 - it is told nowhere else
                await asyncio.sleep(0.02)
        with capture_logs() as lines:
            for number in range(20):
                await on.ask(f"{INFO}?symbol=BTCUSDT&symbol={number}")
                await on.ask(f"/api/v3/depth?symbol=BTCUSDT&limit={number + 1}")
                await on.ask("/")
    assert [line["event"] for line in lines if line["log_level"] != "debug"] == []


def test_every_event_is_documented() -> None:
    table = rows(section((ROOT / "deploy" / "METRICS.md").read_text(), "Log events for people"))
    assert {name for row in table for name in words(row[0])} == {name.value for name in EventName}
