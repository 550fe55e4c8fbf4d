"""Who spends and what is saved, as `/status` shows it.

Owns: the sums, their order, how many are shown. Must not know: how they are counted, how the rest of the status is
made. All sums are of this process since it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict

from proxy.telemetry.metrics import Metrics
from proxy.telemetry.request_counters import EndpointTotals, printable

SHOWN_ENDPOINTS = 20


def spending(metrics: Metrics) -> dict[str, Any]:
    """The fields `traffic`, `endpoints` and `clients`."""
    totals = metrics.requests.totals()
    return {
        "traffic": _sums(totals),
        "endpoints": _dearest(totals),
        "clients": [
            {"client": printable(client)[:100], "weight_spent": weight}
            for client, weight in sorted(metrics.requests.clients().items(), key=lambda item: -item[1])
            if weight
        ],
    }


def _sums(totals: Sequence[EndpointTotals]) -> dict[str, int]:
    return {
        "requests": sum(total.requests for total in totals),
        "from_cache": sum(total.from_cache for total in totals),
        "weight_spent": sum(total.weight_spent for total in totals),
        "weight_saved": sum(total.weight_saved for total in totals),
    }


def _dearest(totals: Sequence[EndpointTotals]) -> list[dict[str, Any]]:
    """The endpoints that spent most; of those that spent alike, that which was asked most."""
    ordered = sorted(totals, key=lambda total: (-total.weight_spent, -total.requests, total.endpoint))
    return [asdict(total) for total in ordered[:SHOWN_ENDPOINTS]]
