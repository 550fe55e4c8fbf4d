"""The right answer to a request: negotiation, parameters, selection, body.

Owns the four endpoints and the bodies kept for repeated selections. Must not know sockets, limits or faults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from tests.simulator import rules, sbe
from tests.simulator.document import Document, Rendered, Symbol, render
from tests.simulator.endpoints import ApiName
from tests.simulator.faults import error_body
from tests.simulator.rules import Refused, Selection
from tests.simulator.sbe import Schema, Template
from tests.simulator.wire import JSON, Answer, Body, Tail

_KEPT = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: when it came (seconds since the epoch), its target as sent, its headers in lower case.

    `host` is the API whose own address was asked; None is the address that serves all of them.
    """

    at: float
    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    target: str = ""
    body: bytes = b""
    raw_headers: tuple[tuple[bytes, bytes], ...] = ()
    host: ApiName | None = None


class Api:
    """Answers from one document, which may be replaced at any time."""

    sbe_switch: sbe.Switch | None = None
    """What is wrong with every binary answer from now on."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._kept: dict[Selection, tuple[Rendered, Tail]] = {}

    @property
    def document(self) -> Document:
        return self._document

    @document.setter
    def document(self, document: Document) -> None:
        self._document = document
        self._kept.clear()

    def answer(self, asked: Asked, pairs: rules.Pairs) -> Answer:
        """The answer without its limits' headers."""
        if asked.path not in (rules.PING, rules.TIME, rules.INFO, rules.EXECUTION_RULES):
            return missing(asked)
        if asked.method not in ("GET", "HEAD"):
            return Answer(405)
        schema = sbe.negotiate(asked.headers.get("accept"), asked.headers.get("x-mbx-sbe"), switch=self.sbe_switch)
        if schema is not None and schema.refusal is not None:
            status, code, text = schema.refusal
            return _refuse(Refused(code, text, status), schema)
        unit = rules.read_time_unit(asked.headers.get("x-mbx-time-unit"))
        if isinstance(unit, Refused):
            return _refuse(unit, schema)
        return self._known(asked.path, pairs, schema, int(asked.at * unit))

    def _known(self, path: str, pairs: rules.Pairs, schema: Schema | None, ticks: int) -> Answer:
        if path in (rules.PING, rules.TIME):
            refused = rules.read_bare(pairs)
            return _refuse(refused, schema) if refused else _bare(path, schema, ticks)
        read = rules.read_info if path == rules.INFO else rules.read_execution_rules
        match read(pairs, self._document):
            case Refused() as refused:
                return _refuse(refused, schema)
            case Selection() as selection:
                return self._selected(path, selection, schema, ticks)
            case other:
                assert_never(other)

    def _selected(self, path: str, selection: Selection, schema: Schema | None, ticks: int) -> Answer:
        if schema is not None:
            template = Template.EXCHANGE_INFO if path == rules.INFO else Template.EXECUTION_RULES
            return _binary(sbe.names(template, schema, [symbol.name for symbol in self._select(selection)]))
        if path == rules.INFO:
            return Answer(200, self._info(selection, ticks))
        return Answer(200, Body(rules.execution_rules_body(self._select(selection))))

    def _select(self, selection: Selection) -> Sequence[Symbol]:
        return rules.select(self._document, selection)

    def _info(self, selection: Selection, ticks: int) -> Body:
        kept = self._kept.get(selection)
        if kept is None:
            rendered = render(self._document, self._select(selection), with_sets=selection.with_sets)
            kept = rendered, Tail(rendered.after)
            if selection.names is None:
                self._keep(selection, kept)
        rendered, tail = kept
        return Body(rendered.before + str(ticks).encode(), tail)

    def _keep(self, selection: Selection, made: tuple[Rendered, Tail]) -> None:
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[selection] = made


def _bare(path: str, schema: Schema | None, ticks: int) -> Answer:
    is_ping = path == rules.PING
    if schema is None:
        return Answer(200, Body(b"{}" if is_ping else b'{"serverTime":%d}' % ticks))
    return _binary(sbe.message(Template.PING, schema) if is_ping else sbe.time(schema, ticks))


def _binary(body: bytes, status: int = 200) -> Answer:
    return Answer(status, Body(body), content_type=sbe.CONTENT_TYPE)


def _refuse(refused: Refused, schema: Schema | None) -> Answer:
    if schema is not None:
        return _binary(sbe.error(schema, refused.code, refused.text), refused.status)
    return Answer(refused.status, Body(error_body(refused.code, refused.text)))


def missing(asked: Asked) -> Answer:
    """404 of a path that the API does not have."""
    if "text/html" in asked.headers.get("accept", ""):
        page = b"<html><body><h2>404 Not found</h2></body></html>"
        return Answer(404, Body(page), content_type="text/html")
    return Answer(404, content_type=JSON)
