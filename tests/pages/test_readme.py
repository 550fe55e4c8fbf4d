"""README: short, and its picture of a request's way names every outcome, status and word of Cache-Status."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import proxy.server.refusals  # noqa: F401 - its errors belong to the tree
from proxy.core.endpoints.catalogue import ENDPOINTS
from proxy.core.reply import CACHE_NAME, Outcome, cache_status
from proxy.errors import RedisAway, SendingRefused, SidecarError, UpstreamFailed
from tests.pages.markdown import ROOT, blocks, rows, section, words

README = (ROOT / "README.md").read_text()
MOST_LINES = 180
_END = re.compile(r"► (?P<outcome>\S+) +(?P<statuses>\d{3}(?:, \d{3})*) +(?P<status>\S.*)$", re.MULTILINE)
_DETAILS = re.compile(r"^ detail of (\w+): +(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class End:
    """One way in which a request ends, as the picture shows it."""

    outcome: Outcome
    statuses: frozenset[int]
    cache_status: str

    @property
    def detail(self) -> str | None:
        found = re.search(r"detail=(\S+)", self.cache_status)
        return found[1] if found else None

    @property
    def ttl_seconds(self) -> int:
        found = re.search(r"ttl=(-?\d+)", self.cache_status)
        return int(found[1]) if found else 0


(PICTURE,) = blocks(section(README, "The way of a request"))


def ends() -> list[End]:
    """Every end in the picture. ValueError for an outcome that does not exist."""
    return [
        End(Outcome(found["outcome"]), frozenset(map(int, found["statuses"].split(", "))), found["status"])
        for found in _END.finditer(PICTURE)
    ]


def errors(kind: type[SidecarError] = SidecarError) -> Iterator[type[SidecarError]]:
    """The errors that a client can see: the leaves of the tree, and the one for what nobody expects."""
    if not kind.__subclasses__() or kind is SidecarError:
        yield kind
    for narrower in kind.__subclasses__():
        if narrower is not RedisAway:
            yield from errors(narrower)


def outcome_of(error: type[SidecarError]) -> Outcome:
    if issubclass(error, SendingRefused):
        return Outcome.REFUSED
    is_failure = issubclass(error, UpstreamFailed) or error is SidecarError
    return Outcome.FAILED if is_failure else Outcome.REJECTED


REASONS = {
    outcome: {error.reason for error in errors() if outcome_of(error) is outcome}
    for outcome in (Outcome.REJECTED, Outcome.REFUSED, Outcome.FAILED)
}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_the_picture_shows_every_outcome() -> None:
    assert len(ends()) == PICTURE.count("►")
    assert {end.outcome for end in ends()} == set(Outcome)


def test_the_picture_writes_cache_status_as_the_code_does() -> None:
    for end in ends():
        detail = None if end.outcome is Outcome.SNAPSHOT else end.detail
        shown = cache_status(end.outcome, ttl_seconds=end.ttl_seconds, detail=detail)
        assert f"{CACHE_NAME}; {end.cache_status}" == shown


def test_the_picture_names_every_detail() -> None:
    named = {Outcome(outcome): set(details.split(", ")) for outcome, details in _DETAILS.findall(PICTURE)}
    assert named == REASONS
    for end in ends():
        if end.outcome is Outcome.STALE_IF_ERROR:
            assert end.detail in REASONS[Outcome.REFUSED] | REASONS[Outcome.FAILED]
        elif end.outcome in REASONS:
            assert end.detail in REASONS[end.outcome]


def test_the_picture_names_the_status_of_every_error() -> None:
    for outcome in REASONS:
        (shown,) = (end.statuses for end in ends() if end.outcome is outcome)
        assert shown == {error.status for error in errors() if outcome_of(error) is outcome}


def test_the_table_of_endpoints_is_that_of_the_code() -> None:
    table = rows(section(README, "Endpoints"))
    served = {words(path)[0].removeprefix("GET "): weight for path, _, weight in table if weight}
    assert set(served) == set(ENDPOINTS)
    for path, endpoint in ENDPOINTS.items():
        assert str(endpoint.weight.dearest) in re.findall(r"\d+", served[path]), path


def test_the_client_lines_are_those_of_the_page_about_clients() -> None:
    page = "\n".join(blocks((ROOT / "deploy" / "CLIENTS.md").read_text()))
    (lines,) = blocks(section(README, "Clients"))
    for line in lines.splitlines():
        assert line.partition("  #")[0] in page
