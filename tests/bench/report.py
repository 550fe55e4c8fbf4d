"""The figures: medians of the rounds, as Markdown, as JSON, as a chart.

Owns: what is told of a table, and how. Must not know: how it was measured.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.bench.programs import EARLIER

OURS = "binance-sidecar"
PLAIN = "binance-sidecar, fast path off"
_NOTES = (
    "Medians of the rounds. Each program runs on one core, load and origin on another, one under load at a time.",
    "`ratio`: our requests/s a core divided by this program's. `to origin`: requests while measured.",
)
_FIGURES = (
    *("requests/s a core", "ratio", "requests/s", "p50 ms", "p99 ms"),
    *("CPU µs", "RSS MB", "to origin", "weight"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One run of one program under one load."""

    program: str
    work: str
    round: int
    requests: int
    seconds: float
    cpu_seconds: float
    """Of the program, all its processes together."""
    p50_seconds: float
    p99_seconds: float
    rss_bytes: int
    origin_requests: int
    """While it was measured."""
    weight: int
    """What the origin counted, the filling before included."""

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Requests that one core does in a second."""
        return self.requests / max(self.cpu_seconds, 0.01)


@dataclass(frozen=True, slots=True)
class Storm:
    """A load that the origin refuses."""

    program: str
    work: str
    seconds: float
    retry_after_seconds: int
    requests: int
    burst_requests: int
    """To the origin, before anybody can obey: until its first refusal has come back, and a moment longer."""
    origin_requests: int
    """To the origin after that."""


@dataclass(frozen=True, slots=True)
class Idle:
    """What silent connections cost."""

    program: str
    connections: int
    bytes_each: float
    p99_alone_seconds: float
    p99_among_seconds: float


@dataclass(frozen=True, slots=True)
class Table:
    """One run of the bench."""

    machine: str
    versions: dict[str, str]
    rows: list[Row]
    idle: list[Idle]
    storms: list[Storm]

    def programs(self) -> list[str]:
        return list(dict.fromkeys(row.program for row in self.rows))

    def works(self) -> list[str]:
        return list(dict.fromkeys(row.work for row in self.rows))

    def median(self, program: str, work: str, of: Callable[[Row], float]) -> float:
        """Of all rounds."""
        return median(of(row) for row in self.rows if row.program == program and row.work == work)

    def ratio(self, work: str, peer: str) -> float:
        """How many times the peer's requests a core we do."""
        ours = self.median(OURS, work, lambda row: row.per_cpu_second)
        return ours / self.median(peer, work, lambda row: row.per_cpu_second)

    def round_ratios(self, work: str, peer: str) -> list[float]:
        """The same of each round, the least first."""
        cells = {(row.program, row.round): row.per_cpu_second for row in self.rows if row.work == work}
        rounds = [number for program, number in cells if program == peer]
        return sorted(cells[OURS, number] / cells[peer, number] for number in rounds)


def machine() -> str:
    """Cores, processor and kernel."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release().partition('-')[0]}"


def versions(programs: Mapping[str, str]) -> dict[str, str]:
    """Of the programs, and of what ours is made of."""
    ours = {name: version(name) for name in ("aiohttp", "uvloop")}
    told = subprocess.run(("wrk", "-v"), capture_output=True, text=True, check=False).stdout
    return {**programs, **ours, "wrk": told.split()[1].removeprefix("debian/")}


def markdown(table: Table) -> str:
    """The whole table."""
    known = ", ".join(f"{name} {what}" for name, what in table.versions.items() if name != PLAIN)
    columns = ("work", "program", *_FIGURES)
    lines = ["# Benchmark", "", f"{table.machine}; {known}.", "", *_NOTES, ""]
    lines += [f"| {' | '.join(columns)} |", "|---|---|" + "---:|" * len(_FIGURES)]
    lines += [_line(table, work, program) for work in table.works() for program in table.programs()]
    if EARLIER in table.programs():
        lines += ["", f"Our requests/s a core divided by those of {table.versions[EARLIER]}, round by round:", ""]
        lines += [
            "| work | median | least | most |",
            "|---|---:|---:|---:|",
            *(_spread(table, w) for w in table.works()),
        ]
    lines += ["", "While the origin refuses (429) what nobody has stored:", ""]
    lines += ["| work | program | reached the origin at first | asked after that | reached it | for each Retry-After |"]
    lines += ["|---|---|---:|---:|---:|---:|"]
    lines += [_storm(storm) for storm in table.storms]
    lines += ["", "Idle keep-alive connections:", ""]
    lines += ["| program | connections | KB each | p99 of hits without, ms | with, ms |", "|---|---:|---:|---:|---:|"]
    lines += [_idle(idle) for idle in table.idle]
    return "\n".join(lines) + "\n"


def _line(table: Table, work: str, program: str) -> str:
    def of(value: Callable[[Row], float]) -> float:
        return table.median(program, work, value)

    figures = (
        f"{of(lambda row: row.per_cpu_second):,.0f}",
        f"{table.ratio(work, program):.2f}",
        f"{of(lambda row: row.per_second):,.0f}",
        f"{of(lambda row: row.p50_seconds) * 1e3:.2f}",
        f"{of(lambda row: row.p99_seconds) * 1e3:.2f}",
        f"{1e6 / of(lambda row: row.per_cpu_second):,.1f}",
        f"{of(lambda row: row.rss_bytes) / 1e6:,.0f}",
        f"{of(lambda row: row.origin_requests):,.0f}",
        f"{of(lambda row: row.weight):,.0f}",
    )
    return f"| {work} | {program} | " + " | ".join(figures) + " |"


def _spread(table: Table, work: str) -> str:
    ratios = table.round_ratios(work, EARLIER)
    return f"| {work} | {median(ratios):.3f} | {ratios[0]:.3f} | {ratios[-1]:.3f} |"


def _storm(storm: Storm) -> str:
    windows = storm.seconds / storm.retry_after_seconds
    each = storm.origin_requests / windows
    counts = (storm.burst_requests, storm.requests, storm.origin_requests)
    return f"| {storm.work} | {storm.program} | {' | '.join(f'{count:,}' for count in counts)} | {each:,.1f} |"


def _idle(idle: Idle) -> str:
    alone, among = idle.p99_alone_seconds * 1e3, idle.p99_among_seconds * 1e3
    return f"| {idle.program} | {idle.connections:,} | {idle.bytes_each / 1e3:.1f} | {alone:.2f} | {among:.2f} |"


def save(table: Table, folder: Path) -> None:
    """Markdown, JSON and the chart, in place of the last ones."""
    folder.mkdir(exist_ok=True)
    (folder / "latest.md").write_text(markdown(table))
    (folder / "latest.json").write_text(json.dumps(asdict(table), indent=1) + "\n")
    draw(table, folder / "chart.svg")


def draw(table: Table, path: Path) -> None:
    """One bar a program in one panel a work."""
    import matplotlib as mpl  # noqa: PLC0415 - a heavy import that only a finished bench needs
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})
    works = table.works()
    figure = Figure(figsize=(9, 1.0 + 1.1 * len(works)), layout="constrained")
    figure.suptitle("Requests a second on one core (more is better)", fontsize=11)
    for axes, work in zip(figure.subplots(len(works), 1, squeeze=False)[:, 0], works, strict=True):
        _panel(axes, table, work)
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _panel(axes: object, table: Table, work: str) -> None:
    from matplotlib.axes import Axes  # noqa: PLC0415

    assert isinstance(axes, Axes)
    names = table.programs()[::-1]
    values = [table.median(name, work, lambda row: row.per_cpu_second) for name in names]
    colours = ["#f0b90b" if name == OURS else "#d8c27a" if name == PLAIN else "#9aa5b1" for name in names]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, labels=[f" {value:,.0f}" for value in values])
    axes.set_title(work, loc="left", fontsize=9, fontweight="bold")
    axes.set_xlim(0, max(values) * 1.15)
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
