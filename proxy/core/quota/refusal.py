"""When a request would pass a limit, and until when it then has to wait.

Owns: the refusal of a request by what is used. Must not know: where usage is kept, blocks. Times are seconds since the
epoch by the origin's clock.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from proxy.core.quota.charges import Charge, WindowKey, budget_of
from proxy.core.quota.client_share import ClientShare, ClientUsage, Limit, exceeded_limit
from proxy.core.quota.windows import Window


class Refused(Struct, frozen=True):
    """The request would pass the budget of `window` or its client's share."""

    window: Window
    until: float
    """The earliest time at which the request can be admitted."""
    by: Limit = Limit.BUDGET


def refusal(charge: Charge, guard_seconds: float, by: Limit) -> Refused:
    """The refusal of a request that would pass a limit in the window of this charge."""
    return Refused(charge.window, charge.window.counted_until(charge.window_key.start, guard_seconds), by)


def _nothing(key: WindowKey) -> int:
    return 0


def first_refusal(  # noqa: PLR0913 - what decides
    charges: tuple[Charge, ...],
    *,
    ratio: float,
    used: Callable[[WindowKey], int],
    client_usage: Callable[[WindowKey, ClientShare | None], ClientUsage],
    client_share: ClientShare | None,
    guard_seconds: float,
    unspent: Callable[[WindowKey], int] = _nothing,
) -> Refused | None:
    """The refusal that lasts longest, or None: looks at the windows from the last to the first.

    `unspent`: the part of `used` that is certainly not spent.
    """
    for charge in reversed(charges):
        budget, used_weight = budget_of(charge.window.limit, ratio), used(charge.window_key)
        if 2 * (used_weight + charge.weight) <= budget:
            continue  # in the first half no limit is near
        by = exceeded_limit(
            charge.weight,
            budget,
            used=used_weight,
            client_usage=client_usage(charge.window_key, client_share),
            client_share=client_share,
            unspent=unspent(charge.window_key),
        )
        if by is not None:
            return refusal(charge, guard_seconds, by)
    return None
