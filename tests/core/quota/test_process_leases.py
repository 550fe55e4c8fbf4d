"""The leases of processes and of their store: what holds whatever they do and whatever is lost.

The store is the model; the script is held to it elsewhere. The origin counts by true time.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quota.budget import Budget, Reservation
from proxy.core.quota.charges import WindowKey, WindowUsage, cost_of
from proxy.core.quota.demand import demand_of
from proxy.core.quota.held_leases import IDLE_SECONDS
from proxy.core.quota.lease_calls import State, WindowState
from proxy.core.quota.lease_news import EARLY_SETTLE_SECONDS, SETTLE_SECONDS
from proxy.core.quota.lease_store import LeaseStore
from proxy.core.quota.process_leases import ProcessLeases
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS, RateLimitKind, Window
from tests.sizes import sized

START = 1_785_024_000
KEY, NEXT = (WindowKey("REQUEST_WEIGHT:1m", 60, start) for start in (START, START + 60))
RATIOS = Ratios(client=1.0)


class Side:
    """A process and how it calls."""

    def __init__(self, store: LeaseStore, run: str, *, replicas: int = 2, ratios: Ratios = RATIOS) -> None:
        self.store, self.replicas = store, replicas
        self.leases = ProcessLeases(run, ratios)
        self.leases.may_hold = True
        self.floors: dict[WindowKey, int] = {}

    def spend(
        self, now: float, weight: int = 1, *, purpose: Purpose = Purpose.PUBLIC, refundable: bool = False
    ) -> bool:
        demand = demand_of(weight, purpose, False, "a")
        if self.leases.spend(now, demand, DEFAULT_WINDOWS, GUARD_SECONDS) is not None:
            return True
        self.leases.demand(weight, now)
        return False

    def sync(self, now: float, *, answered: bool = True) -> None:
        self.leases.frame(now, DEFAULT_WINDOWS, GUARD_SECONDS)
        call = self.leases.call(now, replicas=self.replicas, floors=self.floors)
        reply = self.store.call(call)
        if not answered:
            self.leases.failed(call)
            return
        self.leases.answered(call, reply)
        for told, said in zip(call.windows, reply.windows, strict=True):
            self.floors[told.key] = max(self.floors.get(told.key, 0), said.usage.kept)

    def is_urgent(self) -> bool:
        return self.leases.is_urgent

    @property
    def held(self) -> int:
        return self.leases._leases[KEY].held


@pytest.fixture
def store() -> LeaseStore:
    return LeaseStore(Budget(), birth="b", born_at=START - 100.0)


def granted(store: LeaseStore, run: str = "a", *, ratios: Ratios = RATIOS, replicas: int = 2) -> Side:
    side = Side(store, run, ratios=ratios, replicas=replicas)
    assert not side.spend(START + 2.0)
    side.sync(START + 2.0)
    assert side.held > 0
    return side


def test_a_block_is_granted_to_who_asks_and_counts_as_used(store: LeaseStore) -> None:
    side = granted(store)
    usage = store.budget.usage(KEY)

    assert (
        usage.used == usage.leased == usage.refundable == side.held == 148
    )  # two a second as long as the window is open, and a quarter more
    assert (usage.spent, usage.kept) == (0, 0)
    assert side.spend(START + 3.0, 10)
    side.sync(START + 3.0)
    assert (store.budget.usage(KEY).used, store.budget.usage(KEY).spent) == (148, 10)


def test_a_lost_answer_is_made_good_by_the_next_one(store: LeaseStore) -> None:
    side = Side(store, "a")
    side.spend(START + 2.0)
    side.sync(START + 2.0, answered=False)
    assert (side.held, store.budget.usage(KEY).leased) == (0, 148)
    side.sync(START + 2.1)
    assert side.held == 148
    for _ in range(3):
        side.leases.give_back()
        side.sync(START + 2.2, answered=False)
    assert store.budget.usage(KEY).used == 0, "what is returned three times is returned once"


def test_a_floor_undoes_no_return(store: LeaseStore) -> None:
    side, other = granted(store), Side(store, "b")
    side.spend(START + 3.0, 10)
    side.sync(START + 3.0)
    other.sync(START + 3.0)
    side.leases.may_hold = False
    side.leases.give_back()
    side.sync(START + 4.0)
    other.sync(START + 4.0)

    assert other.floors[KEY] == store.budget.usage(KEY).used == 10


def test_a_crash_loses_what_was_held_and_no_more(store: LeaseStore) -> None:
    side = granted(store)
    side.spend(START + 3.0, 10)
    lost = side.held
    side.sync(START + 3.0)
    other = granted(store, "b")

    assert store.budget.usage(KEY).used == lost + 10 + other.held
    assert lost <= 5400 // 8


def test_a_window_once_exact_stays_exact(store: LeaseStore) -> None:
    side = granted(store)
    outcome = store.budget.reserve(START + 4.0, cost_of(4800), DEFAULT_WINDOWS, ratio=0.9)
    assert isinstance(outcome, Reservation)
    side.sync(START + 4.0)
    assert (side.held, side.spend(START + 4.1)) == (0, False)
    side.sync(START + 4.2)
    assert store.budget.usage(KEY).used == 4800
    store.budget.reconcile(outcome, UsageReport(START + 5.0, {}, ok=True), now=START + 5.0)
    side.spend(START + 6.0)
    side.sync(START + 6.0)
    assert side.held == 0


def test_from_half_of_the_budget_on_where_clients_have_shares(store: LeaseStore) -> None:
    """What is held and may be spent untold counts: here all of it, as it was granted long before half."""
    side = granted(store, ratios=Ratios())
    store.budget.reserve(START + 4.0, cost_of(2700 - 149), DEFAULT_WINDOWS, ratio=0.9)
    side.sync(START + 4.0)
    assert (side.held, store.is_exact(KEY)) == (148, False)
    store.budget.reserve(START + 4.0, cost_of(1), DEFAULT_WINDOWS, ratio=0.9)
    side.sync(START + 4.0)
    assert (side.held, store.is_exact(KEY)) == (0, True)


def test_near_half_of_the_budget_each_request_is_told_and_leases_last_until_half_is_spent(store: LeaseStore) -> None:
    side = granted(store, ratios=Ratios())
    assert side.spend(START + 3.0, 100)
    side.sync(START + 3.0)
    held = side.held
    store.budget.reserve(START + 4.0, cost_of(2700 - 101 - 8), DEFAULT_WINDOWS, ratio=0.9)
    assert side.spend(START + 4.0, 1)
    side.sync(START + 4.0)
    assert not store.is_exact(KEY)
    assert (side.held, store.budget.usage(KEY).untold) == (held - 1, 0)
    for _ in range(7):
        assert not side.is_urgent()
        assert side.spend(START + 5.0, 1)
        assert side.is_urgent()
        side.sync(START + 5.0)
    assert (store.budget.usage(KEY).spent, store.is_exact(KEY), side.held) == (2699, False, held - 8)
    assert side.spend(START + 5.0, 1)
    side.sync(START + 5.0)
    assert (store.is_exact(KEY), side.held) == (True, 0)


@pytest.mark.parametrize(("used", "seconds"), [(3000, EARLY_SETTLE_SECONDS), (4100, SETTLE_SECONDS)])
def test_after_a_minute_over_half_the_ends_of_requests_are_told_together(
    used: int, seconds: float, store: LeaseStore
) -> None:
    """Until then they count twice, which must not fill a budget."""
    side = granted(store, ratios=Ratios())
    store.budget.reserve(START + 50.0, cost_of(used), DEFAULT_WINDOWS, ratio=0.9)
    side.sync(START + 50.0)
    assert store.is_exact(KEY)
    for at, due in ((START + 59.5, SETTLE_SECONDS), (START + 60.5, seconds)):
        side.leases.frame(at, DEFAULT_WINDOWS, GUARD_SECONDS)
        outcome = store.budget.reserve(at, cost_of(1), DEFAULT_WINDOWS, ratio=0.9)
        assert isinstance(outcome, Reservation)
        side.leases.news.settle(outcome, at, ok=True)
        side.leases.is_urgent = False
        assert side.leases.due_at(at) == at + due
        side.sync(at)


def over_half(store: LeaseStore, *, used: int, requests: int = 45) -> Side:
    """A process that had so many requests shortly before the minute ends, and was refused a grant then."""
    side = granted(store, ratios=Ratios())
    for _ in range(requests):
        assert side.spend(START + 58.5, 3)
    store.budget.reserve(START + 58.5, cost_of(used - 3 * requests), DEFAULT_WINDOWS, ratio=0.9)
    for _ in range(2):
        side.sync(START + 59.5)
    assert not side.spend(START + 59.9)
    assert (side.held, store.is_exact(KEY)) == (0, True)
    assert store.budget.usage(KEY).used == used
    return side


def test_a_minute_over_half_is_leased_again_as_soon_as_it_is_over(store: LeaseStore) -> None:
    """No share keeps anything of it for others any more, whatever the store tells of it."""
    side = over_half(store, used=3000)
    assert not side.spend(START + 60.0)
    assert side.is_urgent()
    side.sync(START + 60.0)
    held = side.held
    side.leases.observe(State(1, START + 60.1, "b", {KEY.key: WindowState(store.budget.usage(KEY), True)}))

    assert charges(side, START + 60.2) == [KEY, NEXT]
    assert side.held == held - 1
    assert store.is_exact(KEY)
    assert store.budget.usage(KEY).most_spent == store.budget.usage(KEY).used, "all of it may be spent untold"
    side.sync(START + 60.9)
    assert store.budget.usage(KEY).spent == 3000 + 1


@pytest.mark.parametrize(("used", "requests"), [(4100, 45), (3000, 10)])
def test_it_is_not_where_it_is_crowded_or_a_block_saves_no_call(used: int, requests: int, store: LeaseStore) -> None:
    side = over_half(store, used=used, requests=requests)
    assert not side.spend(START + 60.0)
    assert not side.is_urgent()


def test_it_is_not_after_data_was_lost(store: LeaseStore) -> None:
    side = over_half(store, used=3000)
    store.restore(KEY, floor=3100, budget=5400)
    assert not side.spend(START + 60.0)
    side.sync(START + 60.0)
    assert store.budget.usage(KEY).leased == 0


def test_what_is_held_when_it_is_over_is_given_back_if_others_find_that_data_was_lost(store: LeaseStore) -> None:
    side = over_half(store, used=3000)
    side.spend(START + 60.0)
    side.sync(START + 60.0)
    assert side.held > 0
    store.restore(KEY, floor=3100, budget=5400)
    side.leases.observe(store.state(START + 60.1, (KEY,)))
    assert side.held == 0


def test_a_minute_under_half_stays_under_half_when_it_is_over(store: LeaseStore) -> None:
    """Where a client has its share is decided by what may be spent, so no more of it than before may be untold."""
    side = granted(store, ratios=Ratios())
    assert side.spend(START + 50.0, 40)
    store.budget.reserve(START + 50.0, cost_of(2620), DEFAULT_WINDOWS, ratio=0.9)
    side.sync(START + 50.0)
    side.sync(START + 60.0)
    assert side.held == 108
    assert store.budget.usage(KEY).most_spent < 2700


def test_what_is_leased_when_it_is_over_is_given_back_if_it_was_not(store: LeaseStore) -> None:
    """The clock was ahead."""
    side = over_half(store, used=3000)
    side.spend(START + 60.0)
    side.sync(START + 60.0)
    assert side.held > 0
    assert not side.spend(START + 59.9)
    for _ in range(2):
        side.sync(START + 59.9)
    assert (side.held, store.budget.usage(KEY).leased) == (0, 0)


@given(st.floats(0.0, 700.0), st.floats(GUARD_SECONDS, 14.0), st.floats(0.0, 0.999))
def test_as_long_as_a_frame_holds_the_same_windows_count_a_request_and_are_over(
    at: float, guard_seconds: float, later: float
) -> None:
    now = START + at
    frame = ProcessLeases("a", RATIOS).frame(now, DEFAULT_WINDOWS, guard_seconds)
    assert frame is not None
    assert frame.begins <= now < frame.ends
    for moment in (now, frame.begins, frame.begins + later * (frame.ends - frame.begins)):
        starts = [(w.name, at) for w in DEFAULT_WINDOWS for at in w.possible_starts(moment, guard_seconds)]
        assert [(part.key.name, part.key.start) for part in frame.parts] == starts
        ended = [part.key for part in frame.parts if moment >= part.key.end + (guard_seconds - GUARD_SECONDS)]
        assert [part.key for part in frame.parts if part.is_over] == ended


def test_after_a_call_without_an_answer_what_is_spent_beyond_the_allowed_is_told_again(store: LeaseStore) -> None:
    side = granted(store, ratios=Ratios())
    while not side.leases._leases[KEY].must_tell:
        assert side.spend(START + 3.0, 1)
    side.sync(START + 3.0, answered=False)
    assert side.is_urgent()
    side.sync(START + 3.0)
    assert not side.is_urgent()


def test_after_a_call_without_an_answer_the_next_request_is_told(store: LeaseStore) -> None:
    """The store may allow less now."""
    side = granted(store, ratios=Ratios())
    store.budget.reserve(START + 3.0, cost_of(2500), DEFAULT_WINDOWS, ratio=0.9)
    assert side.spend(START + 3.0, 10)
    side.sync(START + 3.0, answered=False)
    assert not side.is_urgent()
    assert side.spend(START + 3.0, 1)
    assert side.is_urgent()


def test_what_was_spent_during_a_call_is_told_if_the_answer_does_not_allow_it(store: LeaseStore) -> None:
    side = granted(store, ratios=Ratios())
    store.budget.reserve(START + 3.0, cost_of(2600), DEFAULT_WINDOWS, ratio=0.9)
    assert side.spend(START + 3.0, 10)
    call = side.leases.call(START + 3.0, replicas=side.replicas, floors=side.floors)
    reply = store.call(call)
    assert side.spend(START + 3.0, 60)
    assert not side.is_urgent()
    side.leases.answered(call, reply)
    assert side.is_urgent()


def test_an_order_that_failed_is_told_as_any_request_is(store: LeaseStore) -> None:
    side = granted(store, ratios=Ratios())
    demand = demand_of(side.leases._leases[KEY].held, Purpose.KEYED, True, "a")
    charges = side.leases.spend(START + 3.0, demand, DEFAULT_WINDOWS, GUARD_SECONDS)
    assert charges is not None
    side.leases.is_urgent = False
    side.leases.settle(Reservation(charges, START + 3.0, leased=True), ok=False)
    assert side.is_urgent()


def test_far_from_half_what_was_spent_is_told_with_the_next_block(store: LeaseStore) -> None:
    side = granted(store, ratios=Ratios())
    while side.spend(START + 3.0, 1) and not side.is_urgent():
        pass
    assert side.leases._leases[KEY].is_low


@pytest.mark.parametrize("replicas", [2, 10])
def test_no_fleet_spends_half_of_the_budget_before_its_window_is_exact(replicas: int, store: LeaseStore) -> None:
    """Whatever answers are lost: but for the requests that are told next, one of each process."""
    for seed in range(sized(quick=2, usual=3, long=60)):
        dice, now, sent, heaviest = Random(seed), START + 2.0, 0, 20
        store = LeaseStore(Budget(), birth="b", born_at=START - 100.0)
        sides = [Side(store, f"run{number}", replicas=replicas, ratios=Ratios()) for number in range(replicas)]
        while not store.is_exact(KEY):
            now = min(now + dice.expovariate(60), START + 58.0)
            side, weight = dice.choice(sides), dice.choice([1, 1, 2, 5, heaviest])
            sent += weight * side.spend(now, weight)
            while side.is_urgent():
                side.sync(now, answered=dice.random() < 0.8)
            usage = store.budget.usage(KEY)
            assert usage.spent <= sent <= usage.most_spent + heaviest * replicas
        assert sent >= 0.95 * 2700


def test_background_fills_ask_from_their_own_share_on(store: LeaseStore) -> None:
    side = granted(store)
    assert side.spend(START + 3.0, purpose=Purpose.BACKGROUND)
    store.budget.reserve(START + 4.0, cost_of(3000), DEFAULT_WINDOWS, ratio=0.9)
    side.sync(START + 4.0)

    assert not side.spend(START + 4.0, purpose=Purpose.BACKGROUND)
    assert side.spend(START + 4.0)


def test_near_an_edge_nothing_is_spent_from_one_window_alone(store: LeaseStore) -> None:
    side = granted(store)

    assert side.spend(START + 58.9)
    assert not side.spend(START + 59.0)
    assert not side.spend(START + 60.9)


def test_near_an_edge_a_request_is_charged_to_both_windows(store: LeaseStore) -> None:
    side = prefetched(store)
    spent = [charges(side, START + second) for second in (58.9, 59.0, 60.0, 60.9, 61.0)]

    assert spent == [[KEY], [KEY, NEXT], [KEY, NEXT], [KEY, NEXT], [NEXT]]
    side.sync(START + 61.0)
    assert [store.budget.usage(key).spent for key in (KEY, NEXT)] == [2 + 1 + 3, 4]


def prefetched(store: LeaseStore) -> Side:
    """A process that has the grant of the next window a moment before it may be spent."""
    side = granted(store)
    side.spend(START + 58.0)
    side.spend(START + 58.0)
    now = START + 58.8
    side.leases.frame(now, DEFAULT_WINDOWS, GUARD_SECONDS)
    side.leases.tick(now)
    assert side.leases.is_urgent
    side.sync(now)
    return side


def charges(side: Side, now: float) -> list[WindowKey]:
    demand = demand_of(1, Purpose.PUBLIC, False, None)
    spent = side.leases.spend(now, demand, DEFAULT_WINDOWS, GUARD_SECONDS) or ()
    return [charge.window_key for charge in spent if charge.window.kind is RateLimitKind.REQUEST_WEIGHT]


def test_a_crowded_window_is_given_back_before_its_edge(store: LeaseStore) -> None:
    """Each request is then admitted by what is used in both, and nobody asks for leases there."""
    side = prefetched(store)
    store.budget.reserve(START + 58.9, cost_of(4100), DEFAULT_WINDOWS, ratio=0.9)
    side.sync(START + 59.0)
    side.leases.tick(START + 59.0)
    assert side.leases.is_urgent
    side.sync(START + 59.1)

    assert (side.held, store.budget.usage(KEY).leased) == (0, 0)
    assert not side.spend(START + 59.2)
    assert not side.is_urgent()
    assert side.spend(START + 61.0), "the lease of the next window stays"


def test_a_guard_that_grows_ends_the_frame(store: LeaseStore) -> None:
    """The clock was set: nobody knows any more in which window the origin counts a request."""
    side = granted(store)

    assert side.leases.frame(START + 3.0, DEFAULT_WINDOWS, 61.0) is None
    guards = [
        None if frame is None else frame.guard_seconds
        for frame in (side.leases.frame(START + 3.0, DEFAULT_WINDOWS, guard) for guard in (GUARD_SECONDS, 0.5))
    ]
    assert guards == [GUARD_SECONDS, GUARD_SECONDS], "one for a larger guard still holds"


@pytest.mark.parametrize(("seconds_apart", "rests_after"), [(0.05, 5), (1.0, 6), (5.0, 30), (20.0, 30)])
def test_a_process_expects_no_request_after_a_while(seconds_apart: float, rests_after: int) -> None:
    """The sooner the more often they came: few wait for the first one after a rest."""
    leases = ProcessLeases("a", RATIOS)
    assert not leases.expects_requests(START)
    for number in range(50):
        leases.demand(1, START + number * seconds_apart)
    last = START + 49 * seconds_apart
    rests = [second for second in range(60) if not leases.expects_requests(last + second)]

    assert rests == list(range(rests_after, 60))


def test_an_idle_process_gives_back(store: LeaseStore) -> None:
    side = granted(store)
    side.leases.demanded_at = START - IDLE_SECONDS
    side.leases.frame(START + 3.0, DEFAULT_WINDOWS, GUARD_SECONDS)
    side.leases.tick(START + 3.0)
    side.sync(START + 3.0)

    assert (side.held, store.budget.usage(KEY).used) == (0, 0)


@pytest.mark.parametrize("told", [0, 40])
def test_a_window_that_comes_back_when_the_clock_is_set_right_is_not_spent_again(store: LeaseStore, told: int) -> None:
    side = granted(store, replicas=1)
    spent = sum(side.spend(START + 3.0) for _ in range(told))
    side.sync(START + 3.0)
    while side.spend(START + 4.0):
        spent += 1
    side.sync(START + 604.0)
    for _ in range(3):
        while side.spend(START + 5.0):
            spent += 1
        side.sync(START + 5.0)

    usage = store.budget.usage(KEY)
    assert spent == usage.used > 0
    assert usage.leased == 0, "it asks for nothing more in this window"


def test_a_process_that_may_not_hold_asks_for_nothing(store: LeaseStore) -> None:
    side = Side(store, "a")
    side.leases.may_hold = False
    side.spend(START + 2.0)
    side.sync(START + 2.0)

    assert store.budget.usage(KEY).used == 0


def test_the_weight_of_an_order_is_held_again_when_it_succeeds(store: LeaseStore) -> None:
    side = granted(store)
    held, order = side.held, demand_of(5, Purpose.KEYED, True, None)
    charges = side.leases.spend(START + 3.0, order, DEFAULT_WINDOWS, GUARD_SECONDS)
    assert charges is not None
    assert (side.held, side.leases.untold(KEY)) == (held - 5, 5)
    side.leases.settle(Reservation(charges, START + 3.0, leased=True), ok=True)
    assert (side.held, side.leases.untold(KEY)) == (held, 0)


def test_no_return_brings_used_below_what_a_header_told(store: LeaseStore) -> None:
    side, other = granted(store), granted(store, "b")
    other.leases.record_headers(UsageReport(START + 3.0, {60: 200}, ok=True), START + 3.0, START + 3.0, GUARD_SECONDS)
    other.sync(START + 3.0)
    for one in (side, other):
        one.leases.give_back()
        one.sync(START + 4.0)

    assert store.budget.usage(KEY).used >= 200


@pytest.mark.parametrize("knows_birth", [True, False])
def test_a_store_that_lost_its_data_grants_nothing_and_counts_what_nobody_saw(knows_birth: bool) -> None:
    store = LeaseStore(Budget(), birth="b", born_at=START - 100.0)
    side = granted(store)
    side.spend(START + 3.0, 10)
    side.sync(START + 3.0)
    lost = LeaseStore(Budget(), birth="other" if knows_birth else "b", born_at=START - 100.0)
    side.store = lost
    side.sync(START + 4.0)

    assert lost.budget.usage(KEY).used == 148 + 1313  # a quarter of what is left
    assert (side.held, lost.is_exact(KEY)) == (0, True)


def test_a_store_that_lost_its_data_hears_of_every_window_that_was_seen(store: LeaseStore) -> None:
    """Another process may still charge the one that ended here: its clock is behind."""
    side = granted(store)
    store.budget.reserve(START + 4.0, cost_of(1000), DEFAULT_WINDOWS, ratio=0.9)
    side.sync(START + 4.0)
    side.store = LeaseStore(Budget(), birth="other", born_at=START + 70.0)
    side.sync(START + 70.0)
    assert side.is_urgent()
    side.sync(START + 70.1)

    assert side.store.budget.usage(KEY).used >= 1000


def test_a_young_store_waits_for_who_knows_more() -> None:
    young = LeaseStore(Budget(), birth="b", born_at=START + 0.0)
    side = Side(young, "a")
    side.spend(START + 2.0)
    side.sync(START + 2.0)
    assert side.held == 0
    side.spend(START + 5.1)
    side.sync(START + 5.1)
    assert side.held > 0


def test_a_state_that_is_older_changes_nothing_and_one_that_counts_back_shows_a_loss(store: LeaseStore) -> None:
    side = granted(store)
    assert side.leases.observe(State(7, 100.0, "b", {}))
    assert not side.leases.observe(State(6, 99.0, "b", {}))
    assert side.held > 0
    assert side.leases.observe(State(6, 101.0, "b", {}))
    assert side.held == 0


@pytest.mark.parametrize("loses", ["nothing", "all"])
def test_no_fleet_spends_more_than_the_budget(loses: str) -> None:
    """Many at once, each quick and each with a stale view, through five minutes."""
    for seed in range(sized(quick=1, usual=1, long=40)):
        dice = Random(seed)
        store = LeaseStore(Budget(), birth="0", born_at=START - 100.0)
        sides = [Side(store, f"run{number}", replicas=4, ratios=Ratios(client=1.0)) for number in range(4)]
        counted: Counter[int] = Counter()
        now = START + 2.0
        for step in range(sized(quick=1500, usual=2500, long=20_000)):
            now += dice.expovariate(60)
            side = dice.choice(sides)
            weight = dice.choice([1, 1, 2, 5, 20])
            if side.spend(now, weight) or isinstance(_one_by_one(side, now, weight), Reservation):
                counted[int(now) // 60] += weight
            if side.leases.is_urgent and dice.random() < 0.5:
                side.sync(now, answered=dice.random() < 0.9)
            if step % 200 == 0:
                report = UsageReport(now, {60: counted[int(now) // 60]}, ok=True)
                side.leases.record_headers(report, now, now, GUARD_SECONDS)
            if loses == "all" and step % 1500 == 1499:
                for one in sides:
                    one.sync(now)  # what a heartbeat tells all of them
                store = LeaseStore(Budget(), birth=str(step), born_at=now)
                for one in sides:
                    one.store = store
        assert max(counted.values()) <= 5400


def _one_by_one(side: Side, now: float, weight: int) -> object:
    for window in DEFAULT_WINDOWS:
        for start in window.possible_starts(now):
            key = WindowKey(window.name, window.interval_seconds, start)
            side.store.restore(key, floor=side.floors.get(key, 0), budget=round(window.limit * 0.9))
    outcome = side.store.budget.reserve(now, cost_of(weight), DEFAULT_WINDOWS, ratio=0.9)
    for window in DEFAULT_WINDOWS:
        key = WindowKey(window.name, window.interval_seconds, window.start(now))
        side.floors[key] = max(side.floors.get(key, 0), side.store.budget.usage(key).kept)
        side.leases.see({key: side.store.budget.usage(key)})
    return outcome


def test_a_raw_limit_that_can_bind_is_leased_too() -> None:
    windows = (DEFAULT_WINDOWS[0], Window(RateLimitKind.RAW_REQUESTS, 300, 1000))
    store = LeaseStore(Budget(), birth="b", born_at=START - 100.0)
    leases = ProcessLeases("a", RATIOS)
    leases.may_hold = True
    leases.demand(1, START + 2.0)
    demand = demand_of(1, Purpose.PUBLIC, False, None)
    assert leases.spend(START + 2.0, demand, windows, GUARD_SECONDS) is None
    call = leases.call(START + 2.0, replicas=1, floors={})
    leases.answered(call, store.call(call))
    assert leases.spend(START + 2.0, demand, windows, GUARD_SECONDS) is not None
    assert store.budget.usage(WindowKey("RAW_REQUESTS:5m", 300, START)).leased == 150

    held = leases._leases[KEY].held
    leases._leases[WindowKey("RAW_REQUESTS:5m", 300, START)].give_back()
    assert leases.spend(START + 2.0, demand, windows, GUARD_SECONDS) is None
    assert leases._leases[KEY].held == held > 0, "what finds too little in one window is charged in none"


def test_what_was_seen_is_told_a_store_that_lost_it_whatever_that_one_says_first(store: LeaseStore) -> None:
    """It kept its birth mark and all that stays: only the number of the last push shows it."""
    side = Side(store, "a")
    side.leases.may_hold = False
    side.spend(START + 2.0)
    side.leases.observe(State(7, START + 3.0, "b", {KEY.key: WindowState(WindowUsage(700, 0, 600), False)}))
    older = LeaseStore(Budget(), birth="b", born_at=START - 100.0)
    older.budget.put(KEY, WindowUsage(500, 0, 400))
    side.store = older
    side.sync(START + 4.0)
    assert older.budget.usage(KEY).used < 700
    side.sync(START + 4.1)
    assert older.budget.usage(KEY).used >= 700


wanted = st.tuples(
    st.floats(0.0, 40.0),
    st.sampled_from((1, 5, 40)),
    st.sampled_from(Purpose),
    st.booleans(),
    st.sampled_from(("a", "b", None)),
    st.sampled_from((DEFAULT_WINDOWS, (*DEFAULT_WINDOWS,), DEFAULT_WINDOWS[:1])),
    st.sampled_from((1.0, 1.5, 14.0)),
)


@pytest.mark.no_cover
@given(st.lists(st.tuples(wanted, st.booleans()), min_size=1, max_size=30))
def test_what_is_kept_of_a_demand_is_what_would_be_made_anew(
    steps: list[tuple[tuple[float, int, Purpose, bool, str | None, tuple[Window, ...], float], bool]],
) -> None:
    kept, anew = (ProcessLeases("a", RATIOS) for _ in range(2))
    stores = [LeaseStore(Budget(), birth="b", born_at=START - 100.0) for _ in range(2)]
    now, guard_seconds = START + 2.0, 1.0
    for (passed, weight, purpose, refundable, client, windows, guard), syncs in steps:
        now += passed / 4
        guard_seconds = max(guard, guard_seconds)  # a frame for a larger one holds for a smaller one too
        anew._spendings.count_clients()
        anew._spendings.made, anew._spendings.frame = {}, None
        for leases, store in zip((kept, anew), stores, strict=True):
            leases.may_hold = True
            leases.frame(now, windows, guard_seconds)
            if syncs or leases.is_urgent:
                call = leases.call(now, replicas=1, floors={})
                leases.answered(call, store.call(call))
        demand = demand_of(weight, purpose, refundable, client)
        one, other = (leases.spend(now, demand, windows, guard_seconds) for leases in (kept, anew))
        if one is None:
            for leases in (kept, anew):
                leases.demand(weight, now)
        assert one == other
        assert kept.is_urgent == anew.is_urgent
        assert kept.call(now, replicas=1, floors={}) == anew.call(now, replicas=1, floors={})
