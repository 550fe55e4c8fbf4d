"""`make demo` shows what it promises, and the lines of the README's start can be typed."""

from __future__ import annotations

import re

import pytest

from tests.gateway.harness import market
from tests.pages.markdown import ROOT, blocks, section
from tests.side_by_side import show

README = (ROOT / "README.md").read_text(encoding="utf-8")
CURLS = re.findall(
    r"^curl '?http://127\.0\.0\.1:8080([^' ]+)'?", "\n".join(blocks(section(README, "Start"))), re.MULTILINE
)


@pytest.mark.no_cover
async def test_twenty_bots_alone_are_banned_and_with_the_gateway_they_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await show(1.0, weight_limit=2000, until_ban=True)
    told = capsys.readouterr().out
    alone, together = told.strip().splitlines()[-2:]
    counts = re.fullmatch(r"alone: +([\d,]+) of ([\d,]+) answered .* 429 (\d+) times and 418 ([\d,]+) times", alone)
    assert counts is not None
    assert counts[1] != counts[2]
    assert int(counts[4].replace(",", "")) > 0
    assert together.startswith("with the gateway:")
    assert "(100 %)" in together
    assert together.endswith("Binance answered 429 0 times and 418 0 times")


async def test_each_line_of_the_start_is_answered() -> None:
    assert len(CURLS) == 2
    async with market() as on:
        for target in CURLS:
            assert (await on.ask(target)).status == 200, target
