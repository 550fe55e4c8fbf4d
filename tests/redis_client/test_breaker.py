"""The breaker as a table of events, and the promise that it never sticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.redis_client.breaker import Admission, Breaker, BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
NORMAL, PROBE, REFUSED = Admission.NORMAL, Admission.PROBE, Admission.REFUSED


class Drill:
    """A breaker, its clock, and one admission under way."""

    def __init__(self) -> None:
        self.now = 100.0
        self.breaker = Breaker(lambda: self.now)
        self.admission = NORMAL

    def do(self, step: str) -> None:
        """`ask`, `ok`, `fail`, `late fail`, `leave`, `fail*3`, or seconds to pass."""
        match step:
            case "ask":
                self.admission = self.breaker.admit()
            case "ok":
                self.breaker.succeeded()
            case "fail":
                self.breaker.failed(self.admission)
            case "late fail":
                self.breaker.failed(NORMAL)
            case "leave":
                self.breaker.abandoned(self.admission)
            case "fail*3":
                for _ in range(3):
                    self.breaker.failed(NORMAL)
            case seconds:
                self.now += float(seconds)


@pytest.mark.parametrize(
    ("steps", "state", "admission"),
    [
        ("ask", CLOSED, NORMAL),
        ("fail fail", CLOSED, NORMAL),
        ("fail fail ok fail fail", CLOSED, NORMAL),
        ("fail fail fail", OPEN, NORMAL),
        ("fail*3 ask", OPEN, REFUSED),
        ("fail*3 0.999 ask", OPEN, REFUSED),
        ("fail*3 1 ask", HALF_OPEN, PROBE),
        ("fail*3 1 ask ask", HALF_OPEN, REFUSED),
        ("fail*3 1 ask 60 ask", HALF_OPEN, REFUSED),
        ("fail*3 1 ask ok", CLOSED, PROBE),
        ("fail*3 1 ask fail", OPEN, PROBE),
        ("fail*3 1 ask fail 1.999 ask", OPEN, REFUSED),
        ("fail*3 1 ask fail 2 ask", HALF_OPEN, PROBE),
        ("fail*3 1 ask fail 2 ask fail 3.999 ask", OPEN, REFUSED),
        ("fail*3 1 ask fail 2 ask fail 4 ask fail 4.999 ask", OPEN, REFUSED),
        ("fail*3 1 ask fail 2 ask fail 4 ask fail 5 ask", HALF_OPEN, PROBE),
        ("fail*3 1 ask fail 2 ask fail 4 ask fail 5 ask fail 5 ask", HALF_OPEN, PROBE),
        ("fail*3 1 ask fail 2 ask ok fail*3 1 ask", HALF_OPEN, PROBE),
        ("fail*3 late_fail 1 ask", HALF_OPEN, PROBE),
        ("fail*3 1 ask late_fail", HALF_OPEN, PROBE),
        ("fail*3 ok ask", CLOSED, NORMAL),
        ("fail*3 1 ask ok fail fail ask", CLOSED, NORMAL),
        ("fail*3 1 ask leave", OPEN, PROBE),
        ("fail*3 1 ask leave ask", HALF_OPEN, PROBE),
        ("fail*3 1 ask ok leave", CLOSED, PROBE),
        ("fail fail leave fail", OPEN, NORMAL),
    ],
)
def test_the_breaker_follows_its_table(steps: str, state: BreakerState, admission: Admission) -> None:
    drill = Drill()
    for step in steps.split():
        drill.do(step.replace("_", " "))

    assert (drill.breaker.state, drill.admission) == (state, admission)


@given(st.lists(st.sampled_from(["ask", "ok", "fail", "leave", "0.5", "3"])))
def test_whatever_happened_somebody_is_admitted_five_seconds_after_the_last_operation_ended(
    steps: list[str],
) -> None:
    now, breaker, under_way = 0.0, Breaker(lambda: now), list[Admission]()
    ends = {"ok": lambda _: breaker.succeeded(), "fail": breaker.failed, "leave": breaker.abandoned}
    for step in steps + ["leave"] * len(steps):
        if step == "ask":
            under_way += [given for given in [breaker.admit()] if given is not REFUSED]
        elif step in ends:
            if under_way:
                ends[step](under_way.pop())
        else:
            now += float(step)
    now += 5.0

    assert breaker.admit() is not REFUSED
