"""deploy/CLIENTS.md: the clients are those that `make clients` tries, at those versions, set up in that way."""

from __future__ import annotations

import json
import re

from tests.clients.environment import HERE
from tests.clients.matrix import PROGRAMS
from tests.pages.markdown import ROOT, blocks, rows, section, words

PAGE = (ROOT / "deploy" / "CLIENTS.md").read_text()
TRADING = section(PAGE, "Trading")
TABLE = {
    (words(name)[0], source): (words(version)[0], words(line)[0].strip())
    for name, source, version, line in rows(PAGE.replace(TRADING, ""))
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


def programs(pattern: str) -> dict[str, str]:
    """What the programs with such names say, by where their clients come from."""
    suffixes = {"PyPI": ".py", "npm": ".cjs"}
    return {
        source: "".join(path.read_text() for path in PROGRAMS.glob(f"{pattern}{suffix}"))
        for source, suffix in suffixes.items()
    }


def test_each_client_trades_as_it_is_tried() -> None:
    texts = programs("trade_*")
    clients = {(words(name)[0], source): words(more) for name, source, _, more in rows(TRADING)}
    assert clients.keys() == TABLE.keys() - {("freqtrade", "PyPI")}
    for (_, source), more in clients.items():
        for word in more:
            assert word in texts[source], word
            assert any(word in block for block in blocks(TRADING)), word
    assert {kinds for _, _, kinds, _ in rows(TRADING)} == {"HMAC, RSA, Ed25519"}


def test_each_client_is_set_up_as_it_is_tried() -> None:
    texts = programs("*")
    for (name, source), (_, line) in TABLE.items():
        assert line in texts[source], name
        assert any(line in block for block in blocks(PAGE)), name


def test_each_program_says_what_its_url_is() -> None:
    programs = [block for block in blocks(PAGE) if re.search(r"[{ ]url\b", block)]
    assert programs
    assert [block for block in programs if 'url = "http://127.0.0.1:8080"' not in block] == []
