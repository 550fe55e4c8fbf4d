"""Requests whose answer is for one client alone: public ones that are never shared, and all with a key.

Owns: `Lone` and `Keyed`, and what their clients get. Must not know: which requests these are.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from proxy.core.query.keyed import KeyedKind, KeyedRequest
from proxy.core.reply import Outcome, forwarded_reply
from proxy.errors import SendingRefused, SidecarError
from proxy.gateway import PassOn, PublicQuery, failed
from proxy.origin.guarded import Origin
from proxy.origin.reading import AcceptedResponse
from proxy.ports import Asker

_BYPASS = Outcome.BYPASS


class Lone(Struct, frozen=True, eq=False):
    """A request for public data whose answer is for its client alone."""

    query: PublicQuery
    origin: Origin
    pass_on: PassOn
    may_be_repeated: ClassVar[bool] = True

    def begin(self, client: str, asker: Asker) -> bool:
        """Send it for this client in this turn of the loop; False: nothing was done, and the gateway must handle it.

        `asker` gets the reply, at once for a refusal, else in a later turn.
        """
        query = self.query
        try:
            return self.origin.begin(query, client=client, taker=Alone(query, self.pass_on, asker))
        except SendingRefused as refused:
            asker.answer(failed(refused, query.endpoint))
            return True


class OfAccounts(Struct, frozen=True, eq=False):
    """What requests of accounts have in common that differ in target, key and body alone."""

    kind: KeyedKind
    origin: Origin

    def prepare(self, target: bytes, api_key: bytes, body: bytes) -> Keyed:
        """One of them, ready to be sent."""
        return Keyed(self.kind.request(target, api_key, body), self.origin)


class Keyed(Struct, eq=False):
    """A request with a key, which is sent once. It takes its own answer."""

    query: KeyedRequest
    origin: Origin
    asker: Asker | None = None
    """Who waits for the answer, once it is sent."""
    may_be_repeated: ClassVar[bool] = False

    def begin(self, client: str, asker: Asker) -> bool:
        """As `Lone.begin`."""
        self.asker = asker
        try:
            return self.origin.begin(self.query, client=client, taker=self)
        except SendingRefused as refused:
            asker.answer(failed(refused, self.query.endpoint))
            return True

    def take(self, answer: AcceptedResponse) -> None:
        """The answer has come."""
        asker = self.asker
        assert asker is not None  # it was sent
        try:
            reply = forwarded_reply(answer.response, _BYPASS, query=self.query, refund=answer.refund)
        except Exception as error:  # as in `Alone`
            self.fail(error)
            return
        asker.answer(reply)

    def fail(self, error: Exception) -> None:
        """None will come."""
        assert self.asker is not None  # it was sent
        fail(self.query, error, self.asker)


class Alone(Struct, eq=False):
    """Takes the answer to one request for public data."""

    query: PublicQuery
    pass_on: PassOn
    asker: Asker

    def take(self, answer: AcceptedResponse) -> None:
        """The answer has come."""
        try:
            reply = self.pass_on(answer.response, _BYPASS, query=self.query)
        except Exception as error:  # a bug of ours: the client waits
            self.fail(error)
            return
        self.asker.answer(reply)

    def fail(self, error: Exception) -> None:
        """None will come."""
        fail(self.query, error, self.asker)


def fail(query: PublicQuery | KeyedRequest, error: Exception, asker: Asker) -> None:
    """Give an error in Binance's format, or tell of a bug of ours."""
    if isinstance(error, SidecarError):
        asker.answer(failed(error, query.endpoint))
    else:
        asker.fail(error)
