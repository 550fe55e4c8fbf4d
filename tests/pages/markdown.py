"""Reads the project's pages: sections, tables, code blocks, links, anchors.

Owns: what of Markdown the pages use. Must not know: what any page says.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *```).*?^\1 *$\n?", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Every page of the project; folders whose names begin with a dot are somebody else's."""
    tops = [top for top in ROOT.iterdir() if not top.name.startswith(".")]
    nested = (page for top in tops if top.is_dir() for page in top.rglob("*.md"))
    return sorted([*(top for top in tops if top.suffix == ".md"), *nested])


def prose(page: str) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page)


def section(page: str, heading: str) -> str:
    """What stands below a heading of the second level, up to the next. AssertionError where there is none."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def blocks(page: str) -> list[str]:
    """The contents of the code blocks."""
    return [block.partition("\n")[2].rpartition("```")[0] for block in (found[0] for found in _FENCE.finditer(page))]


def rows(page: str) -> list[list[str]]:
    """The cells of every table row but the heads."""
    lines = prose(page).splitlines()
    body = [
        line
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("|") and not line.startswith(("|---", "|:")) and not following.startswith("|---")
    ]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in body]


def words(cell: str) -> list[str]:
    """What is between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def links(page: str) -> list[str]:
    """The targets of all links and pictures that are not on the web."""
    return [target for target in _LINK.findall(prose(page)) if "://" not in target]


def anchors(page: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found
