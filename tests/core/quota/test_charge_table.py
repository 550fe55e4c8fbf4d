"""Charges that are kept between two edges are those that would be made anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quota.charges import ChargeTable, charges_of, cost_of
from proxy.core.quota.windows import DEFAULT_WINDOWS, RateLimitKind, Window

START = 1_785_024_000
CHOICES = (DEFAULT_WINDOWS, (Window(RateLimitKind.REQUEST_WEIGHT, 10, 100),), (*DEFAULT_WINDOWS,), ())
asked = st.tuples(
    st.floats(0.0, 150.0),
    st.sampled_from((1, 2, 40)),
    st.sampled_from(CHOICES),
    st.sampled_from((0.0, 1.0, 1.5, 40.0)),
    st.booleans(),
)


@given(st.lists(asked, min_size=1, max_size=30))
def test_kept_charges_are_those_that_would_be_made_anew(
    requests: list[tuple[float, int, tuple[Window, ...], float, bool]],
) -> None:
    table = ChargeTable()
    for after, weight, windows, guard_seconds, refundable in requests:
        now, cost = START + after, cost_of(weight)
        made = table.of(now, cost, windows, guard_seconds=guard_seconds, refundable=refundable)
        assert made == charges_of(now, cost, windows, guard_seconds=guard_seconds, refundable=refundable)
