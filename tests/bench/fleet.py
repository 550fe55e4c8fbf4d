"""The command behind `make bench-fleet`: fleets of 1 to 1,000 replicas in virtual time, and how their cost grows.

Owns: the loads, the sizes, the figures and the table. Must not know: what a replica does (`replica`), how time passes
(`virtual`). The same seed gives the same figures.

Each replica has clients without end that hit its document: they cost nothing and are not simulated. What costs is the
refreshing of the document, and calls that no cache can answer: of weight 1 (`time`) and 20 (an unknown symbol).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from proxy.core.cache.freshness import Freshness
from proxy.core.quota.charges import budget_of
from tests.bench import lease_costs, leases
from tests.bench.replica import RATIOS, Fleet, Replica
from tests.bench.virtual import LIMIT, MINUTE_SECONDS, Origin, Redis, World

HEADS = (
    *("replicas", "weight", "of refresh", "peak", "over-spend", "429s in all", "asked", "refused"),
    *("Redis op/s", "fill waits", "p99 wait s", "fresh"),
)
WIDTH = max(len(head) for head in HEADS)
LEASED_HEADS = (
    *("fault", "way", "replicas", "demand", "over-spend", "unused", "worst"),
    *("op/request", "op/rep/min", "beats/s", "waited"),
)
LEASED_WIDTH = 13
LEASED_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "crashes": {"crashes": 0.5},
    "flushes": {"flush_every": 40.0},
    "fail-overs": {"roll_back_every": 40.0},
    "frozen master": {"freeze_every": 40.0},
    "lost pushes": {"deaf": 0.1},
    "swings": {"swings": True, "crashes": 0.2, "deaf": 0.05},
    "all of them": {
        "crashes": 0.2,
        "flush_every": 80.0,
        "roll_back_every": 90.0,
        "freeze_every": 100.0,
        "deaf": 0.05,
    },
    "no Redis": {"redis": False},
}
SIZES = (1, 10, 100, 1000)
TIME_PER_MINUTE = 4.0
UNKNOWN_PER_MINUTE = 0.1
START_SECONDS = 5.0
"""Within this all replicas start; it is no part of the figures, nor is the rest of that minute."""
BUDGET = budget_of(LIMIT, RATIOS.budget)


@dataclass(frozen=True, slots=True)
class Load:
    """What is played: so many minutes in all, of which Redis is away for some in the middle."""

    name: str
    minutes: int
    away_minutes: int = 0
    time_per_minute: float = TIME_PER_MINUTE
    unknown_per_minute: float = UNKNOWN_PER_MINUTE


LOADS = (
    Load("refreshing alone, Redis is there", 10, time_per_minute=0.0, unknown_per_minute=0.0),
    Load("with uncacheable calls, Redis is there", 10),
    Load("refreshing alone, Redis is away", 5, 5, time_per_minute=0.0, unknown_per_minute=0.0),
    Load("with uncacheable calls, Redis is away", 5, 5),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a fleet did, by minute where nothing else is said."""

    replicas: int
    weight: float
    refresh_weight: float
    peak_weight: int
    """Of the heaviest minute, as the origin counts them."""
    over_spend: int
    """Of the heaviest minute beyond the budget."""
    origin_429: int
    """In all."""
    asked: float
    refused: float
    redis_operations_a_second: float
    fill_waits: float
    fill_wait_p99_seconds: float
    fresh_ratio: float
    """Of the moments at which a client would have found a fresh document."""


def simulate(replicas: int, load: Load, *, seed: int) -> Figures:
    """Play one load with so many replicas."""
    world = World(seed)
    fleet = Fleet(world, Redis(world), Origin(world), replicas=replicas)
    for _ in range(replicas):
        _start(Replica(fleet), load, world)
    world.run(MINUTE_SECONDS)
    before = (fleet.origin.by_kind.copy(), fleet.asked.total(), fleet.refusals.total(), fleet.origin.refused)
    fleet.redis.operations.clear()
    fleet.waits_seconds.clear()
    fleet.seen.clear()
    first = world.minute
    there_seconds = (load.minutes - load.away_minutes) * MINUTE_SECONDS / 2
    world.run(there_seconds)
    fleet.redis.away = load.away_minutes > 0
    world.run(load.away_minutes * MINUTE_SECONDS)
    fleet.redis.away = False
    world.run(there_seconds)
    by_kind = fleet.origin.by_kind - before[0]
    peak = max((fleet.origin.counted[minute] for minute in range(first, world.minute)), default=0)
    return Figures(
        replicas=replicas,
        weight=by_kind.total() / load.minutes,
        refresh_weight=by_kind["refresh"] / load.minutes,
        peak_weight=peak,
        over_spend=max(0, peak - BUDGET),
        origin_429=fleet.origin.refused - before[3],
        asked=(fleet.asked.total() - before[1]) / load.minutes,
        refused=(fleet.refusals.total() - before[2]) / load.minutes,
        redis_operations_a_second=fleet.redis.operations.total() / load.minutes / MINUTE_SECONDS,
        fill_waits=len(fleet.waits_seconds) / load.minutes,
        fill_wait_p99_seconds=_p99(fleet.waits_seconds),
        fresh_ratio=fleet.seen[Freshness.FRESH] / max(1, fleet.seen.total()),
    )


def _start(replica: Replica, load: Load, world: World) -> None:
    world.start(replica.live(), after_seconds=world.chance.uniform(0, START_SECONDS))
    if load.time_per_minute:
        world.start(replica.clients("time", 1, load.time_per_minute))
    if load.unknown_per_minute:
        world.start(replica.clients("unknown", 20, load.unknown_per_minute))


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else 0.0


def table(figures: Iterable[Figures]) -> Iterator[str]:
    """One row a size; below each figure by what it was multiplied since the size before."""
    names = [field.name for field in fields(Figures)]
    yield "  ".join(head.rjust(WIDTH) for head in HEADS)
    before: Figures | None = None
    for row in figures:
        cells = [_cell(getattr(row, name)) for name in names]
        if before is not None:
            growth = [_growth(getattr(before, name), getattr(row, name)) for name in names]
            yield "  ".join(cell.rjust(WIDTH) for cell in growth)
        yield "  ".join(cell.rjust(WIDTH) for cell in cells)
        before = row


def _cell(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if value < 10 else f"{value:,.1f}"


def _growth(before: float, after: float) -> str:
    return f"x{after / before:.2f}" if before and after else ""


def leased(sizes: Sequence[int], *, seed: int) -> Iterator[str]:
    """Leases beside the exact way with the same demand, then leases with everything that can go wrong."""
    yield "\nLeases beside the exact way. Heartbeats are calls of the whole fleet that had no other reason."
    yield "  ".join(head.rjust(LEASED_WIDTH) for head in LEASED_HEADS)
    for fault, faults in {"none": {}, **LEASED_FAULTS}.items():
        for replicas in sizes:
            for demand in (0.1, 0.4, 1.5, 3.0) if fault == "none" else (1.5,):
                for with_leases in (True, False) if demand > 1 and fault == "none" else (True,):
                    scenario = leases.Scenario(replicas=replicas, demand=demand, leases=with_leases, **faults)
                    yield _leased_row(fault, scenario, leases.play(scenario, seed=seed))


def _leased_row(fault: str, scenario: leases.Scenario, figures: leases.Figures) -> str:
    unused, steady = figures.unused, figures.steady()
    cells = (
        fault,
        "leases" if scenario.leases else "exact",
        f"{scenario.replicas:,}",
        f"{scenario.demand:.0%}",
        f"{max(0, figures.over_spend)}",
        f"{sum(unused) / len(unused):.2%}" if unused else "-",
        f"{max(unused):.2%}" if unused else "-",
        f"{steady.calls_a_request:.2f}",
        f"{steady.calls_a_replica_and_minute(scenario.replicas):.1f}",
        f"{steady.beats_a_second:.1f}",
        f"{steady.waiting:.0%}",
    )
    return "  ".join(cell.rjust(LEASED_WIDTH) for cell in cells)


def main() -> None:
    """Play every load with every size."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description="Simulate fleets of replicas.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of replicas")
    flags = parser.parse_args()
    print(f"Budget {BUDGET} of {LIMIT} weight a minute; seed {flags.seed}. Per minute unless a name says otherwise.")
    for line in leased(flags.sizes, seed=flags.seed):
        print(line, flush=True)
    for line in lease_costs.table(seed=flags.seed):
        print(line, flush=True)
    for load in LOADS:
        print(f"\n{load.name} ({load.minutes} minutes)\n", flush=True)
        for line in table(simulate(size, load, seed=flags.seed) for size in flags.sizes):
            print(line, flush=True)


if __name__ == "__main__":
    main()
