"""Clients that are slow or too many, in small numbers; `python -m tests.chaos.slow` and `few` have the large ones."""

from __future__ import annotations

import sys

import pytest

from tests.chaos.few import Few, few
from tests.chaos.slow import Plan, Slow, slow
from tests.sizes import sized

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

HEADS = sized(quick=50, usual=50, long=2000)
READERS = sized(quick=10, usual=10, long=500)


async def test_slow_clients_are_closed_and_hurt_nobody() -> None:
    plan = Plan(HEADS, READERS, head_seconds=1.0, measured_seconds=0.5, waits_for_readers=False, symbols=20)
    outcome = await slow(plan)
    print(outcome)
    assert [fault for fault in outcome.faults() if not fault.startswith("p99")] == []


async def test_probes_and_new_clients_are_served_at_the_descriptor_limit() -> None:
    outcome = await few(limit=96, connections=200, clients=5)
    print(outcome)
    assert outcome.faults() == []


def test_an_ordeal_can_be_lost() -> None:
    lost = Slow(Plan(), 0.001, 0.0031, failed=1, peak_bytes=260_000_000, heads_left=2, readers_left=3)
    assert len(lost.faults()) == 5
    assert len(Few(96, 200, probes=[200, 0], served=[503]).faults()) == 3
