"""The bounds of a listener, by a clock that is pushed: what is closed, in which order, and what is told of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from proxy.server.bounds import SWEEP_CONNECTIONS, Bound, Bounds, Closing, Connections, Slot
from proxy.server.build import RESERVED_DESCRIPTORS, connections_for
from tests.events import capture_logs

HEAD_SECONDS = 15.0


@dataclass(slots=True)
class Client:
    """A connection as the bounds see it."""

    room: Room
    asked: int = 0
    is_busy: bool = False
    idle_since: float = 0.0
    is_open: bool = True
    slot: Slot | None = None

    def disconnect(self) -> None:
        self.is_open = False

    def ask(self) -> None:
        """A whole request comes and is answered."""
        self.asked += 1
        self.idle_since = self.room.now

    def drip(self) -> None:
        """A part of a head comes."""
        assert self.slot is not None
        self.room.connections.begin_head(self.slot)


@dataclass(slots=True)
class Room:
    """A listener's connections, and what was counted."""

    bounds: Bounds
    now: float = 1000.0
    counted: Counter[Closing | Bound] = field(default_factory=Counter)
    connections: Connections = field(init=False)

    def __post_init__(self) -> None:
        self.connections = Connections(self.bounds, now=lambda: self.now, observer=self)

    def connection_closed(self, why: Closing) -> None:
        self.counted[why] += 1

    def bound_reached(self, bound: Bound) -> None:
        self.counted[bound] += 1

    def come(self, peer: str = "10.0.0.1") -> Client:
        """Somebody connects."""
        client = Client(self, idle_since=self.now)
        client.slot = self.connections.enter(client, peer)
        client.is_open = client.slot is not None
        return client

    def idle(self, peer: str = "10.0.0.1") -> Client:
        """Somebody connects, asks, and has the answer."""
        client = self.come(peer)
        client.ask()
        return client

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        while self.connections.sweep():
            pass


def room(**bounds: int | float) -> Room:
    return Room(Bounds(**({"head_seconds": HEAD_SECONDS} | bounds)))  # type: ignore[arg-type]


def open_now(*clients: Client) -> list[bool]:
    return [client.is_open for client in clients]


# --- The deadline of a head.


def test_a_connection_that_sends_nothing_is_closed_at_the_deadline_and_not_before() -> None:
    on = room()
    silent = on.come()
    on.pass_time(HEAD_SECONDS - 0.1)
    assert open_now(silent) == [True]
    on.pass_time(0.1)
    assert open_now(silent) == [False]
    assert on.connections.count == 0
    assert on.counted == {Closing.HEAD: 1}


def test_a_head_that_drips_gets_no_more_time() -> None:
    on = room()
    dripping = on.come()
    for _ in range(15):
        on.pass_time(1.0)
        if dripping.is_open:
            dripping.drip()
    assert not dripping.is_open


def test_whoever_has_asked_once_may_be_idle() -> None:
    on = room()
    bot = on.idle()
    on.pass_time(10 * HEAD_SECONDS)
    assert bot.is_open


def test_on_a_kept_connection_the_deadline_runs_from_the_first_byte_of_the_head() -> None:
    on = room()
    bot = on.idle()
    on.pass_time(100)
    bot.drip()
    on.pass_time(HEAD_SECONDS - 0.1)
    bot.drip()
    assert bot.is_open
    bot.ask()
    on.pass_time(1)
    assert bot.is_open
    bot.drip()
    on.pass_time(HEAD_SECONDS)
    assert not bot.is_open


def test_an_answer_that_is_under_way_comes_first() -> None:
    on = room()
    bot = on.idle()
    bot.is_busy = True
    bot.drip()
    on.pass_time(HEAD_SECONDS)
    bot.is_busy = False
    on.pass_time(HEAD_SECONDS - 0.1)
    assert bot.is_open
    on.pass_time(0.1)
    assert not bot.is_open


def test_each_connection_has_its_own_deadline() -> None:
    on = room()
    clients = []
    for _ in range(20):
        clients.append(on.come())
        on.pass_time(1.0)
    assert [client.is_open for client in clients] == [False] * 6 + [True] * 14


def test_many_that_are_late_together_are_closed_in_parts() -> None:
    on = room()
    late = [on.come() for _ in range(3 * SWEEP_CONNECTIONS - 1)]
    on.now += HEAD_SECONDS
    assert [on.connections.sweep() for _ in range(3)] == [True, True, False]
    assert not any(open_now(*late))


# --- Room for a new connection.


def test_the_connection_that_is_idle_longest_makes_room() -> None:
    on = room(connections=3)
    clients = []
    for _ in range(3):
        clients.append(on.idle())
        on.now += 1
    clients[0].ask()
    new = on.come()
    assert [client.is_open for client in [*clients, new]] == [True, False, True, True]
    assert on.counted == {Closing.IDLE: 1, Bound.CONNECTIONS: 1}


def test_one_that_was_used_meanwhile_goes_after_the_others() -> None:
    on = room(connections=4)
    clients = []
    for _ in range(4):
        clients.append(on.idle())
        on.now += 1
    on.come()
    clients[1].ask()
    on.come()
    assert [client.is_open for client in clients] == [False, True, False, True]


def test_those_that_have_not_asked_go_first_once_they_had_a_second() -> None:
    on = room(connections=3)
    idle = on.idle()
    on.now += 5
    silent, young = on.come(), None
    on.now += 1
    young = on.come()
    assert on.come().is_open
    assert (idle.is_open, silent.is_open, young.is_open) == (True, False, True)
    on.now += 0.3
    assert on.come().is_open
    assert (idle.is_open, young.is_open) == (False, True)


def test_nobody_is_closed_while_an_answer_is_under_way_and_the_new_one_is_refused() -> None:
    on = room(connections=2)
    busy = [on.idle(), on.idle()]
    for client in busy:
        client.is_busy = True
    with capture_logs() as logs:
        refused = on.come()
    assert not refused.is_open
    assert all(client.is_open for client in busy)
    assert on.counted == {Closing.REFUSED: 1, Bound.CONNECTIONS: 1}
    assert [(line["event"], line["setting"], line["refused"]) for line in logs] == [
        ("bound_reached", "SIDECAR_MAX_CONNECTIONS", 1)
    ]


def test_a_connection_that_leaves_makes_room_and_is_counted_once() -> None:
    on = room(connections=1)
    first = on.come()
    assert first.slot is not None
    on.connections.leave(first.slot)
    on.connections.leave(first.slot)
    assert on.connections.count == 0
    assert on.come().is_open
    assert on.counted == {}


def test_where_nobody_can_go_not_all_are_looked_at_for_every_new_one() -> None:
    on = room(connections=1)
    busy = on.idle()
    busy.is_busy = True
    assert not on.come().is_open
    busy.is_busy = False
    assert not on.come().is_open
    on.now += 0.3
    assert on.come().is_open


def test_an_address_makes_room_for_itself() -> None:
    on = room(per_peer=2)
    other = on.idle("10.0.0.2")
    on.now += 1
    mine = [on.idle(), on.idle()]
    on.now += 1
    third = on.come()
    assert [client.is_open for client in [other, *mine, third]] == [True, False, True, True]
    assert on.counted == {Closing.IDLE: 1, Bound.PEER: 1}
    for client in mine:
        client.is_busy = True
    assert not on.come().is_open
    assert on.come("10.0.0.2").is_open


# --- Requests, and what is told.


def test_requests_under_way_have_a_bound() -> None:
    on = room(requests=2)
    assert [on.connections.begin_request() for _ in range(3)] == [True, True, False]
    on.connections.requests -= 1
    assert on.connections.begin_request()
    assert on.counted == {Bound.REQUESTS: 1}


def test_a_bound_writes_one_line_a_minute_with_what_happened_since() -> None:
    on = room(requests=1)
    on.connections.begin_request()
    with capture_logs() as logs:
        for _ in range(90):
            on.connections.begin_request()
            on.pass_time(1.0)
        on.pass_time(100)
        on.pass_time(100)
    assert [line["refused"] for line in logs] == [1, 59, 30]


@pytest.mark.parametrize(
    ("limit", "connections"),
    [(None, None), (1, 1), (64, 32), (256, 128), (1024, 512), (65_536, 65_536 - RESERVED_DESCRIPTORS)],
)
def test_the_descriptor_limit_leaves_descriptors_for_the_rest(limit: int | None, connections: int | None) -> None:
    assert connections_for(limit) == connections
