"""What a process tells the store of one window.

Owns: which of the figures of a lease and of its window are told. Must not know: when they are told, what is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.quota.charges import WindowKey
from proxy.core.quota.lease import Lease, Totals
from proxy.core.quota.lease_calls import Settled, WindowCall
from proxy.core.quota.lease_frame import Part
from proxy.core.quota.ratios import Purpose


def window_call(  # noqa: PLR0913 - all that is told
    key: WindowKey,
    lease: Lease,
    part: Part | None,
    *,
    want: int,
    floor: int,
    settled: Settled,
    clients: Mapping[str, int],
) -> WindowCall:
    """`part`: the window, if it may be spent from now or in a moment."""
    is_leased = part is not None and not part.is_free
    return WindowCall(
        key=key,
        budget=part.budgets[Purpose.PUBLIC] if part is not None else 0,
        ceiling=part.ceiling if part is not None and is_leased else 0,
        want=want,
        half=part.half if part is not None and is_leased else 0,
        is_over=part is not None and part.is_over,
        totals=lease.totals,
        known_returned=lease.told.returned if lease.told != Totals() else -1,
        header=lease.header,
        held=max(0, lease.held),
        floor=floor,
        seen=lease.seen,
        settled=settled,
        clients=clients,
    )
