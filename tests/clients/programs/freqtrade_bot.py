"""freqtrade: its commands that list markets and pairs, and two minutes of trading in a dry run with VolumePairList.

Of the trading it tells what does not depend on the moment: which pairs were chosen, the candles of the two hours before
the last full hour, and whether new candles came and trades were opened.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.clients.programs.ccxt_calls import options
from tests.clients.programs.freqtrade_strategy import REPORT
from tests.clients.programs.telling import base_url, tell

TRADE_SECONDS = 120
HERE = Path(__file__).parent


def config() -> dict[str, Any]:
    """The least that freqtrade wants. `ccxt_config` is all that makes it use another base URL."""
    sides = {"price_side": "same", "use_order_book": True, "order_book_top": 1}
    return {
        "dry_run": True,
        "dry_run_wallet": 10_000,
        "max_open_trades": 3,
        "stake_currency": "USDT",
        "stake_amount": 100,
        "trading_mode": "spot",
        "entry_pricing": sides,
        "exit_pricing": sides,
        "exchange": {
            "name": "binance",
            "ccxt_config": options(base_url()),
            "enable_ws": False,  # the stand-in has no streams
            "pair_whitelist": [],
            "pair_blacklist": [],
        },
        "pairlists": [{"method": "VolumePairList", "number_assets": 10, "sort_key": "quoteVolume"}],
        "initial_state": "running",
    }


def main(folder: Path) -> None:
    """Every command has the same configuration, and a folder of its own for what it writes."""
    path = folder / "config.json"
    path.write_text(json.dumps(config()))

    def words(command: str, *flags: str) -> list[str]:
        common = ("--config", str(path), "--userdir", str(folder))
        return [sys.executable, "-m", "freqtrade", command, *common, *flags]

    def listed(command: str, *flags: str) -> list[str]:
        ran = subprocess.run(words(command, "--print-json", *flags), capture_output=True, text=True, check=True)
        found: list[str] = json.loads(ran.stdout.strip().splitlines()[-1])
        return sorted(found)

    strategy = ("--strategy", "Watching", "--strategy-path", str(HERE))
    database = ("--db-url", f"sqlite:///{folder}/trades.sqlite")
    tell(
        "freqtrade",
        {
            "list-markets": lambda: listed("list-markets", "--all"),
            "list-markets futures": lambda: listed("list-markets", "--trading-mode", "futures"),
            "list-pairs": lambda: listed("list-pairs", "--quote", "USDT"),
            "trade": lambda: trade(words("trade", *strategy, *database), folder / "report"),
        },
    )


def trade(words: list[str], report: Path) -> dict[str, Any]:
    """Let it trade, and interrupt it as a person does."""
    report.touch()
    log = report.with_suffix(".log")
    with (
        log.open("w") as shown,
        subprocess.Popen(words, env=os.environ | {REPORT: str(report)}, stdout=shown, stderr=shown) as process,
    ):
        try:
            process.wait(TRADE_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        finally:
            if process.poll() is None:
                _end(process)
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    complaints = [line for line in log.read_text().splitlines() if " - ERROR - " in line or " - WARNING - " in line]
    print("\n".join(complaints[-20:]), file=sys.stderr)
    return {"status": process.returncode, **_summary(lines)}


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()


def _summary(lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    candles: dict[str, dict[str, Any]] = {}
    entered = set()
    for line in lines:
        if line["event"] == "entry":
            entered.add(line["pair"])
            continue
        first = candles.setdefault(line["pair"], line)
        candles[line["pair"]] = {**first, "last": line["newest"]}
    return {
        "entries": len(entered) > 0,
        "pairs": sorted(candles),
        "new candles": all(each["last"] > each["newest"] for each in candles.values()),
        "past candles": {pair: each["past"] for pair, each in sorted(candles.items())},
        "enough candles": all(each["count"] > 100 for each in candles.values()),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
