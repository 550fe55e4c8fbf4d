"""deploy/CLIENTS.md: the clients are those that `make clients` tries, at those versions, set up in that way."""

from __future__ import annotations

import json

from tests.clients.environment import HERE
from tests.clients.matrix import PROGRAMS
from tests.pages.markdown import ROOT, blocks, rows, words

PAGE = (ROOT / "deploy" / "CLIENTS.md").read_text()
TABLE = {
    (words(name)[0], source): (words(version)[0], words(line)[0].strip()) for name, source, version, line in rows(PAGE)
}


def requirements(name: str) -> dict[tuple[str, str], str]:
    lines = [line for line in (HERE / name).read_text().splitlines() if line and not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    return {(package, "PyPI"): version for package, version in pinned.items() if package != "setuptools"}


def test_the_clients_and_versions_are_those_that_are_tried() -> None:
    packages = json.loads((HERE / "npm" / "package.json").read_text())["dependencies"]
    pinned = requirements("requirements.in") | requirements("heavy-requirements.in")
    assert {key: version for key, (version, _) in TABLE.items()} == pinned | {
        (package, "npm"): version for package, version in packages.items()
    }


def test_each_client_is_set_up_as_it_is_tried() -> None:
    programs = {".py": "PyPI", ".cjs": "npm"}
    texts = dict.fromkeys(programs.values(), "")
    for path in PROGRAMS.iterdir():
        if path.suffix in programs:
            texts[programs[path.suffix]] += path.read_text()
    for (name, source), (_, line) in TABLE.items():
        assert line in texts[source], name
        assert any(line in block for block in blocks(PAGE)), name
