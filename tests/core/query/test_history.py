"""History is what nothing can be added to; whoever keeps anything else serves yesterday's answer today."""

from __future__ import annotations

import pytest

from proxy.core.query.history import is_final, may_be_final
from tests.core.query.test_market import query

NOW = 1_800_000_000.0
PAST, RECENT, FUTURE = (int((NOW + seconds) * 1000) for seconds in (-7200, -65, 60))
CANDLES = "symbol=BTCUSDT&interval=1m"


@pytest.mark.parametrize(
    ("name", "raw_query", "may_be", "of_one", "of_two"),
    [
        ("klines", f"{CANDLES}&endTime={PAST}", True, True, True),
        ("klines", f"{CANDLES}&end%54ime={PAST}", True, True, True),
        ("klines", f"{CANDLES}&endTime={RECENT}", False, False, False),
        ("klines", f"{CANDLES}&endTime={FUTURE}", False, False, False),
        ("klines", f"{CANDLES}&startTime={PAST}", False, False, False),
        ("klines", f"{CANDLES}&endTime={PAST}&endTime={FUTURE}", False, False, False),
        ("klines", f"{CANDLES}&endTime={PAST}000", False, False, False),
        ("klines", f"{CANDLES}&endtime={PAST}", False, False, False),
        ("klines", f"symbol=BTCUSDT&interval=1d&endTime={PAST}", False, False, False),
        ("klines", f"symbol=BTCUSDT&endTime={PAST}", False, False, False),
        ("fapi/v1/continuousKlines", f"pair=BTCUSDT&interval=1m&endTime={PAST}", True, True, True),
        ("eapi/v1/klines", f"symbol=X&interval=1h&endTime={PAST}", True, True, True),
        ("aggTrades", f"symbol=BTCUSDT&endTime={PAST}", True, True, True),
        ("aggTrades", f"symbol=BTCUSDT&endTime={FUTURE}", False, False, False),
        ("aggTrades", "symbol=BTCUSDT&fromId=1&limit=2", True, False, True),
        ("aggTrades", f"symbol=BTCUSDT&fromId=1&endTime={PAST}&limit=2", True, False, True),
        ("aggTrades", "symbol=BTCUSDT&fromId=1", True, False, False),
        ("historicalTrades", "symbol=BTCUSDT&fromId=1&limit=2", True, False, True),
        ("historicalTrades", f"symbol=BTCUSDT&endTime={PAST}", False, False, False),
        ("trades", f"symbol=BTCUSDT&fromId=1&endTime={PAST}&limit=2", False, False, False),
        ("depth", f"symbol=BTCUSDT&endTime={PAST}", False, False, False),
    ],
)
def test_only_what_the_origin_reads_can_end_a_range(
    name: str, raw_query: str, may_be: bool, of_one: bool, of_two: bool
) -> None:
    asked = query(name, raw_query)
    assert may_be_final(asked, NOW) is may_be
    assert (is_final(asked, b"[[1]]", NOW), is_final(asked, b"[[1],[2]]", NOW)) == (of_one, of_two)
