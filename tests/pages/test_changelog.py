"""CHANGELOG.md: its form, and that it names each default that changed since the last version."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields

from proxy.settings import Settings
from tests.pages.markdown import ROOT, words

PAGE = (ROOT / "CHANGELOG.md").read_text()
RELEASED = json.loads((ROOT / "tests" / "deploy" / "released.json").read_text())
"""The defaults of the last version; a release writes them anew."""
HEADINGS = {"Upgrading", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def upgrading(page: str) -> str:
    """What is under *Upgrading* of what is not released yet; empty where there is nothing."""
    unreleased = page.partition("## [Unreleased]\n")[2].partition("\n## [")[0]
    return unreleased.partition("### Upgrading\n")[2].partition("\n### ")[0]


def unnamed(page: str, before: dict[str, str], now: dict[str, str]) -> set[str]:
    """The settings that were there before, have another default now or none, and are not named."""
    changed = {f"SIDECAR_{name.upper()}" for name, default in before.items() if now.get(name) != default}
    return changed - set(words(upgrading(page)))


def test_upgrading_names_each_setting_whose_default_changed() -> None:
    now = {field.name: str(field.default) for field in fields(Settings)}
    assert unnamed(PAGE, RELEASED["settings"], now) == set()


def test_a_changed_default_that_is_not_named_is_found() -> None:
    page = "## [Unreleased]\n\n### Upgrading\n\n- `SIDECAR_ONE` is 2.\n\n### Added\n\n- `SIDECAR_TWO`\n\n## [0.1.0]\n"
    assert unnamed(page, {"one": "1", "two": "1", "three": "3"}, {"one": "2", "two": "2", "three": "3"}) == {
        "SIDECAR_TWO"
    }


def test_every_version_has_a_day_and_the_newest_is_the_last_one_released() -> None:
    versions = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", PAGE, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert all(day for _, day in versions[1:])
    assert versions[1][0] == RELEASED["version"]
    assert len(versions) == len(re.findall(r"^## ", PAGE, re.MULTILINE))
    assert set(re.findall(r"^### (.+)$", PAGE, re.MULTILINE)) <= HEADINGS


def test_no_change_is_told_twice() -> None:
    """As after a merge that put what is new under a version that is out as well."""
    changes = Counter(re.findall(r"^- .*(?:\n  .*)*", PAGE, re.MULTILINE))
    assert [change[:80] for change, times in changes.items() if times > 1] == []
