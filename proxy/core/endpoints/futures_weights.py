"""The weights that USD-M and COIN-M futures have in common.

Owns: what candles and books cost by their `limit`. Must not know: paths. Where a document and a measurement differ, the
higher figure stands here: at a limit of exactly 100 or 500 candles.
"""

from __future__ import annotations

from proxy.core.endpoints.weight_rules import Limit

KLINES = Limit(((99, 1), (499, 2), (1000, 5)), absent=5, dearest=10)
DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
