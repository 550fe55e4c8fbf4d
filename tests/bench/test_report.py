"""What the bench tells of its figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import programs, report
from tests.bench.__main__ import RESULTS
from tests.bench.load import QUERIES, queries
from tests.bench.programs import EARLIER, Missing
from tests.bench.report import OURS, Footprint, Idle, Row, Storm, Table


def row(program: str, requests: int, *, cpu_seconds: float = 1.0) -> Row:
    return Row(
        program=program,
        work="one symbol",
        round=1,
        requests=requests,
        seconds=2.0,
        cpu_seconds=cpu_seconds,
        p50_seconds=0.001,
        p99_seconds=0.005,
        rss_bytes=100_000_000,
        origin_requests=3,
        weight=20,
    )


@pytest.fixture
def table() -> Table:
    return Table(
        machine="2 cores",
        versions={OURS: "Python 3", "nginx": "1.0"},
        rows=[
            *(replace(row(OURS, count), round=number) for number, count in enumerate((90_000, 100_000, 500_000))),
            *(replace(row("nginx", count), round=number) for number, count in enumerate((45_000, 50_000, 200_000))),
        ],
        idle=[Idle(OURS, 10_000, 8000.0, 0.001, 0.0015)],
        storms=[Storm(OURS, "one question", 6.0, 2, 900, 1, 3)],
    )


def test_the_table_tells_medians_and_ratios(table: Table) -> None:
    text = report.markdown(table)
    assert (
        "| one symbol | binance-sidecar | 50,000 | 1.00 | 100,000 | 1.00 | 1.00 | 5.00 | 10.0 | 100 | 3 | 20 |" in text
    )
    assert "| one symbol | nginx | 25,000 | 2.00 | 50,000 | 2.00 |" in text
    assert "| one question | binance-sidecar | 1 | 900 | 3 | 1.0 |" in text
    assert "| binance-sidecar | 10,000 | 8.0 | 1.00 | 1.50 |" in text


def test_an_earlier_commit_is_not_saved(table: Table) -> None:
    with_earlier = replace(
        table,
        versions=table.versions | {EARLIER: "abc1234"},
        rows=[*table.rows, row(EARLIER, 100)],
        idle=[*table.idle, replace(table.idle[0], program=EARLIER)],
        storms=[*table.storms, replace(table.storms[0], program=EARLIER)],
    )
    assert with_earlier.without(EARLIER) == table


def test_an_earlier_commit_is_compared_round_by_round(table: Table) -> None:
    rows = [replace(row(OURS, count), round=number) for number, count in enumerate((90, 200, 150))]
    rows += [replace(row(EARLIER, 100), round=number) for number in range(3)]
    text = report.markdown(replace(table, rows=rows, versions=table.versions | {EARLIER: "abc1234"}))
    assert "divided by the figures of abc1234, round by round" in text
    assert "| one symbol | 1.500 | 0.900 | 2.000 | 1.500 | 0.900 | 2.000 |" in text
    assert "round by round" not in report.markdown(table)


def test_what_is_saved_is_the_same_each_time_and_names_no_place(table: Table, tmp_path: Path) -> None:
    report.save(table, tmp_path / "a")
    report.save(table, tmp_path / "b")
    for name in ("latest.md", "latest.json", "chart.svg"):
        text = (tmp_path / "a" / name).read_text()
        assert text == (tmp_path / "b" / name).read_text()
        assert str(tmp_path) not in text
    assert "50,000" in (tmp_path / "a" / "chart.svg").read_text()


def test_the_readme_tells_the_ratios_of_the_last_run() -> None:
    saved = json.loads((RESULTS / "latest.json").read_text())
    rows = [Row(**row) for row in saved["rows"]]
    last = Table(machine=saved["machine"], versions=saved["versions"], rows=rows, idle=[], storms=[])
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert last.works()
    for line in report.ratios(last):
        assert line in readme


def test_a_peer_that_is_not_there_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda _: None)
    peers = (programs.nginx(from_memory=True), programs.varnish(), programs.haproxy(buffer_bytes=16384))
    assert all(isinstance(peer, Missing) for peer in peers)
    assert str(peers[0]) == "nginx was not found and is left out: apt-get install nginx-light"


def test_the_queries_of_the_mix_are_all_different_and_always_the_same() -> None:
    assert len(set(queries())) == QUERIES
    assert queries() == queries()


def test_a_peer_with_several_settings_has_the_best_of_them_in_each_row(table: Table) -> None:
    rows = [row(OURS, 100_000), row("nginx (disk)", 50_000), row("nginx (memory)", 80_000), row("Varnish", 60_000)]
    rows += [replace(one, work="other") for one in (row(OURS, 9), row("nginx (disk)", 8), row("nginx (memory)", 7))]
    rows += [replace(row("Varnish", 6), work="other")]
    chosen = replace(table, rows=rows)
    assert chosen.best("one symbol") == [OURS, "nginx (memory)", "Varnish"]
    assert chosen.best("other") == [OURS, "nginx (disk)", "Varnish"]
    text = report.markdown(chosen)
    assert "| one symbol | nginx (memory) | 40,000 | 1.25 |" in text
    assert "| one symbol | nginx (disk)" not in text


def test_memory_and_start_have_a_table(table: Table) -> None:
    measured = Footprint(
        program=OURS,
        idle_bytes=54_000_000,
        steady_bytes=75_000_000,
        asked_bytes=85_000_000,
        peak_bytes=97_000_000,
        livez_seconds=0.45,
        libraries_seconds=0.4,
        hit_seconds=0.09,
    )
    text = report.markdown(replace(table, footprints=[measured]))
    assert "| binance-sidecar | 54.0 | 75.0 | 85.0 | 97.0 | 450 | 400 | 90 |" in text
