"""The strategy of the dry run: it buys what it sees, and writes down the candles that it is given."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from freqtrade.strategy import IStrategy

REPORT = "WATCHING_REPORT"
"""The variable that names the file to write to."""


class Watching(IStrategy):  # type: ignore[misc]
    """Enters at once, and never leaves."""

    INTERFACE_VERSION = 3
    timeframe = "1m"
    minimal_roi = {"0": 10.0}  # noqa: RUF012
    stoploss = -0.99
    startup_candle_count = 200

    def populate_indicators(self, dataframe: Any, metadata: dict[str, str]) -> Any:
        """The only place that is given every candle."""
        newest = dataframe["date"].iloc[-1]
        hour = newest.floor("h")
        past = dataframe[(dataframe["date"] >= hour - timedelta(hours=2)) & (dataframe["date"] < hour)]
        digest = hashlib.sha256(past.to_csv(index=False).encode()).hexdigest()
        row = {"pair": metadata["pair"], "newest": str(newest), "count": len(dataframe), "past": [len(past), digest]}
        self._write({"event": "candles", **row})
        return dataframe

    def populate_entry_trend(self, dataframe: Any, metadata: dict[str, str]) -> Any:
        """Always."""
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: Any, metadata: dict[str, str]) -> Any:
        """Never."""
        return dataframe

    def confirm_trade_entry(self, pair: str, *_: Any, current_time: datetime, **__: Any) -> bool:
        """Yes."""
        self._write({"event": "entry", "pair": pair, "at": str(current_time)})
        return True

    def _write(self, line: dict[str, Any]) -> None:
        with Path(os.environ[REPORT]).open("a") as report:
            report.write(json.dumps(line) + "\n")
