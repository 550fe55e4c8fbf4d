"""`top` on a terminal of 80 columns and 24 lines: what it shows, and how it ends."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

import pytest
from rich.console import Console

from proxy.commands import top
from proxy.commands.running import NoAnswer, status_of
from proxy.commands.screen import screen
from proxy.commands.terminal import show
from proxy.settings import Settings
from tests.gateway.harness import INFO, market, stage
from tests.simulator import Fault

EVIL = "bot\x1b]0;owned\x07\x9b31m"


def terminal() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80, height=24, force_terminal=True), out


def shown(status: dict[str, Any], height: int = 24) -> list[str]:
    """The lines of a screen, without colours."""
    console = Console(file=io.StringIO(), width=80, height=height, color_system=None)
    with console.capture() as capture:
        console.print(screen(status, height=height))
    return capture.get().splitlines()


async def test_it_fits_and_the_figures_are_whole() -> None:
    async with market() as on:
        for number in range(12):
            await on.ask(f"/api/v3/depth?symbol=BTCUSDT&limit=5000&n={number}", X_Sidecar_Client=f"bot-{number}")
        await on.ask()
        await on.ask("/fapi/v1/exchangeInfo")
        on.origin.set_fault(Fault.TEAPOT_418, retry_after=7200)
        await on.ask("/api/v3/time")
        status = (await on.ask("/status")).json
    for height in (24, 40, 10):
        lines = shown(status, height)
        assert all(len(line) <= 80 for line in lines)
        assert len(lines) <= max(24, height)
    text = "\n".join(shown(status))
    assert " Banned, ends in 2 h 0 min" in text
    for figure in ("REQUEST_WEIGHT 1m", "3,021", "5,400", "6,000", "270,000", "300,000", "4 min 54 s", "depth"):
        assert figure in text
    assert text.index("spot") < text.index("futures")


async def test_nothing_that_a_client_writes_reaches_the_terminal() -> None:
    async with stage() as on:
        await on.ask(INFO)
        status = (await on.ask("/status")).json
    status["clients"] = [{"client": EVIL, "weight_spent": 1}]
    status["summary"]["text"] = EVIL
    text = "\n".join(shown(status))
    assert "bot" in text
    assert not set("\x1b\x07\x9b") & set(text)


async def test_ctrl_c_ends_it_and_gives_the_terminal_back() -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    console, out = terminal()
    async with stage() as on:
        assert await asyncio.to_thread(show, on.app.ops_url, console=console, sleep=sleep) == 0
    text = out.getvalue()
    assert pauses == [1.0, 1.0, 1.0]
    assert text.count("Just started") == 3
    assert text.index("\x1b[?1049h") < text.index("Just started") < text.index("\x1b[?1049l")
    assert text.index("\x1b[?25l") < text.rindex("\x1b[?25h")


def test_it_waits_for_a_gateway_that_does_not_answer() -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    console, out = terminal()
    assert show("http://127.0.0.1:1", console=console, sleep=stop) == 0
    assert "No answer" in out.getvalue()


async def test_without_a_terminal_it_prints_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    async with stage() as on:
        port = int(on.app.url.rpartition(":")[2])
        assert await asyncio.to_thread(top.top, Settings(port=port), None) == 0
    assert "Just started" in capsys.readouterr().out
    for url in ("http://127.0.0.1:1", "127.0.0.1:1"):
        assert top.top(Settings(), url) == 1
        assert capsys.readouterr().err == "binance-sidecar: http://127.0.0.1:1/status: Connection refused\n"
    assert top.top(Settings(port=1), None) == 1
    assert capsys.readouterr().err.endswith("refused; SIDECAR_OPS_PORT, else SIDECAR_PORT, says where it is asked\n")


def test_without_rich_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "proxy.commands.terminal", raising=False)
    monkeypatch.delitem(sys.modules, "proxy.commands.screen", raising=False)
    assert top.top(Settings(), None) == 1
    assert capsys.readouterr().err == f"binance-sidecar: {top.MISSING}\n"


async def test_what_is_no_status_is_no_answer() -> None:
    async with stage() as on:
        for wrong in (f"{on.app.url}/livez?", f"{on.app.url}/api/v3/ping?", "nonsense"):
            with pytest.raises(NoAnswer):
                await asyncio.to_thread(status_of, wrong)
