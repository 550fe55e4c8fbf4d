"""The hits of one turn of the event loop: what is looked up once for them, and what makes the gateway look again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from proxy.server import turn as turns
from proxy.server.fast_path import FastPathProtocol
from proxy.server.fast_path_table import FastPathTable
from proxy.server.remembered import RememberedResponse
from proxy.server.turn import LONE_HITS, MAX_HITS, Turn
from tests.gateway.harness import Stage, stage
from tests.server.raw import Raw, fast_answers, get, raw
from tests.server.test_fast_path_table import NOON, Table, Tally, entry, reply
from tests.server.twins import until

CLIENTS = 5
ASKED = b"GET /"


def push(table: Table, seconds: float) -> None:
    table.clock.now += seconds


@dataclass(slots=True)
class Loop:
    """Turns when it is told to."""

    now: float = 0.0
    due: list[Callable[[], None]] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.due.append(callback)

    def turn(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


@dataclass(slots=True)
class Turning:
    """A turn, with all around it to be changed by hand."""

    table: Table = field(default_factory=Table)
    loop: Loop = field(default_factory=Loop)
    turn: Turn = field(init=False)
    hit: RememberedResponse = field(init=False)

    def __post_init__(self) -> None:
        push(self.table, 0.25)
        self.table.learn(ASKED, reply(entry(b"{}", stored_at=NOON - 0.5)))
        self.hit = self.table.found(ASKED)
        self.turn = Turn(self.table.fast_path)

    def answers(self) -> bool:
        """Whether one more hit is answered without another look at the connection."""
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        is_right = self.hit is self.turn.present or self.turn.is_right(self.hit, loop)
        self.hit.tally.count += is_right
        return is_right


CHANGES: dict[str, Callable[[Table], Any]] = {
    "drains": lambda table: setattr(table.life_cycle, "draining", True),
    "used weight": lambda table: table.usage.spend(1),
    "next second": lambda table: push(table, 1.0),
    "next minute": lambda table: push(table, 61.0),
    "another document": lambda table: setattr(table.entries, "documents", 1),
    "another entry": lambda table: table.entries.replace(entry()),
    "origin's clock": lambda table: setattr(table.clock, "offset_seconds", 0.5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("restarts", [False, True])
def test_every_change_is_seen_in_the_next_turn(change: Callable[[Table], Any], restarts: bool) -> None:
    on = Turning()
    assert on.answers()
    assert on.answers()
    change(on.table)
    if restarts:
        on.turn.restart()
    else:
        on.loop.turn()
    assert not on.answers()


def test_all_is_looked_up_once_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, is_present = [0], FastPathTable.is_present

    def counting(table: FastPathTable, hit: RememberedResponse, now: float) -> bool:
        looks[0] += 1
        return is_present(table, hit, now)

    monkeypatch.setattr(FastPathTable, "is_present", counting)
    on = Turning()
    looks[0] = 0
    for _ in range(2):
        assert all(on.answers() for _ in range(10))
        on.loop.turn()
    assert looks == [2]


def test_a_turn_without_an_end_is_looked_at_again() -> None:
    on = Turning()
    assert all(on.answers() for _ in range(2 * MAX_HITS))
    assert on.turn.last_count <= on.hit.tally.count + MAX_HITS
    for number in range(MAX_HITS):
        request = b"%d" % number
        on.table.learn(request, reply(entry(b"{}", stored_at=NOON - 0.5)))
        on.hit = on.table.found(request)
        on.answers()
    assert len(on.loop.due) == 2, "looked up anew after so many responses"


def test_a_hit_that_is_alone_asks_for_no_end_of_its_turn_but_now_and_then() -> None:
    on, ends = Turning(), 0
    for _ in range(3 * (LONE_HITS + 1)):
        assert on.answers()
        ends += len(on.loop.due)
        on.loop.turn()
    assert ends == 3
    on.table.usage.spend(1)
    assert not on.answers()


def test_hits_that_come_together_are_not_taken_for_lone_ones() -> None:
    on = Turning()
    for _ in range(5):
        assert on.answers()
        assert on.answers()
        assert len(on.loop.due) == 1
        on.loop.turn()


def test_hits_with_other_labels_come_together_too() -> None:
    on = Turning()
    one, other = on.hit, b"GET /other"
    on.table.tally = Tally()
    on.table.learn(other, reply(entry(b"{}", stored_at=NOON - 0.5)))
    for _ in range(5):
        for hit in (one, on.table.found(other)):
            on.hit = hit
            assert on.answers()
        assert len(on.loop.due) == 1
        on.loop.turn()


@dataclass(slots=True)
class Crowd:
    """Clients whose connections have answered hits."""

    on: Stage
    clients: list[Raw]
    connections: list[FastPathProtocol]


def is_ready(connection: FastPathProtocol) -> bool:
    return connection._write is not None


def has_begun(turn: Turn) -> bool:
    return turn.present is not None


@asynccontextmanager
async def crowd(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    made, connection_made = [], FastPathProtocol.connection_made

    def making(connection: FastPathProtocol, transport: asyncio.BaseTransport) -> None:
        made.append(connection)
        connection_made(connection, transport)

    monkeypatch.setattr(FastPathProtocol, "connection_made", making)
    monkeypatch.setattr(turns, "LONE_HITS", 0)
    async with stage() as on, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw(on.app)) for _ in range(CLIENTS)]
        on.clock.push(0.25)
        for client in clients[:1] * 2 + clients:
            await client.ask(get())
        on.clock.push(0.25)
        await clients[0].ask(get())  # its bytes are made for the rest of this second
        await until(lambda: len(made) == CLIENTS)
        yield Crowd(on, clients, made)


async def test_clients_that_ask_in_one_turn_get_what_each_gets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, is_right = [], Turn.is_right

    def counting(*arguments: Any) -> bool:
        looks.append(1)
        return is_right(*arguments)

    monkeypatch.setattr(Turn, "is_right", counting)
    async with crowd(monkeypatch) as them:
        alone, before = await them.clients[0].ask(get()), fast_answers(them.on.app)
        looks.clear()
        for client in them.clients:
            client.writer.write(get())  # to the kernel: the gateway reads all in its next turn
        assert [await client.answer() for client in them.clients] == [alone] * CLIENTS
        assert fast_answers(them.on.app) == before + CLIENTS
        assert len(looks) == 1


@pytest.mark.parametrize("way", ["close", "force_close", "disconnect", "pause_writing"])
async def test_a_connection_to_which_something_happens_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with crowd(monkeypatch) as them:
        connection, before = them.connections[0], fast_answers(them.on.app)
        assert is_ready(connection)
        getattr(connection, way)()
        connection.data_received(get())
        assert fast_answers(them.on.app) == before


async def test_a_connection_of_a_gateway_that_stops_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd(monkeypatch) as them:
        connection, before = them.connections[0], fast_answers(them.on.app)
        stopping = asyncio.ensure_future(connection.shutdown(0.01))
        await asyncio.sleep(0)
        connection.data_received(get())
        await stopping
        assert fast_answers(them.on.app) == before


async def test_a_request_that_is_no_hit_makes_the_next_hit_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd(monkeypatch) as them:
        one, other = them.connections[:2]
        one.data_received(get())
        assert has_begun(one._turn)
        other.data_received(get("/livez"))
        assert not has_begun(one._turn)
        assert not is_ready(other)
        one.data_received(get())
        one.answered()
        assert not has_begun(one._turn)


async def test_a_hit_moves_the_end_of_an_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd(monkeypatch) as them:
        connection = them.connections[0]
        connection._next_keepalive_close_time = 0.0
        connection.data_received(get())
        assert connection._next_keepalive_close_time >= asyncio.get_running_loop().time() + 100
