"""What is told of forwarded requests."""

from __future__ import annotations

from tests.bench.forwarded import DIRECT, NGINX, NGINX_TLS, Line
from tests.bench.forwarded_report import markdown


def line(program: str, milliseconds: float, *, group: str = "TCP", cpu_seconds: float = 0.01) -> Line:
    return Line(program, "time", group, [milliseconds / 1e3] * 100, cpu_seconds, 0.0001)


def test_a_program_is_compared_with_nginx_by_the_same_way_in_the_same_round() -> None:
    lines: list[Line] = []
    for slow in (1.0, 3.0, 1.5):
        lines += [line(DIRECT, 0.1 * slow), line(NGINX, 0.2 * slow), line("ours", 0.3 * slow, cpu_seconds=0.03)]
        lines += [line(DIRECT, 0.1, group="TLS"), line(NGINX_TLS, 0.4, group="TLS", cpu_seconds=0.02)]
        lines += [line("ours, TLS", 0.4, group="TLS", cpu_seconds=0.03)]
        lines += [line(DIRECT, 0.2, group="earlier"), line(NGINX, 0.4, group="earlier")]
        lines += [line("earlier", 1.2, group="earlier")]
    text = markdown(lines)
    assert "| time | nginx | 0.150 (1.00) | 0.300 (1.00) | 100.0 (1.00) | 100.0 (1.00) | 10,000 |" in text
    assert "| time | ours | 0.300 (2.00) | 0.450 (1.50) | 300.0 (3.00) | 100.0 (1.00) | 10,000 |" in text
    assert "| time | ours, TLS | 0.300 (1.00) | 0.400 (1.00) | 300.0 (1.50) | 100.0 (1.00) | 10,000 |" in text
    assert "| time | earlier | 1.000 (5.00) | 1.200 (3.00) | 100.0 (1.00) | 100.0 (1.00) | 10,000 |" in text
    assert text.count("| time | nginx |") == 1
    assert f"| time | {DIRECT} |" not in text


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    lines = [
        line(program, at * slow) for slow in (1.0, 9.0) for program, at in ((DIRECT, 0.1), (NGINX, 0.2), ("x", 0.4))
    ]
    assert "| time | x | 1.500 (3.00) |" in markdown(lines)
