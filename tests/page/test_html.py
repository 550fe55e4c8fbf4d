"""The page as HTML: every figure of /status stands in it, whatever a client calls itself stays text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from proxy.page import words
from proxy.page.html import render
from tests.gateway.harness import INFO, stage

EVIL = "<img src=x onerror=alert(1)>\"'&"


class Read(HTMLParser):
    """The elements of a page, each with its attributes, and the text beside them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._templates = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._templates += tag == "template"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._templates -= tag == "template"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._templates else data

    def values(self, field: str) -> list[str | None]:
        return [attributes.get("value") for _, attributes in self.elements if attributes.get("data-field") == field]


async def told(**headers: str) -> dict[str, Any]:
    """The status of a gateway that was asked something."""
    async with stage() as on:
        await on.ask(INFO, **headers)
        status: dict[str, Any] = (await on.ask("/status")).json
        return status


async def test_all_figures_stand_in_the_page() -> None:
    status = await told(X_Sidecar_Client="grid-bot")
    page = Read(render(status))
    for name in ("used", "budget", "limit", "reset"):
        assert page.values(name)[1:] == [str(window[name]) for window in status["windows"]]  # the first is the template
    assert "spot REQUEST_WEIGHT 1m" in page.text
    assert "spot RAW_REQUESTS 5m" in page.text
    assert "5,400" in page.text
    for name in ("clients", "endpoints", "documents", "upstreams"):
        for item in status[name]:
            for field, value in item.items():
                assert (value is None or isinstance(value, bool)) or str(value).removesuffix(".0") in map(
                    str, page.values(field)
                )
    for path in ("traffic.weight_saved", "traffic.weight_spent", "redis.replicas", "document.symbols"):
        assert page.values(path) == [str(words.found(status, path))]


async def test_what_a_client_calls_itself_stays_text() -> None:
    status = await told(X_Sidecar_Client=EVIL)
    page = Read(render(status))
    assert status["clients"][0]["client"] == EVIL
    assert EVIL in page.text
    assert "img" not in {name for name, _ in page.elements}


def everywhere(value: Any) -> Any:
    """The same figures with a hostile text in the place of every text."""
    match value:
        case dict():
            return {key: inner if key == "reason" else everywhere(inner) for key, inner in value.items()}
        case list():
            return [everywhere(inner) for inner in value]
        case str():
            return EVIL
        case _:
            return value


async def test_every_text_of_the_status_is_escaped() -> None:
    status = await told()
    status["events"] = [{"at": 1.0, "event": "banned", "text": "x"}]
    page = Read(render(everywhere(status)))
    assert "img" not in {name for name, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


async def test_nothing_inside_the_page_needs_a_weaker_policy() -> None:
    page = Read(render(await told()))
    for name, attributes in page.elements:
        assert "style" not in attributes
        assert name != "style"
        if name in ("script", "link"):
            assert attributes.get("src") or attributes.get("href")
    loaded = [attributes.get("src") or attributes.get("href") for _, attributes in page.elements]
    assert {link for link in loaded if link} == {"page.css", "page.js", "page.svg", "status", "metrics", "readyz"}


async def test_each_element_that_opens_closes() -> None:
    page = render(await told())
    opened = [name for name in re.findall(r"<([a-z0-9]+)", page) if name not in ("meta", "link")]
    assert sorted(opened) == sorted(re.findall(r"</([a-z0-9]+)>", page))


@pytest.mark.parametrize(
    ("how", "value", "shown"),
    [
        ("number", 17_823_456, "17,823,456"),
        ("number", 0.25, "0.25"),
        ("number", 12.0, "12"),
        ("number", None, "-"),
        ("number", True, "-"),
        ("duration", 0.4, "0 s"),
        ("duration", 59.9, "59 s"),
        ("duration", 60, "1 min 0 s"),
        ("duration", 7265, "2 h 1 min"),
        ("duration", 3 * 86_400, "3 d 0 h"),
        ("duration", -5, "0 s"),
        ("left", 130.0, "30 s"),
        ("left", None, "-"),
        ("ago", 70.0, "30 s ago"),
        ("moment", 1_800_000_000.9, "2027-01-15 08:00:00 UTC"),
        ("moment", 1e20, "-"),
        ("moment", None, "-"),
        ("window", "REQUEST_WEIGHT:1m", "REQUEST_WEIGHT 1m"),
        ("yes", True, "yes"),
        ("yes", False, "no"),
        ("yes", None, "-"),
        ("level", {"used": 79, "budget": 100}, "low"),
        ("level", {"used": 80, "budget": 100}, "near the limit"),
        ("level", {"used": 100, "budget": 100}, "used up"),
    ],
)
def test_a_figure_is_written_for_people(how: str, value: Any, shown: str) -> None:
    assert words.WRITERS[how](value, 100.0) == shown
