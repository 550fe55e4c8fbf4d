"""One client's share of the budget: when it counts, and how clients are told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quota.budget import Budget, Reservation
from proxy.core.quota.charges import cost_of
from proxy.core.quota.client_share import (
    MAX_CLIENTS,
    OTHER,
    Address,
    Clients,
    ClientShare,
    ClientUsage,
    Limit,
    exceeded_limit,
    share_of,
)
from proxy.core.quota.refusal import Refused
from proxy.core.quota.windows import RateLimitKind, Window

T = 1_785_024_000
WINDOWS = (Window(RateLimitKind.REQUEST_WEIGHT, 60, 100),)


def ask(budget: Budget, client: str | None, weight: int = 10, now: float = T + 30) -> Reservation | Refused:
    outcome = budget.reserve(now, cost_of(weight), WINDOWS, ratio=1.0, client_share=share_of(client, 0.2))
    assert isinstance(outcome, Reservation | Refused)
    return outcome


@pytest.mark.parametrize(
    ("used", "client_used", "weight", "way"),
    [
        (0, 0, 50, None),
        (0, 0, 51, Limit.CLIENT_SHARE),
        (40, 40, 10, None),
        (41, 41, 10, Limit.CLIENT_SHARE),
        (60, 0, 20, None),
        (60, 0, 21, Limit.CLIENT_SHARE),
        (60, 10, 10, None),
        (60, 11, 10, Limit.CLIENT_SHARE),
        (90, 0, 10, None),
        (91, 0, 10, Limit.BUDGET),
        (91, 50, 10, Limit.BUDGET),
    ],
)
def test_the_second_half_is_shared(used: int, client_used: int, weight: int, way: Limit | None) -> None:
    named, address = (ClientShare("client:x", 0.2, is_named) for is_named in (True, False))
    for share, others in ((named, 0), (named, 1), (address, 1)):
        usage = ClientUsage(client_used, others)
        assert exceeded_limit(weight, 100, used=used, client_usage=usage, client_share=share) is way
    alone = exceeded_limit(weight, 100, used=used, client_usage=ClientUsage(client_used), client_share=address)
    assert alone is (Limit.BUDGET if way is Limit.BUDGET else None)


def test_nobodys_requests_have_no_share_to_pass() -> None:
    assert share_of(None, 0.2) is None
    assert share_of("", 0.2) is None
    assert exceeded_limit(10, 100, used=90, client_usage=ClientUsage(90, 3), client_share=None) is None


def test_a_client_is_a_short_harmless_word_whatever_it_calls_itself() -> None:
    names = ["bot", "a" * 64, "\udcff\udc00", "x y\"'\\{}", "10.0.0.1", "other", "client:other", "used"]
    shares = [share_of(name, 0.2) for name in names]
    fields = {client_share.field for client_share in shares if client_share is not None}

    assert len(fields) == len(names)
    assert all(field.startswith("client:") and field[7:].isalnum() and len(field) == 23 for field in fields)
    assert OTHER not in fields


@pytest.mark.parametrize(("budget", "ratio", "most"), [(5400, 0.25, 1350), (100, 0.29, 29), (7, 0.5, 3), (9, 1.0, 9)])
def test_the_share_is_rounded_down(budget: int, ratio: float, most: int) -> None:
    assert ClientShare("client:x", ratio).of(budget) == most


def test_one_client_takes_half_and_the_others_the_rest() -> None:
    budget = Budget()
    greedy = [ask(budget, "greedy") for _ in range(9)]
    modest = [ask(budget, "modest") for _ in range(3)]

    assert greedy[5:] == [Refused(WINDOWS[0], T + 61, Limit.CLIENT_SHARE)] * 4
    assert isinstance(greedy[4], Reservation)
    assert [isinstance(outcome, Reservation) for outcome in modest] == [True, True, False]
    assert isinstance(ask(budget, None, 30), Reservation)
    assert ask(budget, "third") == Refused(WINDOWS[0], T + 61, Limit.BUDGET)


def test_an_address_alone_has_the_whole_budget() -> None:
    budget = Budget()
    alone = [ask(budget, Address("10.0.0.1")) for _ in range(11)]

    assert [isinstance(outcome, Reservation) for outcome in alone] == [True] * 10 + [False]
    assert alone[-1] == Refused(WINDOWS[0], T + 61, Limit.BUDGET)


@pytest.mark.parametrize("other", ["bot", Address("10.0.0.2")])
def test_an_address_has_a_share_from_when_another_client_was_charged(other: str) -> None:
    budget = Budget()
    for _ in range(7):
        assert isinstance(ask(budget, Address("10.0.0.1")), Reservation)
    ask(budget, None)
    assert isinstance(ask(budget, Address("10.0.0.1"), 1), Reservation)
    assert isinstance(ask(budget, other, 1), Reservation)

    assert ask(budget, Address("10.0.0.1"), 1) == Refused(WINDOWS[0], T + 61, Limit.CLIENT_SHARE)
    assert isinstance(ask(budget, other), Reservation)
    assert isinstance(ask(budget, Address("10.0.0.1"), now=T + 61), Reservation)


def test_a_client_that_was_refused_holds_no_address_to_its_share() -> None:
    budget = Budget()
    ask(budget, Address("10.0.0.1"), 90)
    assert ask(budget, "bot", 20) == Refused(WINDOWS[0], T + 61, Limit.BUDGET)

    assert isinstance(ask(budget, Address("10.0.0.1"), 10), Reservation)


def test_each_window_has_its_own_shares() -> None:
    budget = Budget()
    for _ in range(5):
        ask(budget, "greedy")

    assert isinstance(ask(budget, "greedy"), Refused)
    assert isinstance(ask(budget, "greedy", now=T + 61), Reservation)


def test_a_refusal_is_not_counted_for_the_client() -> None:
    budget = Budget()
    ask(budget, "greedy", 50)
    ask(budget, "greedy", 40)
    client_share = share_of("greedy", 0.2)
    (charge,) = reserved.charges if isinstance(reserved := ask(budget, "modest"), Reservation) else ()

    assert budget.client_usage(charge.window_key, client_share).used == 50


def test_the_clients_of_an_expired_counter_are_forgotten() -> None:
    budget = Budget()
    reserved = ask(budget, "bot")
    assert isinstance(reserved, Reservation)
    ask(budget, "bot", now=T + 1000)

    assert budget.client_usage(reserved.charges[0].window_key, share_of("bot", 0.2)).used == 0
    assert not budget.keeps(reserved.charges[0].window_key)


def test_clients_beyond_the_most_count_as_one() -> None:
    clients = Clients()
    for number in range(MAX_CLIENTS):
        clients.add(f"client:{number}", 1)
    clients.add("client:late", 5)
    clients.add("client:later", 7)
    clients.add("client:0", 1)

    assert [clients.charged(f"client:{name}").used for name in ("late", "new", "other", "0")] == [12, 12, 12, 2]
    assert clients.confirmed("client:late").used == 0


def test_what_the_others_know_of_a_client_is_adopted_while_there_is_room() -> None:
    clients = Clients()
    clients.add("client:0", 5)
    clients.adopt("client:0", 3)
    clients.adopt("client:1", 7)
    for number in range(2, MAX_CLIENTS):
        clients.adopt(f"client:{number}", 1)
    clients.adopt("client:late", 9)

    assert [clients.confirmed(f"client:{name}").used for name in ("0", "1", "late")] == [5, 7, 0]
    assert clients.charged("client:late").used == 0


def test_the_others_are_those_known_here_or_counted_by_all_replicas() -> None:
    clients = Clients()
    assert clients.confirmed("client:a").others == 0
    clients.adopt_count(1)  # it may be this client
    clients.add("client:a", 5)
    assert clients.confirmed("client:a").others == 0
    assert clients.confirmed("client:b").others == 1
    clients.adopt_count(3)
    clients.adopt_count(2)
    assert clients.charged("client:a").others == 2
    clients.adopt("client:b", 0)  # it was refused
    assert clients.charged("client:a").others == 2


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 30)), max_size=60))
def test_no_client_ever_has_more_than_half_and_the_budget_holds(plan: list[tuple[str, int]]) -> None:
    budget, spent = Budget(), dict.fromkeys("abcde", 0)
    for client, weight in plan:
        if isinstance(ask(budget, client, weight), Reservation):
            spent[client] += weight
        else:
            # Others still get through: somebody who has taken nothing may have a share, while there is budget.
            assert sum(spent.values()) + weight > 50
    assert sum(spent.values()) <= 100
    assert all(client_used <= 50 for client_used in spent.values())
