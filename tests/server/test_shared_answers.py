"""Clients that ask for the same public data at once: one request is sent, and each of them gets its answer."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from proxy.core import reply
from proxy.core.messages import OriginResponse
from proxy.errors import ClientShareUsedUp, UpstreamFailed
from proxy.origin.flight import Flight
from tests.gateway.harness import Stage, stage
from tests.server.raw import Raw, get, raw
from tests.server.twins import until
from tests.simulator import Fault

KLINES = get("/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=2")
OTHER_KLINES = get("/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=2", "X-Sidecar-Client: bot-7")
PING = get("/api/v3/ping")
OTHER_PING = get("/api/v3/ping", "X-Sidecar-Client: bot-7")
FOLLOWERS = 5

_landed = Flight.landed


@dataclass(slots=True)
class Crowd:
    """Clients that have asked before, so that their connections are known."""

    on: Stage
    clients: list[Raw]
    held: list[tuple[Flight, OriginResponse | UpstreamFailed]] = field(default_factory=list)
    """Answers that have come, and wait until they are released."""

    async def ask(self, *requests: bytes) -> None:
        """All ask; each but the first when the request of the first has its answer, which is held."""
        for number, (client, request) in enumerate(zip(self.clients, requests, strict=True)):
            client.writer.write(request)
            await until(partial(self._has_come, number + 1))

    async def leave(self, number: int) -> None:
        """One client breaks off, and the gateway sees it."""
        room = self.on.app.room
        before, writer = room.count, self.clients[number].writer
        # At once, so that it is not taken for one that has only said all.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await until(lambda: room.count == before - 1)

    def _has_come(self, requests: int) -> bool:
        return bool(self.held) and self.on.app.room.requests == requests

    def release(self) -> None:
        """Let the answers go on."""
        held, self.held = self.held, []
        for flight, outcome in held:
            _landed(flight, outcome)


@asynccontextmanager
async def crowd(monkeypatch: pytest.MonkeyPatch, *known: bytes) -> AsyncIterator[Crowd]:
    """As many clients as requests: each has had the answer to its own."""
    async with stage(forward="all") as on, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw(on.app)) for _ in known]
        for client, request in zip(clients, known, strict=True):
            for _ in range(3):
                await client.ask(request)
        made = Crowd(on, clients)
        monkeypatch.setattr(Flight, "landed", lambda flight, outcome: made.held.append((flight, outcome)))
        yield made


def _outcomes(heads: list[bytes]) -> list[bytes]:
    return [head.partition(b"fwd=")[2].partition(b"\r\n")[0] for head in heads]


@pytest.mark.parametrize("request_bytes", [KLINES, PING], ids=["klines", "ping"])
async def test_one_is_sent_and_all_get_its_answer(monkeypatch: pytest.MonkeyPatch, request_bytes: bytes) -> None:
    requests = (request_bytes,) * (1 + FOLLOWERS)
    async with crowd(monkeypatch, *requests) as many:
        asked = many.on.asked()
        await many.ask(*requests)
        many.release()
        answers = [await client.answer() for client in many.clients]
        assert many.on.asked() == asked + 1
        assert {body for _, body in answers} == {answers[0][1]}
        assert _outcomes([head for head, _ in answers]) == [b"bypass"] + [b"uri-miss; collapsed"] * FOLLOWERS
        assert many.on.app.room.requests == 0
        many.clients[-1].writer.write(request_bytes)
        await until(lambda: bool(many.held))
        many.release()
        head, _ = await many.clients[-1].answer()
        assert _outcomes([head]) == [b"bypass"], "the answer was for those that waited"


async def test_only_the_first_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = (KLINES, OTHER_KLINES, OTHER_KLINES)
    async with crowd(monkeypatch, *requests) as many:
        spent = many.on.metric("client_weight_spent_total", client="bot-7")
        assert spent > 0
        await many.ask(*requests)
        many.release()
        for client in many.clients:
            head, _ = await client.answer()
            assert head.startswith(b"HTTP/1.1 200 ")
        assert many.on.metric("client_weight_spent_total", client="bot-7") == spent


async def test_the_others_get_the_answer_after_the_first_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = (KLINES,) * 3
    async with crowd(monkeypatch, *requests) as many:
        await many.ask(*requests)
        await many.leave(0)
        many.release()
        for client in many.clients[1:]:
            head, _ = await client.answer()
            assert head.startswith(b"HTTP/1.1 200 ")


async def test_one_that_has_left_keeps_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = (KLINES,) * 4
    async with crowd(monkeypatch, *requests) as many:
        await many.ask(*requests)
        await many.leave(1)
        many.release()
        for client in (many.clients[0], *many.clients[2:]):
            head, _ = await client.answer()
            assert head.startswith(b"HTTP/1.1 200 ")
        await until(lambda: many.on.app.room.requests == 0)


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.INTERNAL_500, 500), (Fault.TOO_MANY_429, 429), (Fault.RESET, 502)]
)
async def test_a_failure_is_that_of_all(monkeypatch: pytest.MonkeyPatch, fault: Fault, status: int) -> None:
    requests = (KLINES,) * (1 + FOLLOWERS)
    async with crowd(monkeypatch, *requests) as many:
        many.on.origin.set_fault(fault, retry_after=7 if fault is Fault.TOO_MANY_429 else None)
        await many.ask(*requests)
        many.release()
        for client in many.clients:
            head, body = await client.answer()
            assert head.startswith(b"HTTP/1.1 %d " % status), head
            assert b'"code":' in body
        assert many.on.app.room.requests == 0


@pytest.mark.parametrize(
    ("request_bytes", "other"), [(KLINES, OTHER_KLINES), (PING, OTHER_PING)], ids=["klines", "ping"]
)
async def test_who_follows_one_whose_share_is_used_up_asks_together_with_the_others(
    monkeypatch: pytest.MonkeyPatch, request_bytes: bytes, other: bytes
) -> None:
    """Each for itself, a crowd would spend for each what was one request."""
    requests = (other, *(request_bytes,) * FOLLOWERS, other)
    async with crowd(monkeypatch, *requests) as many:
        await many.ask(*requests)
        asked = many.on.asked()
        monkeypatch.setattr(Flight, "landed", _landed)
        ((flight, _),) = many.held
        flight.gate.leave(flight.demand)
        flight.taker.fail(ClientShareUsedUp("The share of bot-7 is used up.", client="bot-7"))
        heads = [head for head, _ in [await client.answer() for client in many.clients]]
        assert [head[9:12] for head in heads] == [b"429", *(b"200",) * FOLLOWERS, b"429"]
        assert _outcomes(heads[1:-1]) == [b"bypass"] + [b"uri-miss; collapsed"] * (FOLLOWERS - 1)
        assert many.on.asked() == asked + 1
        assert many.on.app.room.requests == 0


async def test_an_answer_that_a_bug_spoils_for_one_reaches_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = (KLINES, OTHER_KLINES, KLINES)
    async with crowd(monkeypatch, *requests) as many:
        await many.ask(*requests)
        begin, seen = reply._forwarded_begin, []

        def broken(*words: Any) -> bytes:
            seen.append(words)
            if len(seen) == 2:
                raise RuntimeError
            return begin(*words)

        monkeypatch.setattr("proxy.core.reply._forwarded_begin", broken)
        many.release()
        heads = [head for head, _ in [await client.answer() for client in many.clients]]
        assert [head[9:12] for head in heads] == [b"200", b"500", b"200"]
