"""What leases cost while a fleet spends less than half of the budget: calls of Redis, and requests that wait for one.

Owns: the sizes and shares that are played, the bounds, the table. Must not know: how a fleet is played
(`tests.bench.leases`).

Minutes in which half of the budget was charged are left out: there each client has a share, and each request is
reserved by itself. What is sent within a second of the edge of a minute is charged in both, so these are fewer than the
demand says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench import leases

SIZES = (1, 2, 3, 5, 10, 30, 100)
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4)
NEAR_HALF = 0.49
"""With this demand only some minutes stay under half of the budget, so more are played. Before each of them there may
be one that did not, in which each request of the first second may still count."""
MINUTES = 8
MINUTES_NEAR_HALF = 20
MOST_CALLS_A_REQUEST = 0.1
"""From `BUSY` requests a second and replica on."""
BUSY = 10.0
MOST_CALLS_A_MINUTE = 12.0
"""Of a replica with fewer requests."""
MOST_WAITING = 0.1
HEADS = ("replicas", "demand", "minutes", "req/s/rep", "op/request", "op/rep/min", "waited", "beats/s", "beyond")
WIDTH = 10


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a fleet of this size at this demand, a part of the budget."""

    replicas: int
    demand: float
    steady: leases.Steady
    over_spend: int

    @property
    def calls_a_minute(self) -> float:
        """Of one replica."""
        return self.steady.calls_a_replica_and_minute(self.replicas)

    @property
    def requests_a_second(self) -> float:
        """Of one replica."""
        return self.steady.requests_a_second(self.replicas)

    def beyond(self) -> str:
        """The bounds that are passed, in words; empty: none."""
        is_busy = self.requests_a_second >= BUSY
        bounds = {
            "op/request": is_busy and self.steady.calls_a_request > MOST_CALLS_A_REQUEST,
            "op/rep/min": not is_busy and self.calls_a_minute > MOST_CALLS_A_MINUTE,
            "waited": self.steady.waiting > MOST_WAITING,
            "over-spend": self.over_spend > 0,
        }
        return ", ".join(name for name, is_passed in bounds.items() if is_passed)


def cost_of(replicas: int, demand: float, *, seed: int, minutes: int = MINUTES) -> Cost:
    """Play so many minutes, and those in which the fleet starts."""
    figures = leases.play(leases.Scenario(replicas=replicas, demand=demand, minutes=minutes), seed=seed)
    return Cost(replicas, demand, figures.under_half(), figures.over_spend)


def table(*, seed: int, sizes: Sequence[int] = SIZES, shares: Sequence[float] = (*SHARES, NEAR_HALF)) -> Iterator[str]:
    """One row for each size and share."""
    yield (
        f"\nLeases under half of the budget. Bounds: {MOST_CALLS_A_REQUEST} operations a request from {BUSY:g} requests"
        f" a second and replica on, {MOST_CALLS_A_MINUTE:g} a replica and minute below; {MOST_WAITING:.0%} wait."
    )
    yield "  ".join(head.rjust(WIDTH) for head in HEADS)
    for replicas in sizes:
        for demand in shares:
            minutes = MINUTES if demand < NEAR_HALF else MINUTES_NEAR_HALF
            yield _row(cost_of(replicas, demand, seed=seed, minutes=minutes))


def _row(cost: Cost) -> str:
    steady = cost.steady
    cells = (
        f"{cost.replicas:,}",
        f"{cost.demand:.0%}",
        f"{steady.minutes}",
        f"{cost.requests_a_second:.2f}",
        f"{steady.calls_a_request:.3f}",
        f"{cost.calls_a_minute:.1f}",
        f"{steady.waiting:.1%}",
        f"{steady.beats_a_second:.1f}",
        cost.beyond() or "-",
    )
    return "  ".join(cell.rjust(WIDTH) for cell in cells)
