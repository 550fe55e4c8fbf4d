"""What may be sent on without waiting: how the bytes of a request are known again, and what is done with it.

Owns: which requests and kinds of requests are remembered: none with a key. Must not know: connections, how an answer
is got.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from proxy.core.messages import ClientRequest
from proxy.ports import Asker
from proxy.server.answer_heads import AnswerHeads
from proxy.server.api import Headers, TrafficObserver
from proxy.server.cors import is_public
from proxy.server.fast_path_table import LifeCycle
from proxy.server.heads import Asked, Heads
from proxy.server.peers import Peers
from proxy.server.template import Template

_SHORT_BYTES = 1 << 10
_MAX_KNOWN = 1024
_MAX_KINDS = 4
"""Of requests of accounts, that a connection remembers."""


class Prepared(Protocol):
    """A request that can be sent, for any client."""

    @property
    def may_be_repeated(self) -> bool:
        """Whether it may be remembered, and sent again for whoever sends the same bytes."""

    def begin(self, client: str, asker: Asker) -> bool:
        """Whether the request is under way, or refused; `asker` gets the reply, at once or later. False: neither."""


class OfAccounts(Protocol):
    """What requests of accounts have in common that differ in target, key and body alone."""

    def prepare(self, target: bytes, api_key: bytes, body: bytes) -> Prepared:
        """One of them, ready to be sent."""


class Direct(Protocol):
    """Sends requests on without waiting."""

    def find(self, method: str, path: str) -> Any:
        """Where requests with this method and path go; None: not this way."""

    def prepare(self, place: Any, request: ClientRequest) -> Prepared | None:
        """The request, ready to be sent; None: it goes another way. `place`: what was found."""

    def of_accounts(self, place: Any, request: ClientRequest) -> OfAccounts | None:
        """What requests like this one have in common, if all of them are of accounts; None: each is prepared alone."""


class Course(Struct, frozen=True, eq=False):
    """What the answers to requests with the same head, method and path have in common."""

    claimed: str
    """The name that the client gives itself."""
    path: str
    is_public: bool
    """Whether pages of other sites may read the answer."""


class Kind(Struct, frozen=True, eq=False):
    """What the requests with the same head, method and path have in common themselves."""

    course: Course
    method: str
    place: Any
    of_accounts: OfAccounts | None
    template: Template


NOWHERE = Course("", "", is_public=False)
"""Of a connection on which nothing was sent on."""


class ForwardPathTable:
    """What all connections share."""

    def __init__(
        self,
        direct: Direct,
        *,
        headers: Headers,
        peers: Peers,
        observer: TrafficObserver,
        life_cycle: LifeCycle,
    ) -> None:
        self.heads = Heads()
        self.known: dict[bytes, tuple[Course, Prepared]] = {}
        """Requests that are asked again and again; none with a key."""
        self.peers = peers
        self.direct = direct
        self.life_cycle = life_cycle
        self.answer_heads = AnswerHeads(headers)
        self.observer = observer

    def read(self, data: bytes, kinds: list[Kind]) -> tuple[Course, Prepared] | None:
        """The request with these bytes; None: it goes another way.

        `kinds`: those of the requests of accounts that came last on this connection.
        """
        for known in kinds:
            parts = known.template.read(data)
            if parts is not None:
                assert known.of_accounts is not None
                return known.course, known.of_accounts.prepare(*parts)
        asked = self.heads.asked(data)
        if asked is None:
            return None
        kind = asked.head.kinds.get(asked.start) or self._kind(asked, data)
        if kind is None:
            return None
        of_accounts = kind.of_accounts
        if of_accounts is None:
            return self._read_alone(data, asked, kind)
        kinds.insert(0, kind)
        del kinds[_MAX_KINDS:]
        target = asked.line[kind.template.target_at :]
        return kind.course, of_accounts.prepare(target, asked.api_key.encode("ascii"), asked.body)

    def _kind(self, asked: Asked, data: bytes) -> Kind | None:
        place = asked.place()
        if place is None:
            return None
        method, path = place
        found = self.direct.find(method, path)
        if found is None:
            return None
        course = Course(asked.head.claimed, path, is_public(path))
        of_accounts = self.direct.of_accounts(found, asked.request(method, path))
        kind = Kind(course, method, found, of_accounts, asked.template(data, method))
        asked.head.keep(asked.start, kind)
        return kind

    def _read_alone(self, data: bytes, asked: Asked, kind: Kind) -> tuple[Course, Prepared] | None:
        course = kind.course
        prepared = self.direct.prepare(kind.place, asked.request(kind.method, course.path))
        if prepared is None:
            return None
        if prepared.may_be_repeated and not asked.api_key and len(data) <= _SHORT_BYTES:
            if len(self.known) >= _MAX_KNOWN:
                del self.known[next(iter(self.known))]
            self.known[data] = course, prepared
        return course, prepared
