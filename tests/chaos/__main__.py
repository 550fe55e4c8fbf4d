"""`make chaos`: every trouble of Redis in full length, under a constant load of hits, and a table of what came of it.

Owns: the flags, the table, the exit status. Must not know: what a trouble is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from tests.chaos.ordeal import Outcome, Plan, undergo
from tests.chaos.troubles import Trouble
from tests.chaos.verdict import faults

HEAD = (
    f"{'trouble':<26}{'hits':>8}{'failed':>8}{'slowest':>10}{'weight':>8}{'normal':>8}{'extra':>7}"
    f"{'allowed':>9}{'said away':>11}{'errors':>8}{'back after':>12}{'shares':>8}"
)


def line(outcome: Outcome) -> str:
    """One row of the table."""
    plan, load = outcome.plan, outcome.load
    return (
        f"{plan.trouble.value:<26}{load.answered:>8,}{len(load.failed):>8}{load.slowest_seconds * 1000:>7.0f} ms"
        f"{outcome.weight:>8}{outcome.normal_weight:>8}{outcome.extra_weight:>7}{outcome.most_extra_weight:>9}"
        f"{outcome.seen_down:>8}/{plan.replicas}{outcome.errors:>9.0f}{outcome.recovered_seconds:>10.1f} s"
        f"{'again' if outcome.shares_again else 'NO':>8}"
    )


async def run(plans: Sequence[Plan], at_once: int) -> bool:
    """Undergo them all, printing each as it ends. Whether every promise was kept."""
    free = asyncio.Semaphore(at_once)
    good = True

    async def one(plan: Plan) -> None:
        nonlocal good
        async with free:
            outcome = await undergo(plan)
        print(line(outcome), flush=True)
        for fault in faults(outcome):
            good = False
            print(f"    BROKEN: {fault}", flush=True)

    async with asyncio.TaskGroup() as tasks:
        for plan in plans:
            tasks.create_task(one(plan))
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when a promise was broken."""
    parser = argparse.ArgumentParser("python -m tests.chaos", description="Gateways under load while Redis suffers.")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each trouble lasts; at least 3")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--hits", type=float, default=60.0, help="requests a second on each replica")
    parser.add_argument("--at-once", type=int, default=2, help="how many troubles at a time")
    parser.add_argument("--only", choices=[trouble.name for trouble in Trouble], action="append")
    flags = parser.parse_args(arguments)
    chosen = [trouble for trouble in Trouble if not flags.only or trouble.name in flags.only]
    plans = [
        Plan(trouble, replicas=flags.replicas, seconds=max(3.0, flags.seconds), hits_a_second=flags.hits)
        for trouble in chosen
    ]
    print(
        f"{flags.replicas} gateway processes, {flags.hits:.0f} requests a second on each; every trouble lasts "
        f"{flags.seconds:.0f} s. Weight is what the origin counted from its\nbeginning until Redis was back; "
        f"allowed on top of normal is one refresh a replica, or one in each lifetime where it takes several.\n\n{HEAD}"
    )
    return 0 if asyncio.run(run(plans, flags.at_once)) else 1


if __name__ == "__main__":
    sys.exit(main())
