"""deploy/CLIENTS.md: the clients are those that `make clients` tries, at those versions, set up in that way."""

from __future__ import annotations

from tests.clients.__main__ import RUNNERS
from tests.pages.markdown import ROOT, anchors, blocks, rows, section, words

PAGE = (ROOT / "deploy" / "CLIENTS.md").read_text()
TABLE = {words(name)[0]: (words(version)[0], words(line)[0].strip()) for name, version, line in rows(PAGE)}


def test_the_clients_are_those_that_are_tried() -> None:
    assert sorted(TABLE) == sorted(runner.removeprefix("run_").replace("_", "-") for runner in RUNNERS)


def test_the_versions_are_those_that_are_tried() -> None:
    lines = (ROOT / "tests" / "clients" / "requirements.in").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {name: version for name, (version, _) in TABLE.items()} == pinned


def test_each_client_is_set_up_as_it_is_tried() -> None:
    assert set(TABLE) <= anchors(PAGE)
    for name, (_, line) in TABLE.items():
        runner = ROOT / "tests" / "clients" / f"run_{name.replace('-', '_')}.py"
        assert line in runner.read_text(), name
        assert any(line in block for block in blocks(section(PAGE, name))), name
