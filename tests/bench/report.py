"""The figures: medians of the rounds, as Markdown, as JSON, as a chart.

Owns: what is told of a table, and how. Must not know: how it was measured.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.bench.programs import EARLIER

OURS = "binance-sidecar"
PLAIN = "binance-sidecar, fast path off"
_NOTES = (
    "Medians of the rounds. Each program runs on one core, load and origin on another, one under load at a time.",
    "`seen`: our requests/s as wrk saw them divided by this program's in the same round; `a core`: the same for one "
    "core's work. A peer "
    "that was measured with several settings has those with the most requests/s in the row. `to origin`: meanwhile.",
    "In brackets behind a Python: its time for a fixed piece of work, divided by that of the fastest on this machine.",
)
_FIGURES = (
    *("requests/s", "seen", "requests/s a core", "a core", "p50 ms", "p99 ms"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Memory in bytes, times in seconds from the start of the process on; medians."""

    program: str
    idle_bytes: int
    """With a Redis, without a document."""
    steady_bytes: int
    """Between refreshes every few seconds."""
    asked_bytes: int
    """With the document, after every symbol was asked for as gzip."""
    peak_bytes: int
    """The most there was during the refreshes."""
    livez_seconds: float
    """To the first 200 of /livez."""
    libraries_seconds: float
    """What importing the five libraries takes that it is made of."""
    hit_seconds: float
    """From there to the first hit, out of a warm Redis."""


@dataclass(frozen=True, slots=True)
class Table:
    """One run of the bench. A peer with settings in parentheses is measured with several."""

    machine: str
    versions: dict[str, str]
    rows: list[Row]
    idle: list[Idle]
    storms: list[Storm]
    footprints: list[Footprint] = field(default_factory=list)

    def programs(self) -> list[str]:
        return list(dict.fromkeys(row.program for row in self.rows))

    def without(self, program: str) -> Table:
        """The same, without one program."""
        return replace(
            self,
            versions={name: version for name, version in self.versions.items() if name != program},
            rows=[row for row in self.rows if row.program != program],
            idle=[idle for idle in self.idle if idle.program != program],
            storms=[storm for storm in self.storms if storm.program != program],
            footprints=[footprint for footprint in self.footprints if footprint.program != program],
        )

    def best(self, work: str) -> list[str]:
        """Each program once, with the settings that suit it best under this load."""
        chosen: dict[str, str] = {}
        for program in self.programs():
            name = program.partition(" (")[0]
            rival = chosen.setdefault(name, program)
            if self.median(program, work, _seen) > self.median(rival, work, _seen):
                chosen[name] = program
        return list(chosen.values())

    def works(self) -> list[str]:
        return list(dict.fromkeys(row.work for row in self.rows))

    def median(self, program: str, work: str, of: Callable[[Row], float]) -> float:
        """Of all rounds."""
        return median(of(row) for row in self.rows if row.program == program and row.work == work)

    def ratio(self, work: str, peer: str, of: Callable[[Row], float]) -> float:
        """How many times the peer's figure ours is: the median of the rounds, in which both meet the same machine."""
        return median(self.round_ratios(work, peer, of))

    def round_ratios(self, work: str, peer: str, of: Callable[[Row], float]) -> list[float]:
        """The same of each round, the least first."""
        cells = {(row.program, row.round): of(row) for row in self.rows if row.work == work}
        rounds = [number for program, number in cells if program == peer]
        return sorted(cells[OURS, number] / cells[peer, number] for number in rounds)


def _seen(row: Row) -> float:
    return row.per_second


def _each(row: Row) -> float:
    return row.per_cpu_second


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
    lines += [_line(table, work, program) for work in table.works() for program in table.best(work)]
    if EARLIER in table.programs():
        lines += ["", f"Ours divided by the figures of {table.versions[EARLIER]}, round by round:", ""]
        lines += ["| work | a core, median | least | most | seen, median | least | most |", "|---|" + "---:|" * 6]
        lines += [_spread(table, work) for work in table.works()]
    lines += ["", "Memory (MB) and start (ms):", ""]
    lines += [
        "| program | idle | steady refreshes | every symbol asked | peak | /livez | five libraries | first hit after |"
    ]
    lines += ["|---|" + "---:|" * 7]
    lines += [_footprint(footprint) for footprint in table.footprints]
    lines += ["", "While the origin refuses (429) what nobody has stored:", ""]
    lines += ["| work | program | reached the origin at first | asked after that | reached it | for each Retry-After |"]
    lines += ["|---|---|---:|---:|---:|---:|"]
    lines += [_storm(storm) for storm in table.storms]
    lines += ["", "Idle keep-alive connections:", ""]
    lines += ["| program | connections | KB each | p99 of hits without, ms | with, ms |", "|---|---:|---:|---:|---:|"]
    lines += [_idle(idle) for idle in table.idle]
    return "\n".join(lines) + "\n"


def ratios(table: Table) -> list[str]:
    """The rows of the README: for each peer our requests/s as seen, divided by its own, and those a core."""
    lines = []
    for work in table.works():
        peers = [program for program in table.best(work) if not program.startswith(OURS) and program != EARLIER]
        cells = [f"{table.ratio(work, peer, _seen):.2f} ({table.ratio(work, peer, _each):.2f})" for peer in peers]
        lines.append(f"| {work} | {' | '.join(cells)} |")
    return lines


def _line(table: Table, work: str, program: str) -> str:
    def of(value: Callable[[Row], float]) -> float:
        return table.median(program, work, value)

    figures = (
        f"{of(_seen):,.0f}",
        f"{table.ratio(work, program, _seen):.2f}",
        f"{of(_each):,.0f}",
        f"{table.ratio(work, program, _each):.2f}",
        f"{of(lambda row: row.p50_seconds) * 1e3:.2f}",
        f"{of(lambda row: row.p99_seconds) * 1e3:.2f}",
        f"{1e6 / of(_each):,.1f}",
        f"{of(lambda row: row.rss_bytes) / 1e6:,.0f}",
        f"{of(lambda row: row.origin_requests):,.0f}",
        f"{of(lambda row: row.weight):,.0f}",
    )
    return f"| {work} | {program} | " + " | ".join(figures) + " |"


def _spread(table: Table, work: str) -> str:
    cells = []
    for of in (_each, _seen):
        ratios = table.round_ratios(work, EARLIER, of)
        cells += [f"{value:.3f}" for value in (median(ratios), ratios[0], ratios[-1])]
    return f"| {work} | {' | '.join(cells)} |"


def _footprint(of: Footprint) -> str:
    memory = (of.idle_bytes, of.steady_bytes, of.asked_bytes, of.peak_bytes)
    times = (of.livez_seconds, of.libraries_seconds, of.hit_seconds)
    cells = [f"{value / 1e6:.1f}" for value in memory] + [f"{value * 1e3:.0f}" for value in times]
    return f"| {of.program} | {' | '.join(cells)} |"


def _storm(storm: Storm) -> str:
    windows = storm.seconds / storm.retry_after_seconds
    each = storm.origin_requests / windows
    counts = (storm.burst_requests, storm.requests, storm.origin_requests)
    return f"| {storm.work} | {storm.program} | {' | '.join(f'{count:,}' for count in counts)} | {each:,.1f} |"


def _idle(idle: Idle) -> str:
    alone, among = idle.p99_alone_seconds * 1e3, idle.p99_among_seconds * 1e3
    return f"| {idle.program} | {idle.connections:,} | {idle.bytes_each / 1e3:.1f} | {alone:.2f} | {among:.2f} |"


def save(table: Table, folder: Path, *, beside: str = "") -> None:
    """Markdown, JSON and the chart, in place of the last ones. `beside`: goes behind the tables."""
    folder.mkdir(exist_ok=True)
    (folder / "latest.md").write_text(f"{markdown(table)}\n{beside}" if beside else markdown(table))
    (folder / "latest.json").write_text(json.dumps(asdict(table), indent=1) + "\n")
    draw(table, folder / "chart.svg")


def draw(table: Table, path: Path) -> None:
    """One bar a program in one panel a work, then panels for memory and start."""
    import matplotlib as mpl  # noqa: PLC0415 - a heavy import that only a finished bench needs
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})
    panels = [*_speed_panels(table), *_footprint_panels(table)]
    figure = Figure(figsize=(9, 1.0 + 1.1 * len(panels)), layout="constrained")
    figure.suptitle(
        "Requests a second as wrk sees them (more is better); memory and start (less is better)", fontsize=11
    )
    for axes, (title, bars) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        _panel(axes, title, bars)
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _speed_panels(table: Table) -> list[tuple[str, dict[str, float]]]:
    return [(work, {name: table.median(name, work, _seen) for name in table.best(work)}) for work in table.works()]


def _footprint_panels(table: Table) -> list[tuple[str, dict[str, float]]]:
    """Ours, an earlier commit, and the bare libraries where they can be compared."""
    if not table.footprints:
        return []
    memory = {
        f"{of.program}, {state}": value / 1e6
        for of in table.footprints
        for state, value in (("idle", of.idle_bytes), ("refreshing", of.steady_bytes), ("all asked", of.asked_bytes))
    }
    start = {of.program: of.livez_seconds * 1e3 for of in table.footprints}
    bare = {"its five libraries, imported": table.footprints[0].libraries_seconds * 1e3}
    return [("resident memory, MB", memory), ("from the start to the first /livez, ms", start | bare)]


def _panel(axes: object, title: str, bars: Mapping[str, float]) -> None:
    from matplotlib.axes import Axes  # noqa: PLC0415

    assert isinstance(axes, Axes)
    names, values = list(bars)[::-1], list(bars.values())[::-1]
    colours = ["#d8c27a" if name == PLAIN else "#f0b90b" if name.startswith(OURS) else "#9aa5b1" for name in names]
    drawn = axes.barh(names, values, color=colours)
    axes.bar_label(drawn, labels=[f" {value:,.0f}" for value in values])
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
    axes.set_xlim(0, max(values) * 1.15)
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
