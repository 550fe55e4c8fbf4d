"""What is told of forwarded requests: a table of each kind of request and each program.

Owns: the figures that are told, and what they are compared with. Must not know: how they were measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

from tests.bench.forwarded import (
    BUSY_CONNECTIONS,
    DIRECT,
    NGINX,
    NGINX_TLS,
    PER_SECOND,
    SETTLING_SECONDS,
    Line,
    measure,
)
from tests.bench.forwarded_programs import WEIGHT_LIMIT
from tests.bench.interpreter import Installed
from tests.bench.programs import Missing, find


def table(installed: Sequence[Installed], *, rounds: int) -> str:
    """Measure and tell; without nginx, what is missing."""
    nginx = find("nginx")
    if nginx is None:
        return f"{Missing('nginx', 'nginx-light')}: no forwarded requests were measured"
    return markdown(measure(nginx, installed, rounds=rounds))


def markdown(lines: Sequence[Line], per_second: int = PER_SECOND) -> str:
    """Medians of the rounds; nginx by the same way to the origin, in the same round, is 1.00."""
    told = [
        "# Forwarded requests",
        "",
        f"{per_second} requests/s to each program, in turn with nginx and the gateways by the same way (TCP or TLS),",
        "and the origin itself; an earlier commit has a turn of its own. The origin announces a limit of",
        f"{WEIGHT_LIMIT:,} weight a minute, which this load does not reach. Candles are kept for no time: each request",
        "goes through.",
        f"Measured from {SETTLING_SECONDS:.0f} s after the start on, when leases are granted.",
        f"`busy` and requests/s a core: {BUSY_CONNECTIONS} connections without a pause, one program at a time.",
        "`added`: to the median of the origin itself. In brackets: times nginx by the same way (TCP or TLS) in the "
        "same round.",
        "",
        "| request | program | added p50 ms | p99 ms | CPU µs | busy, CPU µs | requests/s a core |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    told_of = set()
    for work, group in dict.fromkeys((line.work, line.group) for line in lines):
        rounds = _rounds([line for line in lines if (line.work, line.group) == (work, group)])
        for name in rounds[0]:
            if name != DIRECT and (work, name) not in told_of:
                told_of.add((work, name))
                told.append(_row(work, name, rounds))
    return "\n".join(told) + "\n"


def _rounds(lines: Sequence[Line]) -> list[dict[str, Line]]:
    """The lines of one kind of request and one group by program, round by round."""
    count = max(Counter(line.program for line in lines).values())
    size = len(lines) // count
    return [{line.program: line for line in lines[at : at + size]} for at in range(0, len(lines), size)]


def _row(work: str, name: str, rounds: Sequence[dict[str, Line]]) -> str:
    peer = NGINX_TLS if name.endswith("TLS") else NGINX

    def cell(of: Callable[[dict[str, Line], str], float], form: str, unit: float) -> str:
        own = median(of(lines, name) for lines in rounds)
        times = median(of(lines, name) / of(lines, peer) for lines in rounds)
        return f"{own * unit:{form}} ({times:.2f})"

    cells = (
        cell(lambda lines, program: lines[program].p50 - lines[DIRECT].p50, ".3f", 1e3),
        cell(lambda lines, program: lines[program].p99, ".3f", 1e3),
        cell(lambda lines, program: lines[program].cpu, ".1f", 1e6),
        cell(lambda lines, program: lines[program].busy, ".1f", 1e6),
    )
    busy = median(lines[name].busy for lines in rounds)
    return f"| {work} | {name} | {' | '.join(cells)} | {1 / busy:,.0f} |"
