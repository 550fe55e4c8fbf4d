"""The comparison of market data: what is told, what differs, and that every program of the folder is run."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.clients import matrix
from tests.clients.environment import HERE
from tests.clients.matrix import (
    HEAVY,
    HEAVY_TRADING,
    PROGRAMS,
    QUICK,
    TRADING,
    Program,
    Ran,
    Told,
    Tried,
    Way,
    difference,
    problems,
    table,
)

HELPERS = {"__init__.py", "ccxt_calls.py", "freqtrade_strategy.py", "telling.cjs", "telling.py"} | {
    "trade_ccxt_calls.py"
}
NAMES = ("bot 1.0", "price")


def tried(straight: Told, *through: Told) -> Tried:
    ran = (Ran(Way.STRAIGHT, (straight,), 1.4, None), Ran(Way.GATEWAY, through, 2.6, None))
    return Tried(Program("bot.py"), ran)


def test_every_program_is_run() -> None:
    programs = {path.name for path in PROGRAMS.iterdir() if path.suffix in (".py", ".cjs")}
    assert {program.file for program in (*QUICK, *HEAVY, *TRADING, *HEAVY_TRADING)} == programs - HELPERS
    assert all(
        program.trades == program.file.startswith("trade_") for program in (*QUICK, *HEAVY, *TRADING, *HEAVY_TRADING)
    )


def test_equal_answers_are_no_problem() -> None:
    told = Told(*NAMES, answer={"b": [1, 2]})
    assert list(problems([tried(told, told)])) == []
    assert list(table([tried(told, told)])) == [
        "client   straight  gateway  equal  seconds",
        "bot 1.0  1 of 1    1 of 1   1      1 3",
    ]


@pytest.mark.parametrize(
    ("through", "line"),
    [
        (Told(*NAMES, answer={"b": [1, 3]}), "bot 1.0, price: gateway differs at /0/b/1: '2', '3'"),
        (Told(*NAMES, answer={}), "bot 1.0, price: gateway differs at /0: members ['b']"),
        (None, "bot 1.0, price: not told, gateway"),
    ],
)
def test_an_answer_that_differs_is_told(through: Told | None, line: str) -> None:
    found = tried(Told(*NAMES, answer={"b": [1, 2]}), *([through] if through else []))
    assert list(problems([found])) == [line]


def test_a_call_that_fails_is_told_also_where_it_fails_on_both_ways() -> None:
    failed = Told(*NAMES, error="NetworkError -1001")
    assert list(problems([tried(failed, failed)])) == [
        "bot 1.0, price, straight: NetworkError -1001",
        "bot 1.0, price, gateway: NetworkError -1001",
    ]


def test_the_unknown_symbol_must_fail_alike() -> None:
    failed = Told("bot 1.0", matrix.UNKNOWN, error="BadSymbol -1121")
    other = Told("bot 1.0", matrix.UNKNOWN, error="NotSupported -1020")
    passed = Told("bot 1.0", matrix.UNKNOWN, answer=[])
    assert list(problems([tried(failed, failed)])) == []
    assert list(problems([tried(failed, other)])) == [
        "bot 1.0, unknown symbol: gateway differs at /1: 'BadSymbol -1121', 'NotSupported -1020'"
    ]
    assert "bot 1.0, unknown symbol, straight: no error" in list(problems([tried(passed, passed)]))


def test_calls_that_must_be_refused_are_named_so() -> None:
    refused = Told("bot 1.0", "refused: no money", error="ClientError -2010")
    passed = Told("bot 1.0", "refused: no money", answer={})
    assert list(problems([tried(refused, refused)])) == []
    assert "bot 1.0, refused: no money, straight: no error" in list(problems([tried(passed, passed)]))


def test_a_program_that_ends_early_is_told() -> None:
    ran = Ran(Way.STRAIGHT, (), 1.0, "status 1, 0 calls: ImportError")
    assert list(problems([Tried(Program("bot.py"), (ran,))])) == ["bot.py, straight: status 1, 0 calls: ImportError"]


def test_where_answers_differ() -> None:
    assert difference([1, [2]], [1, [2, 3]]) == "at /1: '[2]', '[2, 3]'"
    assert difference("a", None) == "at /: 'a', 'None'"


def test_lines_of_the_clients_own_are_no_answers() -> None:
    assert Told.from_line('{"client": "a", "call": "b", "answer": 1}') == Told("a", "b", answer=1)
    for line in ("hello", "[]", "{}", json.dumps({"client": "a", "call": "b", "other": 1})):
        with pytest.raises(ValueError, match=r".*"):
            Told.from_line(line)


def test_the_ranges_are_the_same_in_both_languages() -> None:
    python, javascript = ((PROGRAMS / f"telling.{suffix}").read_text() for suffix in ("py", "cjs"))
    assert "START_MS = 1_760_000_400_000\n" in python
    assert "START_MS = 1760000400000;" in javascript
    assert f'"{matrix.UNKNOWN}"' in python
    assert f'"{matrix.UNKNOWN}"' in javascript


def test_the_npm_lock_has_hashes_and_names_no_registry() -> None:
    lock = json.loads((HERE / "npm" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all("integrity" in package and "resolved" not in package for package in packages.values())
    wanted = json.loads((HERE / "npm" / "package.json").read_text())["dependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_a_program_is_started_with_the_base_url_alone(tmp_path: Path) -> None:
    python, url = tmp_path / "python", "http://127.0.0.1:1"
    assert Program("ccxt.cjs").words(python, url) == ("node", str(PROGRAMS / "ccxt.cjs"), url)
    assert Program("ccxt_sync.py").words(python, url) == (str(python), "-m", "tests.clients.programs.ccxt_sync", url)


@pytest.mark.slow
async def test_a_program_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    words = ("sh", "-c", f"sleep 600 & echo $! > {pid}; wait")
    status, _, complaint = await matrix._communicate(words, dict(os.environ), 0.5)
    assert (status, complaint) == (None, "no end after 0 s")
    async with asyncio.timeout(10):
        while is_running(int(pid.read_text())):  # noqa: ASYNC110 -- nothing tells of its end
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """A process that has ended and that nobody has waited for does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in ("Z", "X")
    except FileNotFoundError:
        return False
