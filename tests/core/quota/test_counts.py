"""Rows that are kept between two edges are those that would be made anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.quota.budget import Blocked, Budget, Reservation
from proxy.core.quota.charges import WindowKey, charges_of, cost_of
from proxy.core.quota.client_share import share_of
from proxy.core.quota.counts import RowTable, WindowCount
from proxy.core.quota.refusal import Refused
from proxy.core.quota.windows import DEFAULT_WINDOWS, RateLimitKind, Window

START = 1_785_024_000
CHOICES = (DEFAULT_WINDOWS, (Window(RateLimitKind.REQUEST_WEIGHT, 10, 100),), (*DEFAULT_WINDOWS,), ())
asked = st.tuples(
    st.floats(0.0, 150.0),
    st.sampled_from((1, 2, 40)),
    st.sampled_from(CHOICES),
    st.sampled_from((0.0, 1.0, 1.5, 40.0)),
    st.booleans(),
    st.sampled_from((0.5, 0.9)),
)


@pytest.mark.no_cover
@given(st.lists(asked, min_size=1, max_size=30))
def test_kept_rows_are_those_that_would_be_made_anew(
    requests: list[tuple[float, int, tuple[Window, ...], float, bool, float]],
) -> None:
    counts: dict[WindowKey, WindowCount] = {}

    def count_of(key: WindowKey) -> WindowCount:
        return counts.setdefault(key, WindowCount(key.expires))

    def table() -> RowTable:
        return RowTable(count_of)

    kept = table()
    for after, weight, windows, guard_seconds, refundable, ratio in requests:
        now, cost = START + after, cost_of(weight)
        made, anew = (
            of.of(now, cost, windows, ratio=ratio, refundable=refundable, guard_seconds=guard_seconds)
            for of in (kept, table())
        )
        charges = charges_of(now, cost, windows, guard_seconds=guard_seconds, refundable=refundable)
        assert made.charges == anew.charges == charges
        assert made.rows == anew.rows
        assert [count for count, *_ in made.rows] == [counts[charge.window_key] for charge in charges]


@pytest.mark.no_cover
@given(st.lists(asked, min_size=1, max_size=30))
def test_a_request_that_comes_again_is_charged_as_the_first_was(
    requests: list[tuple[float, int, tuple[Window, ...], float, bool, float]],
) -> None:
    again, anew = Budget(), Budget()
    for after, weight, windows, guard_seconds, refundable, ratio in requests:
        now, name = START + after, (weight, refundable, ratio)
        share = None if refundable else share_of("bot", 0.25)
        taken = again.reserve_again(now, windows, guard_seconds, name)
        outcomes = [
            of.reserve(
                now,
                cost_of(weight),
                windows,
                ratio=ratio,
                client_share=share,
                refundable=refundable,
                guard_seconds=guard_seconds,
                name=name,
            )
            for of in ((again, anew) if taken is None else (anew,))
        ]
        assert _charged(taken or outcomes[0]) == _charged(outcomes[-1])
        keys = [charge.window_key for charge in charges_of(now, cost_of(weight), windows, guard_seconds=guard_seconds)]
        assert [again.usage(key) for key in keys] == [anew.usage(key) for key in keys]
        assert [again.client_usage(key, share) for key in keys] == [anew.client_usage(key, share) for key in keys]


def _charged(outcome: Reservation | Refused | Blocked) -> object:
    """Without the counters, which each budget has for itself."""
    return replace(outcome, rows=None) if isinstance(outcome, Reservation) else outcome
