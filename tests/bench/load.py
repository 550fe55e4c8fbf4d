"""The load: what is asked, and one run of wrk.

Owns: the kinds of work and wrk's command line. Must not know: who answers.
"""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from urllib.parse import quote

from tests.bench.processes import LOAD_CORE
from tests.bench.programs import INFO, SYMBOLS
from tests.simulator import generate_document

QUERIES = 2000
MANY_CONNECTIONS = 256
"""Of bots that all ask at once; the other work comes over 32."""
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of load."""

    name: str
    targets: tuple[str, ...]
    gzip: bool = False
    connections: int = 32
    filled_seconds: float = 0.0
    """How long it runs unmeasured before: until every target was asked."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What wrk saw. `refused`: answers of 400 and above; `broken`: no answer."""

    requests: int
    seconds: float
    p50_seconds: float
    p99_seconds: float
    refused: int
    broken: int


def works() -> tuple[Work, ...]:
    """All that is measured in rounds."""
    one = (f"{INFO}?symbol=BTCUSDT",)
    return (
        Work("one symbol, identity", one, filled_seconds=0.5),
        Work("one symbol, gzip", one, gzip=True, filled_seconds=0.5),
        Work(f"one symbol, {MANY_CONNECTIONS} connections", one, connections=MANY_CONNECTIONS, filled_seconds=0.5),
        Work("full document, identity", (INFO,), connections=4, filled_seconds=1.0),
        Work("full document, gzip", (INFO,), gzip=True, connections=8, filled_seconds=1.0),
        Work("ping, passed on", ("/api/v3/ping",), filled_seconds=0.5),
        Work(f"{QUERIES:,} different queries", queries(), filled_seconds=6.0),
    )


def queries() -> tuple[str, ...]:
    """Pairs of symbols, the same ones in each run, as a bot writes them."""
    symbols = generate_document(SYMBOLS).symbols
    names = [name for name, symbol in symbols.items() if symbol.is_listed and name.isascii()]
    pairs = random.Random(7).sample(list(combinations(names[:200], 2)), QUERIES)
    return tuple(f"{INFO}?symbols={quote(json.dumps(pair, separators=(',', ':')))}" for pair in pairs)


def storms() -> tuple[Work, ...]:
    """What is in no cache when the origin begins to refuse: one question, and many at once."""
    names = list(generate_document(SYMBOLS).symbols)[500:551]
    targets = tuple(f"/api/v3/executionRules?symbol={quote(name)}" for name in names)
    return Work("one question", targets[:1]), Work("50 questions", targets[1:])


def run(url: str, work: Work, seconds: float) -> Measured:
    """One run of wrk with one thread. RuntimeError when it does not end well."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(work.targets))
        listed.flush()
        header = "Accept-Encoding: gzip, deflate" if work.gzip else "-"
        return _measured(_command(url, work.connections, seconds, header, f"@{listed.name}"))


def run_raw(url: str, requests: Sequence[bytes], seconds: float, *, connections: int) -> Measured:
    """The same with whole requests, in rotation."""
    with tempfile.NamedTemporaryFile(suffix=".raw") as listed:
        for request in requests:
            listed.write(b"%d\n%b" % (len(request), request))
        listed.flush()
        return _measured(_command(url, connections, seconds, "raw", listed.name))


def _measured(command: Sequence[str]) -> Measured:
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in told.stdout.splitlines() if line.startswith("{")]
    if told.returncode or not lines:
        raise RuntimeError(f"wrk: {told.stdout}{told.stderr}")
    found = json.loads(lines[-1])
    return Measured(
        requests=found["requests"],
        seconds=found["duration"] / 1e6,
        p50_seconds=found["p50"] / 1e6,
        p99_seconds=found["p99"] / 1e6,
        refused=found["refused"],
        broken=found["broken"],
    )


def _command(url: str, connections: int, seconds: float, *words: str) -> Sequence[str]:
    whole = max(1, round(seconds))
    flags = ("-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "20s", "-s", str(SCRIPT), url)
    return ("taskset", "--cpu-list", str(LOAD_CORE), "wrk", *flags, "--", *words)
