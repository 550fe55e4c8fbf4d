"""Requests for public data that share one answer: equal ones that come while one is under way wait for that one.

Owns: who leads and who follows, and what each of them gets. Must not know: which requests these are, sockets.

The first leads: it is charged and sent. A follower is charged nothing and costs little more than a hit. Whoever comes
by the ordinary way joins through the leader's future (`proxy.cache.singleflight`).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from msgspec import Struct

from proxy.cache.fills import Fills
from proxy.cache.singleflight import give
from proxy.core.reply import Outcome, Reply
from proxy.direct.alone import fail
from proxy.errors import ClientShareUsedUp, SendingRefused
from proxy.gateway import PassOn, PublicQuery, ask_together, failed
from proxy.origin.guarded import Origin
from proxy.origin.reading import AcceptedResponse
from proxy.ports import Asker

_BYPASS, _COLLAPSED = Outcome.BYPASS, Outcome.COLLAPSED


class Shared(Struct, frozen=True, eq=False):
    """A request for public data: equal ones that come while it is under way share its answer."""

    query: PublicQuery
    origin: Origin
    pass_on: PassOn
    fills: Fills
    may_be_kept: bool
    """Whether an answer may be stored at some time."""
    may_be_repeated: ClassVar[bool] = True

    def begin(self, client: str, asker: Asker) -> bool:
        """As `Lone.begin`. If an equal request was sent from here that has no answer yet, wait for that answer."""
        query, flights = self.query, self.fills.flights
        if self.may_be_kept and self.fills.keeps(query):
            return False
        leader = Leader(self, asker)
        if not flights.lead(query.key, leader):
            return self._follows(client, asker)
        try:
            if self.origin.begin(query, client=client, taker=leader):
                return True
        except BaseException as error:
            flights.land(query.key, leader)
            if not isinstance(error, SendingRefused):
                raise
            asker.answer(failed(error, query.endpoint))
            return True
        flights.land(query.key, leader)
        return False

    def _follows(self, client: str, asker: Asker) -> bool:
        leader = self.fills.flights.elsewhere(self.query.key)
        if not isinstance(leader, Leader):
            return False
        leader.followers.append(Follower(self, client, asker))
        return True


class Follower(Struct, eq=False):
    """Waits for the answer to an equal request."""

    shared: Shared
    client: str
    asker: Asker

    def fail(self, error: Exception) -> None:
        """No answer will come. If only the share of the leader's client is used up, ask for this client."""
        shared = self.shared
        if isinstance(error, ClientShareUsedUp) and error.client != self.client:
            shared.origin.start(self._ask())
        else:
            fail(shared.query, error, self.asker)

    async def _ask(self) -> None:
        """Ask as the gateway does: what others ask meanwhile, other followers too, is one request."""
        shared = self.shared
        try:
            reply = await ask_together(shared.query, self.client, shared.origin.ask, shared.fills, shared.pass_on)
        except Exception as error:
            fail(shared.query, error, self.asker)
        else:
            self.asker.answer(reply)


class Leader(Struct, eq=False):
    """Takes the answer to a request that equal ones may have joined meanwhile."""

    shared: Shared
    asker: Asker
    joined: asyncio.Future[Any] | None = None
    """What those wait for that came by the ordinary way."""
    followers: list[Follower] = []
    """Those that came by this way."""

    def take(self, answer: AcceptedResponse) -> None:
        """The answer has come."""
        shared = self.shared
        query = shared.query
        joined = shared.fills.flights.land(query.key, self)
        try:
            if joined is not None:
                give(joined, answer)
            reply = shared.pass_on(answer.response, _BYPASS, query=query)
        except Exception as error:  # as in `Alone`
            fail(query, error, self.asker)
        else:
            self.asker.answer(reply)
        if self.followers:
            self._give(answer)

    def fail(self, error: Exception) -> None:
        """None will come."""
        query = self.shared.query
        joined = self.shared.fills.flights.land(query.key, self)
        if joined is not None:
            give(joined, error)
        fail(query, error, self.asker)
        for follower in self.followers:
            follower.fail(error)

    def _give(self, answer: AcceptedResponse) -> None:
        """Followers with the very same query get the very same reply."""
        made: dict[int, Reply] = {}
        for follower in self.followers:
            shared = follower.shared
            reply = made.get(id(shared))
            if reply is None:
                try:
                    reply = made[id(shared)] = shared.pass_on(answer.response, _COLLAPSED, query=shared.query)
                except Exception as error:  # as in `Alone`
                    follower.fail(error)
                    continue
            follower.asker.answer(reply)
